"""The Proxy services of a stack: in which one a session is, and which one a new session is tried in first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from parley.adapters.twilio_api import PROXY, TwilioApi
from parley.ports import LedgerError

REMEMBERED: Final = 10_000
"""Sessions of which one process remembers the service, where there is more than one."""


def preferred(services: Sequence[str], identifiers: Sequence[str]) -> list[str]:
    """Return the services in the order in which a session of these people is tried in them (rendezvous hashing).

    It is the same order each time, whoever comes first, so the same people meet in the same service and, where Twilio
    prefers sticky numbers, see the same ones. Of a service more or fewer only its own share of the pairs changes.
    """
    people = "\0".join(sorted(identifiers))
    return sorted(services, key=lambda service: hashlib.sha256(f"{service}\0{people}".encode()).digest())


class ProxyApi(TwilioApi):
    """Twilio's REST API for one account and the stack's Proxy services.

    `services` are their SIDs, none without Proxy. `recorded` tells the service of a session as the ledger has it, ""
    if it does not know; it is asked where there is more than one. The rest is as in `TwilioApi`.
    """

    def __init__(
        self,
        *arguments: Any,
        services: Sequence[str] = (),
        recorded: Callable[[str], str] = lambda _session: "",
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self.services = tuple(services)
        self._recorded = recorded
        self._of: dict[str, str] = {}

    def remember(self, session: str, service: str) -> None:
        """Keep in mind in which service a session is."""
        if len(self.services) > 1:
            if len(self._of) >= REMEMBERED:
                self._of.clear()
            self._of[session] = service

    def service_of(self, session: str) -> str:
        """Return the SID of the service that a session is in, the first one's if it is in none. Raises CarrierError.

        What neither this process nor the ledger knows is asked of one service after the other.
        """
        if len(self.services) < 2:
            return "".join(self.services)
        if session in self._of:
            return self._of[session]
        try:
            found = self._recorded(session)
        except LedgerError:
            found = ""  # Twilio knows as well
        if found not in self.services:
            found = next(filter(partial(self._has, session), self.services), "")
        if found:
            self.remember(session, found)
        return found or self.services[0]

    def _has(self, session: str, service: str) -> bool:
        return self.found("find-session", PROXY, f"{service_path(service)}/Sessions/{session}") is not None

    def session_path(self, session: str, below: str = "") -> str:
        """Return the path of a session, or of a list `below` it."""
        path = f"{service_path(self.service_of(session))}/Sessions/{session}"
        return f"{path}/{below}" if below else path


def service_path(service: str) -> str:
    """Return the path of a Proxy service."""
    return f"/v1/Services/{service}"
