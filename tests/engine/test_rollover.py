"""A deployment and a rotation of the Twilio credentials while people talk: nothing is lost, doubled, let in or refused.

The people text from threads of their own all through it, over the deployed stack; the engine's `up` is the real one.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, cycle
from typing import Any

import pytest
import yaml
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from cli import verify
from cli.demo import RECONCILE_SECONDS, Conversation
from cli.home import CloudInfo
from cli.phones import Phones
from cli.stack import LocalStack
from local.engine.events import Result, Step
from local.twilio.client import connect
from local.twilio.webhooks import LOG_LENGTH

ANA, BEN, CLEO, DAN, STRANGER, EVE, FAY = (f"+1212555016{last}" for last in range(7))
INTERCEPT, INTERACTION, RECONCILE = (f"parley-local-{name}" for name in ("intercept", "interaction", "reconcile"))
PAUSE = 0.9
"""Seconds between a person's texts, so that the engine gets its share of the machine."""
PATIENCE = 60.0
"""Seconds after which a text that does not come fails the test."""
NUMBERS = count()
"""Every text has another one, so that none is taken for another."""
REFUSED_BY_GATE, SWALLOWED, BARRED = 80909, 80901, 21610
"""Twilio's codes: the intercept answered 403, a stop word of Proxy's own, a recipient who opted out."""


@dataclass(frozen=True)
class Text:
    """One text: `answer` is what became of it at the emulator; `began` and `ended` are monotonic seconds."""

    sender: str
    recipient: str
    body: str
    began: float
    ended: float
    answer: Mapping[str, Any]

    @property
    def delivered(self) -> bool:
        """Whether Twilio passed it on."""
        return bool(self.answer["delivered"])


@dataclass
class Pair:
    """Two people in a session, with the masked number that each of them dials."""

    session: str
    parties: dict[str, str]
    masked: dict[str, str]


class Talk:
    """Two people who text each other in turns from a thread of their own, between `with` and its end.

    Bystanders text the second one's masked number.
    """

    def __init__(self, phones: Phones, pair: Pair, *bystanders: str) -> None:
        self._phones = phones
        one, other = pair.masked
        self._turns = [(one, other, pair.masked[one]), (other, one, pair.masked[other])]
        self._turns += [(bystander, other, pair.masked[other]) for bystander in bystanders]
        self._over = threading.Event()
        self._news = threading.Condition()
        self._pool = ThreadPoolExecutor(1)
        self._silent: frozenset[str] = frozenset()
        self.texts: list[Text] = []

    def __enter__(self) -> Talk:
        self._running: Future[None] = self._pool.submit(self._go_on)
        self._running.add_done_callback(lambda _: self._tell())
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pool.shutdown()
        self._running.result()

    def silence(self, person: str) -> None:
        """Let somebody text no more."""
        self._silent |= {person}

    def everybody_again(self) -> None:
        """Wait until everybody has begun and ended another text."""
        with self._news:
            wanted = len(self.texts) + len(self._turns) + 1  # one may be under way
            assert self._news.wait_for(lambda: self._running.done() or len(self.texts) >= wanted, PATIENCE)
        assert not self._running.done(), self._running.exception()

    def _tell(self, *texts: Text) -> None:
        with self._news:
            self.texts.extend(texts)
            self._news.notify_all()

    def _go_on(self) -> None:
        for sender, recipient, dialled in cycle(self._turns):
            if self._over.is_set():
                return
            if sender in self._silent:
                continue
            body, began = f"This is text {next(NUMBERS)}", time.monotonic()
            answer = self._phones.sms(sender, dialled, body)
            self._tell(Text(sender, recipient, body, began, time.monotonic(), answer))
            self._over.wait(PAUSE)


@dataclass
class Stage:
    """The deployed stack with people on it."""

    stack: LocalStack
    cloud: CloudInfo
    conversation: Conversation
    proxy_service: str
    aws: Mapping[str, Any]

    @property
    def phones(self) -> Phones:
        """Every handset."""
        return self.conversation.phones

    def pair(self, one: str, other: str) -> Pair:
        """Let two people consent, and open their session."""
        for person in (one, other):
            self.conversation.consent(person, "given")
        body = {"participants": [{"identifier": one}, {"identifier": other}]}
        answer = self.conversation.api.post("/v1/sessions", body)
        assert answer.status == 201
        seats = dict(zip((one, other), answer.body["participants"], strict=True))
        return Pair(
            answer.body["session"],
            {person: seat["party"] for person, seat in seats.items()},
            {person: seat["masked_number"] for person, seat in seats.items()},
        )

    def hold_call(self, pair: Pair) -> str:
        """Let the first of two people call the other, and stay on the line; return the call's SID."""
        caller = next(iter(pair.masked))
        ring = {"from": caller, "to": pair.masked[caller], "hold": True}
        call = self.phones._send("POST", "/_sim/call", ring)
        assert call["connected"]
        return str(call["call_sid"])

    def hang_up(self, call: str) -> bool:
        """End a call that is held; say whether it was still up. Its last webhook was delivered when this returns."""
        return bool(self.phones._send("POST", "/_sim/hangup", {"call_sid": call})["ended"])

    def webhooks(self) -> list[Mapping[str, Any]]:
        """Return the webhooks that the emulator remembers, the oldest first."""
        return list(self.phones._send("GET", "/_sim/webhooks")["webhooks"])

    def received(self, person: str) -> Counter[str]:
        """Return how often each text came in at somebody's handset."""
        messages = self.phones.seen_by(person)["messages"]
        return Counter(one["body"] for one in messages if one["direction"] == "inbound")

    def session(self, pair: Pair) -> Mapping[str, Any]:
        """Return a session as the API shows it."""
        answer = self.conversation.api.get(f"/v1/sessions/{pair.session}")
        assert answer.status == 200
        shown: Mapping[str, Any] = answer.body
        return shown

    def renew(self, pair: Pair) -> int:
        """Renew a session, which takes a request to Twilio; return the status that the caller saw."""
        return self.conversation.api.post(f"/v1/sessions/{pair.session}/renewals", {}).status

    def functions(self) -> list[str]:
        """Return the names of all functions."""
        return [one["FunctionName"] for one in self.aws["lambda"].list_functions()["Functions"]]

    def live_version(self, function: str) -> str:
        """Return the version of a function that its alias points at."""
        return str(self.aws["lambda"].get_alias(FunctionName=function, Name="live")["FunctionVersion"])

    def reconciled(self) -> list[bool]:
        """Return for each run of the reconciler whether it left nothing undone, the oldest first."""
        found = self.aws["logs"].filter_log_events(logGroupName=f"/aws/lambda/{RECONCILE}")["events"]
        said = [one["message"] for one in sorted(found, key=lambda one: one["timestamp"])]
        lines = [json.loads(each) for each in said if each.startswith("{")]
        return [line["complete"] for line in lines if line.get("event") == "reconciled"]

    def logged(self, function: str) -> list[str]:
        """Return the versions of a function that have ever logged something."""
        streams = self.aws["logs"].describe_log_streams(logGroupName=f"/aws/lambda/{function}")["logStreams"]
        return [found[1] for each in streams if (found := re.search(r"\[(\d+)\]", each["logStreamName"]))]


class Watch:
    """What the emulator notes between `with` and its end: its webhooks and alerts."""

    def __init__(self, stage: Stage, client: Client) -> None:
        self._stage = stage
        self.client = client
        self.webhooks: list[Mapping[str, Any]] = []
        self.alerts: list[Any] = []

    def __enter__(self) -> Watch:
        self._known = {one["idempotency_token"] for one in self._stage.webhooks()}
        self._alerted = {one.sid for one in self.client.monitor.v1.alerts.list()}
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            return
        seen = self._stage.webhooks()
        self.webhooks = [one for one in seen if one["idempotency_token"] not in self._known]
        assert len(self.webhooks) < LOG_LENGTH, "the emulator has forgotten some"
        self.alerts = [one for one in self.client.monitor.v1.alerts.list() if one.sid not in self._alerted]

    def failed(self) -> list[Mapping[str, Any]]:
        """Return the webhooks that were not answered 2xx."""
        return [one for one in self.webhooks if one["problem"] or not 200 <= one["status"] < 300]


@pytest.fixture(scope="module")
def stage(stack: LocalStack) -> Iterator[Stage]:
    """Give the deployed stack, and mend it afterwards: its configuration, and the emulator's credentials."""
    cloud, workspace = stack.start_cloud(), stack.workspace()
    kept, outputs = stack.home.stack_file.read_text(), workspace.outputs()
    clients = verify.clients(cloud.aws_environment())
    made = Stage(stack, cloud, Conversation(cloud, outputs), outputs["proxyServiceSids"][0], clients)
    try:
        yield made
    finally:
        made.phones._send("POST", "/_sim/credentials")
        stack.home.stack_file.write_text(kept)
        workspace.up()


@dataclass
class Deployment:
    """A deployment amid two conversations. In the second one Cleo says STOP while it is under way.

    `before`, `amid` and `after` are the versions that the aliases pointed at, by function: before it, when she said
    it, and after it. `began` and `ended` are monotonic seconds.
    """

    result: Result
    began: float
    ended: float
    before: dict[str, str]
    amid: dict[str, str]
    after: dict[str, str]
    through: Talk
    stopped: Talk
    watch: Watch
    staying: Pair
    leaving: Pair
    calls: dict[str, str]
    stop: Text

    @property
    def texts(self) -> list[Text]:
        """Every text of both conversations."""
        return self.through.texts + self.stopped.texts


@pytest.fixture(scope="module")
def deployment(stage: Stage) -> Deployment:
    """Deploy another contact of the controller, which is in the environment of every function."""
    staying, leaving = stage.pair(ANA, BEN), stage.pair(CLEO, DAN)
    calls = {"staying": stage.hold_call(staying), "leaving": stage.hold_call(leaving)}
    through, stopped = Talk(stage.phones, staying, STRANGER), Talk(stage.phones, leaving)
    functions = stage.functions()
    amid: dict[str, str] = {}
    said: list[Text] = []

    def versions() -> dict[str, str]:
        return {function: stage.live_version(function) for function in functions}

    def stop_in_the_middle(step: Step, ended: bool) -> None:
        if said or step.op != "update" or step.type != "aws:lambda/alias:Alias" or not ended:
            return
        amid.update(versions())
        stopped.silence(CLEO)
        now = time.monotonic()
        answer = stage.phones.sms(CLEO, leaving.masked[CLEO], "STOP")
        said.append(Text(CLEO, DAN, "STOP", now, time.monotonic(), answer))
        stage.phones.advance_clock(RECONCILE_SECONDS)

    configure(stage.stack, {"parley:controller": {"contact": "another@example.com"}})
    before = versions()
    client = connect(stage.cloud.twilio_endpoint, stage.cloud.twilio_account_sid, stage.cloud.twilio_auth_token)
    with Watch(stage, client) as watch:
        with through, stopped:
            through.everybody_again()
            began = time.monotonic()
            workspace = stage.stack.workspace(stop_in_the_middle)
            workspace._environment["PULUMI_PARALLEL"] = "1"  # one function after the other, so that there is a middle
            result = workspace.up()
            ended = time.monotonic()
            through.everybody_again()
        stage.hang_up(calls["staying"])
    (stop,) = said
    return Deployment(
        result, began, ended, before, amid, versions(), through, stopped, watch, staying, leaving, calls, stop
    )


def configure(stack: LocalStack, change: Mapping[str, Any]) -> None:
    """Change keys of the stack's file: objects key by key; None takes a key away, as `pulumi config rm` does."""
    made = yaml.safe_load(stack.home.stack_file.read_text())
    for key, value in change.items():
        if value is None:
            del made["config"][key]
        else:
            made["config"][key] |= value
    stack.home.stack_file.write_text(yaml.safe_dump(made, sort_keys=False))


def declare(stack: LocalStack, key: str, value: Any) -> None:
    """Write a key of the stack's file anew; None takes it away, as `pulumi config rm` does."""
    made = yaml.safe_load(stack.home.stack_file.read_text())
    if value is None:
        del made["config"][key]
    else:
        made["config"][key] = value
    stack.home.stack_file.write_text(yaml.safe_dump(made, sort_keys=False))


def assert_each_once(stage: Stage, texts: list[Text]) -> None:
    """Assert that every handset has each text as often as Twilio says that it was passed on: once, or not at all."""
    received = {person: stage.received(person) for person in {text.recipient for text in texts}}
    wrong = [text for text in texts if received[text.recipient][text.body] != int(text.delivered)]
    assert wrong == []


class TestDeployment:
    """A deploy in the middle of a conversation."""

    def test_it_is_a_real_one(self, deployment: Deployment) -> None:
        """Every function gets a new version behind its alias, one after the other, while people text."""
        assert {step.op for step in deployment.result.steps} == {"update"}
        before, amid, after = deployment.before, deployment.amid, deployment.after
        assert len(before) > 10
        assert [function for function in before if before[function] == after[function]] == []
        assert before != amid != after
        during = [
            text for text in deployment.texts if deployment.began <= text.began and text.ended <= deployment.ended
        ]
        assert len(during) >= 10

    def test_both_versions_have_served(self, stage: Stage, deployment: Deployment) -> None:
        """The intercept and the log of interactions were answered by the version of before and by the new one."""
        for function in (INTERCEPT, INTERACTION):
            assert {deployment.before[function], deployment.after[function]} <= set(stage.logged(function))

    def test_every_text_arrives_once(self, stage: Stage, deployment: Deployment) -> None:
        """Between two people who go on consenting every text arrives, exactly once, before, meanwhile and after."""
        texts = [text for text in deployment.through.texts if text.sender != STRANGER]
        assert [text for text in texts if not text.delivered or text.answer["alerts"]] == []
        assert_each_once(stage, texts)

    def test_no_webhook_fails(self, deployment: Deployment) -> None:
        """No webhook is answered 5xx or not at all, and none 403, but in the session of somebody who said no."""
        session = deployment.leaving.session
        unexplained = [
            one
            for one in deployment.watch.failed()
            if (one["kind"], one["status"], one["fields"].get("interactionSessionSid")) != ("intercept", 403, session)
        ]
        assert len(deployment.watch.webhooks) > len(deployment.texts)
        assert unexplained == []
        alerted = Counter(int(one.error_code) for one in deployment.watch.alerts)
        assert set(alerted) <= {SWALLOWED, BARRED, REFUSED_BY_GATE}
        assert alerted[SWALLOWED] == 1

    def test_session_and_call_outlive_it(self, stage: Stage, deployment: Deployment) -> None:
        """The session of before is open and can be renewed, and a call stayed up until its caller hung up."""
        assert stage.session(deployment.staying)["status"] == "open"
        assert stage.renew(deployment.staying) == 200
        callbacks = [
            one["fields"]["outboundResourceStatus"]
            for one in deployment.watch.webhooks
            if one["kind"] == "callback" and one["fields"]["inboundResourceSid"] == deployment.calls["staying"]
        ]
        assert callbacks == ["completed"]

    def test_stop_closes(self, stage: Stage, deployment: Deployment) -> None:
        """A STOP that was said while the functions were replaced closes the session and ends its call."""
        shown = stage.session(deployment.leaving)
        assert (shown["status"], shown["closed_reason"]) == ("closed", "opted-out")
        assert deployment.watch.client.calls(deployment.calls["leaving"]).fetch().status == "completed"
        assert stage.hang_up(deployment.calls["leaving"]) is False
        kept = stage.conversation.api.get(f"/v1/consents/{deployment.leaving.parties[CLEO]}").body["consents"]
        assert {one["state"] for one in kept if one["scope"] == "manage"} == {"withdrawn"}

    def test_what_is_refused_is_known(self, stage: Stage, deployment: Deployment) -> None:
        """A text that did not arrive went to a person whose no the ledger has, or was under way as they said it."""
        refused = [text for text in deployment.stopped.texts if not text.delivered]
        own = [text for text in refused if text.sender == CLEO]
        assert all(text.began < deployment.stop.ended for text in own)
        assert {text.recipient for text in refused if text not in own} == {CLEO}
        assert min(text.ended for text in refused) > deployment.stop.began
        assert {code for text in refused for code in text.answer["alerts"]} <= {BARRED, REFUSED_BY_GATE}
        assert_each_once(stage, deployment.stopped.texts)

    def test_nothing_passes_without_consent(self, stage: Stage, deployment: Deployment) -> None:
        """After a STOP nothing reaches whoever said it, and a stranger reaches nobody at any time."""
        late = [text for text in deployment.stopped.texts if text.began > deployment.stop.ended]
        assert late
        assert [text for text in late if text.delivered] == []
        strange = [text for text in deployment.through.texts if text.sender == STRANGER]
        assert len(strange) >= 3
        assert [text for text in strange if text.delivered] == []
        again = [(CLEO, deployment.leaving.masked[CLEO]), (DAN, deployment.leaving.masked[DAN])]
        assert not any(stage.phones.sms(sender, masked, "Are you there?")["delivered"] for sender, masked in again)
        assert not any(stage.phones.call(sender, masked)["connected"] for sender, masked in again)


@dataclass
class Rotation:
    """Both credentials of Twilio, rotated amid a conversation.

    `renewals` has the status that a caller of the API was answered after each step, `reconciled` the runs of the
    reconciler since the old credentials were revoked.
    """

    steps: dict[str, Result]
    talk: Talk
    watch: Watch
    renewals: dict[str, int]
    revoked: float
    call_was_up: bool
    reconciled: list[bool]


@pytest.fixture(scope="module")
def rotation(stage: Stage, deployment: Deployment) -> Rotation:
    """Rotate the auth token and the API key in the order that docs/operations.md gives."""
    cloud, workspace, pair = stage.cloud, stage.stack.workspace(), deployment.staying
    account, talk = cloud.twilio_account_sid, Talk(stage.phones, pair)
    old = connect(cloud.twilio_endpoint, account, cloud.twilio_auth_token)
    call = stage.hold_call(pair)
    # What the functions have fetched for this they keep for five minutes.
    renewals = {"before": stage.renew(pair)}
    stage.phones.advance_clock(RECONCILE_SECONDS)

    key = old.iam.v1.new_api_key.create(account_sid=account, friendly_name="parley")
    token = old.accounts.v1.secondary_auth_token().create().secondary_auth_token
    with Watch(stage, connect(cloud.twilio_endpoint, account, token)) as watch, talk:
        talk.everybody_again()
        workspace.set_config("parley:twilioAuthTokenSecondary", token, secret=True)
        workspace.set_config("parley:twilioApiKey", key.sid)
        workspace.set_config("parley:twilioApiSecret", key.secret, secret=True)
        steps = {"both tokens, the new key": workspace.up()}

        before = len(stage.reconciled())
        revoked = time.monotonic()
        assert old.accounts.v1.auth_token_promotion().update().auth_token == token
        assert watch.client.iam.v1.api_key(cloud.twilio_api_key).delete()
        renewals["the old ones revoked"] = stage.renew(pair)
        stage.phones.advance_clock(RECONCILE_SECONDS)
        talk.everybody_again()
        call_was_up = stage.hang_up(call)

        workspace.set_config("parley:twilioAuthToken", token, secret=True)
        configure(stage.stack, {"parley:twilioAuthTokenSecondary": None})
        steps["the new token alone"] = workspace.up()
        renewals["the new ones alone"] = stage.renew(pair)
        talk.everybody_again()
    return Rotation(steps, talk, watch, renewals, revoked, call_was_up, stage.reconciled()[before:])


class TestRotation:
    """The auth token that signs webhooks and the API key of REST calls, rotated as Twilio does it."""

    def test_it_replaces_no_function(self, rotation: Rotation) -> None:
        """Only the secret and the provider's login change, so that functions with the old credentials go on."""
        types = {name: {step.type for step in result.steps} for name, result in rotation.steps.items()}
        version = "aws:secretsmanager/secretVersion:SecretVersion"
        assert types == {
            "both tokens, the new key": {version, "pulumi:providers:parley"},
            "the new token alone": {version},
        }

    def test_old_credentials_are_revoked(self, stage: Stage, rotation: Rotation) -> None:
        """Twilio takes neither the old token nor the old key any more."""
        cloud, account = stage.cloud, stage.cloud.twilio_account_sid
        for user, password in ((account, cloud.twilio_auth_token), (cloud.twilio_api_key, cloud.twilio_api_secret)):
            with pytest.raises(TwilioRestException) as caught:
                connect(cloud.twilio_endpoint, user, password, account).api.v2010.accounts(account).fetch()
            assert caught.value.status == 401

    def test_every_text_arrives_once(self, stage: Stage, rotation: Rotation) -> None:
        """Every text arrives, exactly once, under the old token, under the new one and in between."""
        texts = rotation.talk.texts
        assert min(text.began for text in texts) < rotation.revoked < max(text.began for text in texts)
        assert [text for text in texts if not text.delivered or text.answer["alerts"]] == []
        assert_each_once(stage, texts)

    def test_no_webhook_is_rejected(self, rotation: Rotation) -> None:
        """Every webhook is answered 2xx, those of a call that lasts through it too, and nothing is alerted."""
        assert len(rotation.watch.webhooks) > 3 * len(rotation.talk.texts)
        assert rotation.watch.failed() == []
        assert [one.error_code for one in rotation.watch.alerts] == []
        assert rotation.call_was_up

    def test_callers_notice_nothing(self, rotation: Rotation) -> None:
        """Requests that take a call to Twilio succeed at each step, and so does the reconciler's run in between."""
        assert set(rotation.renewals.values()) == {200}, rotation.renewals
        assert rotation.reconciled
        assert all(rotation.reconciled)

    def test_a_no_closes_with_the_new_credentials(
        self, stage: Stage, deployment: Deployment, rotation: Rotation
    ) -> None:
        """A stop word closes the session at Twilio at once, and in the ledger when all of it is done."""
        pair = deployment.staying
        assert not stage.phones.sms(BEN, pair.masked[BEN], "REVOKE")["delivered"]
        service = rotation.watch.client.proxy.v1.services(stage.proxy_service)
        assert service.sessions(pair.session).fetch().status == "closed"
        assert stage.session(pair)["revoked"]["code"] == "manage-withdrawn"
        # After so much talk it takes the reconciler to look through all of it for calls.
        stage.phones.advance_clock(RECONCILE_SECONDS)
        assert stage.session(pair)["closed_reason"] == "opted-out"


class Fields:
    """The JSON of a request to the webhooks' configuration; Twilio's package cannot send a SharedKey's type."""

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return self._fields


@dataclass
class Signing:
    """SharedKeys that sign the gate's webhooks amid a conversation: the first, the second in its place, and none."""

    steps: dict[str, Result]
    talk: Talk
    watch: Watch
    signed_by: dict[str, set[str]]
    left: tuple[int, int]


@pytest.fixture(scope="module")
def signing(stage: Stage, rotation: Rotation) -> Signing:
    """Let a SharedKey sign, replace it, and go back to the auth token, in the order that docs/operations.md gives."""
    workspace, client = stage.stack.workspace(), rotation.watch.client
    webhooks = client.webhooks.v1
    profile = webhooks.auth_profiles.create(Fields(friendlyName="gate", type="OAUTH2", clientSecret="hush"))
    first, second = (webhooks.shared_keys.create(Fields(friendlyName=name)) for name in ("first", "second"))
    secrets = {each.id: each.secret for each in (first, second)}
    steps: dict[str, Result] = {}
    signed_by: dict[str, set[str]] = {}
    pair = stage.pair(EVE, FAY)
    talk = Talk(stage.phones, pair)

    def step(name: str, signer: str) -> None:
        """Deploy that a key signs, and let everybody text."""
        signature = {"type": "SHARED_KEY", "sharedKeyId": signer, "algorithm": "HMAC_SHA256"}
        connection = {"readTimeoutMs": 14000, "retryCount": 1, "retryOn": ["READ_TIMEOUT"]}
        declared = {"authProfileId": profile.id, "connection": connection, "signature": signature}
        declare(stage.stack, "parley:webhooks", declared)
        steps[name] = workspace.up()
        talk.everybody_again()
        signed_by[name] = {one["signed_by"] for one in stage.webhooks()[-3:]}

    with Watch(stage, client) as watch, talk:
        talk.everybody_again()
        workspace.set_config(f"parley:twilioSharedKeys.{first.id}", secrets[first.id], secret=True, path=True)
        step("first", first.id)
        workspace.set_config(f"parley:twilioSharedKeys.{second.id}", secrets[second.id], secret=True, path=True)
        step("second", second.id)
        declare(stage.stack, "parley:webhooks", None)
        steps["none"] = workspace.up()
        talk.everybody_again()
        signed_by["none"] = {one["signed_by"] for one in stage.webhooks()[-3:]}
    return Signing(steps, talk, watch, signed_by, (len(webhooks.rules.list()), len(webhooks.settings.list())))


class TestSigning:
    """A SharedKey signs the gate's webhooks instead of the auth token, and another one after it."""

    def test_key_is_known_before_it_signs(self, signing: Signing) -> None:
        """The secret changes with the Rule, and no function and no service does."""
        types = {name: {step.type for step in result.steps} for name, result in signing.steps.items()}
        version, rule = "aws:secretsmanager/secretVersion:SecretVersion", "parley:index:WebhookSettings"
        assert types == {"first": {version, rule}, "second": {version, rule}, "none": {rule}}

    def test_each_signs_in_its_turn(self, signing: Signing) -> None:
        """After each deployment what is declared signs, and nothing else."""
        first, second, token = (signing.signed_by[name] for name in ("first", "second", "none"))
        assert len(first | second) == 2
        assert (token, "" in first | second) == ({""}, False)

    def test_every_text_arrives_once(self, stage: Stage, signing: Signing) -> None:
        """Every text arrives, exactly once, whatever signs at the moment."""
        assert [text for text in signing.talk.texts if not text.delivered or text.answer["alerts"]] == []
        assert_each_once(stage, signing.talk.texts)

    def test_no_webhook_is_rejected(self, signing: Signing) -> None:
        """Every webhook is answered 2xx, and nothing is alerted."""
        assert len(signing.watch.webhooks) > 3 * len(signing.talk.texts)
        assert signing.watch.failed() == []
        assert [one.error_code for one in signing.watch.alerts] == []

    def test_nothing_is_left(self, stage: Stage, signing: Signing) -> None:
        """Without the declaration Twilio has no Rule and no Setting any more, and no secret was ever in the state."""
        assert signing.left == (0, 0)
        assert "hush" not in json.dumps(stage.stack.workspace().export())
