"""The whole inspection: a stack's declaration held against AWS and Twilio, as the command and the function do it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from parley.adapters.live import Deadline, observe
from parley.adapters.live_aws import Aws
from parley.adapters.live_twilio import Line
from parley.adapters.twilio import TwilioCarrier
from parley.core.verification import Check, compare

VERSION: Final = 1
"""The version of the declaration's form that this code reads."""


class DeclarationError(ValueError):
    """The declaration cannot be used; the message says what to do."""


def inspect(
    declaration: object,
    clients: Mapping[str, Any],
    carrier: TwilioCarrier,
    now: datetime,
    seconds: float,
) -> list[Check]:
    """Hold everything that a declaration names against what is live, in the declared order.

    `clients` has a boto3 client for each of `live_aws.SERVICES`; what was not read within `seconds` cannot be told.
    Raises DeclarationError for one of another form.
    """
    resources = resources_of(declaration)
    deadline = Deadline(seconds)
    lines = [resource for resource in resources if resource["system"] == "twilio"]
    reads = [
        *Aws(clients, now, deadline).reads(resources),
        *(read for line in lines for read in Line(carrier, now, deadline).reads(line)),
    ]
    return compare(resources, observe(reads, deadline), now)


def resources_of(declaration: object) -> list[Mapping[str, Any]]:
    """Return what must hold, resource by resource. Raises DeclarationError."""
    if not isinstance(declaration, Mapping) or not declaration.get("resources"):
        raise DeclarationError("the stack has no declaration that says what must hold: deploy it, or deploy it again")
    if declaration.get("version") != VERSION:
        raise DeclarationError("the declaration is of another version of Parley: use that one, or deploy again")
    return list(declaration["resources"])
