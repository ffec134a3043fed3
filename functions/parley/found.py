"""A no that was found rather than heard: in Twilio's debugger, or among its messages.

Proxy keeps STOP and its like to itself and leaves alert 80901; a webhook that fails leaves 80908, and the message that
it was about may have been a stop word (twilio.com/docs/proxy/opt-out-keywords). A text that Twilio refuses to send
because of an earlier STOP has error 21610: that person said no, whether we heard it or not. The message is the source
of the withdrawal, so what is found in several ways, or was heard before, counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from parley import log, runtime
from parley.core.consent import Method
from parley.core.identity import IdentifierError
from parley.core.optout import Word, confirmation, is_stop, meaning
from parley.ports import Alert, Message
from parley.telling import confirm
from parley.withdrawal import Withdrawn, close_denied, give_back_by_text, has_refused, withdraw, withdraw_by_text

SWALLOWED = 80901
"""An opt-in or opt-out word that was not forwarded."""

UNHEARD = 80908
"""A webhook that failed: what it was about may have been a stop word."""

BARRED = 21610
"""A text to somebody who texted STOP to this number or service."""

LISTEN_BACK: Final = timedelta(hours=24)
"""How far back somebody's own texts are read before anything reaches them: the reconciler has what is older."""

LISTEN_LIMIT: Final = 1000
"""How many of them, the newest first."""

OPT_INS = frozenset({Word.START, Word.YES})
MESSAGES = ("SM", "MM")

_GONE: Final[dict[int, tuple[str, log.Level]]] = {
    SWALLOWED: ("opt-out-lost", "ERROR"),
    UNHEARD: ("message-lost", "WARNING"),
    BARRED: ("message-lost", "WARNING"),
}


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a find: how many people were withdrawn by it, and how many sessions were closed."""

    withdrawn: int = 0
    closed: int = 0


NOTHING = Taken()


@dataclass(frozen=True, slots=True)
class Listened:
    """What somebody texted us lately: whether a no was among it, and when each text was sent, by its SID."""

    noes: bool
    sent: Mapping[str, datetime]


def take_alert(alert: Alert, *, actor: str, deadline: float | None = None) -> Taken:
    """Turn an alert into what it stands for. One whose message cannot be read any more is logged.

    Raises CarrierError, LedgerError if it has to be tried again.
    """
    if alert.code != SWALLOWED and not alert.resource_sid.startswith(MESSAGES):
        return NOTHING
    message = runtime.carrier().message(alert.resource_sid)
    if message is None:
        # Deleted before it was read: nobody can tell any more who said stop, or whether anybody did.
        event, level = _GONE[alert.code]
        log.emit(event, level, alert=alert.sid, resource=alert.resource_sid)
        return NOTHING
    at = message.sent_at or alert.at
    if alert.code == BARRED:
        return take_barred(alert.resource_sid, message, at, actor=actor, deadline=deadline)
    # Twilio itself takes YES for an opt-in, so it is no opt-out, whoever was asked what.
    said = meaning(message.body, asked=True)
    word = said.word if said else None
    if message.inbound and word is Word.START and alert.code == SWALLOWED:
        return _give_back(alert.resource_sid, message, actor)
    # Of what Proxy swallowed and nobody can read, we only know that it was a word of those.
    if not message.inbound or word in OPT_INS or (alert.code == UNHEARD and word is not Word.STOP):
        return NOTHING
    return _withdraw(alert.resource_sid, message, at, actor, deadline)


def listen(number: str, *, actor: str) -> Listened:
    """Take each no that somebody texted us lately, whether a webhook brought it or not; return what they texted.

    `number` is plain: never log or keep. Whoever finds a no here reads anew whether anything may pass: it may be an old
    one, or be taken by somebody else just now. Raises CarrierError, LedgerError.
    """
    texts, _ = runtime.carrier().messages(runtime.clock().now() - LISTEN_BACK, None, LISTEN_LIMIT, sender=number)
    sent = {each.sid: each.sent_at for each in texts if each.inbound and each.sent_at is not None}
    noes = [each for each in texts if each.sid in sent and is_stop(each.body)]
    for each in noes:
        take_message(each, sent[each.sid], actor=actor)
    return Listened(bool(noes), sent)


def take_message(message: Message, at: datetime, *, actor: str) -> Taken:
    """Turn a message of the account into what it stands for, if it is a stop word to one of our numbers, or barred.

    `at` is when it was sent. Raises CarrierError, LedgerError if it has to be tried again.
    """
    if message.inbound and is_stop(message.body) and is_ours(message):
        return _withdraw(message.sid, message, at, actor, None)
    if not message.inbound and message.error_code == BARRED:
        return take_barred(message.sid, message, at, actor=actor)
    return NOTHING


def take_barred(sid: str, message: Message, at: datetime, *, actor: str, deadline: float | None = None) -> Taken:
    """Withdraw everything for somebody whom Twilio sends none of our texts any more. They hear nothing of it."""
    if message.inbound or message.error_code != BARRED or not is_ours(message):
        return NOTHING
    party = _party(message.recipient, sid)
    return NOTHING if party is None else take_refused(party, sid, at, actor=actor, deadline=deadline)


def take_refused(
    party: str, sid: str, at: datetime | None = None, *, actor: str, deadline: float | None = None
) -> Taken:
    """Withdraw everything for a person whom Twilio sends a text no more, `sid` being what was to be sent to them.

    Raises LedgerError if it has to be tried again.
    """
    # Each further text that is barred says nothing new.
    if has_refused(runtime.ledger().standings_of(party)):
        return NOTHING
    now = runtime.clock().now()
    done = withdraw(
        runtime.ledger(),
        party=party,
        source=f"{sid}:barred",
        method=Method.SMS_REPLY,
        evidence={"message_sid": sid, "error_code": BARRED},
        withdrawal={"channel": "sms", "words": ""},
        said_at=min(at or now, now),
        actor=actor,
        controller=runtime.environment().controller,
    )
    return _closed(party, done, deadline)


def is_ours(message: Message) -> bool:
    """Tell whether a message went to or came from this service: the pool, or where questions come from.

    Raises CarrierError.
    """
    number, asks = message.recipient if message.inbound else message.sender, runtime.environment().consent.ask_from
    if asks is not None and asks in {number, message.service_sid}:
        return True
    return number in runtime.carrier().pool()


def _withdraw(sid: str, message: Message, at: datetime, actor: str, deadline: float | None) -> Taken:
    party = _party(message.sender, sid)
    if party is None:
        return NOTHING
    now = runtime.clock().now()
    said_at = min(at, now)
    done = withdraw_by_text(
        runtime.ledger(),
        party=party,
        message_sid=sid,
        words=message.body,
        said_at=said_at,
        actor=actor,
        controller=runtime.environment().controller,
    )
    taken = _closed(party, done, deadline)
    notice_id = confirmation(message.body, said_at, now) if done.first else None
    if notice_id is not None:
        confirm(
            runtime.carrier(),
            notice_id,
            party=party,
            sender=message.recipient,
            to=message.sender,
            deadline=deadline,
        )
    return taken


def _closed(party: str, done: Withdrawn, deadline: float | None) -> Taken:
    ledger, carrier, clock = runtime.ledger(), runtime.carrier(), runtime.clock()
    closing = close_denied(ledger, carrier, clock, party, reason="opted-out", deadline=deadline)
    return Taken(int(not done.repeated), len(closing.closed))


def _give_back(sid: str, message: Message, actor: str) -> Taken:
    """Give back what UNSTOP gives back: Proxy keeps it to itself, as it does with STOP."""
    env = runtime.environment()
    party = _party(message.sender, sid)
    if party is not None:
        give_back_by_text(
            runtime.ledger(),
            runtime.carrier(),
            party=party,
            message_sid=sid,
            now=runtime.clock().now(),
            actor=actor,
            controller=env.controller,
            validity_days=env.consent.validity_days,
        )
    return NOTHING


def _party(number: str, sid: str) -> str | None:
    """Return the key of the party behind a number, None, and log it, if it is none. Raises LedgerError."""
    try:
        return runtime.identities().party(number)
    except IdentifierError:
        log.emit("opt-out-sender-unreadable", "ERROR", resource=sid)
        return None
