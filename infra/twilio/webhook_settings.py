"""The resource type `parley:index:WebhookSettings`: how Twilio sends the webhooks of a URL, with timeouts and retries.

https://www.twilio.com/docs/usage/webhooks/webhook-configuration, a public beta since September 2026 that is neither PCI
compliant nor HIPAA eligible. It is a Rule, which matches the URL, and the Setting that the Rule applies. Decisions:

* A Setting cannot be changed but for its name: a change makes a new one, points the Rule at it, waits until that is in
  force everywhere, and deletes the old one. Webhooks go on meanwhile, by the one or the other.
* Credentials stay out of the state: `authProfileId` and `signature.sharedKeyId` name what was made in the Console, or
  by a request of your own. Twilio tells a SharedKey's secret once, to whoever makes it.
* A retry after a 4xx is refused: the gate blocks an interaction by a 403, which is an answer and no fault.
* A create that was interrupted is taken up: a Rule of this URL and name is this stack's, and so is a Setting of this
  name and content.
* A Rule that somebody split over two Settings is read as one with neither, so that the next `up` puts it back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from infra.provider import UNKNOWN, CheckFailure, Live, PartialFailure, Properties, ProviderError, Resource
from infra.twilio import rules
from infra.twilio.client import Account, TwilioError, is_loopback
from infra.twilio.limits import LEAST_TIMEOUT, TIMEOUTS, TYPE_ID
from infra.twilio.webhook_rules import IN_USE, TAKEN, GivenUpError, Rule, Setting

LONGEST_NAME: Final = 255
LONGEST_URL: Final = 2048

_RULE_ID: Final = re.compile(r"webhooks_rule_[0-9a-z]{26}")


class WebhookSettings(Resource[Account]):
    """A Rule and its Setting."""

    token = "parley:index:WebhookSettings"  # noqa: S105
    inputs = frozenset({"name", "url", "authProfileId", "signature", "connection"})
    outputs = frozenset({"ruleId", "settingId"})
    replaces = frozenset({"url"})

    def check_for(
        self, account: Account | None, inputs: Properties, _old_inputs: Properties
    ) -> tuple[Properties, list[CheckFailure]]:
        """Put what is repeated in order, and hold every value against Twilio's limits."""
        given = dict(inputs)
        local = account is not None and account.endpoint is not None and is_loopback(account.endpoint)
        failures = rules.shape(given, self.token) or list(_problems(given, loopback=local))
        return (given if failures else {**given, **_ordered(given)}), failures

    def create(self, ctx: Account, inputs: Properties, /) -> tuple[str, Properties]:
        """Make the Setting and the Rule, or take up what an interrupted create left; wait until it is in force."""
        at = ctx.webhook_rules
        mine = _left_behind(ctx, inputs)
        if mine is not None:
            return mine.id, _state(inputs, mine.id, _apply(ctx, mine, inputs))
        setting = _setting_for(ctx, inputs)
        fields = {**_match(inputs["url"]), "friendlyName": inputs["name"], "settings": _all_by(setting.id)}
        try:
            id_, operation = at.create_rule(fields)
        except TwilioError as error:
            mine = _left_behind(ctx, inputs) if error.lost or error.code == TAKEN else None
            if mine is None:
                raise
            return mine.id, _state(inputs, mine.id, setting.id)
        state = _state(inputs, id_, setting.id)
        try:
            at.wait(operation)
        except GivenUpError:
            raise  # there is no Rule; its Setting is taken up by the next run
        except ProviderError as error:
            raise PartialFailure(id_, state, [str(error)]) from None
        return id_, state

    def read(self, ctx: Account, id_: str, inputs: Properties | None, state: Properties | None, /) -> Live | None:
        """Read the Rule with the Setting that it applies."""
        del state
        if not _RULE_ID.fullmatch(id_):
            raise ProviderError(f"{id_!r} is no webhook Rule: import it by its id, webhooks_rule_ and 26 characters")
        rule = ctx.webhook_rules.rule(id_)
        if rule is None:
            return None
        only = rule.settings[0] if len(rule.settings) == 1 else None
        setting = ctx.webhook_rules.setting(only) if only is not None else None
        found = {"name": rule.name, "url": rule.url, **_content(setting)}
        if inputs is None and not found["authProfileId"]:
            raise ProviderError(
                f"{id_} has no single Setting with an AuthProfile, which is all that is managed here: make one, point"
                " the Rule at it, and import it again"
            )
        return Live(found, {**found, "ruleId": id_, "settingId": setting.id if setting is not None else ""})

    def update(
        self, ctx: Account, id_: str, old_inputs: Properties, state: Properties, inputs: Properties, /
    ) -> Properties:
        """Point the Rule at a Setting of the declared content, and delete the one that it had."""
        del old_inputs, state
        rule = ctx.webhook_rules.rule(id_)
        if rule is None:
            raise ProviderError(f"webhook Rule {id_} is gone: run `pulumi up --refresh` to make it again")
        return _state(inputs, id_, _apply(ctx, rule, inputs))

    def delete(self, ctx: Account, id_: str, state: Properties, /) -> None:
        """Delete the Rule, and its Setting once nothing uses it; a Setting that another Rule uses stays."""
        at = ctx.webhook_rules
        rule = at.rule(id_)
        operation = at.delete_rule(id_) if rule is not None else None
        if operation is not None:
            at.wait(operation)
        names = {state.get("name")} | ({rule.name} if rule is not None else set())
        ids = [*(rule.settings if rule is not None else ()), state.get("settingId") or ""]
        for setting in dict.fromkeys(filter(None, ids)):
            _drop(ctx, setting, names)


def _problems(given: Mapping[str, Any], *, loopback: bool) -> Iterator[CheckFailure]:
    url = given["url"]
    yield from rules.label(given["name"], "name", LONGEST_NAME)
    yield from rules.webhook(url, "url", loopback=loopback)
    if url is not UNKNOWN and len(url) > LONGEST_URL:
        yield CheckFailure("url", f"is {len(url)} characters long; a webhook Rule takes {LONGEST_URL:,}")
    if url is not UNKNOWN and ("*" in url or "?" in url):
        yield CheckFailure("url", "has a * or a query: give a URL, or the beginning of some, which ends in a slash")
    yield from _type_id(given["authProfileId"], "authProfileId", "an AuthProfile")
    signature = given.get("signature")
    if isinstance(signature, Mapping):
        yield from _type_id(signature["sharedKeyId"], "signature.sharedKeyId", "a SharedKey")
    connection = given.get("connection")
    if isinstance(connection, Mapping):
        yield from _connection_problems(connection)


def _type_id(given: Any, path: str, what: str) -> Iterator[CheckFailure]:
    if given is not UNKNOWN and not TYPE_ID.fullmatch(given):
        yield CheckFailure(path, f"is no id of {what} (webhooks_… and 26 characters): Twilio's API lists them")


def _connection_problems(connection: Mapping[str, Any]) -> Iterator[CheckFailure]:
    for name, greatest in TIMEOUTS.items():
        value = connection.get(name)
        if isinstance(value, int) and not LEAST_TIMEOUT <= value <= greatest:
            yield CheckFailure(f"connection.{name}", f"is {value} ms; Twilio takes {LEAST_TIMEOUT} to {greatest:,}")
    count, outcomes = connection.get("retryCount", 0), connection.get("retryOn", [])
    if UNKNOWN in (count, outcomes):
        return
    if count < 0:
        yield CheckFailure("connection.retryCount", f"is {count}; give 0 for no retry")
    if bool(count) != bool(outcomes):
        yield CheckFailure("connection.retryOn", "goes with a retryCount above zero: give both, or neither")
    for index, each in enumerate(outcomes):
        if each in outcomes[:index]:
            yield CheckFailure(f"connection.retryOn[{index}]", "is there twice")


def _ordered(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the connection with what is retried in order: Twilio keeps a set."""
    connection = given.get("connection")
    if not isinstance(connection, Mapping) or not isinstance(connection.get("retryOn"), list):
        return {}
    return {"connection": {**connection, "retryOn": sorted(connection["retryOn"])}}


def _match(url: str) -> dict[str, str]:
    if url.endswith("/"):
        return {"matchType": "PREFIX_MATCH", "prefix": url}
    return {"matchType": "EXACT_MATCH", "value": url}


def _all_by(setting: str) -> list[dict[str, Any]]:
    return [{"settingId": setting, "percentage": 100}]


def _fields(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON that makes the Setting of some inputs."""
    fields = {
        "friendlyName": inputs["name"],
        "auth": {"source": "REFERENCE", "authProfileId": inputs["authProfileId"]},
    }
    if inputs.get("signature"):
        fields["signature"] = dict(inputs["signature"])
    connection = dict(inputs.get("connection") or {})
    count, outcomes = connection.pop("retryCount", 0), connection.pop("retryOn", [])
    if count:
        connection["retryPolicy"] = {"retryCount": count, "retryOn": outcomes}
    return {**fields, "connection": connection} if connection else fields


def _content(setting: Setting | None) -> dict[str, Any]:
    """Return the inputs that make a Setting, without its name; empty ones where it is gone."""
    if setting is None:
        return {"authProfileId": ""}
    content: dict[str, Any] = {"authProfileId": setting.auth.get("authProfileId") or ""}
    names = ("type", "sharedKeyId", "algorithm")
    signature = {name: setting.signature[name] for name in names if name in setting.signature}
    connection = {name: setting.connection[name] for name in TIMEOUTS if setting.connection.get(name) is not None}
    policy = setting.connection.get("retryPolicy") or {}
    if policy.get("retryCount"):
        connection |= {"retryCount": policy["retryCount"], "retryOn": sorted(policy.get("retryOn") or [])}
    parts = {"signature": signature, "connection": connection}
    return {**content, **{name: part for name, part in parts.items() if part}}


def _wanted(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs that decide about the content of a Setting, without what says nothing."""
    names = ("authProfileId", "signature", "connection")
    wanted = {name: inputs[name] for name in names if inputs.get(name)}
    connection = dict(wanted.get("connection", {}))
    if not connection.get("retryCount"):
        connection = {name: value for name, value in connection.items() if name not in {"retryCount", "retryOn"}}
    return {**wanted, **({"connection": connection} if "connection" in wanted else {})}


def _left_behind(ctx: Account, inputs: Mapping[str, Any]) -> Rule | None:
    wanted = (inputs["name"], inputs["url"])
    return next((one for one in ctx.webhook_rules.rules() if (one.name, one.url) == wanted), None)


def _setting_for(ctx: Account, inputs: Mapping[str, Any]) -> Setting:
    """Return a Setting of this name and content: one that an interrupted run left, or a new one."""
    for one in ctx.webhook_rules.settings():
        if one.name == inputs["name"] and _wanted(_content(one)) == _wanted(inputs):
            return one
    return ctx.webhook_rules.create_setting(_fields(inputs))


def _apply(ctx: Account, rule: Rule, inputs: Mapping[str, Any]) -> str:
    """Let a Rule have the declared name and one Setting of the declared content; return the id of that."""
    at = ctx.webhook_rules
    setting = _setting_for(ctx, inputs)
    if rule.settings != (setting.id,) or rule.name != inputs["name"]:
        at.wait(at.change_rule(rule.id, {"friendlyName": inputs["name"], "settings": _all_by(setting.id)}))
    for old in rule.settings:
        if old != setting.id:
            _drop(ctx, old, {rule.name, inputs["name"]})
    return setting.id


def _drop(ctx: Account, setting: str, names: set[Any]) -> None:
    """Delete a Setting that has one of our names, unless another Rule uses it."""
    found = ctx.webhook_rules.setting(setting)
    if found is None or found.name not in names:
        return
    try:
        ctx.webhook_rules.delete_setting(setting)
    except TwilioError as error:
        if error.code != IN_USE:
            raise


def _state(inputs: Mapping[str, Any], rule: str, setting: str) -> Properties:
    return {**inputs, "ruleId": rule, "settingId": setting}
