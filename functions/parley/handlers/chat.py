"""Twilio Conversations' webhooks: may this message be taken, and what became of it.

https://www.twilio.com/docs/conversations-classic/conversations-webhooks. Before a message is taken, or changed, Twilio
asks and waits for 5 seconds at most; 403 refuses it. So whatever cannot be proven is answered 403: a bad signature, a
participant whom nobody knows, a ledger that does not answer, a mistake in this very file. Afterwards it tells, and the
message goes to the archive.
"""

from __future__ import annotations

from parley import chats, log, runtime
from parley.core.chat import ASKS, TOLD, Said
from parley.core.problem import problem
from parley.core.sids import SidError
from parley.web import Answer, Form, MalformedError, Request, answer, guarded, refuse, single, unavailable
from parley.webhook import ForgedError, authenticate


def _forbidden(_error: Exception | None = None) -> Answer:
    return refuse(problem("not-permitted", 403, "No consent of every party could be proven."))


@guarded("chat", _forbidden)
def handle(request: Request) -> Answer:
    """Answer 200 to a message that everybody in the conversation agreed to, 204 to what is only told, else 403."""
    try:
        form = authenticate(request)
    except ForgedError:
        log.decision("chat", permit=False, reasons=["signature-invalid"])
        return _forbidden()
    if single(form, "AccountSid") != runtime.environment().twilio_account_sid:
        raise MalformedError("the field AccountSid is another account's")
    event = single(form, "EventType")
    if event in ASKS:
        return _forbidden() if chats.refusal(_said(form)) else answer(200, {})
    if event != TOLD:
        return answer(204)
    said = _said(form, taken=True)
    try:
        chats.take(said)
    except Exception as error:  # noqa: BLE001 - nothing is refused by it any more, and it must not quote anybody
        log.failure("request-failed", error, handler="chat")
        return unavailable("The message could not be handed to the archive.")
    return answer(204)


def _said(form: Form, *, taken: bool = False) -> Said:
    try:
        return Said(
            single(form, "ConversationSid"),
            form.get("ParticipantSid", [""])[0],
            form.get("Author", [""])[0],
            form.get("Body", [""])[0],
            single(form, "MessageSid") if taken else "",
        )
    except SidError:
        raise MalformedError("a field is no SID of that kind") from None
