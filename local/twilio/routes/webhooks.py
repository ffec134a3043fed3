"""webhooks.twilio.com/v1: SharedKeys, AuthProfiles, Settings, Rules and the operations by which Rules change.

JSON in and out, in camelCase; errors after RFC 9457 (https://www.twilio.com/docs/usage/webhooks/webhook-configuration).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from local.twilio import paging
from local.twilio.errors import TwilioError
from local.twilio.moments import iso8601
from local.twilio.routes import Answer, Exchange, Headed, Routes
from local.twilio.state import WebhookAnswer
from local.twilio.webhook_rules import SECRETS, fetch, owned

if TYPE_CHECKING:
    from local.twilio.state import AuthProfile, SharedKey, WebhookOperation, WebhookRule, WebhookSetting
    from local.twilio.webhook_rules import WebhookRules

ROUTES: Final = Routes("webhooks")
_ROOT: Final = "https://webhooks.twilio.com"
_BASE: Final = "/v1/Webhooks"


def _once(handler: Callable[..., Answer]) -> Callable[..., Answer]:
    """Let a request with an Idempotency-Key, a UUIDv7, be answered as it was the first time, but for a secret."""

    @wraps(handler)
    def answer(exchange: Exchange, **arguments: str) -> Answer:
        key = exchange.idempotency_key
        if key is None:
            return handler(exchange, **arguments)
        if not _is_uuid7(key):
            raise TwilioError(59000, "Idempotency-Key must be a UUIDv7")
        answers, place = exchange.carrier.state.webhook_answers, f"{exchange.account.sid}/{key.lower()}"
        request = f"{handler.__name__} {exchange.path}"
        told = answers.get(place)
        if told is not None and told.request != request:
            raise TwilioError(59000, "Idempotency-Key belongs to another request")
        if told is not None:
            return told.status, Headed(told.body, told.headers)
        status, body = handler(exchange, **arguments)
        headed = body if isinstance(body, Headed) else Headed(body if isinstance(body, dict) else None, {})
        kept = None if headed.body is None else {name: value for name, value in headed.body.items() if name != "secret"}
        answers[place] = WebhookAnswer(exchange.account.sid, request, status, kept, headed.headers)
        return status, headed

    return answer


def _is_uuid7(text: str) -> bool:
    try:
        found = uuid.UUID(text)
    except ValueError:
        return False
    return found.version == 7 and str(found) == text.lower()


def _wanted(exchange: Exchange) -> dict[str, Any]:
    """Return what was sent without nulls: twilio-python sends one for whatever it was not given."""
    pruned: dict[str, Any] = _pruned(exchange.json)
    return pruned


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _pruned(each) for name, each in value.items() if each is not None}
    return [_pruned(each) for each in value] if isinstance(value, list) else value


def _times(record: SharedKey | AuthProfile | WebhookSetting | WebhookRule) -> dict[str, str | None]:
    return {"createdAt": iso8601(record.created), "updatedAt": iso8601(record.updated)}


def _told(credentials: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in credentials.items() if name not in SECRETS}


# SharedKeys ---------------------------------------------------------------------------------------------------


def _shared_key(key: SharedKey) -> dict[str, Any]:
    return {"id": key.id, "type": key.kind, "friendlyName": key.friendly_name} | _times(key)


@ROUTES.add("GET", f"{_BASE}/SharedKeys")
def list_shared_keys(exchange: Exchange) -> Answer:
    """List the account's keys."""
    found = owned(exchange.carrier.state.shared_keys, exchange.account.sid)
    return 200, paging.tokens("sharedKeys", found, exchange.query, _shared_key, 100)


@ROUTES.add("POST", f"{_BASE}/SharedKeys")
@_once
def create_shared_key(exchange: Exchange) -> Answer:
    """Make a key, and tell its secret this once."""
    key = exchange.carrier.webhook_rules.create_shared_key(exchange.account.sid, _wanted(exchange))
    return 201, _shared_key(key) | {"secret": key.secret}


@ROUTES.add("GET", f"{_BASE}/SharedKeys/<name>")
def fetch_shared_key(exchange: Exchange, name: str) -> Answer:
    """Fetch a key."""
    return 200, _shared_key(fetch(exchange.carrier.state.shared_keys, exchange.account.sid, name))


@ROUTES.add("PATCH", f"{_BASE}/SharedKeys/<name>")
@_once
def update_shared_key(exchange: Exchange, name: str) -> Answer:
    """Rename a key."""
    key = fetch(exchange.carrier.state.shared_keys, exchange.account.sid, name)
    exchange.carrier.webhook_rules.rename(key, _wanted(exchange))
    return 200, _shared_key(key)


@ROUTES.add("DELETE", f"{_BASE}/SharedKeys/<name>")
@_once
def delete_shared_key(exchange: Exchange, name: str) -> Answer:
    """Delete a key with which no Setting signs."""
    key = fetch(exchange.carrier.state.shared_keys, exchange.account.sid, name)
    exchange.carrier.webhook_rules.delete_shared_key(key)
    return 204, None


# AuthProfiles -------------------------------------------------------------------------------------------------


def _auth_profile(profile: AuthProfile) -> dict[str, Any]:
    about = {"id": profile.id, "type": profile.kind, "friendlyName": profile.friendly_name}
    return about | _told(profile.credentials) | _times(profile)


@ROUTES.add("GET", f"{_BASE}/AuthProfiles")
def list_auth_profiles(exchange: Exchange) -> Answer:
    """List the account's credentials, without what is secret of them."""
    found = owned(exchange.carrier.state.auth_profiles, exchange.account.sid)
    return 200, paging.tokens("authProfiles", found, exchange.query, _auth_profile, 100)


@ROUTES.add("POST", f"{_BASE}/AuthProfiles")
@_once
def create_auth_profile(exchange: Exchange) -> Answer:
    """Make credentials for several Settings."""
    return 201, _auth_profile(
        exchange.carrier.webhook_rules.create_auth_profile(exchange.account.sid, _wanted(exchange))
    )


@ROUTES.add("GET", f"{_BASE}/AuthProfiles/<name>")
def fetch_auth_profile(exchange: Exchange, name: str) -> Answer:
    """Fetch credentials, without what is secret of them."""
    return 200, _auth_profile(fetch(exchange.carrier.state.auth_profiles, exchange.account.sid, name))


@ROUTES.add("PATCH", f"{_BASE}/AuthProfiles/<name>")
@_once
def update_auth_profile(exchange: Exchange, name: str) -> Answer:
    """Rename credentials."""
    profile = fetch(exchange.carrier.state.auth_profiles, exchange.account.sid, name)
    exchange.carrier.webhook_rules.rename(profile, _wanted(exchange))
    return 200, _auth_profile(profile)


@ROUTES.add("DELETE", f"{_BASE}/AuthProfiles/<name>")
@_once
def delete_auth_profile(exchange: Exchange, name: str) -> Answer:
    """Delete credentials that no Setting names."""
    profile = fetch(exchange.carrier.state.auth_profiles, exchange.account.sid, name)
    exchange.carrier.webhook_rules.delete_auth_profile(profile)
    return 204, None


# Settings -----------------------------------------------------------------------------------------------------


def _setting(setting: WebhookSetting) -> dict[str, Any]:
    auth = {name: _told(value) if name == "value" else value for name, value in setting.auth.items()}
    return {
        "id": setting.id,
        "type": "CUSTOMER",
        "friendlyName": setting.friendly_name,
        "description": setting.description,
        "auth": auth,
        "signature": setting.signature,
        "connection": setting.connection,
        "edgeZones": setting.edge_zones,
    } | _times(setting)


@ROUTES.add("GET", f"{_BASE}/Settings")
def list_settings(exchange: Exchange) -> Answer:
    """List the account's Settings, or those that name a key or credentials."""
    found = exchange.carrier.webhook_rules.settings(exchange.account.sid, exchange.query)
    return 200, paging.tokens("settings", found, exchange.query, _setting, 100)


@ROUTES.add("POST", f"{_BASE}/Settings")
@_once
def create_setting(exchange: Exchange) -> Answer:
    """Make a Setting."""
    return 201, _setting(exchange.carrier.webhook_rules.create_setting(exchange.account.sid, _wanted(exchange)))


@ROUTES.add("GET", f"{_BASE}/Settings/<name>")
def fetch_setting(exchange: Exchange, name: str) -> Answer:
    """Fetch a Setting."""
    return 200, _setting(fetch(exchange.carrier.state.webhook_settings, exchange.account.sid, name))


@ROUTES.add("PATCH", f"{_BASE}/Settings/<name>")
@_once
def update_setting(exchange: Exchange, name: str) -> Answer:
    """Change the name and the description of a Setting."""
    setting = fetch(exchange.carrier.state.webhook_settings, exchange.account.sid, name)
    exchange.carrier.webhook_rules.rename(setting, _wanted(exchange))
    return 200, _setting(setting)


@ROUTES.add("DELETE", f"{_BASE}/Settings/<name>")
@_once
def delete_setting(exchange: Exchange, name: str) -> Answer:
    """Delete a Setting to which no Rule routes."""
    setting = fetch(exchange.carrier.state.webhook_settings, exchange.account.sid, name)
    exchange.carrier.webhook_rules.delete_setting(setting)
    return 204, None


# Rules and operations -----------------------------------------------------------------------------------------


def _rule(rule: WebhookRule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "friendlyName": rule.friendly_name,
        "description": rule.description,
        "matchType": rule.match_type,
        "value": rule.match if rule.match_type == "EXACT_MATCH" else None,
        "prefix": rule.match if rule.match_type == "PREFIX_MATCH" else None,
        "settings": rule.settings,
    } | _times(rule)


def _operation(rules: WebhookRules, operation: WebhookOperation) -> dict[str, Any]:
    status, failed = rules.status(operation), {}
    if operation.failure is not None and status == "FAILED":
        failed = {"error": TwilioError(operation.failure).problem()}
    return {
        "id": operation.id,
        "statusUrl": f"{_ROOT}{_BASE}/Operations/{operation.id}",
        "status": status,
        "resourceId": operation.resource_id,
        "createdAt": iso8601(operation.created),
        "completedAt": iso8601(rules.completed(operation)),
        "retentionPeriod": "P7D",
    } | failed


def _accepted(exchange: Exchange, operation: WebhookOperation, rule: WebhookRule | None) -> Answer:
    """Return the answer to a change that goes on after it; a deleted Rule is left out."""
    shown = _operation(exchange.carrier.webhook_rules, operation)
    body = {"operation": shown} | ({} if rule is None else {"rule": _rule(rule)})
    return 202, Headed(body, {"Operation-Id": operation.id, "Location": shown["statusUrl"]})


@ROUTES.add("GET", f"{_BASE}/Rules")
def list_rules(exchange: Exchange) -> Answer:
    """List the account's Rules, or those that route to a Setting."""
    found = exchange.carrier.webhook_rules.rules(exchange.account.sid, exchange.query)
    return 200, paging.tokens("rules", found, exchange.query, _rule, 100)


@ROUTES.add("POST", f"{_BASE}/Rules")
@_once
def create_rule(exchange: Exchange) -> Answer:
    """Make a Rule."""
    rules, failure = exchange.carrier.webhook_rules, exchange.operation_failure
    rule, operation = rules.create_rule(exchange.account.sid, _wanted(exchange), failure)
    return _accepted(exchange, operation, rule)


@ROUTES.add("GET", f"{_BASE}/Rules/<name>")
def fetch_rule(exchange: Exchange, name: str) -> Answer:
    """Fetch a Rule."""
    return 200, _rule(fetch(exchange.carrier.state.webhook_rules, exchange.account.sid, name))


@ROUTES.add("PATCH", f"{_BASE}/Rules/<name>")
@_once
def update_rule(exchange: Exchange, name: str) -> Answer:
    """Change a Rule."""
    before = fetch(exchange.carrier.state.webhook_rules, exchange.account.sid, name)
    rules, failure = exchange.carrier.webhook_rules, exchange.operation_failure
    rule, operation = rules.update_rule(before, _wanted(exchange), failure)
    return _accepted(exchange, operation, rule)


@ROUTES.add("DELETE", f"{_BASE}/Rules/<name>")
@_once
def delete_rule(exchange: Exchange, name: str) -> Answer:
    """Delete a Rule."""
    rule = fetch(exchange.carrier.state.webhook_rules, exchange.account.sid, name)
    operation = exchange.carrier.webhook_rules.delete_rule(rule, exchange.operation_failure)
    return _accepted(exchange, operation, None)


@ROUTES.add("GET", f"{_BASE}/Operations")
def list_operations(exchange: Exchange) -> Answer:
    """List the account's operations, or those in a status or of a resource."""
    rules = exchange.carrier.webhook_rules
    found = rules.operations(exchange.account.sid, exchange.query)
    return 200, paging.tokens("operations", found, exchange.query, lambda one: _operation(rules, one), 100)


@ROUTES.add("GET", f"{_BASE}/Operations/<name>")
def fetch_operation(exchange: Exchange, name: str) -> Answer:
    """Look at an operation."""
    rules = exchange.carrier.webhook_rules
    return 200, _operation(rules, rules.look(exchange.account.sid, name))
