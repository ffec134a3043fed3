"""The resource type `parley:index:NumberWebhooks`: numbers whose calls and texts go to webhooks of ours, as one set.

It is the pool of a stack without Twilio Proxy. A number is in it exactly if every one of its URLs is as declared, so
one that somebody pointed elsewhere shows up as gone in the next refresh, and the next update points it back; the others
are not touched. What `NumberPool` says of adopting, buying, reserving and keeping holds here as well. Decisions:

* A reserved number says so itself: its voice and SMS URLs end in `?reserved=true`. So whoever assigns numbers learns
  it from Twilio, and thousands of them need no room in an environment.
* A number that is in a Proxy service, or has a voice application, an SMS application or a trunk, is refused by name:
  Proxy would take its URLs back, and the others win over them.
* A number that leaves the set keeps nothing of ours: its URLs are emptied, but only those that are still ours.
* A `NumberPool` whose type an alias changes into this one brings its numbers: they are taken out of their Proxy
  service, unless somebody talks through them, and point here then. Bought ones stay bought, and none is released.
  `NumberPool` takes them back the same way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from infra.provider import CheckFailure, Diff, Live, PartialFailure, Properties, ProviderError
from infra.twilio import pool_checks, rules
from infra.twilio.client import RESERVED, Account, LineNumber, PoolNumber, is_loopback
from infra.twilio.number_pool import URLS, NumberPool, leave_service

_MARKED: Final = ("voiceUrl", "smsUrl")


class NumberWebhooks(NumberPool):
    """A set of numbers that point at webhooks: adopted, bought, reserved."""

    token = "parley:index:NumberWebhooks"  # noqa: S105
    inputs = frozenset({*URLS, "adopt", "buy", "reserved", "releaseOnDelete"})
    outputs = frozenset({"numbers", "size", "spares"})

    def check_for(
        self, account: Account | None, inputs: Properties, old_inputs: Properties
    ) -> tuple[Properties, list[CheckFailure]]:
        """Check what can be told before the deployment, ownership of the numbers included; they become SIDs."""
        given = {"adopt": [], "buy": [], "reserved": [], **rules.defaults(self.token), **inputs}
        local = account is not None and account.endpoint is not None and is_loopback(account.endpoint)
        failures = rules.shape(given, self.token) or [
            *(failure for name in URLS for failure in rules.webhook(given[name], name, loopback=local)),
            *pool_checks.order_problems(given["buy"]),
            *pool_checks.spelling_problems(given),
        ]
        return given, failures or pool_checks.settle(account, given, old_inputs, limited=False)

    def diff(self, ctx: Account, id_: str, old_inputs: Properties, state: Properties, inputs: Properties, /) -> Diff:
        """Compare the inputs; the numbers as sets."""
        return super().diff(ctx, id_, old_inputs, state, inputs)

    def preview(self, ctx: Account, inputs: Properties, state: Properties | None, /) -> Properties:
        """Tell the size, which is known before the numbers are."""
        return _outer(super().preview(ctx, _inner(inputs), state), inputs)

    def create(self, ctx: Account, inputs: Properties, /) -> tuple[str, Properties]:
        """Point the numbers here; what an interrupted create left behind is taken up."""
        try:
            id_, outputs = super().create(_Gate(ctx, inputs), _inner(inputs))
        except PartialFailure as failure:
            raise PartialFailure(failure.id_, _outer(failure.outputs, inputs), failure.reasons) from None
        return id_, _outer(outputs, inputs)

    def read(self, ctx: Account, id_: str, inputs: Properties | None, state: Properties | None, /) -> Live | None:
        """Read the numbers back: one of which a URL is not ours any more is missing. Raises ProviderError on import."""
        if inputs is None or state is None:
            raise ProviderError(
                f"{id_!r} cannot be imported: declare the numbers in `adopt`, and `pulumi up` takes them as they are"
            )
        found = super().read(_Gate(ctx, inputs), id_, _inner(inputs), _inner_state(state, inputs))
        if found is None or found.inputs is None:
            return None
        return Live(_outer(found.inputs, inputs), _outer(found.state, inputs))

    def update(
        self, ctx: Account, id_: str, old_inputs: Properties, state: Properties, inputs: Properties, /
    ) -> Properties:
        """Bring the numbers to what is declared; those of a Proxy service are taken out of it first."""
        if service_sid := state.get("serviceSid"):
            leave_service(ctx, service_sid, state, _name(inputs))
        try:
            outputs = super().update(
                _Gate(ctx, inputs, before=old_inputs),
                id_,
                old_inputs,
                _inner_state(state, inputs),
                _inner(inputs),
            )
        except PartialFailure as failure:
            raise PartialFailure(id_, _outer(failure.outputs, inputs), failure.reasons) from None
        return _outer(outputs, inputs)

    def delete(self, ctx: Account, id_: str, state: Properties, /) -> None:
        """Empty the URLs of the numbers, as far as they are ours; release bought ones where that was asked for."""
        super().delete(_Gate(ctx, state), id_, _inner_state(state, state))


class _Gate(Account):
    """An account whose "service" are the numbers that point at these URLs. `before` are the URLs of a former update."""

    def __init__(self, account: Account, urls: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> None:
        self.__dict__.update(account.__dict__)
        self._urls = {name: str(urls[name]) for name in URLS}
        self._before = {name: str((before or {}).get(name, "")) for name in URLS}
        self._seen: dict[str, LineNumber] = {}

    def pool(self, service_sid: str) -> list[PoolNumber] | None:
        """Return every number that points here in every respect."""
        del service_sid
        self._seen = {number.sid: number for number in self.lines()}
        return [
            _pool_number(number, reserved=reserved)
            for number in self._seen.values()
            for reserved in (False, True)
            if _is_plain(number) and number.urls == _marked(self._urls, reserved=reserved)
        ]

    def pool_number(self, service_sid: str, sid: str) -> PoolNumber | None:
        """Return one number, None when it does not point here."""
        return next((one for one in self.pool(service_sid) or [] if one.sid == sid), None)

    def add(self, service_sid: str, sid: str, *, reserved: bool) -> PoolNumber:
        """Point a number here. Raises ProviderError for one that something else takes the calls or texts of."""
        del service_sid
        number = self._seen.get(sid) or self.line(sid)
        if number is None:
            raise ProviderError(f"{sid} is not a number of account {self.sid}: take it out of `adopt`")
        if number.in_proxy:
            raise ProviderError(
                f"{sid} is in a Proxy service, which keeps its URLs: take it out there first (the stack that has it:"
                " remove it from `parley:numbers`; or Twilio Console, Proxy)"
            )
        if not _is_plain(number):
            raise ProviderError(
                f"{sid} has an application or a trunk, which wins over its URLs: clear it at the number first"
                " (Twilio Console, Phone Numbers)"
            )
        return _pool_number(self.point(sid, _marked(self._urls, reserved=reserved)), reserved=reserved)

    def set_reserved(self, service_sid: str, sid: str, *, reserved: bool) -> PoolNumber:
        """Reserve a number, or free it."""
        return self.add(service_sid, sid, reserved=reserved)

    def remove(self, service_sid: str, sid: str) -> None:
        """Empty those URLs of a number that are ours; the account keeps it."""
        del service_sid
        self.unpoint(sid, {*self._urls.values(), *self._before.values()})


def _is_plain(number: LineNumber) -> bool:
    return not (number.in_proxy or number.overridden)


def _marked(urls: Mapping[str, str], *, reserved: bool) -> dict[str, str]:
    return {name: url + RESERVED if reserved and name in _MARKED else url for name, url in urls.items()}


def _pool_number(number: LineNumber, *, reserved: bool) -> PoolNumber:
    return PoolNumber(number.sid, number.iso_country, number.capabilities, reserved, 0)


def _name(inputs: Mapping[str, Any]) -> str:
    """Return what stands for the gate where a pool has its service: the tags of bought numbers hold it."""
    return f"gate-{hashlib.sha256(str(inputs['voiceUrl']).encode()).hexdigest()[:32]}"


def _inner(inputs: Mapping[str, Any]) -> Properties:
    """Return the inputs as those of a pool."""
    rest = {name: value for name, value in inputs.items() if name not in URLS}
    return {**rest, "serviceSid": _name(inputs), "forceDestroy": True}


def _inner_state(state: Mapping[str, Any], inputs: Mapping[str, Any]) -> Properties:
    return {**state, "serviceSid": _name(inputs), "forceDestroy": True}


def _outer(properties: Mapping[str, Any], inputs: Mapping[str, Any]) -> Properties:
    """Return a pool's properties as those of numbers with webhooks."""
    rest = {name: value for name, value in properties.items() if name not in {"serviceSid", "forceDestroy"}}
    return {**rest, **{name: inputs[name] for name in URLS}}
