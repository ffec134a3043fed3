"""How many numbers a stack's pool needs, for `parley doctor`: the sessions of the last 30 days beside the pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import phonenumbers
from parley.adapters.dynamodb import DynamoLedger
from parley.core import sizing
from parley.core.identity import calling_code
from parley.ports import CarrierError, Clock, LedgerError

from cli.verify import account_of, name_of, services_of
from infra.twilio import number_traps
from infra.twilio.findings import Finding, Reads, Word, unanswered

WINDOW: Final = timedelta(days=30)
TRAP: Final = "pool-size"

_MASKING: Final = ("/twilio/call", "/twilio/message")
"""Where a number of a stack without Proxy goes that is not reserved."""


def findings(
    declaration: Mapping[str, Any], client: Any, twilio: Reads, clock: Clock, *, gate: str = ""
) -> list[Finding]:
    """Return what there is to say about the pool of a stack; what was not told is a finding, too.

    Raises UserError for a declaration that does not say what must hold.
    """
    services, table = services_of(declaration), name_of(declaration, "dynamodb")
    account = account_of(declaration)
    keep = {str(each["class"]): int(each["keepDays"]) for each in declaration.get("classes", ())}
    try:
        pool = [
            number for service in services for number in number_traps.pool(twilio, service, account=account, gate=gate)
        ]
    except CarrierError as error:
        return [unanswered(TRAP, error)]
    return list(examine(client, table, clock, pool, keep.get("session-map", 0)))


def examine(
    client: Any, table: str, clock: Clock, pool: Sequence[Mapping[str, Any]], keep_days: int
) -> Iterator[Finding]:
    """Yield a finding for each calling code: what its people needed at most, and what the pool has.

    `client` is boto3's of DynamoDB, `table` the ledger's name, `pool` the numbers as Twilio tells them, `keep_days` how
    long sessions are kept after their end.
    """
    until = clock.now()
    try:
        since = until - WINDOW
        found, untold = sizing.uses(DynamoLedger(client, table, {}, clock).sessions_since(since), since, until)
    except LedgerError as error:
        fix = f"run it with credentials that may do dynamodb:Scan on {table}, and decrypt with its key"
        yield Finding(TRAP, Word.UNKNOWN, f"how many numbers are needed: {table} was not read ({error})", fix)
        return
    days = min(WINDOW.days, keep_days)
    had = Counter(calling_code(str(each.get("phone_number"))) for each in pool if _is_chosen(each))
    for use in found:
        yield _finding(use, had[use.calling_code], days)
    for code in sorted(set(had) - {use.calling_code for use in found}):
        what = f"{_named(code)}: no session of the last {days} days needed one of the {had[code]} numbers"
        yield Finding(TRAP, Word.FINE, what)
    if untold:
        what = f"what {untold} sessions needed: an earlier version of Parley did not write down their calling codes"
        yield Finding(TRAP, Word.BY_HAND, what, f"run it again {WINDOW.days} days after the deployment of this version")


def _is_chosen(number: Mapping[str, Any]) -> bool:
    """Tell whether a number may be anybody's masked number: it is not reserved, and not the one that asks people."""
    urls = [str(number[name]) for name in ("voice_url", "sms_url") if number.get(name)]
    return not number.get("is_reserved") and (not urls or any(url.endswith(_MASKING) for url in urls))


def _finding(use: sizing.Use, had: int, days: int) -> Finding:
    needed = (
        f"{_named(use.calling_code)}: the {use.sessions} sessions of the last {days} days needed {use.numbers} numbers"
        f" (one person had {use.at_once} sessions at once on {use.at:%Y-%m-%d}, {use.people} people had one at the same"
        f" time), and the pool has {had}"
    )
    if had > use.numbers:
        return Finding(TRAP, Word.FINE, needed)
    fix = f"declare {use.advised} numbers of +{use.calling_code}: who has a session on each of them gets no other one"
    return Finding(TRAP, Word.TRAP, needed, fix)


def _named(code: str) -> str:
    """Return a calling code with the countries that it is of, ISO 3166-1, the main one first."""
    countries = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code), ()) if code.isdigit() else ()
    shown = ", ".join(countries[:3]) + (", …" if len(countries) > 3 else "")
    return f"+{code} ({shown})" if shown else f"+{code}"
