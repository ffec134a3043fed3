"""The ledger on DynamoDB: writers at once, answers that get lost, rows that outstay their time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parley import runtime
from parley.adapters.dynamodb import DynamoLedger
from parley.adapters.table import ATTEMPTS
from parley.core import verdict
from parley.core.consent import ConsentEvent, Head, Method, Scope, Standing, State, project, verify_chain
from parley.core.decision import decide
from parley.core.jurisdiction import JurisdictionPolicy, reviewed_table
from parley.core.sessions import Intent, Participant, Session, intent_id
from parley.core.verdict import Action, DecisionRecord, decision_id
from parley.ports import ConsentChangedError, Entry, LedgerError, Refusal, SourceEventReusedError

from tests.handlers.world import DAY, KEEP_DAYS, TABLE, MovedClock, World
from tests.unit.chains import ANA, BEN, CLEO, NOON, event, events
from tests.unit.memory import MemoryDynamo


class OneAtATime:
    """A client whose calls are carried out one after the other, as DynamoDB carries out transactions.

    moto itself copies and restores whole tables without a lock. `before` is called before each call.
    """

    def __init__(self, client: Any, before: Callable[[str], None] = lambda _: None) -> None:
        self._client = client
        self._before = before
        self._lock = threading.Lock()

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        """Return the client's own operation, behind the lock."""

        def call(**arguments: Any) -> Any:
            self._before(operation)
            with self._lock:
                return getattr(self._client, operation)(**arguments)

        return call


def ledger_over(world: World, before: Callable[[str], None] = lambda _: None) -> DynamoLedger:
    """Return a ledger that does not sleep between attempts."""
    client = OneAtATime(world.dynamodb, before)
    return DynamoLedger(client, TABLE, KEEP_DAYS, runtime.clock(), sleep=lambda _: None)


def session(now: datetime, sid: str = "KC" + "7" * 32) -> Session:
    """Return a session between Ana and Ben that is not written yet."""
    participants = (Participant("KP1", ANA), Participant("KP2", BEN))
    return Session(sid, "KS1", participants, "voice-only", now, now + timedelta(hours=1))


def write(
    ledger: DynamoLedger,
    read: Sequence[Standing],
    sid: str = "KC" + "7" * 32,
    people: Sequence[str] = (ANA, BEN),
) -> None:
    """Write a session between two people as it is opened: first the intent, then the session itself."""
    now, wish = runtime.clock().now(), intent_id(sid)
    made = verdict.judge(people, read, now, places={}, policy=JurisdictionPolicy(), table=reviewed_table())
    intent = Intent(wish, 1, "d", tuple(people), now, now + timedelta(hours=1))
    record = DecisionRecord(decision_id(wish, now, "0" * 6), wish, Action.OPEN, now, made, {}, intent.closes_at)
    ledger.begin(intent, read, record)
    participants = tuple(Participant(f"KP{number}", party) for number, party in enumerate(people))
    opened = replace(session(now, sid), participants=participants, intent=wish)
    ledger.confirm(intent, opened, read)


def error(code: str, **more: Any) -> ClientError:
    """Return an error of DynamoDB's."""
    response: Any = {"Error": {"Code": code, "Message": ""}, **more}
    return ClientError(response, "TransactWriteItems")


class TestChain:
    """I3: a consent record is only ever appended, and each person's chain verifies."""

    def test_concurrent_writers_all_stay(self, world: World) -> None:
        """Writers for one person at once are all recorded, in one whole chain whose end is the ledger's head."""
        ledger = ledger_over(world)
        reported = [event(source_event_id=f"tap-{number}") for number in range(12)]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda one: ledger.append([one]), reported))
        assert sorted(answer.receipts[0].seq for answer in answers) == list(range(1, 13))
        records = ledger.records(ANA)
        (head,) = world.rows("HEAD")
        verify_chain(records, head=Head(int(head["seq"]["N"]), head["record_hash"]["S"]))
        assert {record.event.source_event_id for record in records} == {one.source_event_id for one in reported}

    def test_concurrent_repeats_are_one_record(self, world: World) -> None:
        """The same event reported by several writers at once is one record and one answer."""
        ledger = ledger_over(world)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: ledger.append([event()]), range(8)))
        assert len({answer.receipts for answer in answers}) == 1
        assert [answer.repeated for answer in answers].count(False) == 1
        assert len(ledger.records(ANA)) == 1

    def test_withdrawal_and_consent_at_once(self, world: World) -> None:
        """Whoever is first, a withdrawal and an older consent that race end in the withdrawal."""
        ledger = ledger_over(world)
        at = event().effective_at
        for number in range(3):
            no = event(
                party=CLEO,
                state=State.WITHDRAWN,
                source_event_id=f"no-{number}",
                effective_at=at + timedelta(days=number),
            )
            yes = event(party=CLEO, source_event_id=f"yes-{number}", effective_at=no.effective_at)
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda one: ledger.append([one]), [yes, no]))
            (standing,) = ledger.standings_of(CLEO)
            assert standing.state is State.WITHDRAWN
        verify_chain(ledger.records(CLEO))

    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(events(counterpart=BEN), min_size=1, max_size=4, unique_by=lambda one: one.source_event_id))
    def test_projection_is_that_of_the_chain(self, world: World, happened: list[ConsentEvent]) -> None:
        """Where the ledger says that a person stands is what follows from the person's chain."""
        ledger = ledger_over(world)
        party = f"{len(world.rows()):064x}"
        for one in happened:
            fields = {name: getattr(one, name) for name in one.__slots__}
            ledger.append([ConsentEvent(**{**fields, "party": party})])
        records = ledger.records(party)
        verify_chain(records)
        assert {(one.scope, one.counterpart): one for one in ledger.standings_of(party)} == project(records)

    def test_answer_that_got_lost_is_found(self, world: World) -> None:
        """A write whose answer was lost is found by the next attempt and not written twice."""
        lost: list[str] = []

        class Losing(OneAtATime):
            def __getattr__(self, operation: str) -> Callable[..., Any]:
                call = super().__getattr__(operation)

                def lose(**arguments: Any) -> Any:
                    answer = call(**arguments)
                    if operation == "transact_write_items" and not lost:
                        lost.append("once")
                        raise error("TransactionInProgressException")
                    return answer

                return lose

        ledger = DynamoLedger(Losing(world.dynamodb), TABLE, KEEP_DAYS, runtime.clock(), sleep=lambda _: None)
        assert ledger.append([event()]).repeated
        assert len(ledger.records(ANA)) == 1

    def test_several_scopes_are_all_or_none(self, world: World) -> None:
        """The events of one append follow each other in the chain, each with its own record and standing."""
        ledger = ledger_over(world)
        ledger.append([event()])
        no = [event(scope=scope, state=State.WITHDRAWN, source_event_id="SM1:stop") for scope in Scope]
        assert [receipt.seq for receipt in ledger.append(no).receipts] == list(range(2, 2 + len(Scope)))
        assert {one.state for one in ledger.standings_of(ANA)} == {State.WITHDRAWN}
        verify_chain(ledger.records(ANA))

    def test_source_event_for_something_else_is_refused(self, world: World) -> None:
        """A source event id that meant another answer before is refused, whatever the moment it names."""
        ledger = ledger_over(world)
        ledger.append([event()])
        assert ledger.append([event(effective_at=event().effective_at + timedelta(1))]).repeated
        with pytest.raises(SourceEventReusedError):
            ledger.append([event(state=State.WITHDRAWN)])

    def test_events_of_two_people_are_a_mistake(self, world: World) -> None:
        """Events of two people, or of none, cannot be appended together."""
        for mixed in ([event(), event(party=BEN)], []):
            with pytest.raises(ValueError, match="one person"):
                ledger_over(world).append(mixed)


@pytest.mark.parametrize("masked", ["", "+12125550140"])
def test_parties_of_a_session_for_a_hold(world: World, masked: str) -> None:
    """A hold finds a session's parties whether its row holds their masked numbers (`direct`) or only their codes."""
    ledger = ledger_over(world)
    for party in (ANA, BEN):
        ledger.append([event(party=party, source_event_id=f"tap-{party}")])
    write(ledger, ledger.standings((ANA, BEN), Scope.MANAGE))
    opened = ledger.session("KC" + "7" * 32)
    assert opened is not None
    places = [[one.sid, one.party, masked, "1"] for one in opened.participants]
    key = {"pk": {"S": f"SESSION#{opened.sid}"}, "sk": {"S": "SESSION"}}
    row = world.dynamodb.get_item(TableName=TABLE, Key=key)["Item"]
    world.dynamodb.put_item(TableName=TABLE, Item={**row, "participants": {"S": json.dumps(places)}})
    assert ledger.parties_of(opened.sid)[0] == opened.parties


class TestTrouble:
    """What cannot be read or written is an error, never a guess."""

    @pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
    def test_refusal_is_not_tried_again(self, world: World, code: str) -> None:
        """What DynamoDB refuses is told at once by its code."""
        calls: list[str] = []

        def refuse(operation: str) -> None:
            calls.append(operation)
            raise error(code)

        with pytest.raises(LedgerError, match=code):
            ledger_over(world, refuse).standings([ANA, BEN])
        assert calls == ["transact_get_items"]

    @pytest.mark.parametrize(
        "busy",
        [
            error("ThrottlingException"),
            error(
                "TransactionCanceledException", CancellationReasons=[{"Code": "TransactionConflict"}, {"Code": "None"}]
            ),
        ],
    )
    def test_contention_ends(self, world: World, busy: ClientError) -> None:
        """Contention is waited out a bounded number of times, by readers and by writers."""
        calls: list[str] = []

        def contend(operation: str) -> None:
            if operation.startswith("transact"):
                calls.append(operation)
                raise busy

        with pytest.raises(LedgerError, match="too many writers"):
            ledger_over(world, contend).standings([ANA, BEN])
        assert len(calls) == ATTEMPTS

        def contend_writes(operation: str) -> None:
            if operation == "transact_write_items":
                raise busy

        with pytest.raises(LedgerError, match="for one person"):
            ledger_over(world, contend_writes).append([event()])

    @pytest.mark.parametrize("operation", ["transact_get_items", "transact_write_items", "query", "put_item"])
    def test_no_connection_is_a_ledger_error(self, world: World, operation: str) -> None:
        """A connection that cannot be made is told as the ledger being down, without the address."""

        def unplugged(called: str) -> None:
            if called == operation:
                raise EndpointConnectionError(endpoint_url="https://secret.example")

        ledger = ledger_over(world, unplugged)
        attempts: list[Callable[[], object]] = [
            lambda: ledger.append([event()]),
            lambda: ledger.standings_of(ANA),
            lambda: ledger.save_cursor("x", {}),
        ]
        failed = []
        for attempt in attempts:
            try:
                attempt()
            except LedgerError as told:
                failed.append(str(told))
        assert failed
        assert all(text == "DynamoDB: EndpointConnectionError" for text in failed)

    def test_unreadable_record_is_told(self, world: World) -> None:
        """A record that somebody mangled is an error that says so."""
        ledger = ledger_over(world)
        ledger.append([event()])
        (row,) = world.rows("EVENT#")
        world.dynamodb.put_item(TableName=TABLE, Item={**row, "record": {"S": "{}"}})
        with pytest.raises(LedgerError, match="verify the chain"):
            ledger.records(ANA)

    def test_state_of_a_later_version_is_no_consent(self, world: World) -> None:
        """A state that this version does not know is read as unknown."""
        ledger = ledger_over(world)
        ledger.append([event()])
        (row,) = world.rows("STATE#")
        world.dynamodb.put_item(TableName=TABLE, Item={**row, "state": {"S": "delegated"}})
        assert [one.state for one in ledger.standings([ANA, BEN])] == [None]


class TestTime:
    """DynamoDB removes rows days late, so what has outstayed its time is not read."""

    def test_row_past_its_time_is_not_read(self, world: World) -> None:
        """A consent whose retention is over is no consent, though its row is still there."""
        ledger = ledger_over(world)
        ledger.append([event()])
        world.clock.advance(KEEP_DAYS["consent-evidence"] * DAY + 1)
        assert not ledger.standings([ANA, BEN])
        assert not ledger.standings_of(ANA)
        assert not ledger.records(ANA)
        assert world.rows("STATE#")

    def test_session_can_be_opened_over_rows_past_their_time(self, world: World) -> None:
        """A row that outstayed its time does not stand in the way of a session that rests on other consents."""
        ledger = ledger_over(world)
        ledger.append([event(counterpart=BEN, source_event_id="old")])
        world.clock.advance(KEEP_DAYS["consent-evidence"] * DAY + 1)
        for party in (ANA, BEN):
            ledger.append([event(party=party, source_event_id="new")])
        write(ledger, ledger.standings([ANA, BEN]))
        assert ledger.session("KC" + "7" * 32)


class TestSessions:
    """A session is written only on the consents that were read."""

    def test_each_change_of_consent_stops_the_write(self, world: World) -> None:
        """A record that was changed, or one that appeared, since the consents were read stops the session."""
        ledger = ledger_over(world)
        for party in (ANA, BEN):
            ledger.append([event(party=party)])
        for number, changed in enumerate([{"party": BEN}, {"party": ANA, "counterpart": BEN}]):
            read = ledger.standings([ANA, BEN])
            ledger.append([event(**changed, source_event_id=f"later-{number}", method=Method.CONTRACT)])
            with pytest.raises(ConsentChangedError):
                write(ledger, read)
        assert world.rows("SESSION") == []

    def test_sessions_and_a_withdrawal_at_once(self, world: World) -> None:
        """Whoever is first, no session that is written while its party withdraws stays without its revocation (I1)."""
        ledger = ledger_over(world)
        for number in range(4):
            people = [f"{2 * number + each:064x}" for each in (1, 2)]
            for party in people:
                ledger.append([event(party=party, source_event_id=f"yes-{number}")])

            def open_one(name: str, people: list[str] = people) -> None:
                read = ledger.standings(people)
                if decide(people, read, runtime.clock().now()).permit:
                    with suppress(ConsentChangedError):
                        write(ledger, read, name, people)

            def withdraw(number: int = number, party: str = people[0]) -> None:
                ledger.append([event(party=party, state=State.WITHDRAWN, source_event_id=f"no-{number}")])

            jobs: list[Callable[[], None]] = [partial(open_one, f"KC{number}{each:031x}") for each in range(5)]
            jobs.insert(number, withdraw)
            with ThreadPoolExecutor(3) as pool:
                for done in [pool.submit(job) for job in jobs]:
                    done.result()
            assert all(one.revocation is not None for one in ledger.open_sessions_of(people[1]))

    def test_unrelated_consents_do_not(self, world: World) -> None:
        """A consent for another scope or towards somebody else does not stand in the way."""
        ledger = ledger_over(world)
        for party in (ANA, BEN):
            ledger.append([event(party=party)])
        read = ledger.standings([ANA, BEN])
        ledger.append([event(scope=Scope.TRANSCRIBE, source_event_id="2")])
        ledger.append([event(counterpart=CLEO, source_event_id="3")])
        write(ledger, read)

    def test_open_sessions_are_found_page_by_page(self, world: World) -> None:
        """Every open session is found exactly once, however small the pages; closed ones are not."""
        ledger = ledger_over(world)
        for party in (ANA, BEN):
            ledger.append([event(party=party)])
        now, read = runtime.clock().now(), ledger.standings([ANA, BEN])
        sids = [f"KC{number:032x}" for number in range(12)]
        for sid in sids:
            write(ledger, read, sid)
        for _ in range(2):
            ledger.close_session(session(now, sids[0]), "test")
        found: list[str] = []
        position: dict[str, str] = {}
        while True:
            sessions, position = ledger.open_sessions(position, 2)
            found += [one.sid for one in sessions]
            if not position:
                break
        assert sorted(found) == sids[1:]
        assert sorted(one.sid for one in ledger.open_sessions_of(BEN)) == sids[1:]


def test_table_in_memory_is_one(world: World) -> None:
    """What the tests of many records use does, call by call, what the mocked DynamoDB does: the rows are the same."""
    memory = MemoryDynamo()
    ledgers = [
        DynamoLedger(client, TABLE, KEEP_DAYS, runtime.clock(), sleep=lambda _: None)
        for client in (OneAtATime(world.dynamodb), memory)
    ]
    world.patch.setattr(MovedClock, "now", lambda _self: NOON)
    for ledger in ledgers:
        entries = [Entry((event(party=party),), contact=lambda: b"sealed", keeps_no=True) for party in (ANA, BEN, CLEO)]
        ledger.append_all(entries)
        ledger.append([event(state=State.WITHDRAWN, source_event_id="2")], lambda: b"anew")
        ledger.append([event(scope=Scope.TRANSCRIBE, counterpart=BEN, source_event_id="3")])
        assert ledger.append_all([Entry((event(source_event_id="4"),), keeps_no=True)]) == [Refusal.SAID_NO]
        assert ledger.append([event()]).repeated
        assert (ledger.drop_contact(BEN), ledger.drop_contact(BEN)) == (True, False)
        ledger.append([event(party=BEN, source_event_id="2")], lambda: b"anew")
        assert sorted(ledger.parties()) == [ANA, BEN, CLEO]
        verify_chain(ledger.records(ANA), head=ledger.head(ANA))
    assert sorted(world.rows(), key=str) == sorted(memory.items(), key=str)
