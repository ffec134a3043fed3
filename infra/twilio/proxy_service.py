"""The resource type `parley:index:ProxyService`: one Twilio Proxy service, https://www.twilio.com/docs/proxy/api/service.

Decisions:

* Nothing is ever replaced: Twilio updates every setting in place, and a new service would cut every open session.
* `defaultTtl` has to be given: Twilio's pages disagree on what its absence means (unlimited, or 90 days). 0 is
  "unlimited", so a session would outlive the consent it stands on; it is refused unless `allowUnlimitedTtl` says so.
* A create is repeated after a lost answer. A service of that unique name is taken for ours only if every setting is as
  declared, it has neither a number nor a session, and either this very create lost an answer or one of its webhooks is
  ours (a URL names one deployment). Anything else is refused with the way to import it.
* Deleting refuses while one of the latest sessions is open: it would cut people off in mid-conversation, and Twilio
  deletes sessions and interactions with their service. `forceDestroy` says otherwise.
* `ChatInstanceSid` is no input: it copies each message into a Chat service, out of reach of the retention schedule.
  One that somebody else sets shows up as drift and is cleared by the next update.
* An account without access to Proxy is told so in the preview, with the way to `direct`.
* An account that records every call by itself (its recording default) is refused in the preview already: no consent is
  asked before such a recording. Where Twilio does not tell, the preview says so and goes on; a create or an update does
  not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from infra.provider import UNKNOWN, CheckFailure, Live, Properties, ProviderError, Resource
from infra.twilio import rules
from infra.twilio.client import RECORDING_DEFAULT, Account, Service, TwilioError, is_loopback

LATEST_SESSIONS: Final = 5000
"""Sessions looked at before a delete. Twilio keeps closed ones for ever, and lists the latest first."""
LONGEST_TTL: Final = 2_147_483_646
_SETTINGS: Final[Mapping[str, str]] = {
    "uniqueName": "unique_name",
    "defaultTtl": "default_ttl",
    "callbackUrl": "callback_url",
    "interceptCallbackUrl": "intercept_callback_url",
    "outOfSessionCallbackUrl": "out_of_session_callback_url",
    "geoMatchLevel": "geo_match_level",
    "numberSelectionBehavior": "number_selection_behavior",
}
"""Input -> the package's name of it."""
_URLS: Final = ("callbackUrl", "interceptCallbackUrl", "outOfSessionCallbackUrl")
_OURS: Final = ("allowUnlimitedTtl", "forceDestroy")
"""Inputs that Twilio knows nothing of."""
_CHAT: Final = "chatInstanceSid"
_RECORDS: Final = (
    "the account has a recording default, which records every call before anybody consents: take it away (Twilio"
    f" Console, Voice, Settings, or `curl -X DELETE -u KEY:SECRET {RECORDING_DEFAULT}`), then try again"
)

_CLOSED: Final = (
    "the account or its API key may not use Twilio Proxy, which is closed to new customers: ask Twilio, or do without"
    " (`pulumi config set parley:masking direct`, docs/direct.md)"
)


class ProxyService(Resource[Account]):
    """A Twilio Proxy service, its webhooks and the rules by which it picks numbers."""

    token = "parley:index:ProxyService"  # noqa: S105
    inputs = frozenset({*_SETTINGS, *_OURS})
    outputs = frozenset({"sid", "accountSid", "url"})

    def check_for(
        self, account: Account | None, inputs: Properties, _old_inputs: Properties
    ) -> tuple[Properties, list[CheckFailure]]:
        """Fill in the defaults, hold every value against Twilio's limits, and see that no default records the calls."""
        given = {**rules.defaults(self.token), **inputs}
        failures = rules.shape({name: value for name, value in given.items() if name != _CHAT}, self.token)
        if not failures:
            failures = list(_problems(given, loopback=_is_local(account)))
        return given, failures or [*_recorded_anyway(account), *_no_access(account)]

    def create(self, ctx: Account, inputs: Properties, /) -> tuple[str, Properties]:
        """Create the service, or take over the one that an earlier, lost answer was about."""
        _refuse_default(ctx)
        settings = _settings(inputs)
        lost = False
        while True:
            try:
                service = ctx.create_service(settings)
                break
            except TwilioError as error:
                if error.status in {401, 403, 429}:
                    raise
                found = ctx.service_named(inputs["uniqueName"])
                if found is not None:
                    service = _ours(ctx, found, inputs, lost=lost or error.lost)
                    break
                if lost or not error.lost:
                    raise
                lost = True
        return service.sid, _state(service, inputs)

    def read(self, ctx: Account, id_: str, inputs: Properties | None, state: Properties | None, /) -> Live | None:
        """Read the service back; whatever differs from the declaration shows up in the inputs."""
        del state
        if not rules.is_sid(id_, "KS"):
            raise ProviderError(f"{id_!r} is no Proxy service: import it by its SID, KS and 32 hexadecimal digits")
        service = ctx.service(id_)
        if service is None:
            return None
        if inputs is None:
            inputs = {**rules.defaults(self.token), "allowUnlimitedTtl": service.default_ttl == 0}
        now = {name: getattr(service, setting) for name, setting in _SETTINGS.items()} | {
            _CHAT: service.chat_instance_sid
        }
        ours = {name: inputs[name] for name in _OURS if name in inputs}
        return Live(ours | {name: value for name, value in now.items() if value is not None}, _state(service, inputs))

    def update(
        self, ctx: Account, id_: str, old_inputs: Properties, state: Properties, inputs: Properties, /
    ) -> Properties:
        """Set every setting as declared, and clear the URLs that are not."""
        del state
        _refuse_default(ctx)
        settings: dict[str, Any] = {**dict.fromkeys(_SETTINGS.values(), ""), **_settings(inputs)}
        if old_inputs.get(_CHAT):
            settings["chat_instance_sid"] = ""
        return _state(ctx.update_service(id_, settings), inputs)

    def delete(self, ctx: Account, id_: str, state: Properties, /) -> None:
        """Delete the service unless people are still talking through it."""
        if not state.get("forceDestroy"):
            count = ctx.open_sessions(id_, look_at=LATEST_SESSIONS)
            if count:
                raise ProviderError(
                    f"Proxy service {id_} has {count} open session(s), which deleting it would cut off: close them"
                    " and try again, or set `forceDestroy` to true with `pulumi up` first"
                )
        ctx.delete_service(id_)


def _is_local(account: Account | None) -> bool:
    return account is not None and account.endpoint is not None and is_loopback(account.endpoint)


def _recorded_anyway(account: Account | None) -> Iterator[CheckFailure]:
    """Yield a failure if the account records every call; where that cannot be read, only say so."""
    if account is None:
        return
    try:
        if account.records_every_call():
            yield CheckFailure("", _RECORDS)
    except TwilioError as error:
        # The engine shows what a plugin writes here; a preview away from the network is none the worse for it.
        print(f"warning: {error} Whether the account records every call is not known.", file=sys.stderr)  # noqa: T201


def _no_access(account: Account | None) -> Iterator[CheckFailure]:
    """Yield a failure if the account may not use Proxy, with the way to do without."""
    if account is None:
        return
    try:
        if not account.may_use_proxy():
            yield CheckFailure("", _CLOSED)
    except TwilioError as error:
        print(f"warning: {error} Whether the account may use Proxy is not known.", file=sys.stderr)  # noqa: T201


def _refuse_default(account: Account) -> None:
    if account.records_every_call():
        raise ProviderError(_RECORDS)


def _problems(given: Mapping[str, Any], *, loopback: bool) -> Iterator[CheckFailure]:
    ttl = given["defaultTtl"]
    if given.get(_CHAT):
        yield CheckFailure(
            _CHAT,
            "copies every message into a Chat service, where no retention rule reaches it: leave it out",
        )
    yield from rules.label(given["uniqueName"], "uniqueName", 191)
    if ttl is not UNKNOWN and ttl == 0 and given["allowUnlimitedTtl"] is False:
        yield CheckFailure(
            "defaultTtl",
            "0 keeps sessions open for ever, beyond any consent: give seconds, such as 3600, or set `allowUnlimitedTtl`"
            " to true",
        )
    if ttl is not UNKNOWN and not 0 <= ttl <= LONGEST_TTL:
        yield CheckFailure("defaultTtl", f"is {ttl}; Twilio takes seconds from 1 to {LONGEST_TTL}")
    for url in _URLS:
        yield from rules.webhook(given.get(url), url, loopback=loopback)


def _settings(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {setting: inputs[name] for name, setting in _SETTINGS.items() if inputs.get(name) is not None}


def _ours(ctx: Account, found: Service, inputs: Mapping[str, Any], *, lost: bool) -> Service:
    live = asdict(found)
    wanted = _settings(inputs)
    same = all(live[setting] == wanted.get(setting) for setting in _SETTINGS.values())
    known = lost or any(inputs.get(url) for url in _URLS)
    if same and known and found.chat_instance_sid is None and ctx.is_unused(found.sid):
        return found
    raise ProviderError(
        f"there is a Proxy service named {inputs['uniqueName']!r} already ({found.sid}), and nothing shows that it is"
        f" this stack's: take it over with `pulumi import parley:index:ProxyService NAME {found.sid}`, or choose"
        " another `uniqueName`"
    )


def _state(service: Service, inputs: Mapping[str, Any]) -> Properties:
    settings = {name: getattr(service, setting) for name, setting in _SETTINGS.items()}
    ours = {name: inputs[name] for name in _OURS if name in inputs}
    return {**settings, **ours, "sid": service.sid, "accountSid": service.account_sid, "url": service.url}
