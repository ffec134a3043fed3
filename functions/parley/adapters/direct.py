"""Sessions of our own over Programmable Voice and Messaging (`parley:masking: direct`): the carrier without Proxy.

A session opens by reserving a line for each participant; it connects once the ledger has confirmed it, which opens the
lines in the very transaction that checks the consents. Whoever dies in between leaves reservations that run out.
Calls and messages themselves are Twilio's, as on `proxy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from parley.adapters.identity import Identities, Sealer
from parley.adapters.twilio import FINISHED, TwilioCarrier
from parley.adapters.twilio_api import API
from parley.core.assignment import IN_USE, NumberChoice, PoolNumber, Shortage, assign
from parley.core.lines import Line, LineStatus, Peer, participant_sid, session_sid
from parley.ports import (
    CarrierError,
    FoundSession,
    Ledger,
    OpenedParticipant,
    OpenedSession,
    OwnNumberError,
    ReopenError,
    Seat,
    ShortageError,
)

CALL, MESSAGE = "/twilio/call", "/twilio/message"
"""Where the numbers of the pool point."""

FRESH: Final = timedelta(minutes=5)
"""How long the list of the pool is used before it is read again."""

ATTEMPTS: Final = 8
"""How often numbers are chosen again that somebody else took meanwhile."""


class DirectCarrier(TwilioCarrier):
    """Implements `parley.ports.Carrier` with sessions in the ledger. Its first arguments are `TwilioCarrier`'s."""

    def __init__(
        self,
        *arguments: Any,
        ledger: Ledger,
        identities: Identities,
        sealer: Sealer,
        gate: str,
        now: Callable[[], datetime],
        choice: NumberChoice,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self._ledger, self._identities, self._sealer = ledger, identities, sealer
        self._gate, self._now, self._choice = gate, now, choice
        self._numbers: tuple[PoolNumber, ...] = ()
        self._used: Mapping[str, int] = {}
        self._read_at: datetime | None = None
        self._reserved: dict[str, tuple[Line, ...]] = {}

    # Sessions -------------------------------------------------------------------------------------------------

    def open_session(
        self,
        identifiers: Sequence[str],
        *,
        unique_name: str,
        ttl: int,  # noqa: ARG002 - a line has its end
        closes_at: datetime,
        mode: str,
        idle: int = 0,
        reopens: str = "",
    ) -> OpenedSession:
        """Reserve a line for the holder of each plain number.

        Raises OwnNumberError, ReopenError, ShortageError, LedgerError, CarrierError.
        """
        if not self.pool().isdisjoint(identifiers):
            raise OwnNumberError
        sid, parties = session_sid(unique_name), [self._identities.party(one) for one in identifiers]
        before = self._numbers_before(reopens, parties) if reopens else {}
        for _ in range(ATTEMPTS):
            chosen = self._choose(identifiers, parties, mode, before)
            lines = self._lines(sid, unique_name, identifiers, parties, chosen, mode, closes_at, idle)
            if self._ledger.reserve_lines(lines):
                self._reserved[sid] = lines
                return OpenedSession(sid, tuple(OpenedParticipant(one.participant, one.masked_number) for one in lines))
        raise CarrierError("assign-numbers", 503)

    def _numbers_before(self, sid: str, parties: Sequence[str]) -> dict[str, str]:
        """Return the masked number that everybody had in an earlier session of the same people."""
        session = self._ledger.session(sid)
        if session is None:
            raise ReopenError("session-unknown")
        if set(session.parties) != set(parties):
            raise ReopenError("other-people")
        return {one.party: one.masked_number for one in session.participants}

    def _choose(
        self, identifiers: Sequence[str], parties: Sequence[str], mode: str, before: Mapping[str, str]
    ) -> list[PoolNumber]:
        pool, now = self.numbers(), self._now()
        chosen: list[PoolNumber] = []
        lacking: list[Shortage] = []
        for identifier, party in zip(identifiers, parties, strict=True):
            found = assign(
                pool,
                identifier,
                mode=mode,
                lines=self._ledger.lines_of(party),
                others=[other for other in parties if other != party],
                now=now,
                choice=self._choice,
                used=self._used,
                wanted=before.get(party, ""),
            )
            if isinstance(found, Shortage) and before:
                raise ReopenError("number-in-use")
            if isinstance(found, Shortage):
                lacking.append(found)
            else:
                chosen.append(found)
        if lacking:
            raise ShortageError(lacking)
        return chosen

    def _lines(
        self,
        sid: str,
        unique_name: str,
        identifiers: Sequence[str],
        parties: Sequence[str],
        chosen: Sequence[PoolNumber],
        mode: str,
        closes_at: datetime,
        idle: int,
    ) -> tuple[Line, ...]:
        everybody = [
            Peer(participant_sid(sid, party), party, number.number, self._sealer.seal(identifier, sid))
            for identifier, party, number in zip(identifiers, parties, chosen, strict=True)
        ]
        return tuple(
            Line(
                party=one.party,
                masked_number=one.masked_number,
                participant=one.participant,
                session=sid,
                intent=unique_name.rpartition(".")[0],
                peers=tuple(other for other in everybody if other is not one),
                mode=mode,
                status=LineStatus.RESERVED,
                opened_at=self._now(),
                closes_at=closes_at,
                idle=idle,
            )
            for one in everybody
        )

    def participants(self, sid: str, identifiers: Sequence[str]) -> tuple[OpenedParticipant, ...]:
        """Return the participants of a session, in the order of `identifiers`."""
        session = self._ledger.session(sid)
        places = {one.party: one for one in session.participants} if session else {}
        try:
            found = [places[self._identities.party(identifier)] for identifier in identifiers]
        except KeyError:
            # Not chained: the error quotes a party.
            raise CarrierError("list-participants") from None
        return tuple(OpenedParticipant(one.sid, one.masked_number) for one in found)

    def renew_session(self, sid: str, *, ttl: int, closes_at: datetime) -> bool:  # noqa: ARG002 - the ledger has it
        """Let the lines last as long as the session, which the ledger renewed before; return False if they are over."""
        session = self._ledger.session(sid)
        return session is not None and self.is_open(sid) and self._ledger.renew_lines(session)

    def is_open(self, sid: str) -> bool:
        """Tell whether a session connects everybody; one of which a line is closed was on its way to its end.

        One in which a call goes on is not idle, however long ago it began.
        """
        session, now = self._ledger.session(sid), self._now()
        if session is None or session.is_over(now):
            return False
        lines = self._ledger.lines_in(session)
        if sum(line.status is LineStatus.OPEN for line in lines) != len(session.participants):
            return False
        return not any(line.is_idle(now) for line in lines) or bool(self.live_calls(sid)[0])

    def close_session(self, sid: str, *, urgent: bool = False) -> None:  # noqa: ARG002 - nobody is asked
        """Close the lines of a session. One that is closed or gone is no error."""
        reserved = self._reserved.pop(sid, ())
        session = self._ledger.session(sid)
        places = [(one.party, one.masked_number) for one in (session.participants if session else reserved)]
        self._ledger.close_lines(sid, places)

    def live_calls(self, sid: str, *, urgent: bool = False) -> tuple[list[str], bool]:  # noqa: ARG002 - nobody is asked
        """Return the calls of a session that may be under way, by the SIDs of their inbound legs.

        The log has each before anybody is connected by it.
        """
        seen: dict[str, bool] = {}
        for row in self._ledger.interactions(sid):
            call = row.get("inbound_resource", "")
            if row.get("kind") == "voice" and call:
                seen[call] = seen.get(call, False) or row.get("inbound_status") in FINISHED
        return [call for call, over in seen.items() if not over], True

    def seats(self, sid: str, *, urgent: bool = False) -> list[Seat]:  # noqa: ARG002 - nobody is asked
        """Return the places in a session, open or closed, as long as its lines are not another one's."""
        session = self._ledger.session(sid)
        peers: dict[str, Peer] = {}
        for line in self._ledger.lines_in(session) if session else ():
            peers |= {peer.participant: peer for peer in line.peers}
        return [
            Seat(peer.participant, self._sealer.open(peer.sealed, sid), peer.masked_number) for peer in peers.values()
        ]

    def open_sessions(self, since: datetime, limit: int) -> tuple[list[FoundSession], bool]:  # noqa: ARG002
        """Return nothing: no session is open anywhere but in the ledger."""
        return [], True

    def pool(self) -> frozenset[str]:
        """Return the masked numbers, in E.164 form."""
        return frozenset(one.number for one in self.numbers())

    def numbers(self) -> tuple[PoolNumber, ...]:
        """Return the numbers whose calls and texts come to us: the pool, as Twilio has it. It is read now and then.

        One that somebody pointed elsewhere is none of them any more; one that is reserved says so in its URL.
        """
        now = self._now()
        if self._read_at is None or now - self._read_at >= FRESH:
            path = f"{self.root}/IncomingPhoneNumbers.json"
            found = self.pages("list-numbers", API, path, {"PageSize": "1000"}, "incoming_phone_numbers")
            self._numbers = tuple(number for raw in found if (number := self._number(raw)) is not None)
            self._used = self._ledger.load_cursor(IN_USE)
            self._read_at = now
        return self._numbers

    def _number(self, raw: Mapping[str, Any]) -> PoolNumber | None:
        call, _, marked = str(raw.get("voice_url") or "").partition("?")
        message = str(raw.get("sms_url") or "").partition("?")[0]
        if (call, message) != (f"{self._gate}{CALL}", f"{self._gate}{MESSAGE}"):
            return None
        able = frozenset(name.lower() for name, value in (raw.get("capabilities") or {}).items() if value)
        return PoolNumber(str(raw["sid"]), str(raw["phone_number"]), able, reserved=bool(marked))
