"""The decision log: every permit and every deny with its rule, its law and its records, told to the operator only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from parley.adapters.dynamodb import DynamoLedger
from parley.core.identity import label
from parley.core.jurisdiction import JurisdictionPolicy
from parley.ports import LedgerError

from tests.handlers.boundaries import open_at_twilio
from tests.handlers.world import ANA, BEN, DAY, KEEP_DAYS, POOL, World, body, lines, output, problem_of

CALIFORNIA = {"code": "US-CA", "source": "declared"}
NEW_YORK = {"code": "US-NY", "source": "declared"}
GERMANY = {"code": "DE", "source": "declared"}
TEXAS = {"code": "US-TX", "source": "verified"}


def at_home(ana: dict[str, str] | None, ben: dict[str, str] | None) -> list[dict[str, Any]]:
    """Return Ana and Ben as participants, each with a place or without."""
    return [
        {"identifier": who, **({} if place is None else {"location": place})} for who, place in ((ANA, ana), (BEN, ben))
    ]


def agree(world: World, *scopes: str, **changes: Any) -> None:
    """Give both their consent to being connected, and to what else is named."""
    for who in (ANA, BEN):
        world.consent(who)
        for scope in scopes:
            world.consent(who, scope=scope, **changes)


class TestRecords:
    """What a decision leaves."""

    def test_permit_is_kept_with_its_ground(self, world: World) -> None:
        """An opened session has a decision with the records, the law, the policy and the end that it was given."""
        agree(world)
        opened = body(world.open())
        kept = body(world.decision(opened["decision"]))
        (manage,) = kept["scopes"]
        assert (kept["permit"], kept["action"], kept["closes_at"]) == (True, "open", opened["closes_at"])
        assert len(manage["records"]) == 2
        assert manage["ruling"]["row"] == "ZZ"
        assert manage["ruling"]["table"] == "2026.1"
        assert kept["policy"]["privacy_policy"] == "2026-02"
        assert kept["parties"] == [one["party"] for one in opened["participants"]]

    def test_deny_is_kept_and_named(self, world: World) -> None:
        """A refusal carries the id of its decision, which tells in codes and in words whose consent is missing."""
        world.consent(ANA)
        party = body(world.consent(BEN, "refused"))["party"]
        refused = body(world.open())
        kept = body(world.decision(refused["decision"]))
        assert kept["permit"] is False
        assert kept["scopes"][0]["missing"] == refused["missing"]
        (told,) = refused["missing"]
        assert (told["party"], told["code"]) == (party, "manage-refused")
        assert told["words"] == "The consent to being connected through the service was refused."

    def test_session_tells_all_its_decisions(self, world: World) -> None:
        """A session shows what was decided about it, oldest first: its opening and each renewal, granted or not."""
        sid = world.conversation()["session"]
        world.renew(sid, ttl=3600)
        world.consent(BEN, "withdrawn")
        world.renew(sid, ttl=3600)
        shown = body(world.get("sessions-get", sid))
        story = [(one["action"], one["permit"], one["refusal"]) for one in shown["decisions"]]
        assert story == [("open", True, None), ("renew", True, None), ("renew", False, "session-closed")]
        assert shown["revoked"]["code"] == "manage-withdrawn"

    def test_refused_request_can_be_asked_for(self, world: World) -> None:
        """What opened no session is found by the first part of the decision's id, with why."""
        refused = body(world.open())["decision"]
        shown = body(world.get("sessions-get", refused.partition(".")[0]))
        assert (shown["session"], shown["status"]) == (None, "refused")
        assert [one["decision"] for one in shown["decisions"]] == [refused]

    def test_failed_attempt_can_be_asked_for(self, world: World) -> None:
        """An attempt that Twilio refused is shown as abandoned; one that succeeded shows its session."""
        agree(world)
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST proxy.*/Sessions$", "times": 1})
        world.open()
        (row,) = world.rows("INTENT")
        intent = row["pk"]["S"].removeprefix("SESSION#")
        assert body(world.get("sessions-get", intent))["status"] == "abandoned"
        sid = body(world.open())["session"]
        assert body(world.get("sessions-get", world.session(sid).intent))["session"] == sid

    @pytest.mark.parametrize("wanted", ["si_" + "0" * 32, "si_" + "0" * 32 + "." + "0" * 20, "x", ANA])
    def test_unknown_is_404(self, world: World, wanted: str) -> None:
        """What was never decided is 404, whatever it looks like."""
        assert problem_of(world.decision(wanted)) == (404, "decision-unknown")
        assert problem_of(world.get("sessions-get", wanted)) == (404, "session-unknown")

    def test_rows_leave_with_the_interaction_log(self, world: World) -> None:
        """A decision is kept as long as the log of interactions, and holds no number."""
        agree(world)
        world.open()
        world.open(participants=[{"identifier": ANA}, {"identifier": "+12125550119"}])
        rows = world.rows("DECISION#")
        expected = int(world.clock.now()) + KEEP_DAYS["interaction-log"] * DAY
        assert len(rows) == 2
        assert all(abs(int(row["expires_at"]["N"]) - expected) < 5 for row in rows)
        assert not any(phone in json.dumps(rows) for phone in (ANA, BEN, *POOL))

    def test_decision_that_cannot_be_kept_is_none(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without its record a refusal is not answered, and nothing is opened: 503."""

        def lost(*_arguments: object) -> None:
            raise LedgerError

        monkeypatch.setattr(DynamoLedger, "log_decision", lost)
        assert problem_of(world.open()) == (503, "unavailable")
        monkeypatch.setattr(DynamoLedger, "begin", lost)
        agree(world)
        assert problem_of(world.open()) == (503, "unavailable")
        assert open_at_twilio(world) == set()

    def test_each_decision_is_a_line(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A permit and a deny are logged with their codes, by the beginnings of party keys only."""
        agree(world)
        world.open()
        world.consent(BEN, "withdrawn")
        world.open()
        made = [line for line in lines(capsys) if line["event"] == "decision"]
        permit, deny = made
        assert (permit["decision"], permit["action"], permit["reasons"]) == ("permit", "open", [])
        assert deny["reasons"] == [f"manage-withdrawn:{label(world.identities.party(BEN))}"]
        assert all(len(party) == 12 for line in made for party in line["parties"])

    def test_intercept_names_what_took_the_consent_back(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A deny of the intercept is a line with the code and the record of the no; it is no row of the ledger."""
        session = world.session(world.conversation()["session"])
        world.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST proxy.*/Sessions/"})
        record = body(world.consent(BEN, "withdrawn"))["record_id"]
        rows = len(world.rows())
        capsys.readouterr()
        talk: dict[str, Any] = {
            "interactionSessionSid": session.sid,
            "inboundParticipantSid": session.participants[0].sid,
        }
        world.webhook("intercept-message", **talk)
        (line,) = lines(capsys)
        assert (line["decision"], line["records"]) == ("deny", [record])
        assert line["reasons"] == ["consent-lost", "manage-withdrawn"]
        assert len(world.rows()) == rows


class TestScopes:
    """Recording and storing are decided apart from being connected (R11)."""

    def test_each_scope_has_its_answer(self, world: World) -> None:
        """Who may be connected but not recorded is connected, and is told whose consent to what is missing."""
        agree(world, "store_messages")
        world.consent(ANA, scope="record_voice")
        answer = world.open(record=["voice"], store=True, transcribe=True)
        assert answer["statusCode"] == 201
        told = {one["scope"]: one for one in body(answer)["scopes"]}
        permits = {scope: one["permit"] for scope, one in told.items()}
        assert permits == {"record_voice": False, "store_messages": True, "transcribe": False}
        (missing,) = told["record_voice"]["missing"]
        assert (missing["party"], missing["code"]) == (world.identities.party(BEN), "record_voice-unknown")
        assert world.session(body(answer)["session"]).scopes == ("store_messages",)

    def test_scope_that_is_lost_meanwhile_is_refused(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who takes back the consent to being recorded while the session opens is connected and not recorded."""
        agree(world, "record_voice")
        write = DynamoLedger.confirm
        said: list[Any] = []

        def refused_meanwhile(ledger: DynamoLedger, *arguments: Any) -> None:
            if not said:
                said.append(world.consent(BEN, "withdrawn", scope="record_voice"))
            write(ledger, *arguments)

        monkeypatch.setattr(DynamoLedger, "confirm", refused_meanwhile)
        opened = body(world.open(record=["voice"]))
        assert [one["permit"] for one in opened["scopes"]] == [False]
        assert world.session(opened["session"]).scopes == ()
        decisions = body(world.get("sessions-get", opened["session"]))["decisions"]
        assert [one["scopes"][1]["permit"] for one in decisions] == [True, False]

    @pytest.mark.parametrize(
        ("places", "permit"),
        [
            (at_home(TEXAS, TEXAS), True),
            (at_home(CALIFORNIA, TEXAS), True),
            (at_home(TEXAS, {"code": "DE", "source": "declared"}), False),
            (at_home(TEXAS, None), False),
            (at_home(TEXAS, {"code": "US-TX", "source": "prefix"}), False),
        ],
    )
    def test_implied_consent_follows_the_strictest_place(
        self, world: World, places: list[dict[str, Any]], permit: bool
    ) -> None:
        """Staying on after a notice is a consent to recording only if every party's law says so."""
        stay_on(world)
        opened = body(world.open(participants=places, record=["voice"]))
        (recording,) = opened["scopes"]
        assert recording["permit"] is permit
        ruling = body(world.decision(opened["decision"]))["scopes"][1]["ruling"]
        assert ruling["explicit"] == ("implied-ok" if permit else "explicit")


class TestRenewals:
    """A renewal goes by the places of the opening, as far as nobody moved."""

    def test_same_places_are_the_same_law(self, world: World) -> None:
        """A renewal without places has the ruling of the opening, which is another one than that of no place."""
        world.patch.setenv("PARLEY_JURISDICTION", JurisdictionPolicy(operator="US-NY").to_json())
        agree(world, "record_voice")
        opened = body(world.open(participants=at_home(CALIFORNIA, NEW_YORK), record=["voice"]))
        for _ in range(2):
            world.clock.advance(600)
            assert world.renew(opened["session"])["statusCode"] == 200
        first, *renewals = rulings(world, opened["session"])
        assert [one["row"] for one in first] == ["US-CA", "US-CA"]
        assert renewals == [first, first]
        unknown = body(world.open(record=["voice"]))
        assert [one["row"] for one in rulings(world, unknown["session"])[0]] == ["ZZ", "ZZ"]

    def test_who_moved_is_under_the_law_of_the_new_place(self, world: World) -> None:
        """A place that a renewal gives is kept for the next one, and that of the other person stays."""
        world.patch.setenv("PARLEY_JURISDICTION", JurisdictionPolicy(operator="US-NY").to_json())
        agree(world)
        opened = body(world.open(participants=at_home(NEW_YORK, NEW_YORK)))
        sid, (ana, ben) = opened["session"], (one["party"] for one in opened["participants"])
        world.renew(sid, participants=[{"party": ana, "location": CALIFORNIA}])
        world.renew(sid)
        world.renew(sid, participants=[{"party": ana, "location": {"code": "ZZ", "source": "unknown"}}])
        told = [(one["row"], one["party"]) for (one,) in rulings(world, sid)]
        assert told[1:] == [("US-CA", ana), ("US-CA", ana), ("ZZ", ana)]
        assert told[0][0] == "US-NY"
        assert world.session(sid).places[ben].code == "US-NY"

    @pytest.mark.parametrize(("place", "scopes"), [(CALIFORNIA, ["record_voice"]), (GERMANY, [])])
    def test_scope_that_the_new_law_forbids_is_lost(
        self, world: World, place: dict[str, str], scopes: list[str]
    ) -> None:
        """Who moves to where an implied consent is none goes on talking, and is not recorded, though they move back."""
        stay_on(world)
        opened = body(world.open(participants=at_home(TEXAS, TEXAS), record=["voice"]))
        sid, ana = opened["session"], opened["participants"][0]["party"]
        for where in (place, TEXAS):
            answer = world.renew(sid, participants=[{"party": ana, "location": where}])
            assert (answer["statusCode"], body(answer)["scopes"]) == (200, scopes)
        assert list(world.session(sid).scopes) == scopes

    def test_consent_that_was_taken_back_is_not_renewed(self, world: World) -> None:
        """A renewal leaves out what somebody does not agree to any more, and says so in its decision."""
        agree(world, "record_voice", "store_messages")
        sid = body(world.open(record=["voice"], store=True))["session"]
        world.consent(BEN, "withdrawn", scope="record_voice")
        assert body(world.renew(sid))["scopes"] == ["store_messages"]
        renewal = body(world.get("sessions-get", sid))["decisions"][1]
        assert {one["scope"]: one["permit"] for one in renewal["scopes"]} == {
            "manage": True,
            "record_voice": False,
            "store_messages": True,
        }

    def test_renewals_at_once_lose_no_place(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A renewal that was decided by places of before another one is decided again, though no end moved."""
        agree(world)
        opened = body(world.open(participants=at_home(TEXAS, TEXAS)))
        sid, ana = opened["session"], opened["participants"][0]["party"]
        write = DynamoLedger.renew
        said: list[Any] = []

        def moved_meanwhile(ledger: DynamoLedger, *arguments: Any) -> None:
            if not said:
                said.append("moved")
                said.append(world.renew(sid, ttl=60, participants=[{"party": ana, "location": CALIFORNIA}]))
            write(ledger, *arguments)

        monkeypatch.setattr(DynamoLedger, "renew", moved_meanwhile)
        assert world.renew(sid, ttl=60)["statusCode"] == said[1]["statusCode"] == 200
        assert world.session(sid).places[ana].code == "US-CA"

    def test_row_without_places_is_under_the_strictest_law(self, world: World) -> None:
        """A session that was opened before places were kept is renewed as one whose people are nowhere known."""
        agree(world)
        sid = body(world.open(participants=at_home(TEXAS, TEXAS)))["session"]
        (row,) = (row for row in world.rows("SESSION") if row["sk"]["S"] == "SESSION")
        row.pop("places")
        world.dynamodb.put_item(TableName="parley-ledger", Item=row)
        assert world.renew(sid)["statusCode"] == 200
        assert rulings(world, sid)[1][0]["row"] == "ZZ"
        assert world.session(sid).places == {}

    def test_places_leave_with_the_session(self, world: World) -> None:
        """Where somebody was said to be stands in the session's row and nowhere else, without a number."""
        agree(world)
        world.open(participants=at_home(CALIFORNIA, None))
        (row,) = (row for row in world.rows() if "places" in row)
        assert json.loads(row["places"]["S"]) == {world.identities.party(ANA): ["US-CA", "declared", "high"]}
        assert row["sk"]["S"] == "SESSION"
        expected = int(world.clock.now()) + 3600 + KEEP_DAYS["session-map"] * DAY
        assert abs(int(row["expires_at"]["N"]) - expected) < 5


def stay_on(world: World) -> None:
    """Let both agree to be connected, and to being recorded by staying on after a notice; we are in Texas."""
    world.patch.setenv("PARLEY_JURISDICTION", JurisdictionPolicy(operator="US-TX").to_json())
    world.declare_consent(methods={"default": ["in_app"], "record_voice": ["announcement_stay"]})
    proof = {"call_sid": "CA" + "1" * 32, "leg": "caller", "prompt_sha256": "ab" * 32, "stayed_seconds": 9}
    stayed: dict[str, Any] = {"method": "announcement_stay", "kind": "implied", "evidence": proof}
    agree(world)
    for who in (ANA, BEN):
        assert world.consent(who, scope="record_voice", **stayed)["statusCode"] == 201


def rulings(world: World, sid: str) -> list[list[dict[str, Any]]]:
    """Return the rulings of each decision about a session, oldest first, one for each scope."""
    decisions = body(world.get("sessions-get", sid))["decisions"]
    return [[one["ruling"] for one in each["scopes"]] for each in decisions]


class TestDelay:
    """How long it takes from a no to its effect is measured on every way that a no can come."""

    def test_every_way_is_measured(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """The API, the intercept, the interaction log, a text out of session and a swallowed STOP: each is measured."""
        sid, number = masked(world)
        talk: dict[str, Any] = {
            "interactionSessionSid": sid,
            "inboundParticipantSid": world.session(sid).participants[0].sid,
        }
        world.text(ANA, number, "STOP")
        word = json.dumps({"body": "REVOKE"})
        world.webhook("intercept-message", **talk, interactionData=word, inboundResourceSid="SM" + "1" * 32)
        world.webhook("interaction", **talk, interactionData=word, inboundResourceSid="SM" + "2" * 32)
        world.webhook("out-of-session-text", Body="STOP")
        world.clock.advance(30)
        world.reconcile()
        world.consent(ANA, "withdrawn")
        logged, measured = output(capsys)
        done = {line["actor"]: line["seconds"] for line in logged if line["event"] == "withdrawal-done"}
        assert set(done) == {"fn:intercept", "fn:interaction", "fn:out-of-session", "fn:reconcile", "api"}
        assert 29 <= done["fn:reconcile"] <= 90
        blocks = [line["BlockSeconds"] for line in measured if "BlockSeconds" in line]
        assert len(blocks) == len(done)

    def test_exposure_is_from_the_no_to_the_close(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """What Twilio would have gone on connecting is measured from the person's no to the close at Twilio."""
        sid, number = masked(world)
        world.text(ANA, number, "STOP")
        world.clock.advance(45)
        capsys.readouterr()
        world.reconcile()
        logged, measured = output(capsys)
        (exposed,) = [line for line in logged if line["event"] == "session-exposed"]
        (metric,) = [line for line in measured if "ExposureSeconds" in line]
        assert exposed["session"] == sid
        assert 44 <= exposed["seconds"] == metric["ExposureSeconds"] <= 47
        (definition,) = metric["_aws"]["CloudWatchMetrics"]
        assert definition["Metrics"] == [{"Name": "ExposureSeconds", "Unit": "Seconds"}]

    def test_old_no_counts_from_the_opening(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """A no that is reported late exposed nobody before the session was there."""
        world.conversation()
        world.clock.advance(5)
        capsys.readouterr()
        world.consent(ANA, "withdrawn", occurred_at="2026-01-01T00:00:00Z")
        logged, _ = output(capsys)
        (exposed,) = [line for line in logged if line["event"] == "session-exposed"]
        assert exposed["seconds"] <= 8


def masked(world: World) -> tuple[str, str]:
    """Open a conversation; return its SID and the number that Ana dials."""
    opened = world.conversation()
    key = world.identities.party(ANA)
    return opened["session"], next(one["masked_number"] for one in opened["participants"] if one["party"] == key)
