"""The life of a Proxy service through the plugin, against the Twilio emulator."""

from __future__ import annotations

from typing import Any

import pytest
from twilio.http.response import Response  # type: ignore[import-untyped]

from infra.provider import UNKNOWN, ProviderError
from infra.provider.testing import CheckFailed, Refused
from infra.twilio.proxy_service import ProxyService
from tests.infra.twilio_stack import ACCOUNT, LINE, NEW_YORK, SERVICE, TwilioStack

READ = "GET /voice.twilio.com/v2/AccountDefaultConfiguration/Recording"
ASK = "GET /proxy.twilio.com/v1/Services?PageSize=1"
"""What the check asks of Twilio."""


@pytest.fixture
def stack() -> TwilioStack:
    """Return a stack on a fresh emulator."""
    return TwilioStack()


def test_a_service_lives_through_its_whole_life(stack: TwilioStack) -> None:
    """Create, no difference, update in place, refresh without drift, delete, gone."""
    line = stack.service()
    assert line.state["sid"] == line.id
    assert line.state["accountSid"] == ACCOUNT
    assert not stack.diff(line, LINE).changes
    changed = {
        **LINE,
        "uniqueName": "other",
        "defaultTtl": 60,
        "geoMatchLevel": "area-code",
        "callbackUrl": "https://a.example",
    }
    planned = stack.diff(line, changed)
    assert planned.changes == {
        "callbackUrl": "ADD",
        "defaultTtl": "UPDATE",
        "geoMatchLevel": "UPDATE",
        "uniqueName": "UPDATE",
    }
    assert not planned.replaces
    line = stack.update(line, changed)
    live = stack.account.service(line.id)
    assert live is not None
    assert (live.unique_name, live.default_ttl, live.geo_match_level) == ("other", 60, "area-code")
    again = stack.refresh(line)
    assert again is not None
    assert (again.inputs, again.state) == (line.inputs, line.state)
    stack.down(line)
    assert stack.refresh(line) is None
    stack.down(line)


def test_a_url_that_is_not_declared_any_more_is_cleared(stack: TwilioStack) -> None:
    """Removing a webhook from the program removes it at Twilio."""
    line = stack.service()
    line = stack.update(line, {"uniqueName": "line", "defaultTtl": 3600})
    live = stack.account.service(line.id)
    assert live is not None
    assert live.intercept_callback_url is None


def test_a_change_behind_our_back_shows_and_is_put_right(stack: TwilioStack) -> None:
    """A webhook, a TTL and a Chat service that somebody set by hand show up after a refresh; an update undoes them."""
    line = stack.service()
    chat = "IS" + "f" * 32
    stack.account.update_service(
        line.id,
        {
            "intercept_callback_url": "https://evil.example",
            "callback_url": "https://b.example",
            "default_ttl": 0,
            "chat_instance_sid": chat,
        },
    )
    line = stack.refresh(line) or line
    assert stack.diff(line, LINE).changes == {
        "callbackUrl": "DELETE",
        "chatInstanceSid": "DELETE",
        "defaultTtl": "UPDATE",
        "interceptCallbackUrl": "UPDATE",
    }
    line = stack.update(line, LINE)
    live = stack.account.service(line.id)
    assert live is not None
    assert (live.intercept_callback_url, live.callback_url) == (LINE["interceptCallbackUrl"], None)
    assert (live.default_ttl, live.chat_instance_sid) == (3600, None)
    assert not stack.diff(stack.refresh(line) or line, LINE).changes


def test_an_import_needs_no_change_afterwards(stack: TwilioStack) -> None:
    """A service imported by its SID comes with inputs that pass the checks and describe it as it is."""
    made = stack.account.create_service({"unique_name": "old", "callback_url": "https://a.example"})
    line = stack.adopt(SERVICE, "line", made.sid)
    assert line is not None
    inputs = {"uniqueName": "old", "defaultTtl": 0, "allowUnlimitedTtl": True, "callbackUrl": "https://a.example"}
    assert not stack.diff(line, inputs).changes
    assert stack.adopt(SERVICE, "line", "KS" + "0" * 32) is None
    with pytest.raises(Refused, match="import it by its SID"):
        stack.adopt(SERVICE, "line", "line")


@pytest.mark.parametrize("status", [None, 500, 503])
def test_a_create_whose_answer_was_lost_makes_one_service(stack: TwilioStack, status: int | None) -> None:
    """When Twilio made the service but its answer got lost, that service is taken, not a second one made."""
    stack.fault(match="POST .*/Services$", mode="lost-answer", status=status, times=1)
    line = stack.up(SERVICE, "line", {"uniqueName": "line", "defaultTtl": 60})
    assert len(stack.emulator.carrier.state.services) == 1
    assert line.id in stack.emulator.carrier.state.services


def test_a_create_that_failed_before_its_effect_is_tried_once_more(stack: TwilioStack) -> None:
    """A 500 without effect does not end the deployment."""
    stack.fault(match="POST .*/Services$", mode="error", status=500, times=1)
    assert stack.service().id


def test_a_create_that_was_killed_is_taken_up_by_the_next(stack: TwilioStack) -> None:
    """A service that a killed `up` left behind, unused and with our webhook, is taken over."""
    left = stack.service()
    stack.restart()
    assert stack.service().id == left.id


@pytest.mark.parametrize(
    "why",
    ["a setting differs", "it has a number", "nothing of it is ours"],
)
def test_a_service_of_somebody_else_is_not_taken(stack: TwilioStack, why: str) -> None:
    """A service of that name that differs, is in use, or has no webhook of ours is refused, with the import command."""
    wanted: dict[str, Any] = dict(LINE)
    if why == "a setting differs":
        sid = stack.service(defaultTtl=60).id
    elif why == "it has a number":
        line = stack.service()
        stack.pool(line, adopt=NEW_YORK[:1])
        sid = line.id
    else:
        wanted = {"uniqueName": "line", "defaultTtl": 60}
        sid = stack.up(SERVICE, "other", wanted).id
    with pytest.raises(Refused, match=f"pulumi import parley:index:ProxyService NAME {sid}"):
        stack.up(SERVICE, "line", wanted)


def test_a_service_with_open_sessions_is_not_deleted(stack: TwilioStack) -> None:
    """Deleting is refused while people talk through the service, goes through once they are done, or by force."""
    line = stack.service()
    stack.pool(line, adopt=NEW_YORK)
    session = stack.session(line)
    with pytest.raises(Refused, match=r"1 open session.*forceDestroy"):
        stack.down(line)
    assert stack.account.service(line.id)
    stack.close_session(line, session)
    stack.down(line)
    assert stack.account.service(line.id) is None


def test_force_destroy_deletes_a_service_in_use(stack: TwilioStack) -> None:
    """With `forceDestroy` the service goes, open sessions and all."""
    line = stack.service()
    stack.pool(line, adopt=NEW_YORK)
    stack.session(line)
    stack.down(stack.update(line, {**LINE, "forceDestroy": True}))
    assert stack.account.service(line.id) is None


@pytest.mark.parametrize(
    ("inputs", "path", "says"),
    [
        ({"uniqueName": None}, "uniqueName", "is missing"),
        ({"uniqueName": ""}, "uniqueName", "1 to 191"),
        ({"uniqueName": "x" * 192}, "uniqueName", "192 characters"),
        ({"uniqueName": "line of +12125550111"}, "uniqueName", "phone number"),
        ({"defaultTtl": None}, "defaultTtl", "is missing"),
        ({"defaultTtl": 0}, "defaultTtl", "allowUnlimitedTtl"),
        ({"defaultTtl": -1}, "defaultTtl", "from 1 to"),
        ({"defaultTtl": 2_147_483_647}, "defaultTtl", "from 1 to 2147483646"),
        ({"defaultTtl": "60"}, "defaultTtl", "type integer"),
        ({"geoMatchLevel": "radius"}, "geoMatchLevel", "'country', 'area-code', 'extended-area-code'"),
        ({"numberSelectionBehavior": "sticky"}, "numberSelectionBehavior", "'prefer-sticky', 'avoid-sticky'"),
        ({"callbackUrl": "http://example.com"}, "callbackUrl", "https://"),
        ({"callbackUrl": "https://[x"}, "callbackUrl", "is no URL"),
        ({"callbackUrl": "https://e.example/" + "x" * 4000}, "callbackUrl", "4,000"),
        ({"outOfSessionCallbackUrl": "https://me:pw@e.example"}, "outOfSessionCallbackUrl", "password"),
        ({"interceptCallbackUrl": "https://e.example/#rc=2"}, "interceptCallbackUrl", "fragment"),
        ({"chatInstanceSid": "IS" + "0" * 32}, "chatInstanceSid", "leave it out"),
        ({"webhook": "https://e.example"}, "webhook", "there is no such property"),
    ],
)
def test_wrong_inputs_are_told_before_anything_is_sent(
    stack: TwilioStack, inputs: dict[str, Any], path: str, says: str
) -> None:
    """Each limit and enum of Twilio's is checked in the preview, by path, with the way out, and without a request."""
    with pytest.raises(CheckFailed) as failed:
        stack.up(SERVICE, "line", {**LINE, **inputs})
    assert len(failed.value.failures) == 1
    assert failed.value.failures[0].startswith(f"{path}: ")
    assert says in failed.value.failures[0]
    assert "5550111" not in failed.value.failures[0]
    assert stack.http.log == []


def test_plain_http_is_for_a_local_twilio_only(stack: TwilioStack) -> None:
    """A webhook on this machine passes with a local endpoint, and not with the real one."""
    inputs = {**LINE, "interceptCallbackUrl": "http://127.0.0.1:8080/twilio/intercept"}
    stack.check(SERVICE, "line", inputs)
    stack.account.endpoint = None
    with pytest.raises(CheckFailed, match="https://"):
        stack.check(SERVICE, "line", inputs)


def test_unlimited_sessions_pass_when_asked_for(stack: TwilioStack) -> None:
    """A TTL of 0 is possible for those who say so."""
    stack.service(defaultTtl=0, allowUnlimitedTtl=True)


def test_a_preview_works_with_values_that_are_not_known_yet(stack: TwilioStack) -> None:
    """The gate's URL is unknown in a first preview: the checks pass it, and the outputs say what is unknown."""
    shown = stack.preview(SERVICE, "line", {**LINE, "interceptCallbackUrl": UNKNOWN})
    assert shown["sid"] is UNKNOWN
    assert shown["interceptCallbackUrl"] is UNKNOWN
    assert shown["geoMatchLevel"] == "country"
    assert stack.http.log == [READ, ASK]


def test_an_update_of_a_service_that_is_gone_names_the_way_out(stack: TwilioStack) -> None:
    """When somebody deleted the service and no refresh noticed, the message says to refresh."""
    line = stack.service()
    stack.account.delete_service(line.id)
    with pytest.raises(Refused, match="pulumi up --refresh"):
        stack.update(line, {**LINE, "defaultTtl": 60})


def test_a_wrong_key_is_one_message(stack: TwilioStack) -> None:
    """A key that Twilio does not accept ends in one sentence that names the configuration keys."""
    stack.fault(mode="error", status=401, code=20003)
    with pytest.raises(Refused, match="parley:twilioApiSecret"):
        stack.service()
    assert stack.calls("POST") == []


def record_every_call(stack: TwilioStack) -> None:
    """Let somebody set the account's recording default."""
    with stack.emulator.carrier.lock:
        stack.emulator.carrier.defaults.put(ACCOUNT, "Recording", {"configuration": {}})


def test_an_account_that_records_every_call_fails_the_preview(stack: TwilioStack) -> None:
    """A recording default is one failure with the way out, for a new service and for one that is deployed already."""
    stack.service()
    record_every_call(stack)
    for inputs in (LINE, {**LINE, "defaultTtl": 60}):
        with pytest.raises(CheckFailed) as failed:
            stack.preview(SERVICE, "line", inputs)
        (failure,) = failed.value.failures
        assert "records every call" in failure
        assert "curl -X DELETE" in failure
    assert stack.calls("POST") == ["POST /proxy.twilio.com/v1/Services"]


@pytest.mark.parametrize("answer", [{"status": 503}, {"status": 401, "code": 20003}, {"mode": "lost-answer"}])
def test_a_default_that_cannot_be_read_is_a_warning_in_the_preview(
    stack: TwilioStack, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Away from Twilio a preview goes on and says what it does not know; an update does not."""
    line = stack.service()
    stack.fault(**{"mode": "error", "match": "voice.twilio.com", **answer})
    assert stack.preview(SERVICE, "line", {**LINE, "defaultTtl": 60})["defaultTtl"] == 60
    assert "Whether the account records every call is not known" in capsys.readouterr().err
    with pytest.raises(Refused, match="recording default"):
        stack.update(line, {**LINE, "defaultTtl": 60})
    with pytest.raises(Refused, match="recording default"):
        stack.service(uniqueName="other")


def test_a_default_that_appears_after_the_preview_stops_the_update(stack: TwilioStack) -> None:
    """What the preview could not know yet is asked again before anything is created or changed."""
    account = stack.account
    record_every_call(stack)
    service = ProxyService()
    inputs = {**LINE, "geoMatchLevel": "country", "numberSelectionBehavior": "prefer-sticky"}
    with pytest.raises(ProviderError, match="records every call"):
        service.create(account, inputs)
    with pytest.raises(ProviderError, match="records every call"):
        service.update(account, "KS" + "0" * 32, inputs, inputs, inputs)
    assert stack.calls("POST") == []


@pytest.mark.parametrize("answer", [b'{"enabled": false}', b'{"status": "disabled"}'])
def test_a_default_that_is_switched_off_is_none(
    stack: TwilioStack, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A default that says of itself that it is disabled records nothing."""
    told = Response(200, answer.decode())
    monkeypatch.setattr(stack.account._rest, "request", lambda *_arguments: told)
    assert not stack.account.records_every_call()
    monkeypatch.setattr(stack.account._rest, "request", lambda *_arguments: Response(200, "not JSON"))
    assert stack.account.records_every_call()


def test_an_account_without_proxy_is_told_in_the_preview(stack: TwilioStack) -> None:
    """Where Twilio refuses Proxy the preview says so, with the way to do without it."""
    stack.fault(mode="error", status=403, code=20403, match="GET proxy.*Services")
    with pytest.raises(CheckFailed, match="parley:masking direct"):
        stack.check(SERVICE, "line", LINE)


def test_a_preview_away_from_proxy_only_warns(stack: TwilioStack, capfd: pytest.CaptureFixture[str]) -> None:
    """Where Twilio does not say whether Proxy may be used, the preview says that, and goes on."""
    stack.fault(mode="error", status=401, code=20003, match="GET proxy.*Services")
    stack.check(SERVICE, "line", LINE)
    assert "may use Proxy is not known" in capfd.readouterr().err
