"""Chat: the gate before a message, and what follows from one that was taken.

The gate asks Twilio who is in the conversation, and the ledger whether all of them agreed to be connected; every doubt
is a no. What is said without that, because Twilio did not wait for the answer, is found when Twilio tells of the
message: it is deleted there at once. Whether a message may be kept is decided when it was taken and again when the
archive reads it (`chatlog.py`), as it is with the messages of Proxy.

A conversation is the stack's own once everybody in it has agreed to be connected: it has a record then, which the
sweeper and an erasure go by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parley import log, runtime
from parley.adapters.rooms import Present
from parley.core import archive, chat, moments
from parley.core.chat import Said
from parley.core.consent import Method, Scope
from parley.core.decision import Decision, decide
from parley.core.identity import label
from parley.core.optout import Word, confirmation, is_stop, meaning
from parley.core.records import Resource, ResourceKind
from parley.core.sweeping import is_own_name
from parley.core.verification import METRICS
from parley.rooms import party_of
from parley.telling import confirm
from parley.withdrawal import close_denied, has_refused, soon, withdraw

ACTOR = "fn:chat"


# The gate -----------------------------------------------------------------------------------------------------


def refusal(said: Said) -> tuple[str, ...]:
    """Return why a message must not be taken, as codes; none if it may be.

    Somebody who says stop is taken at their word. Raises CarrierError, LedgerError, SecretError.
    """
    people = runtime.twilio_rooms().people(said.conversation, urgent=True)
    parties = [party_of(each.identifier) for each in people]
    if _heard(said, people, parties):
        return ("opted-out",)
    return _refused(said, parties)


def _refused(said: Said, parties: Sequence[str | None]) -> tuple[str, ...]:
    known = _known(parties)
    why = chat.obstacle(parties)
    decided = None if why is not None else _decide(known, Scope.MANAGE)
    reasons = (why,) if why is not None else tuple(log.reasons(decided)) if decided is not None else ()
    log.decision(
        "chat",
        permit=not reasons,
        reasons=reasons,
        parties=known,
        record_ids=decided.record_ids if decided is not None else (),
        conversation=said.conversation,
    )
    return reasons


def _decide(parties: Sequence[str], scope: Scope) -> Decision:
    """Decide about people who all have to agree explicitly, whatever the law is content with."""
    return decide(parties, runtime.ledger().standings(parties, scope), runtime.clock().now(), scope)


def _known(parties: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(sorted({party for party in parties if party is not None}))


def _heard(said: Said, people: Sequence[Present], parties: Sequence[str | None]) -> bool:
    """Tell whether somebody said stop, and withdraw everything for them if they did."""
    author = said.author.removeprefix("whatsapp:")
    speaker = next((each for each in people if each.sid == said.participant or each.identifier == author), None)
    if speaker is None or not is_stop(said.body):
        return False
    party = parties[people.index(speaker)]
    if party is not None:
        _take_stop(said, speaker, party)
    return True


def _take_stop(said: Said, speaker: Present, party: str) -> None:
    """Withdraw everything for somebody, close what rests on it, and confirm it once where there is a phone.

    Before it is taken a message has no SID: one that comes again finds that it was said already.
    """
    env, ledger, now = runtime.environment(), runtime.ledger(), runtime.clock().now()
    meant = meaning(said.body)
    stop = meant if meant is not None and meant.word is Word.STOP else None
    first = not has_refused(ledger.standings_of(party))
    deadline = soon()
    if first:
        review = stop is not None and not stop.certain
        withdraw(
            ledger,
            party=party,
            source=f"{said.message or f'{said.conversation}:{moments.to_text(now)}'}:stop",
            method=Method.SMS_REPLY if speaker.own_number else Method.IN_APP,
            evidence={
                "conversation_sid": said.conversation,
                **({"chat_message_sid": said.message} if said.message else {}),
                **({"review": True} if review else {}),
            },
            withdrawal={"channel": "chat", "words": stop.said if stop else ""},
            said_at=now,
            actor=ACTOR,
            controller=env.controller,
        )
        if review:
            log.emit("opt-out-for-review", "WARNING", parties=[label(party)], conversation=said.conversation)
    close_denied(ledger, runtime.carrier(), runtime.clock(), party, reason="opted-out", deadline=deadline)
    notice_id = confirmation(said.body, now, now) if first and speaker.own_number else None
    if notice_id is not None:
        confirm(
            runtime.carrier(),
            notice_id,
            party=party,
            sender=speaker.own_number,
            to=speaker.identifier,
            deadline=deadline,
        )


# After a message ----------------------------------------------------------------------------------------------


def take(said: Said) -> None:
    """Note a message that was taken: whether it may be kept, and that it has to leave Twilio.

    One that the gate would have refused is deleted. Raises CarrierError, LedgerError, QueueError, SecretError.
    """
    ledger, now = runtime.ledger(), runtime.clock().now()
    people = runtime.twilio_rooms().people(said.conversation)
    parties = [party_of(each.identifier) for each in people]
    work: dict[str, Any] = {"kind": "chat-message", "sid": said.message, "conversation": said.conversation}
    if _heard(said, people, parties) or _refused(said, parties):
        log.emit("message-passed-the-gate", "ERROR", conversation=said.conversation, message=said.message)
        log.measure(METRICS, {"Stack": runtime.environment().stack}, {"MessagesUngated": 1})
        if _is_ours(said.conversation):
            runtime.queues().send("archive", {**work, "ungated": True})
        return
    known = _known(parties)
    marker = ledger.begin_record(chat.marker_of(said.conversation, known, now))
    if set(known) - set(marker.parties):
        ledger.meet(said.conversation, known)
    kept = _decide(known, Scope.STORE_MESSAGES)
    if kept.permit:
        ledger.begin_record(chat.record_of(said, known, kept.record_ids, now))
    delay = archive.message_delay(runtime.environment().session.reconcile_seconds)
    runtime.queues().send("archive", work, delay=delay)


def _is_ours(conversation: str) -> bool:
    """Tell whether a conversation is one of the stack's: everybody in it agreed once, or its name says so."""
    if runtime.ledger().record(conversation) is not None:
        return True
    raw = runtime.twilio_records().fetch(Resource(ResourceKind.CONVERSATION, conversation))
    return raw is not None and is_own_name(str(raw.get("unique_name") or ""), runtime.environment().stack)


def people_of(conversation: str) -> tuple[str, ...]:
    """Return the keys of the people in a conversation, as far as they are known. Raises CarrierError, LedgerError."""
    people = runtime.twilio_rooms().people(conversation)
    return _known([party_of(each.identifier) for each in people])
