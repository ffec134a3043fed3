"""A thread that feeds functions from sources, woken by whatever arrives at one of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from moto.awslambda.models import EventSourceMapping, LambdaBackend, LambdaFunction, lambda_backends
from moto.core.exceptions import JsonRESTError

from local.aws.authorization import permission
from local.aws.callers import session_of
from local.aws.calls import ACCOUNT
from local.aws.mends import Mends
from local.aws.policy import Question
from local.lambda_.functions import find_function

log = logging.getLogger(__name__)


class Pump:
    """Calls `feed(source ARN)` for each source that has something, one at a time, in a thread of its own."""

    def __init__(self, name: str, feed: Callable[[str], None]) -> None:
        self._feed = feed
        self._waiting: set[str] = set()
        self._busy = False
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether it was told to end."""
        return self._closed

    def arrived(self, source: str) -> None:
        """Hear that a source has something."""
        with self._changed:
            self._waiting.add(source)
            self._changed.notify_all()

    def settle(self, timeout: float) -> bool:
        """Wait until what has arrived was handed out; False if that takes longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout)

    def close(self) -> None:
        """End the thread after the batch that it is at."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                if self._closed:
                    return
                source = self._waiting.pop()
                self._busy = True
            try:
                self._feed(source)
            except Exception:
                log.exception("feeding from %s failed", source)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()


def install(
    mends: Mends, service: str, refused: Callable[[LambdaFunction, Mapping[str, Any]], str], pump: Pump
) -> None:
    """Check a new mapping of a service's sources as Lambda does, and feed it at once.

    `refused` returns why a function cannot be fed as the request says, or an empty text.
    """

    def create(original: Any, backend: LambdaBackend, spec: dict[str, Any]) -> EventSourceMapping:
        source, name = str(spec.get("EventSourceArn")), str(spec.get("FunctionName"))
        ours = _service(source) == service
        if ours and (reason := refused(find_function(name, None, backend.region_name), spec)):
            raise JsonRESTError("InvalidParameterValueException", reason)
        mapping: EventSourceMapping = original(backend, spec)
        _point(mapping, spec)
        if ours:
            pump.arrived(mapping.event_source_arn)
        return mapping

    def update(original: Any, backend: LambdaBackend, uuid: str, spec: dict[str, Any]) -> Any:
        mapping = original(backend, uuid, spec)
        if mapping is not None:
            _point(mapping, spec)
            if _service(mapping.event_source_arn) == service:
                pump.arrived(mapping.event_source_arn)
        return mapping

    mends.wrap(LambdaBackend, "create_event_source_mapping", create)
    mends.wrap(LambdaBackend, "update_event_source_mapping", update)


def _point(mapping: EventSourceMapping, spec: dict[str, Any]) -> None:
    """Let a mapping go on to an alias, where moto has gone on to the version that the alias points at now."""
    name = str(spec.get("FunctionName", ""))
    if name.startswith("arn:"):
        mapping.function_arn = name


def mappings(service: str) -> Iterator[EventSourceMapping]:
    """Yield the mappings of a service's sources."""
    for backend in list(lambda_backends[ACCOUNT].values()):
        for mapping in list(backend._event_source_mappings.values()):  # noqa: SLF001 - across regions there is no other way
            if _service(mapping.event_source_arn) == service:
                yield mapping


def lacking(function: LambdaFunction, source: str, actions: tuple[str, ...]) -> str | None:
    """Return the first of `actions` on a source that the function's role may not do."""
    who = session_of(function.role, function.function_name)
    return next((action for action in actions if permission(Question(who, action, source))), None)


def _service(arn: str) -> str:
    parts = arn.split(":")
    return parts[2] if len(parts) > 2 else ""
