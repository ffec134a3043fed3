"""The bodies of the HTTP API: every error with its path, nothing written for a wrong one."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.consent import Kind, Method, Scope, State
from parley.core.requests import (
    BODY_LIMIT,
    ConsentRequest,
    InvalidBodyError,
    SessionRequest,
    consent_request,
    read_json,
    session_request,
)
from parley.core.sessions import Mode

from tests.unit.chains import NOON

ANA, BEN = "+12125550111", "+447700900112"
METHODS = ("in_app", "contract")
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
        "notice": {"id": "en.manage", "version": 1, "language": "en", "sha256": "ab" * 32},
        "evidence": {"screen": "booking"},
        "occurred_at": "2026-05-04T11:59:00Z",
        "source_event_id": "booking-1",
        **changes,
    }


def session_body(**changes: Any) -> dict[str, Any]:
    """Return the body of a session between Ana and Ben, but for `changes`."""
    return {"participants": [{"identifier": ANA}, {"identifier": BEN}], **changes}


def read_consent(raw: dict[str, Any]) -> ConsentRequest:
    """Read a consent at noon."""
    return consent_request(raw, now=NOON, methods=METHODS)


def read_session(raw: dict[str, Any]) -> SessionRequest:
    """Read a session for a stack with voice and text."""
    return session_request(raw, ttl_limit=3600, mode="voice-and-message", modes=tuple(Mode))


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
        request = read_consent(consent_body(counterpart=BEN, kind="implied"))
        assert (request.party, request.counterpart) == (ANA, BEN)
        assert (request.scope, request.state, request.method) == (Scope.MANAGE, State.GIVEN, Method.IN_APP)
        assert request.kind is Kind.IMPLIED
        assert request.occurred_at == NOON - timedelta(minutes=1)

    @pytest.mark.parametrize("state", ["refused", "withdrawn"])
    def test_a_no_needs_neither_notice_nor_proof(self, state: str) -> None:
        """A no is accepted by any method, without a notice and without evidence."""
        raw = consent_body(state=state, method="paper", notice=None, evidence=None)
        assert read_consent(raw).evidence == {}

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
            ({"notice": None}, "notice"),
            ({"notice": "en"}, "notice"),
            ({"notice": {"id": "x", "version": True, "language": "en", "sha256": "ab" * 32}}, "notice.version"),
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
            ({"participants": [{"identifier": ANA}, {"identifier": BEN, "name": "Ben"}]}, "participants[1]"),
            ({"ttl": 59}, "ttl"),
            ({"ttl": 3601}, "ttl"),
            ({"ttl": True}, "ttl"),
            ({"ttl": "60"}, "ttl"),
            ({"mode": "telepathy"}, "mode"),
            ({"unique_name": 5}, "unique_name"),
            ({"uniqueName": "x"}, "uniqueName"),
        ],
    )
    def test_error_has_its_path(self, changes: dict[str, Any], path: str) -> None:
        """Each error is told with its path."""
        with pytest.raises(InvalidBodyError) as caught:
            read_session(session_body(**changes))
        assert path in {error["path"] for error in caught.value.errors}

    def test_mode_outside_the_channels_is_refused(self) -> None:
        """A stack without voice refuses a session with voice."""
        with pytest.raises(InvalidBodyError, match="message-only"):
            session_request(
                session_body(mode="voice-only"), ttl_limit=60, mode="message-only", modes=(Mode.MESSAGE_ONLY,)
            )
