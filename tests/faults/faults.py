"""The faults: what breaks, how it is injected, and which lines between a no and an interaction it takes away."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import ClientError, ReadTimeoutError
from parley import runtime
from parley.ports import CarrierError

from tests.faults.stage import Line, Stage
from tests.handlers.boundaries import at, kill
from tests.handlers.world import ACCOUNT

WEBHOOKS = frozenset(
    {
        *("intercept", "interaction", "out_of_session"),
        *("inbound_call", "inbound_message", "media"),
        *("voice", "sms", "events"),
    }
)
"""What Twilio asks, whoever masks. What answers when these fail (`fallback`) has nothing that could break with them."""
API = frozenset({"consents", "sessions", "questions"})
RECONCILER = frozenset({"reconcile"})

_T = TypeVar("_T")
Inject = Callable[[Stage], AbstractContextManager[None]]

WRITES = frozenset({"transact_write_items", "put_item", "update_item"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `breaks`: the lines that do not hold while it is in force."""

    name: str
    inject: Inject
    breaks: frozenset[Line] = frozenset()

    def allowed(self, masking: str) -> tuple[str, str, str]:
        """Return how long somebody may be exposed, for each of the columns of `tests.faults.measure.Measured`."""
        found = LATE if Line.RECONCILER in self.breaks else RUN
        heard = found if self.breaks & {Line.GATE, Line.HEARING} else NOTHING
        call = found if self.breaks & {Line.CARRIER, Line.HEARING} else NOTHING
        # Where sessions are our own nothing passes that the gate did not let pass, and it asks Twilio what it missed.
        return (NOTHING, call, NOTHING) if masking == "direct" else (heard, call, found)


CALM = Fault("nothing is broken", lambda _: nullcontext())
"""What is allowed, and measured, while nothing is broken."""

NOTHING = "0"
RUN = "the bound"
LATE = "the bound, once it is over"


@contextmanager
def _among(places: list[_T], one: _T) -> Iterator[None]:
    places.append(one)
    try:
        yield
    finally:
        places.remove(one)


# Functions ----------------------------------------------------------------------------------------------------


def refusing(functions: frozenset[str], status: int) -> Inject:
    """Answer for functions that are never invoked."""

    def around(function: str, invoke: Callable[[], Any]) -> Any:
        return {"statusCode": status, "headers": {}, "body": ""} if function in functions else invoke()

    return lambda stage: _among(stage.around, around)


def slow(functions: frozenset[str]) -> Inject:
    """Let functions do everything, but answer when nobody waits any more."""

    def around(function: str, invoke: Callable[[], Any]) -> Any:
        answer = invoke()
        if function in functions:
            raise TimeoutError
        return answer

    return lambda stage: _among(stage.around, around)


def out_of_memory(functions: frozenset[str]) -> Inject:
    """Kill functions before or after one of their calls to the outside, each time another one."""

    def inject(stage: Stage) -> AbstractContextManager[None]:
        places = itertools.cycle(itertools.product(range(5), (False, True)))

        def around(function: str, invoke: Callable[[], Any]) -> Any:
            if function not in functions:
                return invoke()
            number, after = next(places)
            with at(number, after=after, happen=kill):
                return invoke()

        return _among(stage.around, around)

    return inject


@contextmanager
def deployed_anew(stage: Stage) -> Iterator[None]:
    """Let every invocation be the first one of a new deployment, whose settings changed."""
    minutes = itertools.cycle((1440, 720))

    def around(_function: str, invoke: Callable[[], Any]) -> Any:
        stage.world.declare_consent(questionMinutes=next(minutes))
        return invoke()

    with _among(stage.around, around):
        yield


# AWS ----------------------------------------------------------------------------------------------------------


def unavailable(service: str, code: str) -> Inject:
    """Let a service refuse everything."""

    def around(called: str, operation: str, call: Callable[..., Any], _arguments: Mapping[str, Any]) -> Any:
        if called == service:
            raise ClientError({"Error": {"Code": code, "Message": ""}}, operation)
        return call()

    return lambda stage: _among(stage.around_aws, around)


@contextmanager
def without_secrets(stage: Stage) -> Iterator[None]:
    """Let Secrets Manager be down for functions that have not asked it yet."""
    runtime.reset()
    with unavailable("secretsmanager", "InternalServiceError")(stage):
        yield


@contextmanager
def contended(stage: Stage) -> Iterator[None]:
    """Let two of three transactions meet another writer."""
    reasons = itertools.cycle(("TransactionConflict", "ConditionalCheckFailed", ""))

    def around(_service: str, operation: str, call: Callable[..., Any], _arguments: Mapping[str, Any]) -> Any:
        if operation == "transact_write_items" and (reason := next(reasons)):
            response: Any = {
                "Error": {"Code": "TransactionCanceledException", "Message": ""},
                "CancellationReasons": [{"Code": reason}],
            }
            raise ClientError(response, operation)
        return call()

    with _among(stage.around_aws, around):
        yield


@contextmanager
def stale(stage: Stage) -> Iterator[None]:
    """Let the index answer what it knew more than a run ago, and at first nothing."""
    known: dict[str, list[tuple[float, Any]]] = {}

    def around(_service: str, _operation: str, call: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        answer = call()
        if "IndexName" not in arguments:
            return answer
        now, answers = stage.clock.now(), known.setdefault(repr(arguments), [])
        answers.append((now, answer))
        old = [each for moment, each in answers if moment <= now - 90]
        return old[-1] if old else {"Items": []}

    with _among(stage.around_aws, around):
        yield


@contextmanager
def forgetful(stage: Stage) -> Iterator[None]:
    """Let the table carry out every other write without saying so."""
    lost = itertools.cycle((True, False))

    def around(service: str, operation: str, call: Callable[..., Any], _arguments: Mapping[str, Any]) -> Any:
        answer = call()
        if service == "dynamodb" and operation in WRITES and next(lost):
            raise ReadTimeoutError(endpoint_url="dynamodb")
        return answer

    with _among(stage.around_aws, around):
        yield


# Twilio -------------------------------------------------------------------------------------------------------


def ordered(**order: Any) -> Inject:
    """Order a fault of the emulator's."""

    @contextmanager
    def inject(stage: Stage) -> Iterator[None]:
        faults = stage.emulator.faults
        fault = faults.add(order)
        try:
            yield
        finally:
            # The emulator lifts all of them at once, and another one may be in force.
            faults._orders.remove(fault)

    return inject


def out_of_reach(stage: Stage) -> AbstractContextManager[None]:
    """Let Twilio answer nothing in the time that a request waits."""

    def around(_request: Callable[[], Any], operation: str) -> Any:
        stage.clock.advance(2)
        raise CarrierError(operation)

    return _among(stage.around_twilio, around)


@contextmanager
def rotated(stage: Stage) -> Iterator[None]:
    """Rotate the auth token every minute: the new one is stored beside the old one, then Twilio signs with it."""
    account = stage.emulator.carrier.state.accounts[ACCOUNT]
    names = (f"{number:032d}" for number in itertools.count(1))

    def rotate() -> None:
        token = next(names)
        stage.world.store_tokens(account.auth_token, token)
        stage.clock.advance(6)
        account.auth_token = token

    rotate()
    with _among(stage.on_tick, rotate):
        yield


@contextmanager
def replayed(stage: Stage) -> Iterator[None]:
    """Send every webhook of the past again, every minute."""

    def replay() -> None:
        for one in list(stage.heard):
            stage.deliver(one.event)

    with _among(stage.on_tick, replay):
        yield


def wrong_clock(seconds: float) -> Inject:
    """Let the gate's clock be wrong."""

    @contextmanager
    def inject(stage: Stage) -> Iterator[None]:
        stage.skew += seconds
        try:
            yield
        finally:
            stage.skew -= seconds

    return inject


@contextmanager
def at_once(stage: Stage) -> Iterator[None]:
    """Let the application open a session between two people in the middle of whatever else it asks for."""
    places = itertools.cycle(itertools.product(range(5), (False, True)))
    busy = False

    def around(function: str, invoke: Callable[[], Any]) -> Any:
        nonlocal busy
        people = list(stage.people)
        if function not in API or busy or len(people) < 2:
            return invoke()
        number, after = next(places)
        first = people[number % len(people)]
        second = next(each for each in people if each != first)
        opened = [{"identifier": first}, {"identifier": second}]
        busy = True
        try:
            with at(number, after=after, happen=lambda: stage.world.open(participants=opened)):
                return invoke()
        finally:
            busy = False

    with _among(stage.around, around):
        yield


_BLIND = frozenset({Line.GATE, Line.HEARING})
_MUTE = frozenset({Line.CARRIER, Line.RECONCILER})
_DEAF = frozenset({Line.HEARING, Line.RECONCILER})

FAULTS = (
    Fault("webhook functions down", refusing(WEBHOOKS, 500), _BLIND),
    Fault("webhook functions throttled", refusing(WEBHOOKS, 503), _BLIND),
    Fault("webhook functions slower than Twilio waits", slow(WEBHOOKS), _BLIND),
    Fault("webhook functions out of memory", out_of_memory(WEBHOOKS), _BLIND),
    Fault("API functions down", refusing(API, 500)),
    Fault("API functions slower than API Gateway waits", slow(API)),
    Fault("API functions out of memory", out_of_memory(API)),
    Fault("reconciler down", refusing(RECONCILER, 500), frozenset({Line.RECONCILER})),
    Fault("reconciler out of memory", out_of_memory(RECONCILER), frozenset({Line.RECONCILER})),
    Fault("every function down", refusing(WEBHOOKS | API | RECONCILER, 500), _BLIND | {Line.RECONCILER}),
    Fault("table throttled", unavailable("dynamodb", "ProvisionedThroughputExceededException"), _DEAF),
    Fault("table contended", contended),
    Fault("index stale", stale),
    Fault("table's answers lost after the write", forgetful),
    Fault("KMS down", unavailable("kms", "KMSInternalException"), _DEAF),
    Fault("Secrets Manager down", without_secrets, _DEAF | _MUTE),
    Fault("Twilio answers 429", ordered(on="rest", mode="throttle"), _MUTE),
    Fault("Twilio answers 500", ordered(on="rest", mode="error"), _MUTE),
    Fault("Twilio out of reach", out_of_reach, _MUTE),
    Fault("Twilio slow", ordered(on="rest", mode="slow", seconds=2), frozenset({Line.CARRIER})),
    Fault("Twilio's answers lost after the effect", ordered(on="rest", mode="lost-answer", status=500), _MUTE),
    Fault("webhooks lost", ordered(on="webhook", mode="lost"), _BLIND),
    Fault("callbacks lost", ordered(on="webhook", mode="lost", match="^callback")),
    Fault("webhooks doubled", ordered(on="webhook", mode="duplicate")),
    Fault("callbacks reordered", ordered(on="webhook", mode="reorder", match="^callback")),
    Fault("webhooks replayed every minute", replayed),
    Fault("gate's clock 45 s ahead", wrong_clock(45)),
    Fault("gate's clock 45 s behind", wrong_clock(-45)),
    Fault("deployed anew before every call", deployed_anew),
    Fault("auth token rotated every minute", rotated),
    Fault("two requests at once", at_once),
)
"""Every fault of the kit's own test: with none of them, and under each alone, the invariants hold."""
