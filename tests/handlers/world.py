"""What the tests of the handlers share: a small world of one gate, its AWS in process, and Twilio's emulator.

The handlers run as they are deployed, with boto3 against moto and urllib3 against the emulator; webhooks come from the
emulator itself or from the event files beside this module. One clock moves for all of them.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import boto3
import pytest
from parley import runtime
from parley.adapters.identity import Identities
from parley.core.sessions import Session
from parley.core.signature import sign
from parley.env import ConsentPolicy, SessionPolicy, to_environment
from parley.handlers import (
    access,
    chat,
    consents,
    erasures,
    events,
    holds,
    interaction,
    intercept,
    optout,
    optout_links,
    out_of_session,
    questions,
    reconcile,
    recorder,
    recording,
    rooms,
    sessions,
    sms,
    voice,
)
from parley.ports import Ledger
from parley.variables import Controller
from urllib3.util import Retry, Timeout

from local.aws import dynamodb_answers, dynamodb_query, dynamodb_rollback
from local.aws.kms_keys import private_key
from local.aws.mends import Mends
from local.clock import Clock
from local.serving import Server
from local.twilio import Emulator
from local.twilio.client import connect
from local.twilio.numbers import describe, number_sid
from local.twilio.simulator import Outcome, Ring
from tests.mocked_aws import mock_boto3

EVENTS = Path(__file__).parent / "events"
ACCOUNT, KEY, SECRET, TOKEN, SECOND_TOKEN = "AC" + "1" * 32, "SK" + "2" * 32, "s" * 32, "t" * 32, "u" * 32
ANA, BEN, STRANGER = "+12125550111", "+12125550112", "+12125550113"
JAPAN = "+81000000000"  # no Japanese number begins with a 0 after the country code, so nobody has it
ASK = "+12125550142"
"""The number that asks, which is in no pool."""

POOL = ("+12125550140", "+12125550141")
GATE = "https://gate.example.com"
TABLE = "parley-ledger"
KEEP_DAYS = {"consent-evidence": 1825, "session-map": 30, "interaction-log": 400}
DAY = 86_400

Answer = dict[str, Any]


@functools.cache
def aws(service: str) -> Any:
    """Return a client that reaches whatever AWS is mocked at the moment: made once, since each takes 40 ms."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client(service, region_name="us-east-1", **keys)  # type: ignore[call-overload]


class MovedClock:
    """The gate's clock: the emulator's, as a moment."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        """Return the time."""
        return datetime.fromtimestamp(self._clock.now(), UTC)


class World:
    """One deployed gate with its surroundings."""

    def __init__(self, patch: pytest.MonkeyPatch, clock: Clock, emulator: Emulator, endpoint: str) -> None:
        self.patch, self.clock, self.emulator = patch, clock, emulator
        self._reports = 0
        self.dynamodb, self.secretsmanager, kms = aws("dynamodb"), aws("secretsmanager"), aws("kms")
        self._make_table()
        key = kms.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")["KeyMetadata"]["Arn"]
        self.secret = self.secretsmanager.create_secret(Name="twilio", SecretString="{}")["ARN"]
        self.store_tokens(TOKEN)
        # Not by requests, which are a tenth of these tests' time.
        carrier = emulator.carrier
        urls = {
            "InterceptCallbackUrl": f"{GATE}/twilio/intercept",
            "OutOfSessionCallbackUrl": f"{GATE}/twilio/out-of-session",
            "CallbackUrl": f"{GATE}/twilio/interaction",
        }
        service = carrier.proxy.create_service(ACCOUNT, {"UniqueName": "parley", **urls})
        for number in POOL:
            carrier.proxy.add_number(service, carrier.numbers.fetch(ACCOUNT, number_sid(number)), reserved=False)
        asking = {"SmsUrl": f"{GATE}/twilio/sms"}
        carrier.numbers.own(ACCOUNT, describe(ASK, sms=True, voice=True, mms=False), asking)
        self.service_sid: str = service.sid
        self.twilio = connect(endpoint, KEY, SECRET, ACCOUNT)
        self.identities = Identities(kms, key)
        self.evidence_key: str = kms.create_key()["KeyMetadata"]["Arn"]
        self.configure(identity_key=key, endpoint=endpoint)

    def _make_table(self) -> None:
        self.dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "open_shard")],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "open-sessions",
                    "KeySchema": [
                        {"AttributeName": "open_shard", "KeyType": "HASH"},
                        {"AttributeName": "pk", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )

    def configure(self, *, identity_key: str, endpoint: str) -> None:
        """Write the functions' environment as the deployment does."""
        variables = to_environment(
            environment="local",
            stack="local",
            ledger_table=TABLE,
            identity_key=identity_key,
            twilio_secret=self.secret,
            twilio_account_sid=ACCOUNT,
            proxy_service_sids=self.service_sid,
            public_url=GATE,
            controller=Controller("Acme <Rides>", "privacy@acme.example", "acme.ex/p", "2026-02"),
            session=SessionPolicy(3600, "voice-and-message"),
            consent=ConsentPolicy(("in_app", "contract", "sms_reply"), 365, ASK),
            channels=("voice", "sms"),
            keep_days=KEEP_DAYS,
            twilio_endpoint=endpoint,
            evidence_key=self.evidence_key,
            purposes={"session-map": ("safety",), "interaction-log": ("billing", "safety")},
        )
        for name, value in variables.items():
            self.patch.setenv(name, value)

    def declare_consent(self, **changes: Any) -> None:
        """Deploy the functions anew with another parley:consent."""
        declared = json.loads(os.environ["PARLEY_CONSENT"]) | changes
        self.patch.setenv("PARLEY_CONSENT", json.dumps(declared))
        runtime.reset()

    # AWS ------------------------------------------------------------------------------------------------------

    def store_tokens(self, *tokens: str, **shared_keys: str) -> None:
        """Put the Twilio credentials, with these auth tokens and SharedKeys, where the functions look."""
        secret = {"api_key": KEY, "api_secret": SECRET, "auth_tokens": list(tokens), "shared_keys": shared_keys}
        text = json.dumps(secret)
        self.secretsmanager.put_secret_value(SecretId=self.secret, SecretString=text)

    @property
    def ledger(self) -> Ledger:
        """The ledger that the handlers use."""
        return runtime.ledger()

    def rows(self, prefix: str = "") -> list[dict[str, Any]]:
        """Return the table's rows whose sort key begins with a prefix."""
        found = self.dynamodb.scan(TableName=TABLE)["Items"]
        return [row for row in found if row["sk"]["S"].startswith(prefix)]

    def break_ledger(self) -> None:
        """Take the table away, as a region that is down does."""
        self.dynamodb.delete_table(TableName=TABLE)

    # The gate -------------------------------------------------------------------------------------------------

    def post(self, event: str, **changes: Any) -> Answer:
        """Let the application send the JSON body of an event file, but for `changes`."""
        loaded = load(event)["event"]
        loaded["body"] = json.dumps(json.loads(loaded["body"]) | changes)
        return deliver(loaded)

    def get(self, event: str, parameter: str) -> Answer:
        """Let the application ask for something by its path parameter."""
        loaded = load(event)["event"]
        (name,) = loaded["pathParameters"]
        loaded["rawPath"] = loaded["rawPath"].rpartition("/")[0] + "/" + parameter
        return deliver({**loaded, "pathParameters": {name: parameter}})

    def receipt(self, party: str, receipt_id: str, accept: str = "*/*") -> Answer:
        """Let the application ask for a receipt."""
        loaded = load("consents-get")["event"]
        path = f"/v1/consents/{party}/receipts/{receipt_id}"
        headers = {**loaded["headers"], "accept": accept}
        parameters = {"party": party, "id": receipt_id}
        return deliver({**loaded, "rawPath": path, "pathParameters": parameters, "headers": headers})

    def consent(self, party: str, state: str = "given", **changes: Any) -> Answer:
        """Let the application report a consent of now."""
        occurred_at = datetime.fromtimestamp(self.clock.now(), UTC).isoformat()
        self._reports += 1
        fields = {"source_event_id": f"event-{self._reports}", "occurred_at": occurred_at, **changes}
        return self.post("consents-post", party=party, state=state, **fields)

    def open(self, *, key: str | None = None, **changes: Any) -> Answer:
        """Let the application open a session between Ana and Ben, with an idempotency key if there is one."""
        loaded = load("sessions-post")["event"]
        loaded["body"] = json.dumps(json.loads(loaded["body"]) | changes)
        if key is not None:
            loaded["headers"]["idempotency-key"] = key
        return deliver(loaded)

    def conversation(self) -> dict[str, Any]:
        """Return an open session between Ana and Ben, who both consented."""
        self.consent(ANA)
        self.consent(BEN)
        answer = self.open()
        assert answer["statusCode"] == 201, answer
        return body(answer)

    def link(self, party: str, **fields: Any) -> Answer:
        """Let the application make a link that refuses all contact."""
        loaded = load("consents-post")["event"]
        body_ = json.dumps({"party": party, **fields})
        return deliver({**loaded, "rawPath": "/v1/optout-links", "body": body_})

    def browse(self, url: str, method: str = "GET", form: str = "", language: str = "") -> Answer:
        """Let a person's browser or mail program open a link, or press its button."""
        loaded = load("consents-post")["event"]
        token = url.rpartition("/")[2]
        context = {**loaded["requestContext"], "http": {**loaded["requestContext"]["http"], "method": method}}
        context.pop("authorizer")
        headers = {"content-type": "application/x-www-form-urlencoded", "accept-language": language}
        return deliver(
            {
                **loaded,
                "rawPath": f"/optout/{token}",
                "pathParameters": {"token": token},
                "requestContext": context,
                "headers": headers,
                "body": form,
            }
        )

    def ask(self, party: str, **fields: Any) -> Answer:
        """Let the application ask somebody by text whether they may be connected, but for `fields`."""
        loaded = load("consents-post")["event"]
        question = {"party": party, "scopes": ["manage"], **fields}
        return deliver({**loaded, "rawPath": "/v1/questions", "body": json.dumps(question)})

    def renew(self, sid: str, payload: str | None = None, **body: Any) -> Answer:
        """Let the application renew a session."""
        loaded = load("sessions-post")["event"]
        path = f"/v1/sessions/{sid}/renewals"
        return deliver(
            {
                **loaded,
                "rawPath": path,
                "pathParameters": {"id": sid},
                "body": json.dumps(body) if payload is None else payload,
            }
        )

    def decision(self, decision: str) -> Answer:
        """Let the application ask for a decision."""
        loaded = load("sessions-get")["event"]
        return deliver({**loaded, "rawPath": f"/v1/decisions/{decision}", "pathParameters": {"id": decision}})

    def session(self, sid: str) -> Session:
        """Return a session of the ledger that must be there."""
        session = self.ledger.session(sid)
        assert session is not None
        return session

    def webhook(
        self,
        event: str,
        *,
        token: str = TOKEN,
        drop: tuple[str, ...] = (),
        signed: bool = True,
        headers: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> Answer:
        """Let Twilio send the webhook of an event file, with more `headers`, but for `changes`."""
        loaded = load(event)
        form = {**loaded["form"], "interactionServiceSid": self.service_sid, **changes}
        if "interactionSid" in form:
            form["interactionDateCreated"] = datetime.fromtimestamp(self.clock.now(), UTC).isoformat()
        else:
            form.pop("interactionServiceSid")
        form = {name: value for name, value in form.items() if name not in drop}
        url = GATE + loaded["event"]["rawPath"]
        headers = dict(headers or {})
        if signed:
            lists = {name: value if isinstance(value, list) else [value] for name, value in form.items()}
            headers["X-Twilio-Signature"] = sign(token, url, lists)
        return deliver(form_event(loaded["event"], urlencode(form, doseq=True).encode(), headers))

    def tell(self, *alerts: dict[str, Any], token: str = TOKEN, declared: bytes | None = None) -> Answer:
        """Let Event Streams tell alerts as CloudEvents; `declared` is the body whose hash the signed URL names."""
        events = [
            {
                "specversion": "1.0",
                "type": "com.twilio.error-logs.error.logged",
                "source": "/v1/Alerts",
                "id": alert.get("sid", "EZ1"),
                "time": datetime.fromtimestamp(self.clock.now(), UTC).isoformat(),
                "data": {"account_sid": ACCOUNT, **alert},
            }
            for alert in alerts
        ]
        payload = json.dumps(events).encode()
        query = f"bodySHA256={hashlib.sha256(payload if declared is None else declared).hexdigest()}"
        event = load("intercept-message")["event"] | {"rawPath": "/twilio/events", "rawQueryString": query}
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "X-Twilio-Signature": sign(token, f"{GATE}/twilio/events?{query}"),
        }
        return deliver(form_event(event, payload, headers))

    def debug(self, alert: dict[str, Any], **fields: str) -> Answer:
        """Let the account's debugger webhook tell one alert."""
        moment = datetime.fromtimestamp(self.clock.now(), UTC).isoformat()
        form = {
            "Sid": str(alert.get("sid", "NO1")),
            "AccountSid": ACCOUNT,
            "Timestamp": moment,
            "Level": "WARNING",
            "PayloadType": "application/json",
            "Payload": json.dumps(alert),
            **fields,
        }
        event = load("intercept-message")["event"] | {"rawPath": "/twilio/events"}
        signature = sign(TOKEN, f"{GATE}/twilio/events", {name: [value] for name, value in form.items()})
        return deliver(form_event(event, urlencode(form).encode(), {"X-Twilio-Signature": signature}))

    def reconcile(self) -> dict[str, int]:
        """Let the schedule fire once."""
        return reconcile.handle({}, None)

    # Twilio ---------------------------------------------------------------------------------------------------

    def text(self, sender: str, number: str, words: str) -> Outcome:
        """Let a phone text."""
        outcome = self.emulator.simulator.text(sender, number, words)
        self.emulator.webhooks.drain()
        return outcome

    def call(self, caller: str, number: str, ring: Ring = Ring()) -> Outcome:  # noqa: B008 - it is frozen
        """Let a phone call."""
        outcome = self.emulator.simulator.call(caller, number, ring)
        self.emulator.webhooks.drain()
        return outcome

    def received(self, phone: str) -> list[str]:
        """Return the texts that a phone received."""
        messages = self.emulator.carrier.state.messages.values()
        sent = [one for one in messages if one.direction != "inbound" and one.status != "failed"]
        return [one.body for one in sent if one.to == phone]

    def status_at_twilio(self, sid: str) -> str:
        """Return a session's status at Twilio."""
        status: str = self.twilio.proxy.v1.services(self.service_sid).sessions(sid).fetch().status
        return status


def load(event: str) -> dict[str, Any]:
    """Return an event file."""
    loaded: dict[str, Any] = json.loads((EVENTS / f"{event}.json").read_text(encoding="utf-8"))
    return loaded


def form_event(event: Mapping[str, Any], payload: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return an event with a form body, in base64 as API Gateway hands it over."""
    lower = {name.lower(): value for name, value in headers.items()}
    return {
        **event,
        "headers": {**event["headers"], **lower},
        "body": base64.b64encode(payload).decode(),
        "isBase64Encoded": True,
    }


ROUTES: dict[str, Callable[[Mapping[str, Any], Any], Answer]] = {
    "/twilio/intercept": intercept.handle,
    "/twilio/out-of-session": out_of_session.handle,
    "/twilio/interaction": interaction.handle,
    "/twilio/voice": voice.handle,
    "/twilio/sms": sms.handle,
    "/v1/questions": questions.handle,
    "/v1/optout-links": optout_links.handle,
    "/optout/": optout.handle,
    "/twilio/events": events.handle,
    "/twilio/recording": recording.handle,
    "/twilio/room": rooms.handle,
    "/twilio/conversation": chat.handle,
    "/v1/calls": recorder.handle,
    "/v1/consents": consents.handle,
    "/v1/sessions": sessions.handle,
    "/v1/decisions": sessions.handle,
    "/v1/erasures": erasures.handle,
    "/v1/holds": holds.handle,
    "/v1/recordings": access.handle,
}


def deliver(event: Mapping[str, Any]) -> Answer:
    """Hand an event to the function that its route belongs to."""
    path = event["rawPath"]
    return next(handle for prefix, handle in ROUTES.items() if path.startswith(prefix))(event, None)


def deliver_webhook(
    url: str, headers: Mapping[str, str], body: bytes, timeout: float
) -> tuple[int, Mapping[str, str], bytes]:
    """Carry a webhook of the emulator to the gate."""
    parts = urlsplit(url)
    event = load("intercept-message")["event"] | {"rawPath": parts.path, "rawQueryString": parts.query}
    answer = deliver(form_event(event, body, headers))
    return answer["statusCode"], answer["headers"], answer.get("body", "").encode()


def fetch_media(url: str, timeout: float) -> tuple[int, Mapping[str, str], bytes]:
    """Let the emulator read a file that the gate offers, as Twilio does: its type first, by HEAD."""
    path = urlsplit(url).path
    event = load("intercept-message")["event"]
    token = path.rpartition("/")[2]

    def asked(method: str) -> Answer:
        context = {**event["requestContext"], "http": {**event["requestContext"]["http"], "method": method}}
        return deliver({**event, "rawPath": path, "requestContext": context, "pathParameters": {"token": token}})

    head, answer = asked("HEAD"), asked("GET")
    if answer["statusCode"] == 200:
        assert (head["statusCode"], "body" in head) == (200, False)
        assert head["headers"]["content-type"] == answer["headers"]["content-type"]
    return answer["statusCode"], answer["headers"], base64.b64decode(answer.get("body", ""))


def body(answer: Answer) -> dict[str, Any]:
    """Return the JSON body of an answer."""
    parsed: dict[str, Any] = json.loads(answer["body"])
    return parsed


def problem_of(answer: Answer) -> tuple[int, str]:
    """Return the status and the name of a problem."""
    assert answer["headers"]["content-type"] == "application/problem+json"
    return answer["statusCode"], body(answer)["type"].removeprefix("urn:parley:problem:")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was logged, line by line, without the metrics."""
    return output(capsys)[0]


def output(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what was logged and what was measured, line by line."""
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in found if "_aws" not in line], [line for line in found if "_aws" in line]


@contextmanager
def emulated_twilio() -> Iterator[tuple[Clock, Emulator, str]]:
    """Serve an emulator whose webhooks go to the gate."""
    clock = Clock()
    emulator = Emulator(
        account_sid=ACCOUNT,
        auth_token=TOKEN,
        api_key=KEY,
        api_secret=SECRET,
        clock=clock,
        post=deliver_webhook,
        get=fetch_media,
        requests_per_second=None,
    )
    server = Server(emulator.wsgi_app, port=0, purpose="twilio")
    server.start()
    try:
        yield clock, emulator, server.url
    finally:
        server.close()
        emulator.close()


@contextmanager
def quick_dynamodb() -> Iterator[None]:
    """Spare moto's DynamoDB what it does in vain, as in the local cloud."""
    mends = Mends()
    dynamodb_rollback.install(mends)
    dynamodb_answers.install(mends)
    dynamodb_query.install(mends)
    try:
        yield
    finally:
        mends.undo()


@contextmanager
def one_world(clock: Clock, emulator: Emulator, endpoint: str) -> Iterator[World]:
    """Give a gate as it is just after its first deployment."""
    runtime.reset()
    emulator.reset()
    # What S3 dates is the machine's: a world that begins years ahead takes its objects for old ones.
    clock._offset = 0.0
    with mock_boto3(), pytest.MonkeyPatch.context() as patch, quick_dynamodb():
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.setattr(Retry, "sleep", lambda *_: None)
        patch.setattr("moto.kms.models.generate_private_key", private_key)
        # What is urgent has seconds of the real clock, and this machine may be busy with other tests.
        patch.setattr("parley.withdrawal.URGENT_SECONDS", 60.0)
        patch.setattr("parley.adapters.twilio_api.URGENT_TIMEOUT", Timeout(connect=10.0, read=30.0))
        patch.setattr("parley.adapters.secrets._in_a_thread", lambda work: work())
        patch.setattr(runtime, "_client", aws)
        patch.setattr(runtime, "_awaited_client", aws)
        patch.setattr(runtime, "SystemClock", lambda: MovedClock(clock))
        world = World(patch, clock, emulator, endpoint)
        try:
            yield world
        finally:
            world.twilio.http_client.close()
            runtime.reset()
