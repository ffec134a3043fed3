"""The people of a year: they agree and refuse, write and call, are held and erased, and some of them come back.

What they do is random, and the same for the same seed. What the stack answers them is held against the truth; what it
keeps of them, `tests/faults/oracle.py` looks at every week.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from parley.core.consent import ConsentEvent, Method, Scope, State
from parley.core.record_classes import RecordClass
from parley.core.verdict import parse_decision_id
from parley.ports import Entry, Refusal

from local.twilio.messaging import Attachment
from local.twilio.numbers import describe
from local.twilio.simulator import Outcome, Ring
from local.twilio.voice import LIVE
from tests.faults.oracle import Erased, Held, Oracle, Person, Truth
from tests.faults.year import HOUR, MINUTE, Year, moment
from tests.handlers.world import ACCOUNT, DAY, POOL, Answer, body

PEOPLE = tuple(f"+121255501{number}" for number in (10, 11, 12, 13, 14, 15, 16, 17))
ELSEWHERE = "+12125550190"
"""A number of the account that is not the stack's."""

WORDS = ("the blue door at seven", "bring the green folder", "my gate code is four four")
PICTURE = Attachment("", "image/png", b"\x89PNG\r\n\x1a\n" + bytes(500))
ASKED = (Scope.MANAGE, Scope.RECORD_VOICE, Scope.STORE_MESSAGES)
HOLDS_LIMIT = 2
"""Holds that stand at the same time."""

LETHAL = 0.04
"""How likely a function dies in its work."""

TROUBLE: tuple[dict[str, Any], ...] = (
    {"on": "rest", "mode": "throttle"},
    {"on": "rest", "mode": "error", "status": 500},
    {"on": "rest", "mode": "lost-answer", "status": 500, "match": "DELETE"},
    {"on": "rest", "mode": "error", "code": 20009, "status": 409, "match": "DELETE .*(Messages|Calls|Recordings)/"},
    {"on": "rest", "mode": "truncated", "match": r"GET .*/Recordings/RE[0-9a-f]+\.wav"},
    {"on": "rest", "mode": "error", "status": 503, "match": "GET .*/(Messages|Recordings)"},
)
LOST: tuple[dict[str, Any], ...] = (
    {"on": "webhook", "mode": "lost", "match": "^recording"},
    {"on": "webhook", "mode": "lost", "match": "^callback"},
    {"on": "webhook", "mode": "duplicate", "match": "^(recording|callback)"},
    {"on": "webhook", "mode": "late", "match": "^(recording|callback)", "seconds": 2 * HOUR},
    {"on": "webhook", "mode": "reorder", "match": "^callback"},
)


class Life:
    """The people, and what they do in a year. `did` counts it."""

    def __init__(self, year: Year) -> None:
        self.year, self.world, self.random = year, year.world, year.random
        self.truth = Truth(words=set(WORDS))
        self.oracle = Oracle(year, self.truth)
        self.did: Counter[str] = Counter()
        self._numbers = 0
        for phone in PEOPLE:
            key = self.world.identities.party(phone)
            self.truth.people[key] = Person(phone, key)
        own = self.world.emulator.carrier.numbers.own
        own(ACCOUNT, describe(ELSEWHERE, sms=True, voice=True, mms=False), {})

    @property
    def people(self) -> list[Person]:
        """Everybody."""
        return list(self.truth.people.values())

    def play(self, days: int) -> None:
        """Let so many days pass, and look at everything at the end of each week."""
        for day in range(days):
            self._day()
            if day % 7 == 6:
                self.oracle.check()
        self.oracle.check()

    # A day ----------------------------------------------------------------------------------------------------

    def _day(self) -> None:
        """Let a day pass: what people do at random moments, and what the stack does by itself."""
        begin = self.year.now()
        acts = sorted(
            (self.random.randrange(HOUR, 22 * HOUR), number) for number in range(self.random.choice((0, 1, 1, 2)))
        )
        moments = [(at, self._act) for at, _ in acts]
        moments += [(self.year.swept_at, self._sweep), (self.year.swept_at + HOUR, self._sweep)]
        # Rows leave at midnight here, so that one application of the holds before that stands for those of every hour.
        moments.append((int(self.year.midnight() - begin) - 30 * MINUTE, self.year.refresh_holds))
        for at, act in sorted(moments, key=lambda each: each[0]):
            if begin + at > self.year.now():
                self.year.reach(begin + at)
            act()
        with self._lethal():
            self.year.reach(max(begin + DAY, self.year.now()))
        self._notice_erasures()

    @contextmanager
    def _lethal(self) -> Iterator[None]:
        """Let functions die and Twilio be in trouble."""
        self.year.lethal = LETHAL
        if self.random.random() < 0.4:
            fault = self.random.choice(TROUBLE)
            self.world.emulator.faults.add({**fault, "times": self.random.choice((1, 1, 2, 3))})
            self.did["trouble at Twilio"] += 1
        try:
            yield
        finally:
            self.year.lethal = 0.0
            self.world.emulator.faults.clear()

    def _sweep(self) -> None:
        with self._lethal():
            self.year.run_minutely()
            self.year.run_sweeper()
            self.year.wait(10 * MINUTE)

    def _act(self) -> None:
        """Let something happen."""
        acts = [
            *[self._talk] * 14,
            *[self._agree] * 4,
            *[self._withdraw] * 2,
            self._stop,
            self._hold,
            self._hold,
            self._release,
            self._release,
            self._erase,
            self._come_back,
            self._import,
            self._stray,
            self._elsewhere,
        ]
        act = self.random.choice(acts)
        act()
        self._note()
        with self._lethal():
            self.year.wait(MINUTE)
            self.year.run_minutely()
            self.year.wait(MINUTE)
            self.year.run_minutely()

    # Consents -------------------------------------------------------------------------------------------------

    def _someone(self, *, here: bool = True) -> Person | None:
        found = [one for one in self.people if not (here and one.away)]
        return self.random.choice(found) if found else None

    def _agree(self) -> None:
        """Let somebody agree to some of it."""
        one = self._someone()
        if one is not None:
            scopes = [Scope.MANAGE, *(scope for scope in ASKED[1:] if self.random.random() < 0.85)]
            self._give(one, *scopes)

    def _give(self, one: Person, *scopes: Scope) -> None:
        if not one.stands(Scope.MANAGE, self.year.now()):
            self._lift_bar(one)
        for scope in scopes:
            self.year.wait(1)
            answer = self.world.consent(one.phone, scope=str(scope))
            assert answer["statusCode"] == 201, answer
            one.gives(scope, self.year.now(), self.year.schedule.days(RecordClass.CONSENT_EVIDENCE))
        self.did["agreed"] += 1

    def _lift_bar(self, one: Person) -> None:
        """Let somebody whom Twilio sends nothing any more text START, as they have to."""
        for number, phone in sorted(self.year.state.opt_outs):
            if phone == one.phone:
                self._heard(self.world.text(phone, number, "START"))
                one.seen = True

    def _withdraw(self) -> None:
        """Let somebody take back one consent, or all."""
        one = self._someone()
        if one is None or not one.seen:
            return
        scope = self.random.choice((*ASKED, None))
        self.year.wait(1)
        answer = self.world.consent(one.phone, "withdrawn", scope="all" if scope is None else str(scope))
        assert answer["statusCode"] in {200, 201, 202}, answer
        one.refuses(self.year.now(), *([] if scope is None else [scope]))
        self.did["withdrew"] += 1

    def _stop(self) -> None:
        """Let somebody text STOP, which no webhook tells of."""
        one = self._someone()
        if one is None:
            return
        self.year.wait(1)
        number = self.random.choice(self._known(one) or list(POOL))
        self._heard(self.world.text(one.phone, number, "STOP"))
        one.refuses(self.year.now())
        one.seen = True
        self.did["stopped"] += 1

    def _known(self, one: Person) -> list[str]:
        return sorted(
            {each.proxy_identifier for each in self.year.state.participants.values() if each.identifier == one.phone}
        )

    # Conversations --------------------------------------------------------------------------------------------

    def _talk(self) -> None:
        """Let two people be connected, and write and call."""
        pair = self.random.sample(self.people, 2)
        if self.random.random() < 0.7:
            for one in pair:
                if not one.away and not one.stands(Scope.MANAGE, self.year.now() + DAY):
                    self._give(one, Scope.MANAGE, *(scope for scope in ASKED[1:] if self.random.random() < 0.85))
        self.year.wait(1)
        wanted: dict[str, Any] = {"store": self.random.random() < 0.7}
        if self.random.random() < 0.8:
            wanted["record"] = ["voice"]
        now = self.year.now()
        agreed = all(one.stands(Scope.MANAGE, now) for one in pair)
        answer = self.world.open(participants=[{"identifier": one.phone} for one in pair], **wanted)
        assert answer["statusCode"] == (201 if agreed else 409), (answer, [one.away for one in pair])
        told = body(answer)
        decided = parse_decision_id(told["decision"])
        assert decided is not None
        self.truth.people_of[decided[0]] = tuple(one.key for one in pair)
        if not agreed:
            self.did["refused"] += 1
            return
        session = self.truth.session_of[decided[0]] = told["session"]
        self.truth.people_of[session] = tuple(one.key for one in pair)
        numbers = {one.phone: self._number_of(session, one) for one in pair}
        self.did["opened"] += 1
        for _ in range(self.random.choice((1, 1, 2, 3))):
            first = self.random.choice(pair)
            self._disturb()
            if self.random.random() < 0.5:
                self._text(first, numbers[first.phone])
            else:
                self._call(first, numbers[first.phone])
            self.world.emulator.faults.clear()
            with self._lethal():
                self.year.wait(self.random.choice((30, 5 * MINUTE)))
        self._end(session)

    def _number_of(self, session: str, one: Person) -> str:
        seats = self.year.state.participants.values()
        return str(
            next(
                each.proxy_identifier for each in seats if each.session_sid == session and each.identifier == one.phone
            )
        )

    def _disturb(self) -> None:
        """Let callbacks be lost, doubled, late or out of order, now and then."""
        if self.random.random() < 0.3:
            self.world.emulator.faults.add(self.random.choice(LOST))
            self.did["callbacks disturbed"] += 1

    def _text(self, one: Person, number: str) -> None:
        media = [PICTURE] if self.random.random() < 0.25 else []
        outcome = self.world.emulator.simulator.text(one.phone, number, self.random.choice(WORDS), media)
        self._note()
        self.year.drain()
        self._note()
        self.did["texted"] += outcome.connected
        if self.random.random() < 0.1:
            # The archive reads it in two minutes, and must not keep it any more.
            self._lose(one, Scope.STORE_MESSAGES)

    def _call(self, one: Person, number: str) -> None:
        outcome = self.world.call(one.phone, number, Ring(hold=True))
        self._note()
        self.year.wait(self.random.choice((1, 4)))
        self._note()
        if self.random.random() < 0.2:
            self._interrupt(outcome)
        self.year.wait(self.random.choice((1, 3, 6)))
        if self.random.random() < 0.2:
            self.year.wait(MINUTE - 10)
            self.year.run_minutely()
            self.year.wait(5)
        self._note()
        with contextlib.suppress(KeyError):
            if self.year.state.calls[outcome.sid].status in LIVE:
                self.world.emulator.simulator.hang_up(outcome.sid)
        self._transcribe(outcome)
        self._note()
        self.did["called"] += outcome.connected

    def _interrupt(self, outcome: Outcome) -> None:
        """Let the recording of a call be paused, or lose its consent, while it goes on."""
        if self.random.random() < 0.5:
            self.year.ask("POST", f"/v1/calls/{outcome.sid}/pause", sid=outcome.sid)
            self.year.wait(2)
            self.year.ask("POST", f"/v1/calls/{outcome.sid}/resume", sid=outcome.sid)
            self.did["paused"] += 1
        else:
            session = self.truth.session_of.get(outcome.sid, "")
            people = self.truth.people_of.get(session, ())
            if people:
                self._lose(self.truth.people[self.random.choice(people)], Scope.RECORD_VOICE)

    def _lose(self, one: Person, scope: Scope) -> None:
        """Let somebody take back a consent while what rests on it is under way."""
        self.year.wait(1)
        answer = self.world.consent(one.phone, "withdrawn", scope=str(scope))
        assert answer["statusCode"] in {200, 201, 202}, answer
        one.refuses(self.year.now(), scope)
        self.did["withdrew in between"] += 1

    def _transcribe(self, outcome: Outcome) -> None:
        carrier = self.world.emulator.carrier
        for record in carrier.recordings.of_call(outcome.sid):
            if record.status == "completed" and self.random.random() < 0.4:
                made = carrier.recordings.transcribe(record, "hello")
                self.truth.session_of[made.sid] = self.truth.session_of[outcome.sid]
                self.did["transcribed"] += 1

    def _end(self, session: str) -> None:
        """Close a session, or leave it to its time."""
        if self.random.random() < 0.5:
            self.year.ask("DELETE", f"/v1/sessions/{session}", id=session)
        elif self.random.random() < 0.3:
            self.world.renew(session, ttl=HOUR)

    def _note(self) -> None:  # noqa: C901 - one loop for each kind that Twilio has
        """Note whose everything is that Twilio has made, before anybody deletes it."""
        state, truth = self.year.state, self.truth
        for one in state.interactions.values():
            if one.sid in truth.session_of and one.outbound_resource_sid in truth.session_of:
                continue
            for sid in (one.sid, one.inbound_resource_sid, one.outbound_resource_sid):
                if sid:
                    truth.session_of[sid] = one.session_sid
            if one.inbound_resource_sid and one.outbound_resource_sid:
                truth.legs[one.outbound_resource_sid] = one.inbound_resource_sid
        for call in state.calls.values():
            if call.parent_call_sid in truth.session_of:
                truth.session_of[call.sid] = truth.session_of[call.parent_call_sid]
        for record in state.recordings.values():
            if record.call_sid in truth.session_of:
                truth.session_of[record.sid] = truth.session_of[record.call_sid]
            truth.begun[record.sid] = record.started
        for message in state.messages.values():
            truth.begun[message.sid] = message.created
            for media in message.media:
                truth.begun[media["sid"]] = message.created
                if message.sid in truth.session_of:
                    truth.session_of[media["sid"]] = truth.session_of[message.sid]

    def _heard(self, outcome: Outcome) -> None:
        self.truth.begun[outcome.sid] = self.year.now()

    def _stray(self) -> None:
        """Let somebody write to the line outside of any session."""
        one = self._someone()
        if one is not None:
            self._heard(self.world.text(one.phone, self.random.choice(POOL), "who is this?"))
            one.seen = True
            self.did["strayed"] += 1

    def _elsewhere(self) -> None:
        """Let somebody write to and call another number of the account, which is none of the stack's business."""
        one = self._someone(here=False)
        assert one is not None
        texted, called = self.world.text(one.phone, ELSEWHERE, "hello"), self.world.call(one.phone, ELSEWHERE)
        state = self.year.state
        self.truth.foreign |= {texted.sid, called.sid}
        self.truth.foreign |= {each.sid for each in state.messages.values() if each.from_ == ELSEWHERE}
        self.did["elsewhere"] += 1

    # Holds and erasures ---------------------------------------------------------------------------------------

    def _hold(self) -> None:
        """Let counsel order a hold, on somebody or on a session."""
        if sum(one.released is None for one in self.truth.holds.values()) == HOLDS_LIMIT:
            return
        self._numbers += 1
        name = f"case-{self._numbers}"
        review = moment(self.year.now() + 300 * DAY).date().isoformat()
        fields: dict[str, Any] = {"reason": "Doe v. Roe", "owner": "counsel", "review": review}
        if self.random.random() < 0.6:
            one = self.random.choice(self.people)
            subject, fields["party"] = one.key, one.phone
        else:
            recent = [each for each in self.truth.people_of if each.startswith("KC")][-6:] or [f"KC{'0' * 32}"]
            subject = fields["session"] = self.random.choice(recent)
        answer = self.year.ask("PUT", f"/v1/holds/{name}", fields, id=name)
        if answer["statusCode"] == 409:
            assert self.truth.people[subject].erasures, answer
            return
        assert answer["statusCode"] == 202, answer
        late = subject.startswith("KC") and (f"SESSION#{subject}", "SESSION") not in self.year.table.there()
        hold = self.truth.holds[name] = Held(name, subject, self.year.now(), late)
        self.did["held"] += 1
        with self._lethal():
            self.year.wait(10 * MINUTE)
        shown = body(self.year.ask("GET", f"/v1/holds/{name}", id=name))
        if shown["stage"] == "held":
            hold.applied = self.year.now()
            self.oracle.check()

    def _release(self) -> None:
        """Let counsel release the oldest hold."""
        standing = [one for one in self.truth.holds.values() if one.released is None]
        if not standing or self.year.now() - standing[0].placed < 5 * DAY:
            return
        self.oracle.check()
        answer = self.year.ask("DELETE", f"/v1/holds/{standing[0].id}", {"reason": "settled"}, id=standing[0].id)
        assert answer["statusCode"] == 202, answer
        standing[0].released = self.year.now()
        self.did["released"] += 1

    def _erase(self) -> None:
        """Let somebody be erased."""
        one = self._someone()
        if one is None or self.random.random() < 0.4:
            return
        self.year.wait(1)
        party = one.phone if self.random.random() < 0.8 else one.key
        answer = self.year.ask("POST", "/v1/erasures", {"party": party})
        assert answer["statusCode"] in {200, 202}, answer
        told = body(answer)
        one.refuses(self.year.now())
        if not one.erasures or one.erasures[-1].name != told["erasure"]:
            one.erasures.append(Erased(told["erasure"], self.year.now()))
        one.away = True
        self.did["erased"] += 1

    def _come_back(self) -> None:
        """Let somebody who was erased agree again, after a while."""
        back = [one for one in self.people if one.away and one.erasures[-1].at < self.year.now() - 5 * DAY]
        if back:
            one = self.random.choice(back)
            one.away = False
            self._give(one, *ASKED)
            self.did["came back"] += 1

    def _import(self) -> None:
        """Let an old list be imported on which somebody stands who was erased: it reaches nobody."""
        for one in self.people:
            if one.away:
                self._numbers += 1
                old = ConsentEvent(
                    party=one.key,
                    scope=Scope.MANAGE,
                    state=State.GIVEN,
                    method=Method.ADMIN_IMPORT,
                    effective_at=moment(self.year.now() - DAY),
                    source_event_id=f"import-{self._numbers}",
                    actor="cli",
                    evidence={"reference": "list-7"},
                )
                ledger: Any = self.world.ledger
                assert ledger.append_all([Entry((old,), keeps_no=True)]) == [Refusal.SAID_NO], "I6: a no was lifted"
                self.did["imports refused"] += 1

    def _notice_erasures(self) -> None:
        """Note which erasures are over."""
        for one in self.people:
            for erased in one.erasures:
                if (
                    erased.done is None
                    and self._state(self.year.ask("GET", f"/v1/erasures/{erased.name}", id=erased.name)) == "done"
                ):
                    erased.done = self.year.now()
                    self.did["erasures done"] += 1
                    self.oracle.check()

    @staticmethod
    def _state(answer: Answer) -> str:
        assert answer["statusCode"] == 200, answer
        return str(body(answer)["state"])
