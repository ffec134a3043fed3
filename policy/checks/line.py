"""The masked line at Twilio: sessions that end, and webhooks that are asked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from parley.core.record_classes import RecordClass

from policy.checks.retention import SECONDS_A_DAY, declared
from policy.model import CannotTellError, Deployment, Resource
from policy.rules import Flaw, Severity, rule

SERVICE = "parley:index:ProxyService"
WEBHOOKS = ("callbackUrl", "interceptCallbackUrl", "outOfSessionCallbackUrl")
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])[:/]")
_LEAST, _MOST = 60, 30 * SECONDS_A_DAY


@rule(
    "line-session-ends",
    SERVICE,
    severity=Severity.CRITICAL,
    references=("GDPR 5(1)(e)", "GDPR 7(3)", "ISO 27001 A.8.10"),
    remediation="set defaultTtl from 60 seconds to 30 days and no longer than session-map is kept",
)
def session_ends(service: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Every session ends by itself: it is the last bound of a withdrawal that everything else missed."""
    if service.get("allowUnlimitedTtl"):
        yield Flaw("allowUnlimitedTtl", "is true")
    ttl = service.get("defaultTtl")
    if not ttl or not _LEAST <= ttl <= _MOST:
        yield Flaw("defaultTtl", f"is {ttl}; Twilio takes 0 for no end")
        return
    days = declared(deployment).get(RecordClass.SESSION_MAP)
    if days is not None and ttl > days * SECONDS_A_DAY:
        yield Flaw("defaultTtl", f"is {ttl} s, longer than the {days} days for which session-map is kept")


@rule(
    "line-webhooks",
    SERVICE,
    severity=Severity.CRITICAL,
    references=("GDPR 7(1)", "GDPR 32(1)(a)", "ISO 27001 A.5.14"),
    remediation="let all three webhooks point at the gate over https",
)
def webhooks(service: Resource, deployment: Deployment) -> Iterator[Flaw]:
    """Twilio asks the gate over https about every interaction; without a webhook it connects unasked."""
    for name in WEBHOOKS:
        try:
            url = service.get(name)
        except CannotTellError:
            continue  # each is judged by itself
        if not url:
            yield Flaw(name, "is not set")
            continue
        if not url.startswith("https://") and (deployment.durable or not _LOOPBACK.match(url)):
            yield Flaw(name, "is not https")
