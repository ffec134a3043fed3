"""The ledger under ten thousand events at once: every chain verifies, and says where each person stands (I3)."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parley.adapters.consents import writes_of
from parley.adapters.dynamodb import DynamoLedger
from parley.core.consent import NO, ConsentEvent, Method, Scope, State, project, verify_chain
from parley.ports import Appended, Entry, Refusal, UnreadableRecordError

from tests.unit.chains import ANA, BEN, CLEO, NOON, event, events
from tests.unit.memory import MemoryDynamo, StillClock

KEEP_DAYS = {"consent-evidence": 1825}
PEOPLE = [f"{number:064x}" for number in range(40)]
EVENTS = 10_000


def ledger_over(client: MemoryDynamo, clock: StillClock | None = None) -> DynamoLedger:
    """Return a ledger that does not sleep between attempts."""
    return DynamoLedger(client, "ledger", KEEP_DAYS, clock or StillClock(), region="us-east-1", sleep=lambda _: None)


@pytest.fixture
def quick_switching() -> Iterator[None]:
    """Let threads take turns far more often than usual, so that they get in each other's way."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def happened() -> list[ConsentEvent]:
    """Return ten thousand events of forty people, one in ten reported twice, in no order."""
    chance = random.Random(7)
    made = [
        event(
            party=chance.choice(PEOPLE),
            scope=chance.choice(list(Scope)),
            state=chance.choice(list(State)),
            counterpart=chance.choice([None, BEN]),
            effective_at=NOON + timedelta(seconds=chance.randrange(EVENTS)),
            source_event_id=f"event-{number}",
        )
        for number in range(EVENTS * 9 // 10)
    ]
    made += chance.sample(made, EVENTS - len(made))
    chance.shuffle(made)
    return made


@pytest.mark.thorough
class TestManyAtOnce:
    """Writers that know nothing of each other."""

    def test_ten_thousand_concurrent_events(self, quick_switching: None) -> None:
        """Of ten thousand events by eight writers none is lost or doubled; each chain and each projection holds."""
        client, reported = MemoryDynamo(), happened()
        ledger = ledger_over(client)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda one: ledger.append([one]), reported))
        assert Counter(answer.repeated for answer in answers) == {False: EVENTS * 9 // 10, True: EVENTS // 10}
        assert sorted(ledger.parties()) == PEOPLE
        total = 0
        for party in PEOPLE:
            records = ledger.records(party)
            verify_chain(records, head=ledger.head(party))
            assert {(one.scope, one.counterpart): one for one in ledger.standings_of(party)} == project(records)
            assert {record.event.storage_region for record in records} == {"us-east-1"}
            total += len(records)
        assert total == EVENTS * 9 // 10

    @settings(max_examples=30)
    @given(st.lists(st.lists(events(), min_size=1, max_size=4), min_size=1, max_size=4))
    def test_batches_of_writers_at_once(self, batches: list[list[ConsentEvent]]) -> None:
        """Whatever several writers append for the same people at once, the chains and the projections hold."""
        ledger = ledger_over(MemoryDynamo())
        entries = [
            [Entry((rename(one, party=party, source=f"{writer}-{number}"),)) for party in (ANA, BEN)]
            for writer, batch in enumerate(batches)
            for number, one in enumerate(batch)
        ]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ledger.append_all, entries))
        for party in (ANA, BEN):
            records = ledger.records(party)
            assert len(records) == len(entries)
            verify_chain(records, head=ledger.head(party))
            assert {(one.scope, one.counterpart): one for one in ledger.standings_of(party)} == project(records)


def rename(one: ConsentEvent, *, party: str, source: str) -> ConsentEvent:
    """Return an event as another person's, from another source."""
    fields = {name: getattr(one, name) for name in one.__slots__}
    return ConsentEvent(**{**fields, "party": party, "source_event_id": source})


class TestBatch:
    """Entries of several people in one transaction."""

    def test_each_has_its_own_outcome(self) -> None:
        """A repeat, a reused id and a no in the way are told one by one, and keep the others out of nothing."""
        client = MemoryDynamo()
        ledger = ledger_over(client)
        ledger.append([event(party=ANA)])
        ledger.append([event(party=BEN, state=State.WITHDRAWN)])
        ledger.append([event(party=CLEO, scope=Scope.TRANSCRIBE)])
        outcomes = ledger.append_all(
            [
                Entry((event(party=ANA),), keeps_no=True),
                Entry((event(party=BEN, source_event_id="2", effective_at=NOON + timedelta(1)),), keeps_no=True),
                Entry((event(party=CLEO),), keeps_no=True),
                Entry((event(party=PEOPLE[0]),), keeps_no=True),
            ]
        )
        assert isinstance(outcomes[0], Appended)
        assert outcomes[0].repeated
        assert outcomes[1:3] == [Refusal.SAID_NO, Refusal.REUSED]
        assert isinstance(outcomes[3], Appended)
        assert client.writes == 4
        assert len(ledger.records(BEN)) == 1

    @pytest.mark.parametrize("method", [Method.CONTRACT, Method.ADMIN_IMPORT])
    @pytest.mark.parametrize("no", sorted(NO))
    def test_no_is_kept_whatever_the_method(self, method: Method, no: State) -> None:
        """An entry that keeps a no never lifts it, not even with a contract that was signed later."""
        ledger = ledger_over(MemoryDynamo())
        ledger.append([event(state=no)])
        later = event(method=method, source_event_id="2", effective_at=NOON + timedelta(days=9))
        assert ledger.append_all([Entry((later,), keeps_no=True)]) == [Refusal.SAID_NO]
        assert ledger.standings_of(ANA)[0].state is no

    def test_one_person_twice_is_a_mistake(self) -> None:
        """Two entries of one person in one transaction would each move the same head, so they are refused."""
        with pytest.raises(ValueError, match="different people"):
            ledger_over(MemoryDynamo()).append_all([Entry((event(),)), Entry((event(source_event_id="2"),))])

    def test_writes_are_counted_right(self) -> None:
        """What an entry takes of a transaction's hundred items is known before it is written."""
        client = MemoryDynamo()
        entry = Entry(tuple(event(scope=scope) for scope in Scope), contact=lambda: b"sealed")
        ledger_over(client).append_all([entry])
        assert len(client.items()) == writes_of(entry)


class TestContact:
    """The plain identifier, kept apart from the chain."""

    def test_is_sealed_once(self) -> None:
        """It is sealed with the first record that carries it, and lives as long as the newest one."""
        client, clock, sealed = MemoryDynamo(), StillClock(), []
        ledger = ledger_over(client, clock)

        def seal() -> bytes:
            sealed.append(1)
            return b"sealed"

        ledger.append([event()])
        assert client.items("CONTACT") == []
        ledger.append([event(source_event_id="2")], seal)
        (first,) = client.items("CONTACT")
        assert (first["ciphertext"], first["pk"]) == ({"S": "c2VhbGVk"}, {"S": f"PARTY#{ANA}"})
        clock.moment += timedelta(days=1)
        ledger.append([event(source_event_id="3")], seal)
        (second,) = client.items("CONTACT")
        assert int(second["expires_at"]["N"]) - int(first["expires_at"]["N"]) == 86_400
        assert len(sealed) == 1

    def test_is_dropped_without_touching_the_chain(self) -> None:
        """Dropped, nothing of it is left, the chain verifies as before, and dropping again finds nothing."""
        client = MemoryDynamo()
        ledger = ledger_over(client)
        ledger.append([event()], lambda: b"sealed")
        before = client.items("EVENT#")
        assert (ledger.drop_contact(ANA), ledger.drop_contact(ANA), ledger.drop_contact(BEN)) == (True, False, False)
        (row,) = client.items("CONTACT")
        assert set(row) == {"pk", "sk", "expires_at"}
        assert client.items("EVENT#") == before
        verify_chain(ledger.records(ANA), head=ledger.head(ANA))

    def test_comes_back_with_a_new_record(self) -> None:
        """Who gives consent anew after it was dropped is kept by a contact that is sealed anew."""
        client, clock = MemoryDynamo(), StillClock()
        ledger = ledger_over(client, clock)
        ledger.append([event()], lambda: b"sealed")
        ledger.drop_contact(ANA)
        ledger.append([event(source_event_id="2")], lambda: b"anew")
        assert client.items("CONTACT")[0]["ciphertext"] == {"S": "YW5ldw=="}

    def test_dropped_between_reading_and_writing(self) -> None:
        """A contact that is dropped while a record is written makes the write start again, and is sealed anew."""
        client = MemoryDynamo()
        ledger = ledger_over(client)
        ledger.append([event()], lambda: b"sealed")

        class Late(MemoryDynamo):
            def transact_write_items(self, TransactItems: list[object]) -> dict[str, object]:  # noqa: N803 - boto3's own name
                ledger.drop_contact(ANA)
                return client.transact_write_items(TransactItems)

        late = Late()
        late.transact_get_items = client.transact_get_items  # type: ignore[method-assign] # the same rows
        ledger_over(late).append([event(source_event_id="2")], lambda: b"anew")
        assert client.items("CONTACT")[0]["ciphertext"] == {"S": "YW5ldw=="}


class TestReading:
    """What the tools read."""

    def test_head_of_nobody(self) -> None:
        """Who has no chain has the head of an empty one."""
        assert verify_chain([]) == ledger_over(MemoryDynamo()).head(ANA)

    def test_unreadable_record_is_told_apart(self) -> None:
        """A record that somebody mangled is not the same as a ledger that does not answer."""
        client = MemoryDynamo()
        ledger_over(client).append([event()])
        client.replace({**client.items("EVENT#")[0], "record": {"S": "{}"}})
        with pytest.raises(UnreadableRecordError, match="verify the chain"):
            ledger_over(client).records(ANA)

    def test_people_are_found_page_by_page(self) -> None:
        """Every chain is found once, however many there are."""
        ledger = ledger_over(MemoryDynamo())
        people = [f"{number:064x}" for number in range(2500)]
        for start in range(0, len(people), 25):
            ledger.append_all([Entry((event(party=party),)) for party in people[start : start + 25]])
        assert sorted(ledger.parties()) == people
