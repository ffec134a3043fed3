"""What the tests of order share: something happens just before or after any call that a handler makes to the outside.

The outside is DynamoDB, the queues and Twilio. A handler that is killed there dies as a Lambda function does that runs
out of time: nothing of it runs any more, and whatever it asks for afterwards is not done.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from parley import runtime
from parley.adapters.twilio_api import TwilioApi

from tests.handlers.world import World

Happening = Callable[[], object]


class KilledError(BaseException):
    """The function ended here. No handler may catch it."""


class Boundary:
    """Lets `happen` take place once: before the call with a number, from 0, or after it.

    `calls` are the names of the calls so far, `came` says that the moment came.
    """

    def __init__(self, number: int, *, after: bool, happen: Happening) -> None:
        self._number, self._after, self._happen = number, after, happen
        self._busy = self._dead = False
        self.calls: list[str] = []
        self.came = False

    def around(self, name: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Carry out a call of the handler's, with what happens around it. What it causes itself is not counted."""
        if self._dead:
            raise KilledError
        if self._busy:
            return call(*arguments, **named)
        number = len(self.calls)
        self.calls.append(name)
        if number == self._number and not self._after:
            self._let_happen()
        answer = call(*arguments, **named)
        if number == self._number and self._after:
            self._let_happen()
        return answer

    def _let_happen(self) -> None:
        self.came = self._busy = True
        try:
            self._happen()
        except KilledError:
            self._dead = True
            raise
        finally:
            self._busy = False


class _Watch:
    """Lets every call to the outside pass the boundaries that there are at the moment, the latest one first.

    Handlers run in several threads at once, so a boundary may end before one that came after it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._boundaries: list[Boundary] = []
        self._patch: pytest.MonkeyPatch | None = None

    def through(self, name: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Carry out a call."""
        for boundary in list(self._boundaries):
            call = functools.partial(boundary.around, name, call)
        return call(*arguments, **named)

    def begin(self, boundary: Boundary) -> None:
        """Let calls pass a boundary, too."""
        with self._lock:
            if self._patch is None:
                self._patch = pytest.MonkeyPatch()
                request = TwilioApi.request
                self._patch.setattr(
                    TwilioApi,
                    "request",
                    lambda twilio, name, *a, **n: self.through(name, request, twilio, name, *a, **n),
                )
            owners: tuple[Any, ...] = (runtime.ledger(), runtime.queues(), runtime.session_read())
            for owner in owners:
                client = owner._client
                if not isinstance(client, _Watched):
                    self._patch.setattr(owner, "_client", _Watched(client))
            self._boundaries.append(boundary)

    def end(self, boundary: Boundary) -> None:
        """Let calls pass it no more."""
        with self._lock:
            self._boundaries.remove(boundary)
            if not self._boundaries and self._patch is not None:
                self._patch.undo()
                self._patch = None


_WATCH = _Watch()


class _Watched:
    """A client of AWS whose calls pass the boundaries."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        """Return the client's own operation, at the boundaries."""
        return functools.partial(_WATCH.through, operation, getattr(self._client, operation))


@contextmanager
def at(number: int, *, after: bool, happen: Happening) -> Iterator[Boundary]:
    """Let something happen before or after one of the handler's calls to the outside."""
    boundary = Boundary(number, after=after, happen=happen)
    _WATCH.begin(boundary)
    try:
        yield boundary
    finally:
        _WATCH.end(boundary)


def kill() -> None:
    """End the function."""
    raise KilledError


def count(act: Callable[[], object]) -> list[str]:
    """Return the calls to the outside that something makes."""
    with at(-1, after=False, happen=kill) as boundary:
        act()
    return boundary.calls


def die_at(number: int, *, after: bool, act: Callable[[], object]) -> bool:
    """Do something that is killed at a boundary; tell whether it came that far. What was made is forgotten."""
    with at(number, after=after, happen=kill) as boundary, suppress(KilledError):
        act()
    runtime.reset()
    return boundary.came


def open_at_twilio(world: World) -> set[str]:
    """Return the SIDs of sessions that would connect somebody at Twilio."""
    sessions = world.emulator.carrier.state.sessions.values()
    return {session.sid for session in sessions if session.status != "closed"}


def open_in_ledger(world: World) -> set[str]:
    """Return the SIDs of sessions that the ledger holds for open."""
    rows = [row for row in world.rows("SESSION") if row["sk"]["S"] == "SESSION"]
    return {row["pk"]["S"].removeprefix("SESSION#") for row in rows if row["status"]["S"] == "open"}
