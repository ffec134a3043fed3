"""A gate under faults: the world of the handlers' tests, on a clock that only the test moves, with places to break it.

The stage plays the people and the application, lets the schedule fire every minute, and knows two truths beside what
the gate believes: what each person said last, and what the ledger holds when it is read without any fault. Whatever
connects two people is held against both.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from parley import runtime, withdrawal
from parley import telling as telling_module
from parley.adapters.dynamodb import DynamoLedger
from parley.adapters.table import Table, epoch
from parley.adapters.twilio import TwilioCarrier
from parley.core.consent import NO, ConsentEvent, Method, Scope, State, project, verify_chain
from parley.core.decision import decide
from parley.core.lines import GRACE, LineStatus
from parley.handlers import reconcile
from parley.ports import Entry
from parley.relaying import PATH
from parley.telling import given

from local.clock import Clock
from local.serving import Server
from local.twilio import Emulator
from local.twilio.simulator import Outcome, Ring
from local.twilio.voice import LIVE
from tests.faults.memory import MemoryKms, MemorySecrets, MemoryTable
from tests.handlers import world as handlers_world
from tests.handlers.boundaries import KilledError
from tests.handlers.direct import deploy_direct
from tests.handlers.world import (
    ACCOUNT,
    ASK,
    KEEP_DAYS,
    KEY,
    POOL,
    ROUTES,
    SECRET,
    TABLE,
    TOKEN,
    Answer,
    MovedClock,
    World,
    form_event,
    load,
    one_world,
)

if TYPE_CHECKING:
    from tests.faults.faults import Fault

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC).timestamp()
TICK = 60
"""Seconds between two runs of the reconciler: the stage's `parley:session.reconcileSeconds`."""

BOUND = 120
"""Seconds: one interval and one run, what the declaration calls `exposureSeconds`."""

REPEAT = 10
"""Seconds after which the application repeats a report that was not acknowledged."""

KILLED: Answer = {"statusCode": 500, "headers": {}, "body": ""}
"""What API Gateway answers for a function that died."""

TIMED_OUT: Answer = {"statusCode": 503, "headers": {}, "body": ""}
"""What API Gateway answers for a function that takes longer than it waits."""

TALK = "the blue door at seven"
NEVER = float("-inf")

Around = Callable[[str, Callable[[], Any]], Any]
"""Stands between API Gateway, or the schedule, and a function: it is given the function's name and its invocation."""

AroundAws = Callable[[str, str, Callable[..., Any], Mapping[str, Any]], Any]
"""Stands between a function and AWS: it is given the service, the operation, the call and its arguments."""

AroundTwilio = Callable[[Callable[[], Any], str], Any]
"""Stands between a function and Twilio: it is given the request and the name of the operation."""


class StillClock(Clock):
    """A clock that only the test moves, so that what is measured is the same on every machine."""

    def now(self) -> float:
        """Return the time in epoch seconds."""
        return START + self.offset

    monotonic = now


class SkewedClock:
    """The gate's own clock, which may be wrong."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def now(self) -> datetime:
        """Return the time, as far as the gate knows."""
        return datetime.fromtimestamp(self._stage.clock.now() + self._stage.skew, UTC)


class Line(StrEnum):
    """What stands between somebody's no and an interaction."""

    GATE = "the intercept refuses"
    HEARING = "a no is recorded when it is said"
    CARRIER = "Twilio closes what it is told to"
    RECONCILER = "the reconciler does its work"


@dataclass(frozen=True, slots=True)
class Heard:
    """A webhook that the gate answered. `calm`: nothing was broken meanwhile."""

    event: Mapping[str, Any]
    status: int
    calm: bool


@dataclass(frozen=True, slots=True)
class Exposed:
    """Somebody who had said no was connected all the same. `seconds` since the no; `call`: it was one under way."""

    party: str
    seconds: float
    call: bool
    under: frozenset[str]


@dataclass
class Will:
    """What somebody told the service, or about one person: `since` when they say no; None: they do not.

    `said` and `agreed` are the moments of their last no and their last yes: the later one counts, however late it is
    told.
    """

    since: float | None = None
    said: float = NEVER
    agreed: float = NEVER

    def no(self, said: float, since: float) -> None:
        """Take a no that counts from a moment on."""
        if said < self.agreed:
            return
        self.said = max(self.said, said)
        self.since = since if self.since is None else self.since

    def yes(self, at: float) -> None:
        """Take a yes, unless a no came later."""
        if at > self.said:
            self.since, self.agreed = None, at


class _FaultyClient:
    """A client of AWS behind what stands between."""

    def __init__(self, stage: Stage, service: str) -> None:
        self._stage, self._service = stage, service

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        """Return an operation of the client, behind what stands between."""
        call = getattr(self._stage.clients[self._service], operation)

        def carried(**arguments: Any) -> Any:
            carry = functools.partial(call, **arguments)
            for around in self._stage.around_aws:
                carry = functools.partial(around, self._service, operation, carry, arguments)
            return carry()

        return carried


class Switchboard:
    """Where the emulator's webhooks go: to the stage that is up."""

    stage: Stage | None = None

    def __call__(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Carry one webhook."""
        if self.stage is None:
            raise OSError("no stage is up")
        answer = self.stage.hear(url, headers, body)
        return answer["statusCode"], answer["headers"], answer.get("body", "").encode()


Served = tuple[StillClock, Emulator, str, Switchboard]


class Stage:
    """One gate, its people, and whatever is broken. `faults` are those in force, `longest` the worst exposures."""

    def __init__(self, world: World, clock: StillClock, clients: Mapping[str, Any]) -> None:
        self.world, self.clock, self.emulator, self.clients = world, clock, world.emulator, clients
        self.direct = runtime.environment().is_direct
        self.skew = 0.0
        self.around: list[Around] = []
        self.around_aws: list[AroundAws] = []
        self.around_twilio: list[AroundTwilio] = []
        self.on_tick: list[Callable[[], None]] = []
        self.faults: dict[str, tuple[Fault, contextlib.ExitStack]] = {}
        self.people: dict[str, dict[str | None, Will]] = {}
        self.heard: list[Heard] = []
        self.exposed: list[Exposed] = []
        self.output = io.StringIO()
        self.truth = DynamoLedger(clients["dynamodb"], TABLE, KEEP_DAYS, MovedClock(clock))
        self.pending: list[tuple[str, float, dict[str, Any]]] = []
        self.records: dict[tuple[str, str], str] = {}
        self.unhealed = clock.now() - BOUND
        """Until when the reconciler could not do its work, last."""
        self._since: dict[str, float] = {}
        self._base = clock.now()
        self._ticked = 0
        self._reports = 0
        self._alerts: set[str] = set()
        self._parties: dict[str, str] = {}

    # What is broken -------------------------------------------------------------------------------------------

    def break_down(self, fault: Fault) -> None:
        """Put a fault in force."""
        stack = contextlib.ExitStack()
        stack.enter_context(fault.inject(self))
        self.faults[fault.name] = (fault, stack)

    def mend(self, name: str | None = None) -> None:
        """Lift one fault, or all."""
        for each in list(self.faults) if name is None else [name]:
            fault, stack = self.faults.pop(each)
            stack.close()
            if Line.RECONCILER in fault.breaks:
                self.unhealed = self.clock.now()

    def broken(self, line: Line) -> bool:
        """Tell whether one of the faults in force breaks a line."""
        return any(line in fault.breaks for fault, _ in self.faults.values())

    # The machinery --------------------------------------------------------------------------------------------

    def run(self, function: str, invoke: Callable[[], Any]) -> Any:
        """Invoke a function as far as the faults let it; one that dies leaves its environment."""
        for around in self.around:
            invoke = functools.partial(around, function, invoke)
        try:
            return invoke()
        except KilledError:
            runtime.reset()
            return KILLED

    def deliver(self, event: Mapping[str, Any]) -> Answer:
        """Carry a request of the application, or of Twilio, through API Gateway."""
        try:
            return self._invoke(event)
        except TimeoutError:
            return TIMED_OUT

    def _invoke(self, event: Mapping[str, Any]) -> Answer:
        path = event["rawPath"]
        handle = next(handle for prefix, handle in ROUTES.items() if path.startswith(prefix))
        answer: Answer = self.run(handle.__module__.rpartition(".")[2], lambda: handle(event, None))
        return answer

    def hear(self, url: str, headers: Mapping[str, str], payload: bytes) -> Answer:
        """Carry a webhook. Raises TimeoutError."""
        parts = urlsplit(url)
        event = form_event({**_webhook(), "rawPath": parts.path, "rawQueryString": parts.query}, payload, headers)
        written = self.output.tell()
        answer = self._invoke(event)
        self.heard.append(Heard(event, answer["statusCode"], not self.faults))
        self.output.seek(written)
        logged = self.output.read()
        assert "signature-invalid" not in logged, "a genuine webhook was taken for a forgery"
        assert "ForgedError" not in logged, "a genuine webhook was taken for a forgery"
        return answer

    def advance(self, seconds: float) -> None:
        """Let time pass: the schedule fires, and the application repeats what was not acknowledged."""
        end = self.clock.now() + seconds
        while True:
            tick = self._base + (self._ticked + 1) * TICK
            repeat = self.clock.now() + REPEAT if self.pending else end
            following = min(end, tick, repeat)
            self.clock.advance(max(0.0, following - self.clock.now()))
            self._look_at_calls()
            if self.clock.now() >= tick:
                self._ticked = int((self.clock.now() - self._base) // TICK)
                self.tick()
            self._repeat()
            if self.clock.now() >= end:
                return

    def advance_to_run(self) -> None:
        """Let time pass until just after the next run of the reconciler."""
        self.advance(self._base + (self._ticked + 1) * TICK - self.clock.now())

    def sleep(self, seconds: float) -> None:
        """Let a long time pass in which nobody does anything: the schedule fires at its beginning and its end only."""
        self.advance(2 * TICK)
        self.clock.advance(seconds)
        self._ticked = int((self.clock.now() - self._base) // TICK)
        self.tick()

    def tick(self) -> None:
        """Let the schedule fire once. Where nothing is broken the run must do all of its work."""
        if self.broken(Line.RECONCILER):
            self.unhealed = self.clock.now()
        for each in self.on_tick:
            each()
        try:
            self.run("reconcile", self.world.reconcile)
        except (reconcile.ReconcileIncompleteError, TimeoutError):
            assert self.faults, "a run failed though nothing is broken"
        self.emulator.webhooks.drain()
        self._look_at_calls()

    # The application ------------------------------------------------------------------------------------------

    def key(self, phone: str) -> str:
        """Return the party key of a phone, without any fault."""
        if phone not in self._parties:
            self._parties[phone] = self.world.identities.party(phone)
        return self._parties[phone]

    def agree(self, phone: str, towards: str | None = None, *, late: float = 0) -> None:
        """Let a person consent in the app, which reports it; `late` seconds after they did."""
        self.advance(1)
        at = self.clock.now() - late
        answer = self.world.consent(phone, counterpart=towards, occurred_at=_text(at))
        if towards is None or answer["statusCode"] < 300:
            self.will(phone, towards).yes(at)
        self._settled()

    def refuse(
        self, phone: str, state: str = "withdrawn", towards: str | None = None, *, everything: bool = False
    ) -> None:
        """Let a person say no in the app, which reports it until it is acknowledged."""
        self.advance(1)
        self._reports += 1
        fields = {
            "state": state,
            "counterpart": towards,
            "occurred_at": _text(self.clock.now()),
            "source_event_id": f"no-{self._reports}",
            **({"scope": "all"} if everything else {}),
        }
        self.pending.append((phone, self.clock.now(), fields))
        self._repeat()
        self._settled()

    def _repeat(self) -> None:
        left = []
        for phone, said, fields in self.pending:
            answer = self.world.consent(phone, **fields)
            if answer["statusCode"] in {200, 201, 202}:
                # A report counts from its acknowledgement: until then the application knows that it is not done.
                self.will(phone, fields["counterpart"]).no(said, self.clock.now())
            else:
                assert answer["statusCode"] >= 500, answer
                left.append((phone, said, fields))
        self.pending = left

    def import_consent(self, phone: str) -> None:
        """Let the operator import a list of older consents, on which a person stands."""
        self.advance(1)
        self._reports += 1
        given = ConsentEvent(
            party=self.key(phone),
            scope=Scope.MANAGE,
            state=State.GIVEN,
            method=Method.ADMIN_IMPORT,
            effective_at=datetime.fromtimestamp(self.clock.now(), UTC),
            source_event_id=f"import-{self._reports}",
            actor="cli",
            evidence={"reference": "list-7"},
        )
        self.truth.append_all([Entry((given,), keeps_no=True)])
        if self._agreed(phone):
            self.will(phone).yes(self.clock.now())

    def open(self, first: str, second: str, **more: Any) -> Answer:
        """Let the application open a session."""
        self.advance(1)
        answer = self.world.open(participants=[{"identifier": first}, {"identifier": second}], **more)
        self._settled()
        return answer

    def renew(self, sid: str) -> None:
        """Let the application renew a session."""
        self.advance(1)
        self.world.renew(sid, ttl=3600)
        self._settled()

    def close(self, sid: str) -> None:
        """Let the application close a session."""
        self.advance(1)
        self.world.get("sessions-delete", sid)
        self._settled()

    def ask(self, phone: str) -> None:
        """Let the application ask a person by text."""
        self.advance(1)
        self.world.ask(phone)
        self._settled()

    # The people -----------------------------------------------------------------------------------------------

    def text(self, phone: str, number: str, words: str, *, no: bool = False) -> Outcome:
        """Let a person text one of our numbers; `no` says that the words mean no."""
        self.advance(1)
        if no:
            self.will(phone).no(self.clock.now(), self.clock.now())
        return self._judged(phone, lambda: self.world.text(phone, number, words))

    def call(self, phone: str, number: str, ring: Ring) -> Outcome:
        """Let a person call one of our numbers."""
        self.advance(1)
        return self._judged(phone, lambda: self.world.call(phone, number, ring))

    def press(self, phone: str, number: str) -> bool:
        """Let a person call outside of a session and press 9; return whether they were told that it counts."""
        if self._is_routed(phone, number):
            return False
        outcome = self.call(phone, number, Ring(digits=("9",)))
        done = outcome.heard[1:] == [given("withdrawn", "voice", "en").text]
        if done:
            self.will(phone).no(self.clock.now(), self.clock.now())
        return done

    def answer(self, phone: str, words: str) -> None:
        """Let a person answer, or say YES or NO, to the number that asks."""
        self.advance(1)
        before, refused = self._agreed(phone), self._refused(phone)
        self.world.text(phone, ASK, words)
        if words == "YES" and not before and self._agreed(phone):
            self.will(phone).yes(self.clock.now())
        if words == "NO" and not refused and self._refused(phone):
            self.will(phone).no(self.clock.now(), self.clock.now())
        self._settled()

    def hang_up(self) -> None:
        """Let everybody put down the phone."""
        self.advance(1)
        for call in list(self.emulator.carrier.state.calls.values()):
            if call.direction == "inbound" and call.status in LIVE:
                self.emulator.simulator.hang_up(call.sid)
        self._settled()

    def _is_routed(self, phone: str, number: str) -> bool:
        """Tell whether a person is in an open session by a number."""
        if self.direct:
            line = self.truth.line(self.key(phone), number)
            return line is not None and line.status is LineStatus.OPEN
        return self.emulator.carrier.proxy.route(phone, number, "voice") is not None

    def numbers_of(self, phone: str) -> list[str]:
        """Return the masked numbers that a person knows."""
        if self.direct:
            return sorted(line.masked_number for line in self.truth.lines_of(self.key(phone))) or list(POOL)
        state = self.emulator.carrier.state
        known = {one.proxy_identifier for one in state.participants.values() if one.identifier == phone}
        return sorted(known) or list(POOL)

    def tell_alerts(self) -> None:
        """Let Twilio's debugger tell what is new."""
        for alert in list(self.emulator.carrier.state.alerts.values()):
            if alert.sid not in self._alerts:
                self._alerts.add(alert.sid)
                told = {"sid": alert.sid, "error_code": str(alert.error_code), "resource_sid": alert.resource_sid}
                self.world.debug(told)
        self._settled()

    # What is true ---------------------------------------------------------------------------------------------

    def will(self, phone: str, towards: str | None = None) -> Will:
        """Return what somebody told the service, or about one person."""
        return self.people.setdefault(phone, {}).setdefault(towards, Will())

    def unconsenting(self, phone: str, other: str) -> float | None:
        """Return since when a person has not agreed to be connected with another one, None if they do."""
        wills = (self.will(phone), self.will(phone, other))
        if all(will.agreed == NEVER for will in wills):
            return NEVER
        return min((will.since for will in wills if will.since is not None), default=None)

    def _agreed(self, phone: str) -> bool:
        standings = self.truth.standings_of(self.key(phone))
        return any(
            one.scope is Scope.MANAGE and one.counterpart is None and one.state is State.GIVEN for one in standings
        )

    def _refused(self, phone: str) -> bool:
        return withdrawal.has_refused(self.truth.standings_of(self.key(phone)))

    def permits(self, first: str, second: str) -> bool:
        """Tell whether the ledger, read without any fault, permits to connect two people now."""
        parties = (self.key(first), self.key(second))
        return decide(parties, self.truth.standings(parties), datetime.fromtimestamp(self.clock.now(), UTC)).permit

    def _judged(self, phone: str, act: Callable[[], Outcome]) -> Outcome:
        """Let somebody communicate; I1 must hold for whatever connects."""
        peers = {other: self.permits(phone, other) for other in self._peers(phone)}
        at, sound = self.clock.now(), not self.broken(Line.GATE)
        outcome = act()
        if outcome.connected:
            state = self.emulator.carrier.state
            sent = outcome.outbound_sid or ""
            other = (state.messages[sent] if sent in state.messages else state.calls[sent]).to
            assert peers[other] or not sound, "I1: the gate connected people whom the ledger does not permit"
            self._hold(phone, other, at, call=False)
        self._settled()
        return outcome

    def _peers(self, phone: str) -> set[str]:
        if self.direct:
            peers = {peer.party for line in self.truth.lines_of(self.key(phone)) for peer in line.peers}
            return {other for other in self.people if self.key(other) in peers}
        state = self.emulator.carrier.state
        seats = list(state.participants.values())
        sessions = {one.session_sid for one in seats if one.identifier == phone}
        return {one.identifier for one in seats if one.session_sid in sessions} - {phone}

    def _hold(self, first: str, second: str, at: float, *, call: bool) -> None:
        """Hold a connection against what both people said."""
        for one, other in ((first, second), (second, first)):
            said = self.unconsenting(one, other)
            if said is None:
                continue
            assert said != NEVER, "I1: somebody was connected who never agreed"
            self.exposed.append(Exposed(one, at - said, call, frozenset(self.faults)))
            assert call or not self.direct, f"I1: reached {at - said:.0f} s after saying no"
            since = at if self.broken(Line.RECONCILER) else self.unhealed
            assert at <= max(said, since) + BOUND, f"I1: exposed for {at - said:.0f} s"

    def _settled(self) -> None:
        self.emulator.webhooks.drain()
        self._look_at_calls()

    def _look_at_calls(self) -> None:
        """Hold every call that is under way against what its people said, whether its session is still open or not."""
        state = self.emulator.carrier.state
        for leg in list(state.calls.values()):
            parent = state.calls.get(leg.parent_call_sid or "")
            if parent is None or leg.status != "in-progress":
                continue
            self._hold(parent.from_, leg.to, self.clock.now(), call=True)

    # Invariants -----------------------------------------------------------------------------------------------

    def rows(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the whole table."""
        return {(row["pk"]["S"], row["sk"]["S"]): row for row in self.world.rows()}

    def check_chains(self) -> None:
        """I3: nothing that was written is ever changed, each chain verifies, and the state is what the chain says."""
        for (pk, sk), row in self.rows().items():
            if sk.startswith("EVENT#"):
                text = self.records.setdefault((pk, sk), row["record"]["S"])
                assert text == row["record"]["S"], "I3: a record was changed"
        for party in {pk.removeprefix("PARTY#") for pk, _ in self.records}:
            records = self.truth.records(party)
            assert len(records) == sum(pk == f"PARTY#{party}" for pk, _ in self.records), "I3: a record is gone"
            verify_chain(records, head=self.truth.head(party))
            projected = project(records)
            standings = self.truth.standings_of(party)
            assert {(one.scope, one.counterpart): one for one in standings} == projected, "I3: the state is another"
        if not self.faults and not self.pending and self.clock.now() > self.unhealed + BOUND:
            for phone, wills in list(self.people.items()):
                since = wills[None].since if None in wills else None
                if since is not None and self.clock.now() > since + BOUND:
                    assert not self._agreed(phone), "I3: a no is not in the ledger"

    def check_rest(self) -> None:
        """I1: once nothing is broken any more, both sides have the same sessions, each with everybody's consent."""
        rows = [row for (_, sk), row in self.rows().items() if sk == "SESSION" and row["status"]["S"] == "open"]
        there = self._connected()
        assert set(there) == {row["pk"]["S"].removeprefix("SESSION#") for row in rows}, "I1: the two sides differ"
        for people in there.values():
            first, second = people
            assert self.permits(first, second), "I1: a session is open without consent"

    def _connected(self) -> dict[str, list[str]]:
        """Return the people whom each session connects, by its SID: at Twilio, or by its lines."""
        found: dict[str, list[str]] = {}
        if self.direct:
            known = {self.key(phone): phone for phone in self.people}
            now = epoch(datetime.fromtimestamp(self.clock.now(), UTC))
            for (pk, sk), row in self.rows().items():
                if (
                    sk.startswith("LINE#")
                    and row["status"]["S"] == LineStatus.OPEN
                    and int(row["kept_until"]["N"]) > now
                ):
                    found.setdefault(row["sid"]["S"], []).append(known[pk.removeprefix("PARTY#")])
            return found
        state = self.emulator.carrier.state
        for one in state.participants.values():
            if state.sessions[one.session_sid].active:
                found.setdefault(one.session_sid, []).append(one.identifier)
        return found

    def replay(self) -> None:
        """I7: every webhook that was taken, sent again and the last one first, changes nothing.

        But for what it brings into order: notices that a START gives back after a no that was found later than it came
        (and only if it was sent after that no), the one help text to somebody who was owed none before, and the end of
        calls that the reconciler would have ended next.
        """
        before, texts = self.rows(), self._sent()
        taken = [one for one in self.heard if one.status < 300 or (one.status == 403 and one.calm)]
        taken = [one for one in taken if not self._is_just_before(one.event)]
        for one in reversed(taken):
            self._invoke(one.event)
        self.emulator.webhooks.drain()
        after = self.rows()
        changed = sorted(
            key
            for key in before.keys() | after.keys()
            if _but_for_seen(before.get(key, {})) != _but_for_seen(after.get(key, {}))
            and not key[0].startswith(("SESSION#sms", "SESSION#SM"))
            and not self._given_back(key[0], before)
            and not _calls_ended(before.get(key, {}), after.get(key, {}))
        )
        assert changed == [], f"I7: replayed webhooks changed {changed}"
        assert self._sent() == texts, "I7: replayed webhooks sent texts or closed sessions"

    def _is_just_before(self, event: Mapping[str, Any]) -> bool:
        """Tell whether a text came just before the session began that it would be passed on in now."""
        form = parse_qs(base64.b64decode(event["body"]).decode() if event["isBase64Encoded"] else event["body"])
        sid = form.get("MessageSid", [""])[0]
        if not self.direct or sid not in self.emulator.carrier.state.messages or event["rawPath"] != PATH:
            return False
        line = self.truth.line(self.key(form["From"][0]), form["To"][0])
        sent_at = datetime.fromtimestamp(self.emulator.carrier.state.messages[sid].created, UTC)
        return line is not None and line.opened_at - GRACE <= sent_at < line.opened_at

    def _given_back(self, pk: str, before: Mapping[tuple[str, str], Any]) -> bool:
        """Tell whether all that was appended to a chain is what START gives back, sent after every no to it."""
        party = pk.removeprefix("PARTY#")
        records = self.truth.records(party) if party != pk else []
        added = [one.event for one in records if (pk, f"EVENT#{one.seq:012d}") not in before]
        noes = [one.event for one in records if one.event.scope is Scope.RECEIVE_INFO and one.event.state in NO]
        return bool(added) and all(
            one.scope is Scope.RECEIVE_INFO
            and one.state is State.GIVEN
            and all(no.effective_at < one.effective_at for no in noes)
            for one in added
        )

    def _sent(self) -> tuple[int, set[str]]:
        return len(self.emulator.carrier.state.messages), set(self._connected())

    def check_silence(self) -> None:
        """I8: no number, body or secret is in a log line, a metric, an exception or a row."""
        rows = json.dumps(list(self.rows().values()), ensure_ascii=False)
        if self.direct:
            # A line is found by the masked number, which is the operator's own.
            rows = rows.replace(POOL[0], "").replace(POOL[1], "")
        told = self.output.getvalue() + rows
        numbers = {phone.removeprefix("+1") for phone in (*self.people, *POOL, ASK)}
        account = self.emulator.carrier.state.accounts[ACCOUNT]
        for secret in (*numbers, TALK, TOKEN, SECRET, account.auth_token):
            assert secret not in told, "I8: something that identifies a person or opens a door was written down"


@functools.cache
def _webhook() -> dict[str, Any]:
    event: dict[str, Any] = load("intercept-message")["event"]
    return event


def _but_for_seen(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without what a line remembers of texts, which a text from before its session adds to."""
    return {name: value for name, value in row.items() if name not in {"seen", "seen_before"}}


def _calls_ended(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Tell whether all that became of a closed session is that its calls are ended."""
    owed = {name: value for name, value in before.items() if name != "open_shard"}
    return before.get("status") == {"S": "closed"} and owed == after


def _text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


@contextmanager
def served_twilio() -> Iterator[Served]:
    """Serve an emulator on a clock that stands still."""
    clock, switchboard = StillClock(), Switchboard()
    emulator = Emulator(
        account_sid=ACCOUNT,
        auth_token=TOKEN,
        api_key=KEY,
        api_secret=SECRET,
        clock=clock,
        post=switchboard,
        requests_per_second=None,
    )
    server = Server(emulator.wsgi_app, port=0, purpose="twilio")
    server.start()
    try:
        yield clock, emulator, server.url, switchboard
    finally:
        server.close()
        emulator.close()


@contextmanager
def one_stage(served: Served, masking: str = "proxy") -> Iterator[Stage]:
    """Give a gate that nobody has used yet, and let go of it with everything that was broken."""
    clock, emulator, endpoint, switchboard = served
    clients: dict[str, Any] = {"dynamodb": MemoryTable(), "kms": MemoryKms(), "secretsmanager": MemorySecrets()}
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(handlers_world, "aws", clients.__getitem__)
        world = stack.enter_context(one_world(clock, emulator, endpoint))
        patch = world.patch  # undone with the world's own, the last one first
        if masking == "direct":
            deploy_direct(world)
        stage = Stage(world, clock, clients)
        request = TwilioCarrier.request

        def carried(carrier: TwilioCarrier, operation: str, *arguments: Any, **named: Any) -> Any:
            carry = functools.partial(request, carrier, operation, *arguments, **named)
            for around in stage.around_twilio:
                carry = functools.partial(around, carry, operation)
            return carry()

        patch.setattr(runtime, "_client", functools.partial(_FaultyClient, stage))
        patch.setattr(runtime, "_awaited_client", functools.partial(_FaultyClient, stage))
        patch.setattr(runtime, "SystemClock", functools.partial(SkewedClock, stage))
        patch.setattr(TwilioCarrier, "request", carried)
        patch.setattr(Table, "wait", lambda *_: None)
        patch.setattr(handlers_world, "deliver", stage.deliver)
        for module in (withdrawal, telling_module, reconcile):
            # Deadlines are kept on the same clock as everything else.
            patch.setattr(module, "time", clock)
        handler = logging.StreamHandler(stage.output)
        handler.setLevel(logging.WARNING)
        logging.getLogger().addHandler(handler)
        switchboard.stage = stage
        runtime.reset()
        try:
            with contextlib.redirect_stdout(stage.output):
                yield stage
        finally:
            stage.mend()
            switchboard.stage = None
            logging.getLogger().removeHandler(handler)
