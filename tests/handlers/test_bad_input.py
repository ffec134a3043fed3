"""What is malformed, forged or replayed is refused on every route with a problem, and nothing is written."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from parley.core.problem import MEDIA_TYPE
from parley.core.signature import sign

from tests.handlers.world import ANA, BEN, EVENTS, GATE, TOKEN, Answer, World, body, deliver, form_event, load

WEBHOOKS = tuple(sorted(path.stem for path in EVENTS.glob("*.json") if "form" in load(path.stem)))
"""Every webhook that there is an event file of."""

CONSENT, SESSION = "consents-post", "sessions-post"
RENEWAL = "renewal"
BODIES = (CONSENT, SESSION, RENEWAL)

Bad = Callable[[], bytes]


def json_event(route: str, payload: bytes) -> dict[str, Any]:
    """Return the event of a JSON route with this body, in base64 as API Gateway hands over what is no text."""
    event = load(SESSION if route == RENEWAL else route)["event"]
    if route == RENEWAL:
        sid = "KC" + "7" * 32
        event = {**event, "rawPath": f"/v1/sessions/{sid}/renewals", "pathParameters": {"id": sid}}
    return {**event, "body": base64.b64encode(payload).decode(), "isBase64Encoded": True}


def body_of(route: str, **changes: Any) -> bytes:
    """Return the body that a JSON route takes, but for `changes`."""
    fields = {} if route == RENEWAL else json.loads(load(route)["event"]["body"])
    return json.dumps(fields | changes).encode()


def later() -> str:
    """Return a moment that is not yet."""
    return (datetime.now(UTC) + timedelta(days=3650)).isoformat()


def refused(world: World, answer: Answer, before: list[dict[str, Any]], *statuses: int) -> None:
    """Hold an answer against the rule: a problem with one of the statuses, no number in it, nothing written."""
    assert answer["statusCode"] in statuses, answer
    assert answer["headers"]["content-type"] == MEDIA_TYPE
    assert body(answer)["type"].startswith("urn:parley:problem:")
    assert ANA not in answer["body"]
    assert BEN not in answer["body"]
    assert world.rows() == before


@pytest.fixture
def session(world: World) -> str:
    """Give an open session whose SID is that of the event files."""
    sid: str = world.conversation()["session"]
    return sid


ANY_BODY: dict[str, Bad] = {
    "empty": lambda: b"",
    "too long": lambda: json.dumps({"unique_name": "x" * 66_000}).encode(),
    "no UTF-8": lambda: b'{"unique_name": "\xff\xfe"}',
    "lone surrogate": lambda: b'{"unique_name": "\\ud800"}',
    "key twice": lambda: b'{"ttl": 60, "ttl": 61}',
    "list": lambda: b"[]",
    "NaN": lambda: b'{"ttl": NaN}',
    "cut": lambda: b'{"ttl": ',
    "deep": lambda: b'{"a": ' + b"[" * 30_000,
    "form": lambda: urlencode({"ttl": 60}).encode(),
    "unknown member": lambda: b'{"surprise": 1}',
}

PARTICIPANTS = [{"identifier": ANA}, {"identifier": BEN}]
MEMBERS: list[tuple[str, dict[str, Any]]] = [
    *((CONSENT, {"party": number}) for number in ("2125550111", "+1 212 555 0111", "+0125550111", "tel:+1", 7, None)),
    (CONSENT, {"counterpart": "me"}),
    (CONSENT, {"scope": "everything"}),
    (CONSENT, {"scope": ["manage"]}),
    (CONSENT, {"state": "expired"}),
    (CONSENT, {"kind": "guessed"}),
    (CONSENT, {"occurred_at": later()}),
    (CONSENT, {"occurred_at": "2026-13-01T00:00:00Z"}),
    (CONSENT, {"source_event_id": f"booking of {ANA}"}),
    *((SESSION, {"participants": [{"identifier": number}, {"identifier": BEN}]}) for number in ("212", "+1", 5, None)),
    (SESSION, {"participants": [{"identifier": ANA, "name": "Ana"}, {"identifier": BEN}]}),
    *(
        (SESSION, {"participants": [{"identifier": ANA, "location": place}, {"identifier": BEN}]})
        for place in ("US", {}, {"code": "US"}, {"code": "usa", "source": "gps"}, {"code": "US", "source": "guess"})
    ),
    (SESSION, {"participants": [{"identifier": ANA, "location": {"code": "US", "source": []}}, {"identifier": BEN}]}),
    (SESSION, {"record": ["everything"]}),
    (SESSION, {"record": "voice"}),
    (SESSION, {"store": "yes"}),
    (SESSION, {"transcribe": 1}),
    (SESSION, {"ttl": 59}),
    (SESSION, {"mode": "telepathy"}),
    (SESSION, {"unique_name": f"ride of {ANA}"}),
    (SESSION, {"unique_name": "x" * 192}),
    (RENEWAL, {"ttl": 10**9}),
    (RENEWAL, {"ttl": 60.5}),
    (RENEWAL, {"until": later()}),
    (RENEWAL, {"participants": [{"identifier": ANA, "location": {"code": "US", "source": "gps"}}]}),
    (RENEWAL, {"participants": [{"party": "0" * 64, "location": {"code": "US", "source": "gps"}}]}),
]


class TestFirstParty:
    """The routes that take JSON."""

    @pytest.mark.parametrize("route", BODIES)
    @pytest.mark.parametrize("kind", ANY_BODY)
    def test_what_is_no_body_is_refused(self, world: World, session: str, route: str, kind: str) -> None:
        """Whatever is no JSON object of the route's members is 400 (RFC 9457) and changes nothing."""
        before = world.rows()
        event = json_event(route, ANY_BODY[kind]())
        if route == RENEWAL:
            event["pathParameters"] = {"id": session}
        refused(world, deliver(event), before, 400)

    @pytest.mark.parametrize(("route", "changes"), MEMBERS)
    def test_wrong_member_is_refused(self, world: World, session: str, route: str, changes: dict[str, Any]) -> None:
        """Malformed numbers, unknown scopes, times to come and whatever else is wrong is 400 with its path."""
        before = world.rows()
        event = json_event(route, body_of(route, **changes))
        if route == RENEWAL:
            event["pathParameters"] = {"id": session}
        answer = deliver(event)
        refused(world, answer, before, 400)
        assert body(answer)["errors"]

    @pytest.mark.parametrize("key", ["", "x" * 192, f"ride of {ANA}", "a\tb"])
    def test_wrong_key_is_refused(self, world: World, session: str, key: str) -> None:
        """An idempotency key that is empty, too long, unprintable or a phone number is 400."""
        before = world.rows()
        refused(world, world.open(key=key), before, 400)

    @pytest.mark.parametrize(
        "event",
        [
            {**load("consents-get")["event"], "pathParameters": {"party": ANA}},
            {**load("consents-get")["event"], "pathParameters": {"party": ANA, "id": "R-1"}},
            {**load("consents-get")["event"], "pathParameters": {"party": "a" * 64, "id": ANA}},
            {**load("sessions-get")["event"], "pathParameters": {"id": ANA}},
            {**load("sessions-get")["event"], "pathParameters": {"id": "../consents"}},
            {**load("sessions-delete")["event"], "pathParameters": {"id": "KC1"}},
            {**load("sessions-get")["event"], "rawPath": "/v1/decisions/x", "pathParameters": {"id": "x"}},
            {**load(SESSION)["event"], "body": "%", "isBase64Encoded": True},
            {**load(CONSENT)["event"], "body": "%", "isBase64Encoded": True},
        ],
        ids=["party", "receipt-party", "receipt", "session", "path", "delete", "decision", "base64", "base64-consent"],
    )
    def test_wrong_path_or_encoding_is_refused(self, world: World, session: str, event: dict[str, Any]) -> None:
        """A path that names nobody's key and nobody's session is 400 or 404, never a search."""
        before = world.rows()
        assert session
        refused(world, deliver(event), before, 400, 404)


def webhook(world: World, event: str, payload: Callable[[dict[str, str]], bytes], *, sign_as: str | None) -> Answer:
    """Send a webhook with a body made of its fields, signed for a path (None: with nonsense)."""
    loaded = load(event)
    form = {**loaded["form"]}
    if not event.startswith("out-of-session"):
        form["interactionServiceSid"] = world.service_sid
    url = GATE + (sign_as or loaded["event"]["rawPath"])
    signature = sign(TOKEN, url, {name: [value] for name, value in form.items()}) if sign_as else "bm9uc2Vuc2U="
    return deliver(form_event(loaded["event"], payload(form), {"X-Twilio-Signature": signature}))


FORMS: dict[str, Callable[[dict[str, str]], bytes]] = {
    "json": lambda form: json.dumps(form).encode(),
    "empty": lambda _form: b"",
    "no UTF-8": lambda form: urlencode(form).encode() + b"&more=%ff%fe",
    "raw bytes": lambda form: b"\xff\xfe" + urlencode(form).encode(),
    "field twice": lambda form: (urlencode(form) + "&" + urlencode([next(iter(form.items()))])).encode(),
    "other field twice": lambda form: (urlencode(form) + "&extra=1&extra=2").encode(),
    "too long": lambda form: urlencode({**form, "extra": "x" * 66_000}).encode(),
    "too many fields": lambda form: (urlencode(form) + "&" + "&".join(f"x{n}=1" for n in range(400))).encode(),
    "one field changed": lambda form: urlencode({**form, next(iter(form)): "AC" + "9" * 32}).encode(),
    "one field more": lambda form: urlencode({**form, "extra": "1"}).encode(),
}


class TestWebhooks:
    """The routes that Twilio calls."""

    @pytest.mark.parametrize("event", WEBHOOKS)
    @pytest.mark.parametrize("kind", FORMS)
    def test_what_is_no_webhook_is_refused(self, world: World, session: str, event: str, kind: str) -> None:
        """Whatever is no form, has a field twice, is too long or is not what was signed is 403 and changes nothing."""
        before = world.rows()
        assert session
        path = load(event)["event"]["rawPath"]
        refused(world, webhook(world, event, FORMS[kind], sign_as=path), before, 403)

    @pytest.mark.parametrize("event", WEBHOOKS)
    def test_forged_signature_is_refused(self, world: World, session: str, event: str) -> None:
        """A signature that was not made with the account's token is 403, and so is one that is missing."""
        before = world.rows()
        assert session
        genuine = lambda form: urlencode(form).encode()  # noqa: E731 - one line, used twice
        refused(world, webhook(world, event, genuine, sign_as=None), before, 403)
        refused(world, world.webhook(event, signed=False), before, 403)

    @pytest.mark.parametrize("event", WEBHOOKS)
    @pytest.mark.parametrize("other", sorted({load(event)["event"]["rawPath"] for event in WEBHOOKS}))
    def test_replay_on_another_route_is_refused(self, world: World, session: str, event: str, other: str) -> None:
        """A webhook that was signed for one route is 403 on any other, however alike their paths are."""
        before = world.rows()
        assert session
        genuine = lambda form: urlencode(form).encode()  # noqa: E731 - one line
        if load(event)["event"]["rawPath"] == other:
            other += "/"
        refused(world, webhook(world, event, genuine, sign_as=other), before, 403)

    def test_replay_on_its_own_route_writes_nothing_more(self, world: World, session: str) -> None:
        """The very same webhook again is answered as before, and is the one row that it was (I7)."""
        talk: dict[str, Any] = {
            "interactionSessionSid": session,
            "inboundParticipantSid": world.session(session).participants[0].sid,
        }
        first = [world.webhook(event, **talk)["statusCode"] for event in ("intercept-message", "interaction")]
        before = world.rows()
        again = [world.webhook(event, **talk)["statusCode"] for event in ("intercept-message", "interaction")]
        assert first == again == [200, 204]
        assert world.rows() == before
