"""The key 9 on any call of ours: it refuses all contact, at once, as STOP does (47 CFR 64.1200(b)(3) and (a)(10))."""

from __future__ import annotations

from parley import log, runtime, twiml
from parley.core.consent import Method
from parley.core.disclosure import Notice, language_for
from parley.telling import given
from parley.web import Answer
from parley.withdrawal import close_denied, soon, withdraw

REFUSE = "9"


def take_refusal(
    number: str, *, party: str, call: str, leg: str, prompt: Notice, name: str, source: str = ""
) -> Answer:
    """Withdraw everything for whoever pressed the key, and speak the one confirmation.

    `number` is plain: never log or keep. `prompt` is what offered the key, `leg` whose phone it was (`caller` or
    `callee`), `name` the function that heard it. `source` names the keypress where one call has several of them.
    """
    env, ledger, clock = runtime.environment(), runtime.ledger(), runtime.clock()
    withdraw(
        ledger,
        party=party,
        source=source or f"{call}:{REFUSE}",
        method=Method.IVR_KEYPRESS,
        evidence={"call_sid": call, "leg": leg, "digits": REFUSE, "prompt_sha256": prompt.sha256},
        withdrawal={"channel": "voice", "words": ""},
        said_at=clock.now(),
        actor=f"fn:{name}",
        controller=env.controller,
    )
    log.decision(name, permit=False, reasons=["opted-out"], parties=[party], resource=call)
    close_denied(ledger, runtime.carrier(), clock, party, reason="opted-out", deadline=soon())
    return twiml.spoken(given("withdrawn", "voice", language_for(number)))
