"""The retention schedule: what it accepts, what it refuses and how it says so, and the rules that follow from it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.record_classes import RecordClass
from parley.core.retention import (
    CHANNELS,
    DECLARATIONS,
    KEEP_DAYS_LIMIT,
    LOG_GROUP_DAYS,
    REMNANTS_RULE,
    SECTORS,
    Basis,
    Capture,
    Duty,
    Limit,
    Lock,
    Problem,
    Retention,
    Schedule,
    ScheduleError,
    Store,
    ceilings,
    check_lock_change,
    floors,
    lifecycle_rules,
    parse_schedule,
    required_classes,
)

ALL_CHANNELS = tuple(CHANNELS)


def declaration(**changes: object) -> dict[str, Any]:
    """Return a declaration of every class that is right, but for `changes` (underscores stand for hyphens)."""
    raw: dict[str, Any] = {
        str(record_class): {"keepDays": 30, "purposes": ["safety"], "basis": "consent"} for record_class in RecordClass
    }
    raw["consent-evidence"]["keepDays"] = 1825
    raw["dead-letters"]["keepDays"] = 14
    for name, change in changes.items():
        record_class = name.replace("_", "-")
        if isinstance(change, Mapping) and record_class in raw:
            raw[record_class] = {**raw[record_class], **change}
        else:
            raw[record_class] = change
    return raw


def parse(raw: object, **arguments: Any) -> Schedule:
    """Parse a declaration for a stack with all channels in the local environment."""
    return parse_schedule(raw, **{"channels": ALL_CHANNELS, "environment": "local", **arguments})


def problems(raw: object, **arguments: Any) -> list[Problem]:
    """Return the problems of a declaration that cannot be carried out."""
    with pytest.raises(ScheduleError) as caught:
        parse(raw, **arguments)
    return caught.value.problems


def only_problem(raw: object, **arguments: Any) -> Problem:
    """Return the one problem of a declaration."""
    (problem,) = problems(raw, **arguments)
    return problem


class TestParsing:
    """What a declaration may say."""

    def test_reads_every_key(self) -> None:
        """Each key of a class arrives in the schedule as it was declared."""
        raw = declaration(
            consent_evidence={
                "keepDays": 2000,
                "minDays": 1827,
                "minWhy": "TSR",
                "maxDays": 2500,
                "maxWhy": "policy",
                "lock": "governance",
                "why": "claims",
                "hold": True,
                "sensitivity": "high",
            },
            call_recordings={"capture": "pause", "twilioCopyDays": 7, "purposes": ["safety", "training"]},
        )
        schedule = parse(raw)
        evidence = schedule["consent-evidence"]
        assert (evidence.min_days, evidence.max_days, evidence.lock, evidence.hold) == (
            1827,
            2500,
            Lock.GOVERNANCE,
            True,
        )
        recordings = schedule[RecordClass.CALL_RECORDINGS]
        assert recordings.capture is Capture.PAUSE
        assert recordings.purposes == ("safety", "training")
        assert recordings.basis is Basis.CONSENT
        assert schedule.days_in("call-recordings", Store.TWILIO) == 7
        assert schedule.days_in("call-recordings", Store.CONTENT) == schedule.days("call-recordings") == 30

    def test_content_is_sensitive_unless_declared(self) -> None:
        """What people said or wrote counts as highly sensitive by default, logs do not."""
        schedule = parse(declaration())
        assert (schedule["messages"].sensitivity, schedule["access-logs"].sensitivity) == ("high", "medium")

    def test_keep_days_are_listed_for_the_functions(self) -> None:
        """The functions get one number of days for each declared class, in a stable order."""
        days = parse(declaration()).keep_days()
        assert list(days) == sorted(days)
        assert days["interaction-log"] == 30

    def test_needs_a_mapping(self) -> None:
        """A declaration that is no mapping is one problem, not a stack trace."""
        assert only_problem(["messages"]).key == "parley:records"

    def test_class_needs_a_mapping(self) -> None:
        """A class that is just a number is told what to write instead."""
        problem = only_problem(declaration(messages=30))
        assert problem.key == "parley:records.messages"
        assert "keepDays" in problem.way_out

    def test_collects_all_problems(self) -> None:
        """Everything that is wrong is told at once, each with its own key."""
        found = problems(declaration(messages={"keepDays": 0}, transcripts={"basis": "whim"}, access_logs=7))
        assert {problem.key for problem in found} == {
            "parley:records.messages.keepDays",
            "parley:records.transcripts.basis",
            "parley:records.access-logs",
        }

    def test_message_has_one_line_for_each_problem(self) -> None:
        """The error reads as one line for each problem: key, reason and the way out."""
        with pytest.raises(ScheduleError) as caught:
            parse(declaration(messages={"keepDays": 0, "purposes": []}))
        assert str(caught.value).count("\n") == 1
        assert "parley:records.messages.purposes: is not a list of at least one purpose; name" in str(caught.value)

    @pytest.mark.parametrize(
        ("keys", "name", "words"),
        [
            ({"keepDays": None}, "keepDays", "without a maximum (R24)"),
            ({"keepDays": 0}, "keepDays", "for ever"),
            ({"keepDays": -1}, "keepDays", "for ever"),
            ({"keepDays": True}, "keepDays", "positive whole number"),
            ({"keepDays": 1.5}, "keepDays", "positive whole number"),
            ({"keepDays": "forever"}, "keepDays", "set a positive whole number"),
            ({"keepDays": "30"}, "keepDays", "write 30 without quotes"),
            ({"keepDays": KEEP_DAYS_LIMIT + 1}, "keepDays", "nobody will see the end"),
            ({"twilioCopyDays": -1}, "twilioCopyDays", "whole number from 0"),
            ({"twilioCopyDays": 31}, "twilioCopyDays", "outlive"),
            ({"minDays": 31, "why": "x"}, "keepDays", "less than the 31 days of minDays (x)"),
            ({"maxDays": 29, "why": "x"}, "keepDays", "more than the 29 days of maxDays (x)"),
            ({"minDays": 5}, "minDays", "minWhy or why"),
            ({"maxDays": 50}, "maxDays", "maxWhy or why"),
            ({"purposes": []}, "purposes", "at least one purpose"),
            ({"purposes": "safety"}, "purposes", "at least one purpose"),
            ({"purposes": [" "]}, "purposes", "at least one purpose"),
            ({"purposes": ["a", "a"]}, "purposes", "twice"),
            ({"basis": None}, "basis", "choose one of"),
            ({"basis": "legitimate-interest"}, "basis", "did you mean 'legitimate_interest'"),
            ({"basis": 3}, "basis", "known are"),
            ({"why": 3}, "why", "is not text"),
            ({"hold": "yes"}, "hold", "neither true nor false"),
            ({"sensitivity": "hi"}, "sensitivity", "did you mean 'high'"),
            ({"keepDay": 3}, "keepDay", "did you mean 'keepDays'"),
            ({"capture": "none"}, "capture", "nothing of this class is recorded"),
        ],
    )
    def test_names_key_and_way_out(self, keys: dict[str, Any], name: str, words: str) -> None:
        """Each mistake in a class is told with its key path and what to do."""
        problem = only_problem(declaration(messages=keys))
        assert problem.key == f"parley:records.messages.{name}"
        assert words in str(problem)

    def test_twilio_keeps_no_copy_of_logs(self) -> None:
        """A copy at Twilio cannot be declared for a class that Twilio never sees."""
        assert "keeps nothing" in only_problem(declaration(operational_logs={"twilioCopyDays": 1})).reason

    def test_unknown_class_is_suggested(self) -> None:
        """A misspelt class is told the nearest known one."""
        problem = only_problem({**declaration(), "call-recording": {}})
        assert (problem.key, problem.way_out) == ("parley:records.call-recording", "did you mean 'call-recordings'?")

    @pytest.mark.parametrize(("key", "arguments"), [("channels", {"channels": ("fax",)}), ("sector", {"sector": "x"})])
    def test_unknown_surroundings(self, key: str, arguments: dict[str, Any]) -> None:
        """A channel or a sector that there is none of is a problem of its own key."""
        assert only_problem(declaration(), **arguments).key == f"parley:{key}"


class TestRequiredClasses:
    """Which classes a stack must declare."""

    @pytest.mark.parametrize("record_class", sorted(required_classes(ALL_CHANNELS)))
    def test_missing_class_is_named(self, record_class: RecordClass) -> None:
        """A class that the stack's channels make records of must be declared."""
        raw = declaration()
        del raw[record_class]
        problem = only_problem(raw)
        assert problem.key == f"parley:records.{record_class}"
        assert "is missing" in problem.reason

    def test_depends_on_channels(self) -> None:
        """A stack without voice need not say how long it keeps recordings, but may."""
        raw = declaration()
        del raw["call-recordings"], raw["video-recordings"], raw["transcripts"]
        schedule = parse(raw, channels=("sms",))
        assert "messages" in schedule.keep_days()
        with pytest.raises(KeyError):
            schedule.days("call-recordings")

    def test_no_channel_still_needs_the_records_of_the_kit(self) -> None:
        """Evidence, logs and dead letters exist whatever the channels are."""
        assert "no channel" in problems({}, channels=())[0].reason


class TestPlatformLimits:
    """What CloudWatch Logs, SQS and Object Lock can hold."""

    @pytest.mark.parametrize(
        ("days", "nearest"), [(31, "nearest: 30 or 60"), (2, "nearest: 1 or 3"), (4000, "nearest: 3653")]
    )
    @pytest.mark.parametrize("record_class", ["access_logs", "operational_logs"])
    def test_log_period_must_exist(self, record_class: str, days: int, nearest: str) -> None:
        """A log period that CloudWatch does not have is refused with the nearest ones."""
        assert only_problem(declaration(**{record_class: {"keepDays": days}})).way_out == nearest

    @pytest.mark.parametrize("days", LOG_GROUP_DAYS)
    def test_every_log_period_of_aws_is_accepted(self, days: int) -> None:
        """Every period that CloudWatch has can be declared."""
        assert parse(declaration(operational_logs={"keepDays": days})).days("operational-logs") == days

    def test_queue_holds_fourteen_days(self) -> None:
        """Dead letters cannot be kept longer than SQS keeps a message."""
        assert "SQS" in only_problem(declaration(dead_letters={"keepDays": 15})).reason

    def test_floor_above_the_queue_collides(self) -> None:
        """A floor that no queue can hold is a collision that names both rules."""
        problem = only_problem(declaration(dead_letters={"minDays": 20, "minWhy": "audit"}))
        assert "minDays (audit)" in problem.reason
        assert "SQS" in problem.reason

    def test_lock_needs_an_object_lock_bucket(self) -> None:
        """A class outside the evidence bucket cannot be locked, and the lockable ones are named."""
        problem = only_problem(declaration(messages={"lock": "governance", "why": "x"}))
        assert "consent-evidence" in problem.way_out

    def test_lock_needs_a_reason(self) -> None:
        """A lock without a reason is refused."""
        assert only_problem(declaration(consent_evidence={"lock": "governance"})).key.endswith(".why")

    @pytest.mark.parametrize(
        ("environment", "allowed", "accepted"),
        [("prod", True, True), ("prod", False, False), ("staging", True, False), ("local", True, False)],
    )
    def test_compliance_lock_needs_production_and_opt_in(self, environment: str, allowed: bool, accepted: bool) -> None:
        """A lock that nobody can undo needs both the prod environment and the stack's explicit opt-in."""
        raw = declaration(consent_evidence={"lock": "compliance", "why": "TSR"})
        arguments = {"environment": environment, "allow_compliance_lock": allowed}
        if accepted:
            assert parse(raw, **arguments)["consent-evidence"].lock is Lock.COMPLIANCE
        else:
            assert "nobody can undo" in only_problem(raw, **arguments).reason

    @pytest.mark.parametrize(
        ("environment", "accepted"), [("local", True), ("dev", False), ("staging", True), ("prod", True)]
    )
    def test_dev_locks_nothing(self, environment: str, accepted: bool) -> None:
        """A stack of dev must be able to go, so it takes no lock at all; elsewhere governance needs no opt-in."""
        raw = declaration(consent_evidence={"lock": "governance", "why": "audit"})
        if accepted:
            assert parse(raw, environment=environment)["consent-evidence"].lock is Lock.GOVERNANCE
        else:
            problem = only_problem(raw, environment=environment)
            assert problem.key == "parley:records.consent-evidence.lock"
            assert "could not be taken down" in problem.reason

    def test_what_cannot_be_held_is_not_promised(self) -> None:
        """A legal hold on a class whose store knows no hold is refused, with the classes that can be held."""
        problem = only_problem(declaration(dead_letters={"hold": True}))
        assert problem.key == "parley:records.dead-letters.hold"
        assert "call-recordings" in problem.way_out

    def test_bucket_lock_is_the_strictest_mode_and_the_shortest_period(self) -> None:
        """A bucket's default lock must not hold one class beyond its own time because of another."""
        raw = declaration(
            consent_evidence={"lock": "compliance", "why": "TSR"},
            erasure_proofs={"lock": "governance", "why": "audit", "keepDays": 400},
        )
        schedule = parse(raw, environment="prod", allow_compliance_lock=True)
        assert schedule.lock() == (Lock.COMPLIANCE, 400)

    def test_bucket_without_locked_class_has_no_lock(self) -> None:
        """Without a locked class the evidence bucket has no default lock."""
        assert parse(declaration()).lock() == (Lock.NONE, 0)


class TestLockChange:
    """A compliance lock that is there is a promise that nobody can take back."""

    @pytest.fixture
    def schedule(self) -> Schedule:
        """Give a schedule whose evidence is locked in compliance mode for 1,825 days."""
        raw = declaration(
            consent_evidence={"lock": "compliance", "why": "TSR"},
            erasure_proofs={"lock": "governance", "why": "audit", "keepDays": 1825},
        )
        return parse(raw, environment="prod", allow_compliance_lock=True)

    def test_shorter_period_is_refused(self, schedule: Schedule) -> None:
        """Shortening the class that sets the lock's period is refused, by the key that was shortened."""
        problem = check_lock_change(schedule, (Lock.COMPLIANCE, 2000), schedule.lock())
        assert problem is not None
        assert problem.key == "parley:records.consent-evidence.keepDays"
        assert (problem.reason[:8], "2000 days" in problem.reason) == ("is 1825,", True)
        assert "at least 2000" in problem.way_out

    @pytest.mark.parametrize("weaker", [(Lock.NONE, 0), (Lock.GOVERNANCE, 9000)])
    def test_weaker_mode_is_refused(self, schedule: Schedule, weaker: tuple[Lock, int]) -> None:
        """A lock that is lifted or weakened is refused, whatever its period, by the key of the locked class."""
        problem = check_lock_change(schedule, (Lock.COMPLIANCE, 1825), weaker)
        assert problem is not None
        assert problem.key == "parley:records.consent-evidence.lock"
        assert check_lock_change(Schedule({}), (Lock.COMPLIANCE, 1), weaker) is not None

    @pytest.mark.parametrize(
        ("was", "wanted"),
        [
            ((Lock.COMPLIANCE, 1825), (Lock.COMPLIANCE, 1825)),
            ((Lock.COMPLIANCE, 1825), (Lock.COMPLIANCE, 2000)),
            ((Lock.GOVERNANCE, 400), (Lock.NONE, 0)),
            ((Lock.NONE, 0), (Lock.COMPLIANCE, 30)),
        ],
    )
    def test_everything_else_is_allowed(
        self, schedule: Schedule, was: tuple[Lock, int], wanted: tuple[Lock, int]
    ) -> None:
        """A lock may become longer or stricter, and one that somebody can lift may go."""
        assert check_lock_change(schedule, was, wanted) is None


class TestSectors:
    """Floors and ceilings of a sector's rules."""

    def test_limits_are_listed_strictest_first(self) -> None:
        """A class's floors and ceilings are there for the reviewer, each with its rule, the one that binds first."""
        bounds = {"minDays": 10, "minWhy": "audit", "maxDays": 2500, "maxWhy": "policy", "keepDays": 2300}
        schedule = parse(
            declaration(
                consent_evidence=bounds,
                interaction_log={"keepDays": 2300},
                messages={"keepDays": 1100},
                message_media={"keepDays": 1100},
            ),
            sector=["tsr", "finra"],
        )
        retention, sectors = schedule["consent-evidence"], schedule.sectors
        assert floors(retention, sectors) == (
            Limit(2192, "FINRA 4511"),
            Limit(1827, "TSR 16 CFR 310.5"),
            Limit(10, "minDays (audit)"),
        )
        assert ceilings(retention, sectors) == (Limit(2500, "maxDays (policy)"),)
        assert [limit.days for limit in ceilings(schedule["dead-letters"], sectors)] == [14]

    @pytest.mark.parametrize(
        ("sector", "record_class", "rule", "days"),
        [
            ("hipaa", "consent-evidence", "HIPAA 164.316(b)(2)(i)", 2192),
            ("finra", "consent-evidence", "FINRA 4511", 2192),
            ("finra", "messages", "SEC 17a-4(b)(4)", 1096),
            ("sec17a4", "message-media", "SEC 17a-4(b)(4)", 1096),
            ("mifid2", "call-recordings", "MiFID II 16(7)", 1827),
            ("tsr", "interaction-log", "TSR 16 CFR 310.5", 1827),
        ],
    )
    def test_floor_is_named(self, sector: str, record_class: str, rule: str, days: int) -> None:
        """A period under a sector's floor is refused with the rule and the days it asks for."""
        found = {problem.key: problem for problem in problems(declaration(), sector=sector)}
        problem = found[f"parley:records.{record_class}.keepDays"]
        assert rule in problem.reason
        assert str(days) in problem.way_out

    @pytest.mark.parametrize("sector", sorted(SECTORS))
    def test_every_sector_can_be_satisfied(self, sector: str) -> None:
        """For each sector there is a declaration that it accepts."""
        raw = declaration()
        for duty in SECTORS[sector]:
            for record_class in duty.classes:
                raw[record_class]["keepDays"] = max(raw[record_class]["keepDays"], duty.min_days or 0)
        raw["consent-evidence"]["keepDays"] = raw["interaction-log"]["keepDays"] = 2192
        raw["call-recordings"]["capture"] = raw["video-recordings"]["capture"] = "pause"
        assert parse(raw, sector=sector).sectors == (sector,)

    def test_floor_above_declared_maximum_collides(self) -> None:
        """A sector's floor above the stack's own maximum is a collision that names both."""
        raw = declaration(consent_evidence={"maxDays": 1900, "maxWhy": "privacy policy"})
        problem = next(one for one in problems(raw, sector="finra") if one.key == "parley:records.consent-evidence")
        assert "FINRA 4511" in problem.reason
        assert "maxDays (privacy policy)" in problem.reason

    def test_two_sectors_collide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A floor of one sector above the ceiling of another fails with both rules named."""
        ceiling = Duty("CNIL NS-57", frozenset({RecordClass.CALL_RECORDINGS}), max_days=183)
        monkeypatch.setitem(SECTORS, "listening", (ceiling,))
        raw = declaration(call_recordings={"keepDays": 183})
        found = [one for one in problems(raw, sector=["mifid2", "listening"]) if one.key.endswith("call-recordings")]
        assert len(found) == 1
        assert "MiFID II 16(7)" in found[0].reason
        assert "CNIL NS-57" in found[0].reason

    def test_ceiling_of_a_sector(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A period over a sector's ceiling is refused with the rule and the days it allows."""
        ceiling = Duty("CNIL NS-57", frozenset({RecordClass.CALL_RECORDINGS}), max_days=20)
        monkeypatch.setitem(SECTORS, "listening", (ceiling,))
        problem = only_problem(declaration(), sector="listening")
        assert problem.way_out == "set at most 20"

    @pytest.mark.parametrize("capture", ["pause", "none"])
    def test_payment_cards_demand_pause_or_no_recording(self, capture: str) -> None:
        """Under PCI DSS a recording that never pauses is refused, pausing or not recording is accepted."""
        assert any("PCI DSS 3.3.1" in one.reason for one in problems(declaration(), sector="pci"))
        raw = declaration(call_recordings={"capture": capture}, video_recordings={"capture": capture})
        assert parse(raw, sector="pci")["call-recordings"].capture == capture

    def test_proof_outlives_what_was_captured_under_it(self) -> None:
        """Consent evidence that is gone before a recording made under it is refused."""
        raw = declaration(
            call_recordings={"keepDays": 1900}, messages={"keepDays": 1850}, interaction_log={"keepDays": 1900}
        )
        problem = only_problem(raw)
        assert problem.key == "parley:records.consent-evidence.keepDays"
        assert problem.way_out == "set at least 1900"

    def test_what_finds_content_outlives_it(self) -> None:
        """An interaction log that is gone before a recording is refused: no erasure would find that recording."""
        problem = only_problem(declaration(call_recordings={"keepDays": 401}, interaction_log={"keepDays": 400}))
        assert (problem.key, problem.way_out) == ("parley:records.interaction-log.keepDays", "set at least 401")
        assert "call-recordings (401 days)" in problem.reason


class TestStores:
    """Where classes live, and for how long."""

    def test_class_outside_a_store_is_an_error(self) -> None:
        """Asking for the days of a class in a store where it never is, is an error rather than a number."""
        retention = Retention(RecordClass.DEAD_LETTERS, 14, ("debugging",), Basis.LEGITIMATE_INTEREST)
        with pytest.raises(KeyError):
            retention.days_in(Store.CONTENT)

    def test_only_buckets_have_lifecycle_rules(self) -> None:
        """Lifecycle rules of something that is no bucket are an error."""
        with pytest.raises(ValueError, match="is not a bucket"):
            lifecycle_rules(parse(declaration()), Store.LEDGER)

    def test_each_class_has_its_rule(self) -> None:
        """Each class in a bucket expires under its own prefix after its own days, noncurrent versions a day later."""
        rules = {rule.id: rule for rule in lifecycle_rules(parse(declaration()), Store.EVIDENCE)}
        evidence = rules["consent-evidence"]
        assert (evidence.prefix, evidence.expiration_days, evidence.noncurrent_days) == ("consent-evidence/", 1825, 1)
        assert set(rules) == {"consent-evidence", "declarations", "erasure-proofs", REMNANTS_RULE}

    def test_earlier_declarations_stay_as_long_as_the_evidence(self) -> None:
        """The current declaration never expires; those before it go when the evidence made under them has gone."""
        rule = next(rule for rule in lifecycle_rules(parse(declaration()), Store.EVIDENCE) if rule.id == DECLARATIONS)
        assert (rule.prefix, rule.expiration_days, rule.noncurrent_days) == ("declarations/", None, 1825)

    def test_delete_markers_have_a_rule_of_their_own(self) -> None:
        """S3 refuses a marker beside days in one rule, so markers and abandoned uploads are apart from the classes."""
        for rule in lifecycle_rules(parse(declaration()), Store.CONTENT):
            assert rule.expired_object_delete_marker == (rule.expiration_days is None) == (rule.id == REMNANTS_RULE)
            assert (rule.abort_incomplete_days == 1) == (rule.id == REMNANTS_RULE)

    def test_everything_in_the_access_log_bucket_expires(self) -> None:
        """Access logs expire under whatever prefix they were delivered."""
        rules = lifecycle_rules(parse(declaration()), Store.ACCESS_LOGS)
        assert [rule.prefix for rule in rules] == ["", ""]

    @given(
        days=st.dictionaries(st.sampled_from(["messages", "message-media"]), st.integers(1, 1800)),
        store=st.sampled_from([Store.CONTENT, Store.EVIDENCE]),
        gone=st.sampled_from(["call-recordings", "video-recordings", "transcripts"]),
    )
    def test_one_class_never_moves_another(self, days: dict[str, int], store: Store, gone: str) -> None:
        """Adding, removing or changing a class leaves every other rule equal, and the rules sorted by id."""
        raw = declaration(**{name: {"keepDays": number} for name, number in days.items()})
        raw["interaction-log"]["keepDays"] = 1825
        before = {rule.id: rule for rule in lifecycle_rules(parse(raw, channels=("sms",)), store)}
        del raw[gone]
        after = {rule.id: rule for rule in lifecycle_rules(parse(raw, channels=("sms",)), store)}
        before.pop(gone, None)
        assert after == before
        assert list(after) == sorted(after)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda leaf: (
                st.lists(leaf, max_size=3) | st.dictionaries(st.sampled_from(["keepDays", "lock", "hold", "x"]), leaf)
            ),
            max_leaves=8,
        )
    )
    def test_whatever_is_declared_ends_in_a_schedule_or_in_problems(self, value: object) -> None:
        """No value of any shape ends in another error than the list of problems."""
        with contextlib.suppress(ScheduleError):
            parse({**declaration(), "messages": value})
