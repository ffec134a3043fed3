"""How many masked numbers a pool needs, told from the sessions that there were.

A masked number serves any number of people at once, but of one person's sessions only one
(https://www.twilio.com/docs/proxy/understanding-phone-number-management): so a pool needs as many numbers of a calling
code as one person with that code has sessions at the same time. Twilio recommends, and does not enforce, at most 100
people at once on one number (https://www.twilio.com/docs/proxy/proxy-limits).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from parley.core.identity import calling_code
from parley.core.lines import GRACE
from parley.core.sessions import Session

PEOPLE_PER_NUMBER: Final = 100
"""Twilio's recommendation."""


@dataclass(frozen=True, slots=True)
class Use:
    """What the people of one calling code used at most.

    `sessions`: how many sessions of theirs there were. `at_once`: the most that one person had at the same time, first
    reached at `at`. `people`: the most people in a session at the same time. `numbers`: what follows from both.
    """

    calling_code: str
    sessions: int
    at_once: int
    at: datetime
    people: int

    @property
    def numbers(self) -> int:
        """How many numbers were needed."""
        return max(self.at_once, -(-self.people // PEOPLE_PER_NUMBER))

    @property
    def advised(self) -> int:
        """How many numbers to have: a quarter more than were needed, and one at least."""
        return self.numbers + max(1, -(-self.numbers // 4))


def uses(sessions: Iterable[Session], since: datetime, until: datetime) -> tuple[list[Use], int]:
    """Return what was used between two moments by calling code, and how many sessions do not tell whose they were.

    Those are sessions of an earlier version, on Twilio Proxy. One that began before counts from `since`.
    """
    changes: defaultdict[str, list[tuple[datetime, int, str]]] = defaultdict(list)
    counted: defaultdict[str, int] = defaultdict(int)
    untold = 0
    for session in sessions:
        began = max(session.opened_at, since)
        ended = min(session.closed_at or session.closes_at, session.closes_at) + GRACE
        if began >= until or ended <= since:
            continue
        codes = {one.party: one.calling_code or calling_code(one.masked_number) for one in session.participants}
        untold += not all(codes.values())
        for party, code in codes.items():
            if code:
                # An end sorts before a beginning at the same moment: the number is free again.
                changes[code] += [(began, 1, party), (ended, -1, party)]
        for code in set(codes.values()) - {""}:
            counted[code] += 1
    return [_use(code, counted[code], changes[code], since) for code in sorted(changes)], untold


def _use(code: str, sessions: int, changes: list[tuple[datetime, int, str]], since: datetime) -> Use:
    at_once: defaultdict[str, int] = defaultdict(int)
    people = most_people = most = 0
    at = since
    for moment, step, party in sorted(changes):
        at_once[party] += step
        if at_once[party] == max(step, 0):
            people += step
        most_people = max(most_people, people)
        if at_once[party] > most:
            most, at = at_once[party], moment
    return Use(code, sessions, most, at, most_people)
