"""`parley verify`: what the stack declares held against what is live at AWS and Twilio, each difference with its fix.

The declaration is the stack output `declaration`. Live is read with the credentials at hand: those of the local cloud,
or the ambient ones of AWS, which then also read the Twilio secret that the stack made.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import boto3
from parley.adapters.live_aws import PATIENT, SERVICES
from parley.adapters.secrets import Secrets, TwilioCredentials
from parley.adapters.twilio import TwilioCarrier
from parley.clock import SystemClock
from parley.core.verification import Check, Verdict
from parley.inspection import DeclarationError, inspect, resources_of

from cli.errors import CANNOT_TELL, DRIFT, OK, UserError
from cli.home import CloudInfo

SECONDS = 300.0
"""How long all reads together may take; what was not read by then cannot be told."""

DIFFERENCES = frozenset({Verdict.DIFFERS, Verdict.ABSENT})


def clients(environment: Mapping[str, str] | None) -> dict[str, Any]:
    """Return a boto3 client for each service that is asked: for the local cloud's `environment`, else the ambient one.

    They are made here and once: making one is slow, and not safe between threads.
    """
    session: Any = boto3.Session()  # the stubs know no service by a computed name
    endpoint = None
    if environment is not None:
        endpoint = environment["AWS_ENDPOINT_URL"]
        session = boto3.Session(
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_REGION"],
        )
    return {service: session.client(service, endpoint_url=endpoint, config=PATIENT) for service in SERVICES}


def carrier(declaration: Mapping[str, Any], made: Mapping[str, Any], cloud: CloudInfo | None) -> TwilioCarrier:
    """Return Twilio with the credentials of the local cloud, else with those of the secret that the stack declares.

    Raises UserError for a declaration that does not say what must hold.
    """
    services = services_of(declaration)
    if cloud is not None:
        own = TwilioCredentials(cloud.twilio_api_key, cloud.twilio_api_secret, (cloud.twilio_auth_token,))
        return TwilioCarrier(lambda _renewed: own, cloud.twilio_account_sid, cloud.twilio_endpoint, services=services)
    secrets = Secrets(made["secretsmanager"], name_of(declaration, "secretsmanager"), SystemClock())
    return TwilioCarrier(
        lambda renewed: secrets.refresh() if renewed else secrets.get(),
        "",  # nothing that is read here is asked for by the account that a caller names: Twilio tells it
        services=services,
    )


def services_of(declaration: Mapping[str, Any]) -> list[str]:
    """Return the SIDs of the Proxy services that a stack declares, without Proxy its account's.

    Raises UserError if it declares none.
    """
    return names_of(declaration, "twilio")


def account_of(declaration: Mapping[str, Any]) -> str:
    """Return the SID of the account that a stack without Proxy declares, else an empty text. Raises UserError."""
    return services_of(declaration)[0] if declaration.get("masking") == "direct" else ""


def checks(
    declaration: Mapping[str, Any],
    made: Mapping[str, Any],
    twilio: TwilioCarrier,
    now: datetime | None = None,
    seconds: float = SECONDS,
) -> list[Check]:
    """Return the check of every property that a stack declares, in the declared order.

    `made` are the clients of `clients`, `twilio` comes from `carrier`. Raises UserError for a declaration that does not
    say what must hold.
    """
    try:
        return inspect(declaration, made, twilio, now or datetime.now(UTC), seconds)
    except DeclarationError as error:
        raise UserError(str(error), CANNOT_TELL) from None


def name_of(declaration: Mapping[str, Any], system: str) -> str:
    """Return the name of the first resource of a system that a stack declares. Raises UserError if there is none."""
    return names_of(declaration, system)[0]


def names_of(declaration: Mapping[str, Any], system: str) -> list[str]:
    """Return the names of the resources of a system that a stack declares. Raises UserError if there are none."""
    try:
        found = [str(each["name"]) for each in resources_of(declaration) if each["system"] == system]
    except DeclarationError as error:
        raise UserError(str(error), CANNOT_TELL) from None
    if not found:
        raise UserError(f"the declaration names no resource of {system}: deploy the stack again", CANNOT_TELL)
    return found


def exit_code(found: Sequence[Check]) -> int:
    """Return 0 when all is true, 7 when something differs, 2 when something cannot be told and nothing differs."""
    verdicts = {check.verdict for check in found}
    if verdicts & DIFFERENCES:
        return DRIFT
    return OK if verdicts == {Verdict.TRUE} else CANNOT_TELL


def summary(found: Sequence[Check], seconds: float) -> str:
    """Return one line: how much was held against what is live, and what came of it."""
    counted = Counter(check.verdict for check in found)
    resources = len({(check.system, check.name) for check in found})
    of = f"{len(found)} properties of {resources} resources in {seconds:.1f} s"
    if counted[Verdict.TRUE] == len(found) > 0:
        return f"all true: {of}"
    differ = counted[Verdict.DIFFERS] + counted[Verdict.ABSENT]
    return f"{differ} differ, {counted[Verdict.CANNOT_TELL]} cannot be told, {counted[Verdict.TRUE]} true: {of}"


def lines(found: Sequence[Check]) -> list[tuple[str, str, str]]:
    """Return what is not true as (verdict, what differs, the way out), differences first."""
    wrong = [check for check in found if check.verdict is not Verdict.TRUE]
    return [
        (
            str(check.verdict),
            f"{check.system} {check.name} {check.property}: {shown(check.declared)} declared, {shown(check.live)} live",
            check.fix,
        )
        for check in sorted(wrong, key=lambda check: check.verdict is Verdict.CANNOT_TELL)
    ]


def shown(value: Any) -> str:
    """Return a declared or live value as one line has it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "none"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(shown, value)) or "none"
    return str(value)


def to_json(stack: str, found: Sequence[Check], at: datetime) -> str:
    """Return all checks as JSON text."""
    counted = Counter(str(check.verdict) for check in found)
    return json.dumps(
        {
            "stack": stack,
            "checkedAt": at.isoformat(timespec="seconds"),
            "verdicts": {str(verdict): counted[str(verdict)] for verdict in Verdict},
            "checks": [asdict(check) for check in found],
        },
        indent=2,
    )
