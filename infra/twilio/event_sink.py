"""The resource type `parley:index:EventSink`: a webhook that Twilio's Event Streams tells of events.

https://www.twilio.com/docs/events. With the gate's `/twilio/events` as its destination a STOP that Proxy keeps to
itself (alert 80901) is known within seconds, not with the reconciler's next run. Decisions:

* A sink cannot be pointed elsewhere: another destination makes a new one, before the old one goes, so that nothing is
  missed between the two. What is told twice counts once at the gate.
* Other types replace the subscription, the new one first.
* Event Streams filters by type, not by error code: the sink is told every entry of the debugger.
* A create that was interrupted is taken up: a sink of this destination and description is this stack's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from infra.provider import UNKNOWN, CheckFailure, Live, PartialFailure, Properties, ProviderError, Resource
from infra.twilio import rules
from infra.twilio.client import Account, EventSinkState, TwilioError, is_loopback

ERROR_LOGGED: Final = "com.twilio.error-logs.error.logged"
"""An entry of the debugger (https://www.twilio.com/docs/events/event-types/errors/error-logs)."""

LONGEST_DESCRIPTION: Final = 255


class EventSink(Resource[Account]):
    """A webhook sink with one subscription."""

    token = "parley:index:EventSink"  # noqa: S105
    inputs = frozenset({"description", "destination", "types"})
    outputs = frozenset({"sid", "subscriptionSid", "status"})
    replaces = frozenset({"destination"})

    def check_for(
        self, account: Account | None, inputs: Properties, _old_inputs: Properties
    ) -> tuple[Properties, list[CheckFailure]]:
        """Fill in the defaults, put the types in order, and hold every value against Twilio's limits."""
        given = {**rules.defaults(self.token), **inputs}
        if "types" not in given:
            given["types"] = [ERROR_LOGGED]
        local = account is not None and account.endpoint is not None and is_loopback(account.endpoint)
        failures = rules.shape(given, self.token) or list(_problems(given, loopback=local))
        if not failures and given["types"] is not UNKNOWN and UNKNOWN not in given["types"]:
            given["types"] = sorted(given["types"])
        return given, failures

    def create(self, ctx: Account, inputs: Properties, /) -> tuple[str, Properties]:
        """Make the sink and its subscription, or take up what an interrupted create left."""
        sink = _left_behind(ctx, inputs)
        if sink is None:
            try:
                sink = ctx.create_event_sink(inputs["description"], inputs["destination"])
            except TwilioError as error:
                sink = _left_behind(ctx, inputs) if error.lost else None
                if sink is None:
                    raise
        try:
            _subscribe(ctx, sink.sid, inputs)
        except TwilioError as error:
            raise PartialFailure(sink.sid, _state(ctx, sink), [str(error)]) from None
        return sink.sid, _state(ctx, sink)

    def read(self, ctx: Account, id_: str, inputs: Properties | None, state: Properties | None, /) -> Live | None:
        """Read the sink with what it is told of."""
        del inputs, state
        if not rules.is_sid(id_, "DG"):
            raise ProviderError(f"{id_!r} is no sink: import it by its SID, DG and 32 hexadecimal digits")
        sink = ctx.event_sink(id_)
        if sink is None:
            return None
        found = _state(ctx, sink)
        return Live({name: found[name] for name in self.inputs}, found)

    def update(
        self, ctx: Account, id_: str, old_inputs: Properties, state: Properties, inputs: Properties, /
    ) -> Properties:
        """Describe the sink as declared, and subscribe it to the types."""
        del old_inputs, state
        sink = ctx.describe_event_sink(id_, inputs["description"])
        _subscribe(ctx, id_, inputs)
        return _state(ctx, sink)

    def delete(self, ctx: Account, id_: str, state: Properties, /) -> None:
        """Delete the subscriptions and the sink."""
        del state
        for sid, _ in ctx.subscriptions(id_):
            ctx.unsubscribe(sid)
        ctx.delete_event_sink(id_)


def _problems(given: Mapping[str, Any], *, loopback: bool) -> Iterator[CheckFailure]:
    types = given["types"]
    yield from rules.label(given["description"], "description", LONGEST_DESCRIPTION)
    yield from rules.webhook(given["destination"], "destination", loopback=loopback)
    if types is UNKNOWN:
        return
    if not types:
        yield CheckFailure("types", f"is empty, and the sink would be told nothing: leave it out for {ERROR_LOGGED}")
    for index, each in enumerate(types):
        if each is not UNKNOWN and (not each.startswith("com.twilio.") or each in types[:index]):
            reason = "is there twice, or is no type such as com.twilio.messaging.message.sent"
            yield CheckFailure(f"types[{index}]", reason)


def _left_behind(ctx: Account, inputs: Mapping[str, Any]) -> EventSinkState | None:
    wanted = (inputs["description"], inputs["destination"])
    return next((one for one in ctx.event_sinks() if (one.description, one.destination) == wanted), None)


def _subscribe(ctx: Account, sink: str, inputs: Mapping[str, Any]) -> None:
    """Let the sink be told of the types, and of nothing else."""
    wanted, there = sorted(inputs["types"]), ctx.subscriptions(sink)
    kept = next((sid for sid, types in there if types == wanted), None)
    if kept is None:
        ctx.subscribe(sink, inputs["description"], wanted)
    for sid, _ in there:
        if sid != kept:
            ctx.unsubscribe(sid)


def _state(ctx: Account, sink: EventSinkState) -> Properties:
    there = ctx.subscriptions(sink.sid)
    return {
        "description": sink.description,
        "destination": sink.destination,
        "types": sorted({each for _, types in there for each in types}),
        "sid": sink.sid,
        "subscriptionSid": there[0][0] if there else "",
        "status": sink.status,
    }
