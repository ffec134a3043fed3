"""The bodies of the HTTP API: every error with its path, nothing written for a wrong one."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.consent import Kind, Method, Scope, State
from parley.core.location import Confidence, Location, Source
from parley.core.requests import (
    BODY_LIMIT,
    LINK_DAYS,
    ConsentRequest,
    InvalidBodyError,
    LinkRequest,
    RenewalRequest,
    SessionRequest,
    consent_request,
    idempotency_key,
    link_request,
    read_json,
    renewal_request,
    says_no_to_all,
    session_request,
)
from parley.core.sessions import Mode

from tests.unit.chains import NOON

ANA, BEN = "+12125550111", "+447700900112"
METHODS = ("in_app", "contract")
PARTIES = ("a" * 64, "b" * 64)
PLACE = {"code": "DE", "source": "gps"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda leaf: st.lists(leaf, max_size=3) | st.dictionaries(st.text(max_size=6), leaf, max_size=3),
    max_leaves=8,
)


def consent_body(**changes: Any) -> dict[str, Any]:
    """Return the body of a consent that Ana gave, but for `changes`."""
    return {
        "party": ANA,
        "counterpart": None,
        "scope": "manage",
        "state": "given",
        "method": "in_app",
        "notice": {"id": "app:booking", "version": 1, "language": "en", "sha256": "ab" * 32},
        "evidence": {"screen": "booking", "action": "ticked"},
        "occurred_at": "2026-05-04T11:59:00Z",
        "source_event_id": "booking-1",
        **changes,
    }


def session_body(**changes: Any) -> dict[str, Any]:
    """Return the body of a session between Ana and Ben, but for `changes`."""
    return {"participants": [{"identifier": ANA}, {"identifier": BEN}], **changes}


def read_consent(raw: dict[str, Any]) -> ConsentRequest:
    """Read a consent at noon."""
    return consent_request(raw, now=NOON, methods=lambda _: METHODS)


def read_session(raw: dict[str, Any], *, direct: bool = False) -> SessionRequest:
    """Read a session for a stack with voice and text."""
    return session_request(raw, ttl_limit=3600, mode="voice-and-message", modes=tuple(Mode), direct=direct)


def read_renewal(raw: dict[str, Any]) -> RenewalRequest:
    """Read a renewal of a session between two parties."""
    return renewal_request(raw, ttl_limit=3600, parties=PARTIES)


class TestJson:
    """The body as such."""

    def test_object_is_read(self) -> None:
        """A JSON object in UTF-8 is read."""
        assert read_json('{"a": "é"}'.encode()) == {"a": "é"}

    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"[]", b"1", b"{", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":"\\ud800"}'),
            b"[" * 60_000,
            b'{"a":"' + b"x" * BODY_LIMIT + b'"}',
        ],
        ids=["empty", "list", "number", "cut", "twins", "nan", "latin", "surrogate", "deep", "long"],
    )
    def test_anything_else_is_refused(self, body: bytes) -> None:
        """What is not one JSON object with each key once is refused."""
        with pytest.raises(InvalidBodyError):
            read_json(body)


class TestConsent:
    """`POST /v1/consents`."""

    def test_reads_a_consent(self) -> None:
        """A right body becomes a request with every member in its type."""
        request = read_consent(consent_body(counterpart=BEN, kind="explicit"))
        assert (request.party, request.counterpart) == (ANA, BEN)
        assert (request.scope, request.state, request.method) == (Scope.MANAGE, State.GIVEN, Method.IN_APP)
        assert request.kind is Kind.EXPLICIT
        assert request.occurred_at == NOON - timedelta(minutes=1)

    @pytest.mark.parametrize("state", ["refused", "withdrawn"])
    def test_a_no_needs_neither_notice_nor_proof(self, state: str) -> None:
        """A no is accepted by any method, without a notice and without evidence."""
        raw = consent_body(state=state, method="paper", notice=None, evidence=None)
        assert read_consent(raw).evidence == {}
        unknown = {"id": "of-last-year", "version": 9, "language": "en", "sha256": "ab" * 32}
        assert read_consent(consent_body(state=state, notice=unknown)).notice == unknown

    def test_notice_of_ours_is_read(self) -> None:
        """A notice of the kit is known by its id, version and language."""
        notice = {"id": "manage", "version": 1, "language": "de", "sha256": "ab" * 32}
        assert read_consent(consent_body(notice=notice)).notice == notice

    @pytest.mark.parametrize(
        ("notice_id", "scope", "asking"),
        [
            ("manage", "record_voice", "record or whisper-ask does"),
            ("manage", "store_messages", "store does"),
            ("pending", "record_voice", "record or whisper-ask does"),
            ("store", "manage", "manage or pending does"),
            ("record", "transcribe", "none of ours does"),
            ("withdrawn", "manage", "manage or pending does"),
        ],
    )
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("state", ["requested", "given"])
    def test_notice_of_ours_asks_for_the_scope(
        self, notice_id: str, scope: str, asking: str, method: str, state: str
    ) -> None:
        """A notice of ours that does not ask for the scope is refused, by whatever method, with those that do."""
        notice = {"id": notice_id, "version": 1, "language": "en", "sha256": "ab" * 32}
        with pytest.raises(InvalidBodyError) as caught:
            read_consent(consent_body(notice=notice, scope=scope, method=method, state=state))
        (told,) = (error["reason"] for error in caught.value.errors if error["path"] == "notice.id")
        assert told == f"does not ask for {scope} ({asking}); a text of your own is named app:NAME"

    @pytest.mark.parametrize("scope", Scope)
    def test_text_of_the_application_names_its_own_clauses(self, scope: Scope) -> None:
        """A contract or a screen of the application may ask for any scope, and a no may name any notice."""
        signed = {"document_id": "terms", "document_version": 7, "document_sha256": "ab" * 32, "clause": "4.2"}
        notice = {"id": "app:terms", "version": 7, "language": "en", "sha256": "ab" * 32}
        body = consent_body(scope=str(scope), notice=notice, method="contract", evidence=signed)
        assert read_consent(body).scope is scope
        ours = {"id": "manage", "version": 1, "language": "en", "sha256": "ab" * 32}
        assert read_consent(consent_body(scope=str(scope), state="refused", notice=ours)).notice == ours

    def test_unknown_scope_is_told_once(self) -> None:
        """Whether a notice asks for a scope that there is none of is not told beside that."""
        notice = {"id": "record", "version": 1, "language": "en", "sha256": "ab" * 32}
        with pytest.raises(InvalidBodyError) as caught:
            read_consent(consent_body(scope="record_all", notice=notice))
        assert [error["path"] for error in caught.value.errors] == ["scope"]

    def test_numbers_do_not_show(self) -> None:
        """A request does not show its numbers when it is printed."""
        assert ANA not in repr(read_consent(consent_body()))
        assert ANA not in repr(read_session(session_body()))

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"party": "2125550111"}, "party"),
            ({"counterpart": "Ben"}, "counterpart"),
            ({"counterpart": ANA}, "counterpart"),
            ({"scope": "everything"}, "scope"),
            ({"scope": None}, "scope"),
            ({"state": "expired"}, "state"),
            ({"method": "paper"}, "method"),
            ({"method": "telepathy"}, "method"),
            ({"kind": "tacit"}, "kind"),
            ({"kind": "implied"}, "kind"),
            ({"notice": None}, "notice"),
            ({"notice": "en"}, "notice"),
            ({"notice": {"id": "x", "version": True, "language": "en", "sha256": "ab" * 32}}, "notice.version"),
            ({"notice": {"id": "x", "version": 1, "language": "en", "sha256": "ab" * 32}}, "notice.id"),
            ({"notice": {"id": 7, "version": 1, "language": "en", "sha256": "ab" * 32}}, "notice.id"),
            ({"notice": {"id": "app:", "version": 1, "language": "en", "sha256": "ab" * 32}}, "notice.id"),
            ({"notice": {"id": "manage", "version": 99, "language": "en", "sha256": "ab" * 32}}, "notice.version"),
            ({"notice": {"id": "manage", "version": "1", "language": "en", "sha256": "ab" * 32}}, "notice.version"),
            ({"notice": {"id": "manage", "version": 1, "language": "fi", "sha256": "ab" * 32}}, "notice.language"),
            ({"notice": {"id": "", "version": 1, "language": "en", "sha256": "ab" * 32}}, "notice.id"),
            ({"notice": {"id": "x", "version": 1, "language": "en", "sha256": "AB"}}, "notice.sha256"),
            ({"evidence": {}}, "evidence"),
            ({"evidence": []}, "evidence"),
            ({"evidence": [1]}, "evidence"),
            ({"evidence": {"from": "+1 212 555 0111"}}, "evidence"),
            ({"occurred_at": "yesterday"}, "occurred_at"),
            ({"occurred_at": "2026-05-04T12:02:00Z"}, "occurred_at"),
            ({"source_event_id": None}, "source_event_id"),
            ({"source_event_id": "x" * 192}, "source_event_id"),
            ({"source_event_id": "a\nb"}, "source_event_id"),
            ({"source_event_id": ANA}, "source_event_id"),
            ({"party": "user:"}, "party"),
            ({"party": {"user_id": "7"}}, "party"),
            ({"party": "user:7", "counterpart": "user:7"}, "counterpart"),
            ({"identity": {"how_verified": "face"}}, "identity.how_verified"),
            ({"identity": {"name": "Ana"}}, "identity"),
            ({"identity": "otp"}, "identity"),
            ({"number_tenure": {"first_seen": "2026-3-1"}}, "number_tenure.first_seen"),
            ({"number_tenure": {"last_verified": "2026-02-30"}}, "number_tenure.last_verified"),
            ({"number_tenure": {"line_type": "pager"}}, "number_tenure.line_type"),
            ({"number_tenure": {"owner": "Ana"}}, "number_tenure"),
            ({"location": {"codes": [], "source": "gps", "confidence": "high"}}, "location.codes"),
            ({"location": {"codes": ["Berlin"], "source": "gps", "confidence": "high"}}, "location.codes"),
            ({"location": {"codes": ["DE"] * 9, "source": "gps", "confidence": "high"}}, "location.codes"),
            ({"location": {"codes": ["DE"], "source": "guess", "confidence": "high"}}, "location.source"),
            ({"location": {"codes": ["DE"], "source": "gps"}}, "location.confidence"),
            (
                {"location": {"codes": ["DE"], "source": "gps", "confidence": "low", "rules_version": 1}},
                "location.rules_version",
            ),
            ({"legal_basis": "habit"}, "legal_basis"),
            ({"legal_basis": ""}, "legal_basis"),
            ({"withdrawal": {"channel": "sms"}}, "withdrawal"),
            ({"state": "withdrawn", "withdrawal": {"channel": "pigeon"}}, "withdrawal.channel"),
            ({"state": "withdrawn", "withdrawal": {"words": "leave me alone, Ben"}}, "withdrawal.words"),
            ({"sate": "given"}, "sate"),
            ({"12125550111": 1}, "(a key)"),
        ],
    )
    def test_error_has_its_path(self, changes: dict[str, Any], path: str) -> None:
        """Each error is told with its path, and no number is repeated."""
        with pytest.raises(InvalidBodyError) as caught:
            read_consent(consent_body(**changes))
        assert path in {error["path"] for error in caught.value.errors}
        assert "2125550111" not in str(caught.value)

    def test_reads_what_the_record_is_to_hold(self) -> None:
        """Identity, tenure, place and basis are read as they are, and have plain defaults where they are left out."""
        tenure = {"first_seen": "2026-03-01", "line_type": "mobile"}
        place = {"codes": ["US-WA"], "source": "kyc", "confidence": "high"}
        full = read_consent(
            consent_body(identity={"how_verified": "otp"}, number_tenure=tenure, location=place, legal_basis="contract")
        )
        assert (full.identity, full.number_tenure) == ({"how_verified": "otp"}, tenure)
        assert (full.jurisdiction, full.legal_basis) == ({**place, "rules_version": None}, "contract")
        bare = read_consent(consent_body())
        assert (bare.identity, bare.number_tenure, bare.jurisdiction) == ({"how_verified": "none"}, None, None)
        assert (bare.legal_basis, bare.withdrawal) == ("consent", None)

    def test_reads_how_it_was_withdrawn(self) -> None:
        """A withdrawal has its channel, by default this API, and of its words only a known stop word."""
        said = consent_body(state="withdrawn", withdrawal={"channel": "sms", "words": "STOP!"})
        assert read_consent(said).withdrawal == {"channel": "sms", "words": "stop"}
        assert read_consent(consent_body(state="withdrawn")).withdrawal == {"channel": "api", "words": ""}

    def test_people_are_named_by_number_or_user_id(self) -> None:
        """A user id stands where a number may, and is not given to what reads numbers."""
        request = consent_request(
            consent_body(party="user:rider-7", counterpart=ANA),
            now=NOON,
            methods=lambda _: METHODS,
            parse=lambda _: BEN,
        )
        assert (request.party, request.counterpart) == ("user:rider-7", BEN)

    def test_skewed_clock_is_forgiven(self) -> None:
        """A caller's clock may be a minute ahead."""
        assert read_consent(consent_body(occurred_at="2026-05-04T12:00:59Z")).occurred_at > NOON

    def test_misspelt_key_is_suggested(self) -> None:
        """A misspelt key is told the nearest one."""
        with pytest.raises(InvalidBodyError, match="did you mean state"):
            read_consent(consent_body(sate="given"))

    @given(st.sampled_from(sorted(consent_body())), JSON)
    def test_any_member_of_any_shape_is_read_or_refused(self, name: str, value: object) -> None:
        """No value of any member ends in another error than the list of errors, and what is read is what was sent."""
        raw = json.loads(json.dumps(consent_body(**{name: value})))
        try:
            request = read_consent(raw)
        except InvalidBodyError:
            return
        assert request.party == raw["party"]
        assert request.state == raw["state"]


class TestSession:
    """`POST /v1/sessions`."""

    def test_reads_a_session(self) -> None:
        """What is left out comes from the stack: its longest time and its mode."""
        request = read_session(session_body())
        assert (request.identifiers, request.ttl, request.mode) == ((ANA, BEN), 3600, Mode.VOICE_AND_MESSAGE)
        wished = read_session(session_body(ttl=60, mode="voice-only", unique_name="ride 7"))
        assert (wished.ttl, wished.mode, wished.unique_name) == (60, Mode.VOICE_ONLY, "ride 7")

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"participants": None}, "participants"),
            ({"participants": [{"identifier": ANA}]}, "participants"),
            ({"participants": [{"identifier": ANA}, {"identifier": ANA}]}, "participants"),
            ({"participants": [{"identifier": ANA}, BEN]}, "participants[1]"),
            ({"participants": [{"identifier": ANA}, {"identifier": "Ben"}]}, "participants[1].identifier"),
            ({"participants": [{"identifier": ANA}, {"identifier": "user:ben"}]}, "participants[1].identifier"),
            ({"participants": [{"identifier": ANA}, {"identifier": BEN, "name": "Ben"}]}, "participants[1]"),
            ({"ttl": 59}, "ttl"),
            ({"ttl": 3601}, "ttl"),
            ({"ttl": True}, "ttl"),
            ({"ttl": "60"}, "ttl"),
            ({"mode": "telepathy"}, "mode"),
            ({"unique_name": 5}, "unique_name"),
            ({"uniqueName": "x"}, "uniqueName"),
            ({"record": ["smell"]}, "record"),
            ({"record": {"voice": True}}, "record"),
            ({"store": 1}, "store"),
            ({"transcribe": "no"}, "transcribe"),
            (
                {"participants": [{"identifier": ANA, "location": "US"}, {"identifier": BEN}]},
                "participants[0].location",
            ),
        ],
    )
    def test_error_has_its_path(self, changes: dict[str, Any], path: str) -> None:
        """Each error is told with its path."""
        with pytest.raises(InvalidBodyError) as caught:
            read_session(session_body(**changes))
        assert path in {error["path"] for error in caught.value.errors}

    def test_reads_what_is_wanted_besides(self) -> None:
        """Recording, storing and transcribing are scopes of their own, each once and in one order."""
        assert read_session(session_body()).scopes == ()
        wished = read_session(session_body(transcribe=True, store=True, record=["video", "voice", "voice"]))
        assert wished.scopes == (Scope.RECORD_VOICE, Scope.RECORD_VIDEO, Scope.STORE_MESSAGES, Scope.TRANSCRIBE)
        assert read_session(session_body(record=[], store=False)).scopes == ()

    def test_reads_where_people_are(self) -> None:
        """A place has a code and how it is known; without more it is taken for sure, and without a place unknown."""
        place = {"code": "US-CA", "source": "declared"}
        people = [{"identifier": ANA, "location": place}, {"identifier": BEN}]
        assert read_session(session_body(participants=people)).locations == (
            Location("US-CA", Source.DECLARED, Confidence.HIGH),
            None,
        )

    @pytest.mark.parametrize(
        ("place", "member"),
        [
            ({"code": "Berlin", "source": "gps"}, ".code"),
            ({"code": "DE", "source": "guess"}, ".source"),
            ({"code": "DE", "source": None}, ".source"),
            ({"code": "DE", "source": "gps", "confidence": "total"}, ".confidence"),
            ({"code": "DE", "source": "gps", "confidence": None}, ".confidence"),
            ({"code": "DE"}, ""),
            ({"code": "DE", "source": "gps", "city": "Bonn"}, ""),
        ],
    )
    def test_wrong_place_is_told(self, place: object, member: str) -> None:
        """Each member of a place that is wrong is told with its path."""
        people = [{"identifier": ANA}, {"identifier": BEN, "location": place}]
        with pytest.raises(InvalidBodyError) as caught:
            read_session(session_body(participants=people))
        assert [error["path"] for error in caught.value.errors] == [f"participants[1].location{member}"]

    @given(JSON, JSON, JSON)
    def test_place_of_any_shape_is_read_or_refused(self, code: object, source: object, confidence: object) -> None:
        """No value ends in another error than the list of errors."""
        place = {"code": code, "source": source, "confidence": confidence}
        people = [{"identifier": ANA, "location": place}, {"identifier": BEN}]
        with suppress(InvalidBodyError):
            assert read_session(session_body(participants=people)).locations[0] is not None

    @pytest.mark.parametrize(("raw", "ttl"), [({}, 3600), ({"ttl": 60}, 60)])
    def test_reads_a_renewal(self, raw: dict[str, Any], ttl: int) -> None:
        """A renewal is for so many seconds from now, by default the longest."""
        assert read_renewal(raw) == RenewalRequest(ttl, {})

    def test_reads_who_moved(self) -> None:
        """A renewal may say where one of them is now, or both, by party key."""
        ana = {"party": PARTIES[0], "location": {"code": "DE", "source": "gps", "confidence": "low"}}
        ben = {"party": PARTIES[1], "location": {"code": "ZZ", "source": "unknown"}}
        first, second = Location("DE", Source.GPS, Confidence.LOW), Location("ZZ", Source.UNKNOWN)
        assert read_renewal({"participants": [ana]}).places == {PARTIES[0]: first}
        assert read_renewal({"participants": [ben, ana]}).places == {PARTIES[0]: first, PARTIES[1]: second}
        assert read_renewal({"participants": []}).places == {}

    @pytest.mark.parametrize(
        ("raw", "path"),
        [
            ({"ttl": 59}, "ttl"),
            ({"ttl": 3601}, "ttl"),
            ({"seconds": 60}, "seconds"),
            ({"participants": {}}, "participants"),
            ({"participants": ["a"]}, "participants[0]"),
            ({"participants": [{"party": "a" * 64}]}, "participants[0]"),
            ({"participants": [{"party": "a" * 64, "location": None}]}, "participants[0]"),
            ({"participants": [{"party": "a" * 64, "location": PLACE, "name": "Ana"}]}, "participants[0]"),
            ({"participants": [{"identifier": ANA, "location": PLACE}]}, "participants[0]"),
            ({"participants": [{"party": "c" * 64, "location": PLACE}]}, "participants[0].party"),
            ({"participants": [{"party": ["a"], "location": PLACE}]}, "participants[0].party"),
            ({"participants": [{"party": "a" * 64, "location": PLACE}] * 2}, "participants[1].party"),
            ({"participants": [{"party": "b" * 64, "location": "DE"}]}, "participants[0].location"),
            (
                {"participants": [{"party": "b" * 64, "location": PLACE | {"code": "x"}}]},
                "participants[0].location.code",
            ),
        ],
    )
    def test_wrong_renewal_is_refused(self, raw: dict[str, Any], path: str) -> None:
        """A time that the stack does not allow, a place without somebody of the session, and anything else are told."""
        with pytest.raises(InvalidBodyError) as caught:
            read_renewal(raw)
        assert [error["path"] for error in caught.value.errors] == [path]
        assert "Ana" not in str(caught.value)
        assert ANA not in str(caught.value)

    @given(JSON)
    def test_moves_of_any_shape_are_read_or_refused(self, value: object) -> None:
        """No value ends in another error than the list of errors."""
        with suppress(InvalidBodyError):
            assert read_renewal({"participants": value}).places == {}

    def test_reads_an_idempotency_key(self) -> None:
        """A key is a text without a phone number; a missing header is no key."""
        assert idempotency_key("8e03978e-40d5-43dd-bc93-6894a57f9324") == "8e03978e-40d5-43dd-bc93-6894a57f9324"
        assert idempotency_key(None) is None
        for wrong in ("", "x" * 192, f"ride of {ANA}"):
            with pytest.raises(InvalidBodyError, match="Idempotency-Key"):
                idempotency_key(wrong)

    def test_reads_what_only_sessions_of_our_own_can(self) -> None:
        """An idle time and an earlier session are read where sessions are our own, and refused elsewhere."""
        wishes: dict[str, Any] = {"idle_ttl": 600, "reopens": "KC" + "0" * 32}
        request = read_session(session_body(**wishes), direct=True)
        assert (request.idle_ttl, request.reopens) == (600, "KC" + "0" * 32)
        plain = read_session(session_body(), direct=True)
        assert (plain.idle_ttl, plain.reopens) == (0, "")
        for path, value in wishes.items():
            with pytest.raises(InvalidBodyError) as raised:
                read_session(session_body(**{path: value}))
            assert [error["path"] for error in raised.value.errors] == [path]

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("idle_ttl", 59),
            ("idle_ttl", 3601),
            ("idle_ttl", True),
            ("idle_ttl", "600"),
            ("reopens", 5),
            ("reopens", "KC1"),
        ],
    )
    def test_wrong_wishes(self, path: str, value: object) -> None:
        """An idle time outside the limits, and what names no session, are refused by their path."""
        with pytest.raises(InvalidBodyError) as raised:
            read_session(session_body(**{path: value}), direct=True)
        assert [error["path"] for error in raised.value.errors] == [path]

    def test_reads_more_than_two_people_where_sessions_are_our_own(self) -> None:
        """Two to five people are read, nobody twice, and without recordings of their calls."""
        people = [{"identifier": f"+121255501{place:02d}"} for place in range(6)]
        assert len(read_session(session_body(participants=people[:5]), direct=True).identifiers) == 5
        wrong: tuple[tuple[str, dict[str, Any]], ...] = (
            ("participants", {"participants": people}),
            ("participants", {"participants": [*people[:2], people[0]]}),
            ("record", {"participants": people[:3], "record": ["voice"]}),
        )
        for path, changes in wrong:
            with pytest.raises(InvalidBodyError) as raised:
                read_session(session_body(**changes), direct=True)
            assert [error["path"] for error in raised.value.errors] == [path]

    def test_mode_outside_the_channels_is_refused(self) -> None:
        """A stack without voice refuses a session with voice."""
        with pytest.raises(InvalidBodyError, match="message-only"):
            session_request(
                session_body(mode="voice-only"), ttl_limit=60, mode="message-only", modes=(Mode.MESSAGE_ONLY,)
            )


class TestNoToAll:
    """`POST /v1/consents` with the scope `all`."""

    def test_one_scope_stays_as_it_is(self) -> None:
        """A body about one scope is passed on untouched."""
        raw = consent_body()
        assert says_no_to_all(raw) == (raw, False)

    @pytest.mark.parametrize("state", ["refused", "withdrawn"])
    def test_no_to_the_service_is_about_everything(self, state: str) -> None:
        """A no towards the service as a whole may be about every scope at once."""
        raw, everything = says_no_to_all(consent_body(scope="all", state=state))
        assert (raw["scope"], everything) == ("manage", True)

    @pytest.mark.parametrize(
        "changes", [{"state": "given"}, {"state": None}, {"state": "withdrawn", "counterpart": BEN}]
    )
    def test_nothing_else_is(self, changes: dict[str, Any]) -> None:
        """What is agreed to is asked one by one, and a no towards one person is about one scope."""
        with pytest.raises(InvalidBodyError) as caught:
            says_no_to_all(consent_body(scope="all", **changes))
        assert [error["path"] for error in caught.value.errors] == ["scope"]


class TestLink:
    """`POST /v1/optout-links`."""

    @pytest.mark.parametrize("party", [ANA, "a" * 64])
    def test_reads_a_person_and_days(self, party: str) -> None:
        """A person is named by a number or a key; without days a link lives as long as one may."""
        assert link_request({"party": party, "days": 3}) == LinkRequest(party, 3)
        assert link_request({"party": party}).days == LINK_DAYS

    @pytest.mark.parametrize(
        ("raw", "path"),
        [
            ({}, "party"),
            ({"party": "Ana"}, "party"),
            ({"party": ANA, "days": 0}, "days"),
            ({"party": ANA, "days": LINK_DAYS + 1}, "days"),
            ({"party": ANA, "days": True}, "days"),
            ({"party": ANA, "days": "3"}, "days"),
            ({"party": ANA, "day": 3}, "day"),
        ],
    )
    def test_error_has_its_path(self, raw: dict[str, Any], path: str) -> None:
        """Each error is told with its path."""
        with pytest.raises(InvalidBodyError) as caught:
            link_request(raw)
        assert path in {error["path"] for error in caught.value.errors}
