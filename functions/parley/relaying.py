"""Passing texts on from one masked number to another, where sessions are our own (`direct`).

A text is claimed before it is passed on: one request to the ledger reads the line that it came by and notes its SID, so
whoever finds it noted passes nothing on. A text is therefore passed on at most once, however often it is told:

| step | who dies after it leaves |
|---|---|
| claim | a text that is not passed on: its sender's webhook failed, which Twilio's debugger shows |
| send | a text that was passed on, and of which the log learns by its status |
| log | nothing to be done |

Between the two Twilio is asked what everybody in the session texted us lately: a no whose webhook was lost is taken
before anything reaches anybody, so that an outage leaves nobody exposed once it is over.

What certainly sent nothing (a key that cannot be used, a refusal of Twilio's) gives the claim back, so that a repeat
may pass it on. Whether Twilio sent what it never answered about nobody knows: that is not tried again.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from parley import log, outside, runtime, twiml
from parley.core import moments
from parley.core.disclosure import language_for
from parley.core.identity import label
from parley.core.lines import GRACE, Channel, Line, Peer, interaction_sid
from parley.core.media_link import VALID_FOR, MediaLink, token_of
from parley.core.optout import is_stop
from parley.core.relay import MediaRefusedError, Part, attachments, parts
from parley.core.sids import SidError, check_sid
from parley.core.verification import METRICS
from parley.found import BARRED, listen, take_refused
from parley.messages import archive_in_time, archive_later
from parley.ports import CarrierError, Interaction
from parley.telling import given
from parley.web import Answer, Form, MalformedError, answer, sender, single

NAME = "inbound-message"
PATH = "/twilio/message"
STATUS = f"{PATH}/status"
MEDIA = "/twilio/media/"


def take_text(form: Form) -> Answer:
    """Pass a text on, or answer what somebody reads who has no session.

    Raises what the ledger, KMS and Twilio raise: then nothing was passed on.
    """
    sid, number, masked = _message_sid(form), sender(form), single(form, "To")
    body = form.get("Body", [""])[0]
    if number is not None and form.get("OptOutType", [""])[0] == "STOP":
        # Advanced Opt-Out knows words of the account's own, and has answered them (docs/messaging/tutorials).
        return outside.withdraw(number, sid, body, name=NAME, confirmed=True)
    if number is None or is_stop(body):
        return outside.answer_text(number, sid, body, name=NAME)
    party = runtime.identities().party(number)
    line, repeated = runtime.ledger().claim(party, masked, sid)
    refusal = "no-session" if line is None else line.refusal(runtime.clock().now(), Channel.MESSAGE)
    if line is None and number in runtime.carrier().pool():
        # Each answer to a number of our own would be answered in turn.
        log.decision(NAME, permit=False, reasons=["own-number"], resource=sid)
        return twiml.silence()
    if line is None or refusal is not None:
        return outside.answer_text(number, sid, body, name=NAME, reason=refusal or "")
    if repeated:
        log.emit("message-repeated", session=line.session, resource=sid)
        return twiml.silence()
    return _relay(form, line, sid, number, body)


def _relay(form: Form, line: Line, sid: str, number: str, body: str) -> Answer:
    """Pass on a text that came by an open line, unless its files or an unheard no forbid it."""
    try:
        pieces = parts(body, attachments(form, sid))
    except MediaRefusedError:
        _decide(line, sid, permit=False, reason="media-refused")
        return twiml.written(given("media-refused", "sms", language_for(number)))
    numbers = _reached(line, sid, number)
    if numbers is None:
        return outside.answer_text(number, sid, body, name=NAME, reason="consent-lost")
    _decide(line, sid, permit=True)
    sent = _pass_on(line, sid, pieces, numbers)
    for place, (peer, outbound) in enumerate(sent):
        _log(line, peer, sid if place == 0 else "", outbound)
    runtime.ledger().touch_lines(line, runtime.clock().now(), sid)
    return twiml.silence()


def _message_sid(form: Form) -> str:
    try:
        return check_sid(single(form, "MessageSid"), "SM|MM")
    except SidError:
        raise MalformedError("the field MessageSid is no SID of a message") from None


def _decide(line: Line, sid: str, *, permit: bool, reason: str = "") -> None:
    log.decision(
        NAME,
        permit=permit,
        reasons=[reason] if reason else [],
        parties=line.parties,
        record_ids=line.records,
        session=line.session,
        resource=sid,
    )


def _reached(line: Line, sid: str, number: str) -> dict[str, str] | None:
    """Return the number of everybody else in the session, by participant; None if nobody may be reached after all.

    That is so if somebody said no unheard, or if the text is from before the session: told again, it would reach
    other people than it was written to. Raises LedgerError or CarrierError, and gives the claim back then.
    """
    try:
        numbers = {peer.participant: runtime.sealer().open(peer.sealed, line.session) for peer in line.peers}
        told = [listen(each, actor=f"fn:{NAME}") for each in (number, *numbers.values())]
        noes = any(each.noes for each in told)
        current = runtime.ledger().line(line.party, line.masked_number) if noes else line
    except Exception:
        runtime.ledger().unclaim(line, sid)
        raise
    sent_at = told[0].sent.get(sid, line.opened_at)
    if current is None or current.session != line.session or sent_at < line.opened_at - GRACE:
        return None
    return numbers if current.refusal(runtime.clock().now(), Channel.MESSAGE) is None else None


def _pass_on(line: Line, sid: str, pieces: tuple[Part, ...], numbers: Mapping[str, str]) -> list[tuple[Peer, str]]:
    """Send a text to everybody else in the session; return to whom, by which message.

    `numbers` are plain, by participant. Raises LedgerError or CarrierError if nothing was sent at all, and gives the
    claim back then.
    """
    sent: list[tuple[Peer, str]] = []
    unknown = False
    try:
        links = _links(pieces)
        for peer in line.peers:
            for part in pieces:
                unknown = True  # until Twilio answers nobody knows
                outbound = _send(line, peer, numbers[peer.participant], sid, part, links, first=not sent)
                unknown = False
                if outbound is None:
                    # Whoever texted STOP to this number said no to everything, and gets nothing of it.
                    take_refused(peer.party, sid, actor=f"fn:{NAME}")
                    break
                sent.append((peer, outbound))
    except Exception as error:
        unknown = unknown and not (isinstance(error, CarrierError) and error.status > 0)
        if not sent and not unknown:
            runtime.ledger().unclaim(line, sid)
            raise
        # A part of it is on its way, or may be: nothing is tried again, and what is known is logged.
        log.failure("relay-incomplete", error, session=line.session, resource=sid)
        log.measure(METRICS, {"Stack": runtime.environment().stack}, {"RelaysIncomplete": 1})
    return sent


def _send(
    line: Line, peer: Peer, number: str, sid: str, part: Part, links: Mapping[str, str], *, first: bool
) -> str | None:
    """Send one part to one person; return the message's SID, None if Twilio sends this person nothing any more."""
    place = {"session": line.session, "inbound": sid, "from": line.participant, "to": peer.participant}
    query = urlencode({**place, **({"first": 1} if first else {})})
    try:
        return runtime.carrier().relay(
            peer.masked_number,
            number,
            part.body,
            media=[links[one.media] for one in part.attachments],
            callback=f"{runtime.environment().public_url}{STATUS}?{query}",
        )
    except CarrierError as error:
        if error.code != BARRED:
            raise
        return None


def _links(pieces: tuple[Part, ...]) -> dict[str, str]:
    """Return the addresses by which Twilio fetches the files, by their SIDs."""
    env, expires_at = runtime.environment(), runtime.clock().now() + VALID_FOR
    sign = runtime.identities().sign_link
    return {
        one.media: env.public_url + MEDIA + token_of(MediaLink(one.message, one.media, expires_at), sign)
        for part in pieces
        for one in part.attachments
    }


def _log(line: Line, peer: Peer, inbound: str, outbound: str) -> None:
    interaction = _interaction(line.session, line.participant, inbound, outbound, "queued")
    new = runtime.ledger().log_interaction(interaction)
    log.emit(
        "interaction",
        session=line.session,
        interaction=interaction.sid,
        kind="message",
        outbound=interaction.outbound_status,
        to=label(peer.party),
        new=new,
    )
    archive_in_time(interaction)


def _interaction(session: str, participant: str, inbound: str, outbound: str, status: str) -> Interaction:
    """Return one status of a text; without `inbound` it is a further message that the same text made.

    Each of those has an interaction of its own, so that every message at Twilio is in the log by its SID.
    """
    return Interaction(
        session_sid=session,
        sid=interaction_sid(inbound or outbound),
        kind="message",
        inbound_status="received" if inbound else "",
        outbound_status=status,
        inbound_participant=participant,
        inbound_resource=inbound,
        outbound_resource=outbound,
        created_at=moments.to_text(runtime.clock().now()),
    )


def take_status(form: Form, query: Mapping[str, str]) -> Answer:
    """Log one status of a text that was passed on; one that is final goes to the archive. Raises MalformedError."""
    try:
        outbound = check_sid(single(form, "MessageSid"), "SM|MM")
        session, inbound = check_sid(query.get("session"), "KC"), check_sid(query.get("inbound"), "SM|MM")
        participant, peer = check_sid(query.get("from"), "KP"), check_sid(query.get("to"), "KP")
    except SidError:
        raise MalformedError("the status names no text that was passed on") from None
    status, code = single(form, "MessageStatus"), form.get("ErrorCode", [""])[0]
    interaction = _interaction(session, participant, inbound if "first" in query else "", outbound, status)
    new = runtime.ledger().log_interaction(interaction)
    log.emit("interaction", session=session, interaction=interaction.sid, kind="message", outbound=status, new=new)
    if code:
        log.emit("relay-undelivered", "WARNING", session=session, resource=outbound, status=status, code=code)
    if code == str(BARRED):
        known = runtime.ledger().session(session)
        party = known.party_of(peer) if known else None
        if party is not None:
            take_refused(party, outbound, actor=f"fn:{NAME}")
    archive_later(interaction)
    return answer(204)
