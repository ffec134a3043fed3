"""Webhook Settings and Rules: by its URL, how a webhook is signed, authenticated and repeated.

https://www.twilio.com/docs/usage/webhooks/webhook-configuration, a public beta since September 2026, and the pages of
its resources: `webhook-settings`, `webhook-rules`, `webhook-shared-keys` and `webhook-auth-profiles`. What they leave
open is in `local.twilio`.
"""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from twilio.request_validator import HMAC_SHA1, HMAC_SHA256  # type: ignore[import-untyped]

from local.twilio.errors import TwilioError
from local.twilio.state import AuthProfile, SharedKey, WebhookOperation, WebhookRule, WebhookSetting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local.twilio.state import State

LIMIT: Final = 50
"""How many resources of each kind an account may have (docs/api/errors/59200)."""
PROPAGATION_SECONDS: Final = 30.0
"""How long an operation runs if nobody looks; the real one takes 30 to 60 seconds."""
RETENTION_SECONDS: Final = 7 * 86400.0
"""How long an operation is remembered."""
OUTCOMES: Final = frozenset({"HTTP_4XX", "HTTP_5XX", "CONNECTION_TIMEOUT", "READ_TIMEOUT", "ALL"})
"""What a Setting can have repeated."""
SECRETS: Final = frozenset({"clientSecret", "password"})
"""Credentials that are never told."""
_CREDENTIALS: Final = (
    "tokenUrl",
    "clientId",
    "clientSecret",
    "scope",
    "audience",
    "clientCredentialsAuthMethod",
    "username",
    "password",
)
_TIMEOUTS: Final = {"connectTimeoutMs": 15000, "readTimeoutMs": 15000, "totalTimeoutMs": 60000}
_MATCH_FIELDS: Final = {"EXACT_MATCH": "value", "PREFIX_MATCH": "prefix", "DEFAULT": ""}
"""The match types in the order in which they are tried, each with the field that it needs."""
_BASE32: Final = "0123456789abcdefghjkmnpqrstvwxyz"

Owned = TypeVar("Owned", SharedKey, AuthProfile, WebhookSetting, WebhookRule, WebhookOperation)


@dataclass(frozen=True, slots=True)
class Manner:
    """How one webhook is sent. Without an `algorithm` the auth token signs it."""

    algorithm: str = ""
    key_id: str = ""
    secret: str = field(default="", repr=False)
    authorization: str = field(default="", repr=False)
    read_seconds: float | None = None
    retries: int = 0
    retry_on: frozenset[str] = frozenset()

    def repeats(self, outcome: str) -> bool:
        """Tell whether an attempt that ended in this, one of `OUTCOMES` or empty, is to be followed by another."""
        return outcome != "" and not self.retry_on.isdisjoint({outcome, "ALL"})


def owned(records: Mapping[str, Owned], account_sid: str) -> list[Owned]:
    """Return an account's resources of one kind, the oldest first."""
    return [one for one in records.values() if one.account_sid == account_sid]


def fetch(records: Mapping[str, Owned], account_sid: str, name: str) -> Owned:
    """Return a resource. Raises TwilioError 59003."""
    found = records.get(name)
    if found is None or found.account_sid != account_sid:
        raise TwilioError(59003, f"the account has no {name}")
    return found


class WebhookRules:
    """The account's Rules and what they name. Not thread-safe: the caller holds the carrier's lock.

    What a client `wanted` is its JSON without nulls. Whoever creates or changes something raises TwilioError 59000 with
    the name of the field that is wrong, 59200 when the account has enough of the kind, and 59201 for an id of nothing.
    """

    def __init__(self, state: State, now: Callable[[], float]) -> None:
        self._state, self._now = state, now

    # SharedKeys and AuthProfiles ------------------------------------------------------------------------------

    def create_shared_key(self, account_sid: str, wanted: Mapping[str, Any]) -> SharedKey:
        """Make a key that signs webhooks."""
        key = SharedKey(
            # As twilio-python's request_validator writes it. `authprofile` and `operation` are after its pattern, and
            # assumed; `setting` and `rule` stand in Twilio's pages.
            _new_id("sharedkey"),
            account_sid,
            _text(wanted, "friendlyName", 255),
            _text(wanted, "type", 255) or None,
            secrets.token_urlsafe(32),
            *self._birth(self._state.shared_keys, account_sid),
        )
        self._state.shared_keys[key.id] = key
        return key

    def create_auth_profile(self, account_sid: str, wanted: Mapping[str, Any]) -> AuthProfile:
        """Make credentials that several Settings can name."""
        kind = _text(wanted, "type", 255)
        if not kind:
            raise TwilioError(59000, "type is required")
        profile = AuthProfile(
            _new_id("authprofile"),
            account_sid,
            _text(wanted, "friendlyName", 255),
            kind,
            _credentials(wanted, ""),
            *self._birth(self._state.auth_profiles, account_sid),
        )
        self._state.auth_profiles[profile.id] = profile
        return profile

    def rename(self, record: SharedKey | AuthProfile | WebhookSetting, wanted: Mapping[str, Any]) -> None:
        """Change a resource's name, and a Setting's description; nothing else of these can be changed."""
        known = {"friendlyName", "description"} if isinstance(record, WebhookSetting) else {"friendlyName"}
        for name in wanted:
            if name not in known:
                raise TwilioError(59000, f"{name} cannot be changed: make another resource")
        if isinstance(record, WebhookSetting):
            record.description = _text(wanted, "description", 1024, record.description)
        record.friendly_name, record.updated = _text(wanted, "friendlyName", 255, record.friendly_name), self._now()

    def delete_shared_key(self, key: SharedKey) -> None:
        """Delete a key. Raises TwilioError 59100 while a Setting signs with it."""
        _refuse_used(one.id for one in self.settings(key.account_sid, {"sharedKeyId": key.id}))
        del self._state.shared_keys[key.id]

    def delete_auth_profile(self, profile: AuthProfile) -> None:
        """Delete credentials. Raises TwilioError 59100 while a Setting names them."""
        _refuse_used(one.id for one in self.settings(profile.account_sid, {"authProfileId": profile.id}))
        del self._state.auth_profiles[profile.id]

    # Settings -------------------------------------------------------------------------------------------------

    def settings(self, account_sid: str, filters: Mapping[str, str]) -> list[WebhookSetting]:
        """Return the Settings of an account that name a key or credentials; Twilio has none of its own here."""
        if filters.get("type", "CUSTOMER") != "CUSTOMER":
            return []
        return [
            one
            for one in owned(self._state.webhook_settings, account_sid)
            if filters.get("sharedKeyId") in {None, (one.signature or {}).get("sharedKeyId")}
            and filters.get("authProfileId") in {None, one.auth.get("authProfileId")}
        ]

    def create_setting(self, account_sid: str, wanted: Mapping[str, Any]) -> WebhookSetting:
        """Make a Setting."""
        setting = WebhookSetting(
            _new_id("setting"),
            account_sid,
            _text(wanted, "friendlyName", 255),
            _text(wanted, "description", 1024),
            self._auth(account_sid, wanted),
            self._signature(account_sid, wanted),
            _connection(wanted),
            _object(wanted, "edgeZones"),
            *self._birth(self._state.webhook_settings, account_sid),
        )
        self._state.webhook_settings[setting.id] = setting
        return setting

    def delete_setting(self, setting: WebhookSetting) -> None:
        """Delete a Setting. Raises TwilioError 59100 while a Rule routes to it, be it one that is on its way out."""
        account = setting.account_sid
        rules = [*owned(self._state.webhook_rules, account), *self._in_force(account)]
        _refuse_used(rule.id for rule in rules if setting.id in _named(rule))
        del self._state.webhook_settings[setting.id]

    def _auth(self, account_sid: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        auth = _object(wanted, "auth")
        if auth is None:
            raise TwilioError(59000, "auth is required")
        if auth.get("source") == "REFERENCE":
            profile = _text(auth, "authProfileId", 255, where="auth.")
            self._known(self._state.auth_profiles, account_sid, "auth.authProfileId", profile)
            return {"source": "REFERENCE", "authProfileId": profile}
        if auth.get("source") != "INLINE":
            raise TwilioError(59000, "auth.source must be INLINE or REFERENCE")
        value = _object(auth, "value", "auth.") or {}
        scheme = _text(value, "scheme", 255, where="auth.value.")
        if not scheme:
            raise TwilioError(59000, "auth.value.scheme is required")
        return {"source": "INLINE", "value": {"scheme": scheme} | _credentials(value, "auth.value.")}

    def _signature(self, account_sid: str, wanted: Mapping[str, Any]) -> dict[str, str] | None:
        signature = _object(wanted, "signature")
        if signature is None:
            return None
        algorithm = _text(signature, "algorithm", 255, where="signature.")
        key = _text(signature, "sharedKeyId", 255, where="signature.")
        if algorithm not in {HMAC_SHA1, HMAC_SHA256}:
            raise TwilioError(59000, f"signature.algorithm must be {HMAC_SHA256} or {HMAC_SHA1}")
        self._known(self._state.shared_keys, account_sid, "signature.sharedKeyId", key)
        # The pages do not say what its only type is called.
        kind = _text(signature, "type", 255, "SHARED_KEY", where="signature.")
        return {"type": kind, "sharedKeyId": key, "algorithm": algorithm}

    # Rules and operations -------------------------------------------------------------------------------------

    def rules(self, account_sid: str, filters: Mapping[str, str]) -> list[WebhookRule]:
        """Return the Rules of an account, or those that route to a Setting."""
        rules = owned(self._state.webhook_rules, account_sid)
        return [rule for rule in rules if "settingId" not in filters or filters["settingId"] in _named(rule)]

    def create_rule(
        self, account_sid: str, wanted: Mapping[str, Any], failure: int | None = None
    ) -> tuple[WebhookRule, WebhookOperation]:
        """Make a Rule; with a `failure` its operation fails with that code. Raises TwilioError 59103, 59202 too."""
        born = self._birth(self._state.webhook_rules, account_sid)
        rule = self._checked(WebhookRule(_new_id("rule"), account_sid, "", "", "", "", [], *born), wanted)
        if failure is None:
            self._state.webhook_rules[rule.id] = rule
        return rule, self._begin(rule, None, failure)

    def update_rule(
        self, rule: WebhookRule, wanted: Mapping[str, Any], failure: int | None = None
    ) -> tuple[WebhookRule, WebhookOperation]:
        """Change whatever is given of a Rule, as `create_rule` makes one."""
        changed = self._checked(replace(rule, updated=self._now()), wanted)
        if failure is None:
            self._state.webhook_rules[rule.id] = changed
        return changed, self._begin(rule, asdict(rule), failure)

    def delete_rule(self, rule: WebhookRule, failure: int | None = None) -> WebhookOperation:
        """Delete a Rule, unless with a `failure`."""
        if failure is None:
            del self._state.webhook_rules[rule.id]
        return self._begin(rule, asdict(rule), failure)

    def operations(self, account_sid: str, filters: Mapping[str, str]) -> list[WebhookOperation]:
        """Return the operations of an account in the last 7 days, or those in a status or of a resource."""
        return [
            one
            for one in owned(self._state.webhook_operations, account_sid)
            if self._now() < one.created + RETENTION_SECONDS
            and filters.get("status") in {None, self.status(one)}
            and filters.get("resourceId") in {None, one.resource_id}
        ]

    def look(self, account_sid: str, name: str) -> WebhookOperation:
        """Return an operation to somebody who waits for it: with the second look it ends. Raises TwilioError 59003."""
        remembered = {one.id: one for one in self.operations(account_sid, {})}
        operation = fetch(remembered, account_sid, name)
        if self.completed(operation) is None:
            operation.looks += 1
            operation.completed = self._now() if operation.looks > 1 else None
        return operation

    def completed(self, operation: WebhookOperation) -> float | None:
        """Return when an operation ended, None while it runs."""
        if operation.completed is not None:
            return operation.completed
        end = operation.created + PROPAGATION_SECONDS
        return end if self._now() >= end else None

    def status(self, operation: WebhookOperation) -> str:
        """Return where an operation is: it is never CANCELLED here."""
        if self.completed(operation) is None:
            return "RUNNING" if operation.looks else "PENDING"
        return "COMPLETED" if operation.failure is None else "FAILED"

    def _begin(self, rule: WebhookRule, before: dict[str, Any] | None, failure: int | None) -> WebhookOperation:
        operation = WebhookOperation(
            _new_id("operation"), rule.account_sid, rule.id, before, failure, self._now(), self._state.next_seq()
        )
        self._state.webhook_operations[operation.id] = operation
        return operation

    def _checked(self, rule: WebhookRule, wanted: Mapping[str, Any]) -> WebhookRule:
        """Return a Rule with what is wanted of it."""
        kind = _text(wanted, "matchType", 255, rule.match_type)
        if kind not in _MATCH_FIELDS:
            raise TwilioError(59000, f"matchType must be one of {', '.join(_MATCH_FIELDS)}")
        needed = _MATCH_FIELDS[kind]
        for name in sorted({"value", "prefix"} - {needed}):
            if name in wanted:
                raise TwilioError(59000, f"{name} is no field of {kind}")
        match = ""
        if needed:
            match = _url(wanted, needed, rule.match if kind == rule.match_type else "")
        changed = replace(
            rule,
            friendly_name=_text(wanted, "friendlyName", 255, rule.friendly_name),
            description=_text(wanted, "description", 1024, rule.description),
            match_type=kind,
            match=match,
            settings=_shares(wanted.get("settings", rule.settings)),
        )
        for name in _named(changed):
            self._known(self._state.webhook_settings, rule.account_sid, "settings.settingId", name)
        if kind == "DEFAULT" and any(self._basic(self._state.webhook_settings[name]) for name in _named(changed)):
            raise TwilioError(59202, "Basic credentials would go to every URL without another Rule")
        for other in owned(self._state.webhook_rules, rule.account_sid):
            if other.id != rule.id and (other.match_type, other.match) == (kind, match):
                raise TwilioError(59103, f"{other.id} has this matchType{f' and {needed}' if needed else ''}")
        return changed

    # Deliveries -----------------------------------------------------------------------------------------------

    def manner(self, account_sid: str, url: str) -> Manner:
        """Return how a webhook to a URL, which has no fragment, is sent: the first Rule that matches decides.

        An exact match comes first, then the longest prefix, then the default (docs/usage/webhooks/webhook-rules). Of
        two Settings the one with the greater share has all of it, so that a test knows which.
        """
        order = list(_MATCH_FIELDS)
        matching = sorted(
            (rule for rule in self._in_force(account_sid) if _matches(rule, url)),
            key=lambda rule: (order.index(rule.match_type), -len(rule.match)),
        )
        if not matching:
            return Manner()
        share = max(matching[0].settings, key=lambda one: int(one["percentage"]))
        setting = self._state.webhook_settings[share["settingId"]]
        signature, connection = setting.signature or {}, setting.connection or {}
        key = self._state.shared_keys[signature["sharedKeyId"]] if signature else None
        read, policy = connection.get("readTimeoutMs"), connection.get("retryPolicy", {})
        return Manner(
            algorithm=signature.get("algorithm", ""),
            key_id=key.id if key else "",
            secret=key.secret if key else "",
            authorization=self._basic(setting),
            read_seconds=None if read is None else read / 1000,
            retries=policy.get("retryCount", 0),
            retry_on=frozenset(policy.get("retryOn", ())),
        )

    def _in_force(self, account_sid: str) -> list[WebhookRule]:
        """Return the Rules that deliveries see: while its operation runs, a Rule is as before everywhere.

        The real one is in force region by region meanwhile.
        """
        before: dict[str, dict[str, Any] | None] = {}
        for operation in owned(self._state.webhook_operations, account_sid):
            if operation.failure is None and self.completed(operation) is None:
                before.setdefault(operation.resource_id, operation.before)
            elif operation.failure is None:
                before.pop(operation.resource_id, None)
        settled = [rule for rule in owned(self._state.webhook_rules, account_sid) if rule.id not in before]
        return settled + [WebhookRule(**rule) for rule in before.values() if rule is not None]

    def _basic(self, setting: WebhookSetting) -> str:
        """Return the Authorization header of a Setting with Basic authentication, empty for any other."""
        if setting.auth["source"] == "INLINE":
            kind, credentials = setting.auth["value"]["scheme"], setting.auth["value"]
        else:
            profile = self._state.auth_profiles[setting.auth["authProfileId"]]
            kind, credentials = profile.kind, profile.credentials
        # What the scheme is called stands in no page.
        if "BASIC" not in kind.upper():
            return ""
        pair = f"{credentials.get('username', '')}:{credentials.get('password', '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    # Checks ---------------------------------------------------------------------------------------------------

    def _birth(self, records: Mapping[str, Owned], account_sid: str) -> tuple[float, float, int]:
        """Return when a resource was created and updated, and its counter, if the account may have one more."""
        if len(owned(records, account_sid)) >= LIMIT:
            raise TwilioError(59200, f"an account has at most {LIMIT} of a kind")
        now = self._now()
        return now, now, self._state.next_seq()

    @staticmethod
    def _known(records: Mapping[str, Owned], account_sid: str, field_name: str, name: str) -> None:
        if name not in {one.id for one in owned(records, account_sid)}:
            raise TwilioError(59201, f"{field_name} names nothing of this account")


def _new_id(kind: str) -> str:
    """Return a fresh TypeID: a UUIDv7 in Crockford's base32 begins with 0 for centuries."""
    return f"webhooks_{kind}_0{''.join(secrets.choice(_BASE32) for _ in range(25))}"


def _refuse_used(users: Iterable[str]) -> None:
    found = sorted(set(users))
    if found:
        raise TwilioError(59100, f"used by {', '.join(found)}")


def _named(rule: WebhookRule) -> list[str]:
    return [share["settingId"] for share in rule.settings]


def _matches(rule: WebhookRule, url: str) -> bool:
    return url == rule.match if rule.match_type == "EXACT_MATCH" else url.startswith(rule.match)


def _text(wanted: Mapping[str, Any], name: str, longest: int, default: str = "", where: str = "") -> str:
    value = wanted.get(name, default)
    if not isinstance(value, str) or len(value) > longest:
        raise TwilioError(59000, f"{where}{name} must be a text of at most {longest} characters")
    return value


def _object(wanted: Mapping[str, Any], name: str, where: str = "") -> dict[str, Any] | None:
    value = wanted.get(name)
    if not isinstance(value, dict | None):
        raise TwilioError(59000, f"{where}{name} must be an object")
    return value


def _whole(wanted: Mapping[str, Any], name: str, where: str, least: int, most: int | None = None) -> int:
    value = wanted[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise TwilioError(59000, f"{where}{name} must be a whole number {bounds}")
    return value


def _credentials(wanted: Mapping[str, Any], where: str) -> dict[str, str]:
    return {name: _text(wanted, name, 2048, where=where) for name in _CREDENTIALS if name in wanted}


def _connection(wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    connection = _object(wanted, "connection")
    if connection is None:
        return None
    where = "connection."
    checked: dict[str, Any] = {
        name: _whole(connection, name, where, 100, most) for name, most in _TIMEOUTS.items() if name in connection
    }
    policy = _object(connection, "retryPolicy", where)
    if policy is not None:
        where = "connection.retryPolicy."
        retried = policy.get("retryOn", [])
        if not isinstance(retried, list) or not all(isinstance(one, str) and one in OUTCOMES for one in retried):
            raise TwilioError(59000, f"{where}retryOn must be a list of {', '.join(sorted(OUTCOMES))}")
        count = _whole({"retryCount": 0} | policy, "retryCount", where, 0)
        checked["retryPolicy"] = {"retryCount": count, "retryOn": retried}
    return checked


def _url(wanted: Mapping[str, Any], name: str, default: str) -> str:
    """Return the URL that a Rule is to match: no wildcards, and a slash at the end of a prefix only."""
    url = _text(wanted, name, 2048, default)
    if not re.fullmatch(r"https?://[^/*\s][^*\s]*", url):
        raise TwilioError(59000, f"{name} must be a URL without special characters")
    if url.endswith("/") != (name == "prefix"):
        raise TwilioError(59000, f"{name} must {'' if name == 'prefix' else 'not '}end with /")
    return url


def _shares(wanted: Any) -> list[dict[str, Any]]:
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= 2 or not all(isinstance(one, dict) for one in wanted):
        raise TwilioError(59000, "settings must be a list of one or two objects")
    shares: list[dict[str, Any]] = [
        {
            "settingId": _text(one, "settingId", 255, where="settings."),
            "percentage": _whole({"percentage": None} | one, "percentage", "settings.", 0, 100),
        }
        for one in wanted
    ]
    if sum(share["percentage"] for share in shares) != 100:
        raise TwilioError(59000, "settings.percentage must sum to 100")
    return shares
