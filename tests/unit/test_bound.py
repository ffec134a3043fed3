"""The bound: what it adds up, and that no copy in a model of S3 and DynamoDB ever outlives it.

The models know nothing of the sums: they carry out the lifecycle rules that are deployed, the way AWS describes it,
with every freedom that AWS leaves itself within the assumed delays. `PARLEY_HISTORIES` sets how many seeded histories
are tried: 2,000 by default, about a second. The heavy run, a minute:
`PARLEY_HISTORIES=100000 .venv/bin/python -m pytest tests/unit/test_bound.py`.
"""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parley.core import bound as module
from parley.core import retention
from parley.core.bound import Assumptions, Bound, Path, bound, bounds
from parley.core.record_classes import RecordClass
from parley.core.retention import (
    CHANNELS,
    HOLDABLE,
    STORES,
    LifecycleRule,
    Lock,
    Schedule,
    Store,
    lifecycle_rules,
    parse_schedule,
)

HISTORIES = int(os.environ.get("PARLEY_HISTORIES", "2000"))
HOUR, DAY = 60, 24 * 60
"""The models count in minutes."""

Pick = Callable[[int, int, Callable[[], bool]], int]
"""Chooses a moment between two (both included), and may ask whether anything waits for the first of them."""


def schedule(*, hold: bool = False, lock: str = "none", twilio: int = 0, **days: int) -> Schedule:
    """Return a schedule of all classes, 30 days each but for `days` (underscores stand for hyphens).

    With `hold` every class can be held that lives where something can.
    """
    raw: dict[str, dict[str, Any]] = {
        str(each): {
            "keepDays": 30,
            "purposes": ["safety"],
            "basis": "consent",
            "why": "a rule",
            "hold": hold and not HOLDABLE.isdisjoint(STORES[each]),
        }
        for each in RecordClass
    }
    raw["dead-letters"]["keepDays"] = 14
    raw["consent-evidence"]["keepDays"] = 1900
    for name, value in days.items():
        raw[name.replace("_", "-")]["keepDays"] = value
    raw["consent-evidence"]["lock"] = lock
    raw["call-recordings"]["twilioCopyDays"] = twilio
    return parse_schedule(raw, channels=tuple(CHANNELS), environment="local")


def path(of: Bound, start: str) -> Path:
    """Return the path of the copy whose name begins so."""
    return next(each for each in of.paths if each.copy.startswith(start))


class TestSums:
    """What is added up."""

    def test_version_goes_in_two_steps(self) -> None:
        """An object's content is bounded by expiry and noncurrent expiry, each rounded up and each carried out late."""
        noncurrent = path(bound(schedule(), "messages"), "S3 noncurrent")
        assert [term.days for term in noncurrent.terms] == [30, 1, 14, 1, 1, 14]
        assert noncurrent.days == 61

    def test_every_copy_of_an_object_has_its_path(self) -> None:
        """Versions, uploads, markers, what the access logs say, and Twilio's copies are all there."""
        assert [(each.copy, each.content) for each in bound(schedule(), "call-recordings").paths] == [
            ("S3 current version", True),
            ("S3 noncurrent version", True),
            ("S3 incomplete upload", True),
            ("S3 delete marker (the key only)", False),
            ("S3 access log lines (the key only)", False),
            ("Twilio media", True),
            ("Twilio metadata", False),
        ]

    def test_names_outlive_content(self) -> None:
        """The longest path of an object is its key in the access logs; the content has gone long before."""
        found = bound(schedule(), "transcripts")
        assert found.longest.copy == "S3 access log lines (the key only)"
        assert (found.days, found.content_days) == (61 + 15 + 1 + 61, 61)

    def test_log_of_a_log_bucket_is_not_kept(self) -> None:
        """Nobody logs the requests on the bucket of the access logs, so its objects end with their markers."""
        copies = {each.copy for each in bound(schedule(), "access-logs").paths}
        assert "S3 access log lines (the key only)" not in copies
        assert "log group (gateway-logs)" in copies

    def test_row_waits_for_its_removal_and_its_backups(self) -> None:
        """A row is bounded by its days, DynamoDB's delay, and the longer of the stream and the point-in-time window."""
        found = bound(schedule(interaction_log=400), "interaction-log", Assumptions(point_in_time_days=7))
        assert path(found, "DynamoDB row").days == 407
        assert path(found, "DynamoDB stream").days == 408
        assert path(found, "DynamoDB point").days == found.days == 414

    def test_table_that_may_be_deleted_leaves_a_backup(self) -> None:
        """Without deletion protection the 35 days of a deleted table's backup count, whatever the window."""
        open_to_deletion = Assumptions(point_in_time_days=1, table_protected=False)
        assert bound(schedule(), "interaction-log", open_to_deletion).days == 30 + 7 + 35

    def test_session_is_counted_from_its_opening(self) -> None:
        """The rows of a session begin their period when it closes, so the longest session comes on top."""
        found = bound(schedule(), "session-map", Assumptions(session_days=2))
        assert [term.days for term in path(found, "DynamoDB row").terms] == [2, 1, 30, 7]
        assert [term.days for term in path(found, "Twilio").terms] == [2, 1, 0, 1, 14, 30]

    def test_twilio_copy_counts_what_twilio_keeps(self) -> None:
        """Twilio's copy is bounded by its own days, the sweeper's, the refusals, and what a deletion leaves."""
        recordings = bound(schedule(twilio=20), "call-recordings")
        assert path(recordings, "Twilio media").days == 35
        assert path(recordings, "Twilio metadata").days == 75
        messages = bound(schedule(), "messages")
        assert path(messages, "Twilio resource").days == 45
        assert path(messages, "Twilio message's numbers").days == 135
        assert path(bound(schedule(), "transcripts"), "Twilio transcript").days == 55

    def test_logs_and_queues(self) -> None:
        """Log events go up to three days late; a dead letter may have waited a day before it became one."""
        assert bound(schedule(), "operational-logs").days == 33
        assert bound(schedule(), "dead-letters").days == 15

    def test_lock_is_shown_and_never_the_longest(self) -> None:
        """A default lock is a path of its own that no version has to wait for."""
        found = bound(schedule(lock="governance", erasure_proofs=1000), "consent-evidence")
        locked = path(found, "S3 version under Object Lock")
        assert (locked.terms[1].what, locked.terms[1].days) == ("governance lock ends", 1000)
        assert locked.days < found.content_days
        assert all("Lock" not in each.copy for each in bound(schedule(), "consent-evidence").paths)

    def test_copy_of_a_record_may_be_made_late(self) -> None:
        """A consent record's copy lives for its own days, which begin up to a week after the record."""
        found = bound(schedule(), "consent-evidence")
        assert path(found, "S3 current version").terms[0].days == 7
        assert path(bound(schedule(), "erasure-proofs"), "S3 current version").terms[0].what != (
            path(found, "S3 current version").terms[0].what
        )

    def test_hold_is_marked(self) -> None:
        """A class on which a legal hold may be placed says so: its bound is suspended meanwhile."""
        assert bound(schedule(hold=True), "messages").hold
        assert not bound(schedule(), "messages").hold

    def test_overdue_copies_catch_up_after_a_release(self) -> None:
        """What was held beyond its bound goes in the steps that are left: version, marker, what the logs say."""
        held = bound(schedule(hold=True), "messages")
        assert [term.days for term in path(held, "S3 noncurrent").after_release] == [1, 14]
        assert path(held, "S3 delete marker").release_days == 30
        assert path(held, "S3 access log").release_days == 30 + 1 + 30 + 1 + 14 + 1 + 1 + 14
        assert path(held, "Twilio resource").release_days == 1 + 14 + 30
        assert held.release_days == 1 + 14 + 120
        row = bound(schedule(hold=True), "interaction-log", Assumptions(point_in_time_days=7))
        assert path(row, "DynamoDB point").release_days == 7 + 7
        assert bound(schedule(), "messages").release_days == 0

    def test_rules_decide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The sums are made of the rules that are deployed: a longer noncurrent period is a longer bound."""
        before = bound(schedule(), "messages").content_days
        monkeypatch.setattr(retention, "NONCURRENT_DAYS", 10)
        assert bound(schedule(), "messages").content_days == before + 9

    def test_undeclared_class_has_no_bound(self) -> None:
        """A class that the stack does not declare is an error, not a bound of zero."""
        declared = dict(schedule().retentions)
        del declared[RecordClass.MESSAGES]
        with pytest.raises(KeyError):
            bound(Schedule(declared), "messages")

    def test_every_class_is_bounded_with_sources(self) -> None:
        """Every class has a bound of at least its declared days, sorted by class, and every term names its source."""
        found = bounds(schedule())
        assert list(found) == sorted(RecordClass)
        for each in found.values():
            assert each.days >= each.content_days >= schedule().days(each.record_class)
            assert all(term.source and term.days >= 0 for one in each.paths for term in one.terms)
            assert len(each.paths) >= len(STORES[each.record_class])

    def test_no_term_is_unnamed(self) -> None:
        """Each delay that no service promises is a parameter: with all at zero only rounding and rules remain."""
        exact = Assumptions(0, 1, True, 0, 0, 0, 0, 0, 0, sweep_days=0)
        assert bound(schedule(), "messages", exact).content_days == 30 + 1 + 1 + 1
        assert module.DEFAULT.s3_lag_days == module.S3_LAG_DAYS


@dataclass
class Version:
    """One version of a key: `marker` ones have no content. Moments are minutes."""

    created: int
    marker: bool = False
    noncurrent_since: int | None = None
    locked_until: int = 0


@dataclass(frozen=True)
class Gone:
    """A copy that was removed: its kind, its age, and the time since the release of its hold, in minutes."""

    kind: str
    age: int
    since_release: int | None = None


@dataclass
class Bucket:
    """A versioned S3 bucket under lifecycle rules: newest version last.

    `strict` is how a moment that is a midnight already is rounded up: AWS does not say. `held` are the keys under a
    legal hold, `released` when each was last let go. `gone` collects what was removed as (kind, age, minutes since the
    release if it was ever held); `named` every request and removal that a server access log would write down, as
    (moment, moment from which the key is counted, moment of the release).
    """

    rules: Sequence[LifecycleRule]
    strict: bool
    lock: int = 0
    keys: dict[str, list[Version]] = field(default_factory=dict)
    uploads: list[tuple[str, int]] = field(default_factory=list)
    counted_from: dict[str, int] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    released: dict[str, int] = field(default_factory=dict)
    gone: list[Gone] = field(default_factory=list)
    named: list[tuple[int, int, int | None]] = field(default_factory=list)

    def write(self, now: int, key: str, created: int | None = None) -> None:
        """Write a version; an upload in parts is dated from its start."""
        created = now if created is None else created
        self.counted_from[key] = max(now, self.counted_from.get(key, 0))
        self._stack(now, key, Version(created, locked_until=created + self.lock))

    def delete(self, now: int, key: str) -> None:
        """Delete a key: a marker comes before its versions. What is deleted again is counted from the new request."""
        versions = self.keys.get(key, [])
        if not versions or versions[-1].marker:
            self.counted_from[key] = now
        self._stack(now, key, Version(now, marker=True))

    def _stack(self, now: int, key: str, version: Version) -> None:
        versions = self.keys.setdefault(key, [])
        if versions:
            versions[-1].noncurrent_since = now
        versions.append(version)
        self._name(now, key)

    def _name(self, now: int, key: str) -> None:
        self.named.append((now, self.counted_from[key], self.released.get(key)))

    def hold(self, key: str) -> None:
        """Place a legal hold on what there is of a key."""
        if key in self.keys:
            self.held.add(key)

    def release(self, now: int, key: str) -> None:
        """Let a key go."""
        if key in self.held:
            self.held.remove(key)
            self.released[key] = now

    def complete(self, now: int, index: int) -> None:
        """Turn an upload into an object, if there is one."""
        if self.uploads:
            key, begun = self.uploads.pop(index % len(self.uploads))
            self.write(now, key, begun)

    def due(self, start: int, days: int) -> int:
        """Return when an age of `days` is reached: rounded up to midnight."""
        moment = start + days * DAY
        return (moment // DAY + 1) * DAY if self.strict or moment % DAY else moment

    def run(self, now: int) -> None:
        """Run lifecycle once, each rule judged on what stood at its start."""
        for key in sorted(self.keys):
            rules = [rule for rule in self.rules if key.startswith(rule.prefix)]
            self._expire(now, key, rules)
        for key, begun in list(self.uploads):
            days = min(
                r.abort_incomplete_days for r in self.rules if r.abort_incomplete_days and key.startswith(r.prefix)
            )
            if self.due(begun, days) <= now:
                self.uploads.remove((key, begun))
                self.gone.append(Gone("part", now - begun))

    def _expire(self, now: int, key: str, rules: Sequence[LifecycleRule]) -> None:
        versions, current = list(self.keys[key]), self.keys[key][-1]
        alone = len(versions) == 1
        for rule in rules:
            if rule.noncurrent_days is not None:
                for version in versions[:-1]:
                    assert version.noncurrent_since is not None
                    due = self.due(version.noncurrent_since, rule.noncurrent_days)
                    if due <= now and version.locked_until <= now and key not in self.held:
                        self._remove(now, key, version)
            if current.marker:
                if alone and rule.expired_object_delete_marker:
                    self._remove(now, key, current)
            elif rule.expiration_days is not None and self.due(current.created, rule.expiration_days) <= now:
                self._stack(now, key, Version(now, marker=True))
        if not self.keys[key]:
            del self.keys[key], self.counted_from[key]

    def _remove(self, now: int, key: str, version: Version) -> None:
        self.keys[key].remove(version)
        born = self.counted_from[key] if version.marker else version.created
        since = now - self.released[key] if key in self.released else None
        self.gone.append(Gone("marker" if version.marker else "version", now - born, since))
        self._name(now, key)

    def waits(self, now: int) -> bool:
        """Tell whether a run would find anything to do."""
        tried = copy.deepcopy(self)
        tried.run(now)
        return len(tried.named) > len(self.named) or len(tried.uploads) < len(self.uploads)

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return not self.keys and not self.uploads


Event = tuple[int, str, str]
"""What happens in a bucket: when, what, to which key (minutes, word, key)."""

REQUESTS = ("write", "delete", "begin", "complete", "hold", "release")


def live(bucket: Bucket, events: Sequence[Event], lag: int, pick: Pick) -> None:
    """Let things happen and time pass until the bucket is empty.

    The daily job may be suspended and late, but by no midnight's work by more than `lag` minutes.
    """
    waiting = sorted(events)

    def next_run(midnight: int) -> int:
        return pick(midnight, midnight + lag, lambda: bucket.waits(midnight))

    run_at = next_run(DAY)
    for _ in range(100_000):
        if waiting and waiting[0][0] <= run_at:
            now, request, key = waiting.pop(0)
            if request == "write":
                bucket.write(now, key)
            elif request == "delete":
                bucket.delete(now, key)
            elif request == "begin":
                bucket.uploads.append((key, now))
            elif request == "hold":
                bucket.hold(key)
            elif request == "release":
                bucket.release(now, key)
            else:
                bucket.complete(now, now)
            continue
        if bucket.empty and not waiting:
            return
        bucket.run(run_at)
        run_at = next_run((run_at // DAY + 1) * DAY)
        if bucket.empty and waiting:
            # Nothing to do until the next event; the job may be as late then, too.
            run_at = max(run_at, next_run((waiting[0][0] // DAY + 1) * DAY))
    raise AssertionError("something stays for ever")


def lives(bucket: Bucket) -> dict[str, int]:
    """Return the longest life of each kind of copy, in minutes."""
    longest: dict[str, int] = {}
    for gone in bucket.gone:
        longest[gone.kind] = max(gone.age, longest.get(gone.kind, 0))
    return longest


COPIES = {
    "version": "S3 noncurrent version",
    "part": "S3 incomplete upload",
    "marker": "S3 delete marker",
    "line": "S3 access log lines",
}


@dataclass(frozen=True)
class World:
    """A schedule, a bucket's class, and how late S3 is."""

    schedule: Schedule
    record_class: RecordClass
    store: Store
    assumptions: Assumptions
    strict: bool

    @property
    def lag(self) -> int:
        """The longest delay of a lifecycle run, in minutes."""
        return self.assumptions.s3_lag_days * DAY

    def copies(self, events: Sequence[Event], pick: Pick, deliver: Pick) -> list[Gone]:
        """Live through a history, its access logs included, and return every copy that went."""
        mode, lock_days = self.schedule.lock()
        locked = lock_days * DAY if mode is not Lock.NONE and self.store is Store.EVIDENCE else 0
        bucket = Bucket(lifecycle_rules(self.schedule, self.store), self.strict, locked)
        prefix = f"{self.record_class}/"
        # No hold lasts for ever: what is still held at the end of the history is let go some time after it.
        end = max(at for at, _, _ in events)
        letting_go = [(end + number * 17 * DAY, "release", key) for number, key in enumerate("ab", 1)]
        live(bucket, [(at, request, prefix + key) for at, request, key in (*events, *letting_go)], self.lag, pick)
        logs = Bucket(lifecycle_rules(self.schedule, Store.ACCESS_LOGS), self.strict)
        copies = list(bucket.gone)
        # A log object for each of the latest lines: what was written sooner after its record goes sooner.
        for number, (at, born, released) in enumerate(
            sorted(bucket.named, key=lambda line: line[0] - max(line[1], line[2] or 0))[-5:]
        ):
            written = deliver(at, at + self.assumptions.log_delivery_days * DAY, always)
            logs.gone.clear()
            live(logs, [(written, "write", f"content/{number}")], self.lag, pick)
            went = written + lives(logs)["version"]
            copies.append(Gone("line", went - born, None if released is None else went - released))
        return copies

    def ages(self, events: Sequence[Event], pick: Pick, deliver: Pick) -> dict[str, int]:
        """Live through a history without holds, and return the longest life of each kind of copy."""
        longest: dict[str, int] = {}
        for gone in self.copies(events, pick, deliver):
            longest[gone.kind] = max(gone.age, longest.get(gone.kind, 0))
        return longest

    def bounds(self) -> dict[str, int]:
        """Return the computed bound of each kind of copy, in minutes."""
        found = bound(self.schedule, self.record_class, self.assumptions)
        return {kind: path(found, start).days * DAY for kind, start in COPIES.items()}

    def check(self, events: Sequence[Event], pick: Pick) -> None:
        """Check that nothing in a history outlives its bound, or its catching up after the release of a hold."""
        computed = bound(self.schedule, self.record_class, self.assumptions)
        for gone in self.copies(events, pick, pick):
            limit = path(computed, COPIES[gone.kind])
            in_time = gone.age <= limit.days * DAY
            caught_up = gone.since_release is not None and gone.since_release <= limit.release_days * DAY
            assert in_time or caught_up, (gone, limit, self, events)
            assert limit.days <= computed.days
            assert limit.release_days <= computed.release_days


def world(rng: random.Random) -> World:
    """Return a random world, short periods more often than long ones."""
    store = rng.choice([Store.CONTENT, Store.EVIDENCE])
    record_class = rng.choice([each for each, stores in sorted(STORES.items()) if store in stores])
    content = rng.choice([1, 2, 5, 30])
    made = replace_days(
        schedule(lock=rng.choice(["none", "governance"]), hold=True),
        {
            RecordClass.MESSAGES: content,
            RecordClass.CONSENT_EVIDENCE: rng.choice([30, 40]),
            RecordClass.ERASURE_PROOFS: rng.choice([1, 3, 30]),
            RecordClass.ACCESS_LOGS: rng.choice([1, 3, 7]),
        },
    )
    lag = rng.choice([0, 0, 1, 2, 14])
    # The model counts from when the object is made; what comes before, the copying, is a test of its own.
    return World(made, record_class, store, Assumptions(s3_lag_days=lag, copy_days=0), rng.random() < 0.5)


def replace_days(of: Schedule, days: dict[RecordClass, int]) -> Schedule:
    """Return a schedule with other periods."""
    changed = {each: replace(of[each], keep_days=period) for each, period in days.items()}
    return replace(of, retentions={**of.retentions, **changed})


def random_pick(rng: random.Random) -> Pick:
    """Choose the ends more often than anything between: that is where bounds break."""
    return lambda low, high, _waits: rng.choice([low, high, high, rng.randint(low, high)])


def always() -> bool:
    """Something waits."""
    return True


def latest(low: int, high: int, waits: Callable[[], bool]) -> int:
    """Be as late as may be whenever something waits, and in time when nothing does."""
    return high if waits() else low


@pytest.mark.thorough
class TestObjects:
    """No copy in a model of S3 outlives its bound."""

    def test_thousands_of_random_histories(self) -> None:
        """Whatever is written, overwritten, deleted, begun and left, nothing outlives the bound of its path (I4)."""
        for seed in range(HISTORIES):
            rng = random.Random(seed)
            near_midnight = [0, 1, DAY - 1]
            events = [
                (
                    rng.randint(0, 12) * DAY + rng.choice([*near_midnight, rng.randrange(DAY)]),
                    rng.choice(REQUESTS),
                    rng.choice("ab"),
                )
                for _ in range(rng.randint(1, 8))
            ]
            world(rng).check(events, random_pick(rng))

    @settings(max_examples=100, deadline=None)
    @given(
        seed=st.integers(0, 2**32),
        events=st.lists(
            st.tuples(st.integers(0, 40 * DAY), st.sampled_from(REQUESTS), st.sampled_from("ab")), min_size=1
        ),
    )
    def test_searched_histories(self, seed: int, events: list[Event]) -> None:
        """The same, with histories that are searched for and, where one breaks the bound, made small."""
        rng = random.Random(seed)
        world(rng).check(events, random_pick(rng))

    @settings(max_examples=50, deadline=None)
    @given(seed=st.integers(0, 2**32))
    def test_bound_is_reached(self, seed: int) -> None:
        """The bound is not loose: what is written just after midnight, with S3 at its latest, is a minute under it."""
        rng = random.Random(seed)
        tried = replace(world(rng), strict=True)
        limits = tried.bounds()
        # Apart, since one run for both cannot be at its latest for each.
        ages = tried.ages([(1, "write", "a")], latest, latest) | tried.ages([(1, "begin", "a")], latest, latest)
        assert {kind: limits[kind] - age for kind, age in ages.items()} == dict.fromkeys(COPIES, 1)

    def test_catching_up_takes_as_long_as_computed(self) -> None:
        """A version held beyond its bound and let go just after midnight goes a minute before the computed end."""
        tried = World(schedule(hold=True), RecordClass.MESSAGES, Store.CONTENT, Assumptions(s3_lag_days=3), strict=True)
        computed = bound(tried.schedule, tried.record_class, tried.assumptions)
        events = [(1, "write", "a"), (2, "hold", "a"), (400 * DAY + 1, "release", "a")]
        slack: dict[str, list[int]] = {}
        # With S3 always three days late it runs every fourth day, and on day 400 just before the release.
        for gone in tried.copies(events, lambda _low, high, _waits: high, latest):
            if gone.since_release is not None:  # None is the line of a request before the release
                limit = path(computed, COPIES[gone.kind])
                assert gone.age > limit.days * DAY
                slack.setdefault(gone.kind, []).append(limit.release_days * DAY - gone.since_release)
        assert (slack["version"], slack["marker"]) == ([1], [1])
        assert min(slack["line"]) >= 0

    def test_model_is_not_blind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where S3 is given rules one day longer than those that were added up, the bound is broken at once."""
        tried = World(schedule(), RecordClass.MESSAGES, Store.CONTENT, Assumptions(s3_lag_days=2), strict=True)
        for name in ("ABANDONED_UPLOAD_DAYS", "NONCURRENT_DAYS"):
            rules = lifecycle_rules(tried.schedule, Store.CONTENT)
            with monkeypatch.context() as patch:
                patch.setattr(retention, name, 2)
                slower = Bucket(lifecycle_rules(tried.schedule, Store.CONTENT), strict=True)
            assert slower.rules != rules
            live(slower, [(1, "write", "messages/a"), (1, "begin", "messages/b")], tried.lag, latest)
            limits = tried.bounds()
            assert any(age > limits[kind] for kind, age in lives(slower).items()), name


@dataclass
class Row:
    """A row of the ledger in minutes; `gone` is when it was removed."""

    made: int
    expires: int
    gone: int | None = None


def table_ages(rng: random.Random, keep: int, assumptions: Assumptions, pick: Pick, *, session: bool) -> dict[str, int]:
    """Write one row, let it live, be closed and removed, and return the age at which each of its copies goes.

    A session's row expires after its closing time, and anew after it was closed: in time, early, or late.
    """
    made = rng.randrange(DAY)
    row = Row(made, made + keep * DAY)
    if session:
        closes = pick(made, made + assumptions.session_days * DAY, always)
        row.expires = closes + keep * DAY
        closed = pick(made, closes + assumptions.late_close_days * DAY, always)
        row.expires = closed + keep * DAY
    removed = pick(row.expires, row.expires + assumptions.ttl_lag_days * DAY, always)
    dropped = None if assumptions.table_protected else pick(made, removed, always)
    row.gone = removed if dropped is None else min(removed, dropped)
    ages = {"DynamoDB row": row.gone - made, "DynamoDB stream": row.gone + 24 * HOUR - made}
    # A window reaches back from every moment until then; a deleted table keeps its last state instead.
    ages["DynamoDB point"] = row.gone + assumptions.point_in_time_days * DAY - made
    if dropped is not None:
        ages["DynamoDB backup"] = dropped + 35 * DAY - made
    return ages


class TestRows:
    """No copy in a model of DynamoDB outlives its bound."""

    @settings(max_examples=200, deadline=None)
    @given(
        seed=st.integers(0, 2**32),
        keep=st.integers(1, 400),
        window=st.integers(1, 35),
        open_days=st.integers(1, 30),
        lag=st.integers(0, 14),
        protected=st.booleans(),
        record_class=st.sampled_from(["session-map", "interaction-log", "consent-evidence"]),
    )
    @pytest.mark.thorough
    def test_no_row_outlives_its_bound(
        self, seed: int, keep: int, window: int, open_days: int, lag: int, protected: bool, record_class: str
    ) -> None:
        """However late rows are removed and sessions closed, no copy outlives its path, and at the latest it is met."""
        session = record_class == "session-map"
        assumptions = Assumptions(open_days, window, protected, ttl_lag_days=lag)
        made = replace_days(schedule(), {RecordClass(record_class): keep})
        found = bound(made, record_class, assumptions)
        rng = random.Random(seed)
        for _ in range(5):
            for name, age in table_ages(rng, keep, assumptions, random_pick(rng), session=session).items():
                assert age <= path(found, name).days * DAY <= found.days * DAY, name
        for name, age in table_ages(rng, keep, assumptions, latest, session=session).items():
            assert age == path(found, name).days * DAY, name
