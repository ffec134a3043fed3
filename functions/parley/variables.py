"""The variables of a function, read one by one, and those that notices are made of.

`parley.env` reads them all; what somebody waits for on the phone reads these only, and imports no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class EnvironmentMismatchError(RuntimeError):
    """The function's environment breaks the contract. `problems` names every variable and what is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems) + "; redeploy with `pulumi up`")


@dataclass(frozen=True, slots=True)
class Controller:
    """Who answers for the records (GDPR art. 4(7)): what notices and consent records name."""

    name: str
    contact: str
    privacy_policy_url: str
    privacy_policy_version: str


@dataclass(frozen=True, slots=True)
class Declared:
    """What notices say: who speaks, and what is kept for how many days and for which purposes, by record class."""

    controller: Controller
    keep_days: Mapping[str, int]
    purposes: Mapping[str, tuple[str, ...]]


class Variables:
    """Reads variables one by one and collects what is wrong with them."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.problems: list[str] = []

    def text(self, name: str) -> str:
        """Return a variable; one that is not set is a problem."""
        value = self.variables.get(name, "")
        if not value:
            self.problems.append(f"{name} is not set")
        return value

    def document(self, name: str, kind: type[dict[str, Any]] | type[list[Any]]) -> Any:
        """Return a variable that is JSON of a kind."""
        text = self.text(name)
        try:
            value = json.loads(text) if text else kind()
        except ValueError:
            value = None
        if not isinstance(value, kind):
            self.problems.append(f"{name} is not a JSON {'object' if kind is dict else 'list'}")
            return kind()
        return value

    def texts(self, name: str, values: Any) -> tuple[str, ...]:
        """Return a list of texts out of a variable."""
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            self.problems.append(f"{name} is not a list of texts")
            return ()
        return tuple(values)

    def member(self, name: str, document: dict[str, Any], key: str) -> str:
        """Return a text out of an object in a variable."""
        value = document.get(key)
        if not isinstance(value, str) or not value:
            self.problems.append(f"{name} has no {key}")
            return ""
        return value

    def positive(self, name: str, key: str, value: Any) -> int:
        """Return a whole number above zero out of a variable."""
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            self.problems.append(f"{name}: {key} is not a positive whole number")
            return 0
        return value

    def controller(self, name: str) -> Controller:
        """Return who answers for the records."""
        document = self.document(name, dict)
        return Controller(
            name=self.member(name, document, "name"),
            contact=self.member(name, document, "contact"),
            privacy_policy_url=self.member(name, document, "privacyPolicyUrl"),
            privacy_policy_version=self.member(name, document, "privacyPolicyVersion"),
        )

    def purposes(self, name: str) -> dict[str, tuple[str, ...]]:
        """Return lists of texts by their keys."""
        document = self.document(name, dict)
        return {key: self.texts(name, value) for key, value in document.items()}

    def keep_days(self, name: str) -> dict[str, int]:
        """Return numbers of days by record class."""
        document = self.document(name, dict)
        return {key: self.positive(name, key, value) for key, value in document.items()}


def declared(variables: Mapping[str, str]) -> Declared:
    """Read what notices say. Raises EnvironmentMismatchError, as reading all of the environment does."""
    reader = Variables(variables)
    read = Declared(
        reader.controller("PARLEY_CONTROLLER"), reader.keep_days("PARLEY_KEEP_DAYS"), reader.purposes("PARLEY_PURPOSES")
    )
    if reader.problems:
        raise EnvironmentMismatchError(reader.problems)
    return read
