"""The page `docs/faults.md`: what was measured under each fault, with the bound beside it."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.faults import FAULTS, LATE, NOTHING, RUN, Fault
from tests.faults.measure import FAULT_SECONDS, Measured
from tests.faults.stage import BOUND, TICK

NONE = "nothing is broken"
BY_NAME: Mapping[str, Fault | None] = {NONE: None, **{fault.name: fault for fault in FAULTS}}

HEAD = f"""# Under faults

Measured by `make docs` on the handlers, with DynamoDB and KMS in memory, Twilio's emulator, and one clock that only the
test moves: the same on every machine, and true to the real services only as far as these stand-ins are
([local-cloud.md](local-cloud.md)). `tests/faults` holds every figure against its bound, and plays random lives under
random pairs of faults.

The reconciler runs every {TICK} s, so the bound that the declaration has (`session.exposureSeconds`) is {BOUND} s:
one interval and one run. A fault strikes just after a run and lasts {FAULT_SECONDS} s. Then people say no, and they and
the others go on texting and calling. The figures are the seconds from a no to the last text or call that connected
them, 0 if there was none:

- **no to the gate**: a report of the application (it counts from its acknowledgement, and is repeated until then), a
  word or phrase in a session or to the number that asks, and the key 9;
- **call under way**: how long a call went on that was under way when somebody in it said no to the gate;
- **STOP in a session**: Proxy keeps it to itself, so it is found by the reconciler. The account's webhook for alerts
  (`/twilio/events`), which finds it within seconds, is left out here.

What is allowed stands in parentheses: nothing; the bound; or the bound counted from when the fault is over, where it
keeps the reconciler from working. So **the declared bound holds only while the reconciler can work**: an outage of
Twilio's API, of KMS or of the table adds its own length. An alarm rings for each (`…-reconcile-errors`,
`…-reconcile-stopped`, `…-exposure`). In such an outage the intercept goes on refusing whatever the ledger knows of.

## What is open

- A call that goes on after its session was closed by its caller, or ran out, is ended when somebody in it says no
  within four hours of that: Twilio's own limit for a call, unless whoever makes it sets a longer one.
- A STOP from before the reconciler's very first run is found if it is at most a day old.

## Measured

| fault | no to the gate | call under way | STOP in a session |
|---|---|---|---|
"""


def row(name: str, found: Measured) -> str:
    """Return the row of a fault."""
    fault = BY_NAME[name]
    heard, call, swallowed = (
        (fault.heard, fault.on_the_phone, fault.swallowed) if fault is not None else (NOTHING, NOTHING, RUN)
    )
    cells = ((found.heard, heard), (found.on_the_phone, call), (found.swallowed, swallowed))
    return " | ".join([f"| {name}", *(f"{seconds} ({_words(allowed)})" for seconds, allowed in cells)]) + " |"


def _words(allowed: str) -> str:
    return {NOTHING: "0", RUN: f"{BOUND}", LATE: f"{BOUND} after it"}[allowed]


def faults_page(measured: Mapping[str, Measured]) -> str:
    """Return the page."""
    return HEAD + "".join(f"{row(name, measured[name])}\n" for name in BY_NAME)
