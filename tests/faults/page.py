"""The page `docs/faults.md`: what was measured under each fault, with the bound beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple

from tests.faults.faults import CALM, FAULTS, LATE, NOTHING, RUN, Fault
from tests.faults.measure import FAULT_SECONDS, Measured
from tests.faults.stage import BOUND, TICK

BY_NAME: Mapping[str, Fault] = {fault.name: fault for fault in (CALM, *FAULTS)}
MASKINGS = ("proxy", "direct")

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
- **STOP in a session**: Proxy keeps it to itself, so there it is found by the reconciler. The account's webhook for
  alerts (`/twilio/events`), which finds it within seconds, is left out here.

What is allowed stands in parentheses: nothing; the bound; or the bound counted from when the fault is over.

"""

PROXY = """## With Proxy

`parley:masking: proxy`. **The declared bound holds only while the reconciler can work**: an outage of
Twilio's API, of KMS or of the table adds its own length. An alarm rings for each (`…-reconcile-errors`,
`…-reconcile-stopped`, `…-exposure`). In such an outage the intercept goes on refusing whatever the ledger knows of.

Open are:

- A call that goes on after its session was closed by its caller, or ran out, is ended when somebody in it says no
  within four hours of that: Twilio's own limit for a call, unless whoever makes it sets a longer one.
- A STOP from before the reconciler's very first run is found if it is at most a day old.

"""

DIRECT = """## Direct

`parley:masking: direct`. **Whoever said no is reached by no text and no call, under any of these faults**: what the
gate does not let pass does not pass, and before anything reaches anybody Twilio is asked what everybody in the session
texted us in the last day, so that a no whose webhook was lost counts all the same. That costs a request to Twilio for
each person and each text or call, and if it fails nobody is connected.

**A call under way is another matter**: it is ended by a request to Twilio, so while Twilio takes none it goes on, until
the reconciler ends it. The person can hang up; nothing that we know of ends it sooner.

Open are:

- A no that is more than a day old and that neither webhook nor reconciler brought.
- A text that came less than a minute before a session began, and is told again in it, is passed on: clocks differ.

"""

TABLE = """| fault | no to the gate | call under way | STOP in a session |
|---|---|---|---|
"""


def row(name: str, found: Measured, masking: str) -> str:
    """Return the row of a fault."""
    cells = zip(astuple(found), BY_NAME[name].allowed(masking), strict=True)
    return " | ".join([f"| {name}", *(f"{seconds} ({_words(allowed)})" for seconds, allowed in cells)]) + " |"


def _words(allowed: str) -> str:
    return {NOTHING: "0", RUN: f"{BOUND}", LATE: f"{BOUND} after it"}[allowed]


def faults_page(measured: Mapping[tuple[str, str], Measured]) -> str:
    """Return the page of what was measured, by way of masking and fault."""
    page = HEAD
    for masking, words in zip(MASKINGS, (PROXY, DIRECT), strict=True):
        page += words + TABLE + "".join(f"{row(name, measured[masking, name], masking)}\n" for name in BY_NAME) + "\n"
    return page.removesuffix("\n")
