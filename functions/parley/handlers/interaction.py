"""Proxy's CallbackUrl: the log of interactions.

Callbacks come in any order, more than once, or never (twilio.com/docs/proxy/api/webhooks), so each status is a row of
its own that is written once. No body and no number is kept. A stop word that reached the other person because the
intercept could not be asked is still found here, and so is a call that began while a consent was taken back. A call
that its session lets be recorded is handed over to `recorder`, which judges by the consents of the moment; a message
whose status is final goes to `archive`, which keeps it or not, and deletes it at Twilio.
"""

from __future__ import annotations

from parley import log, recordings, runtime
from parley.core.consent import Scope
from parley.core.optout import is_stop
from parley.core.problem import problem
from parley.handlers.intercept import body_of, created_at
from parley.messages import archive_later
from parley.ports import Interaction
from parley.stop_words import take_stop
from parley.web import Answer, Form, MalformedError, Request, answer, guarded, refuse, single, unavailable
from parley.webhook import ForgedError, authenticate

UNDER_WAY = frozenset({"answered", "in-progress", "initiated", "queued", "ringing"})
"""The states of a call that somebody hears or may hear."""


def _failed(error: Exception) -> Answer:
    if isinstance(error, ForgedError | MalformedError):
        return refuse(problem("not-permitted", 403, "Nothing proves that Twilio sent this."))
    return unavailable("The interaction could not be logged.")


@guarded("interaction", _failed)
def handle(request: Request) -> Answer:
    """Log one status of an interaction and answer 204, whether it is new or known."""
    form = authenticate(request)
    interaction = Interaction(
        session_sid=single(form, "interactionSessionSid"),
        sid=single(form, "interactionSid"),
        kind=single(form, "interactionType").lower(),
        inbound_status=_optional(form, "inboundResourceStatus"),
        outbound_status=_optional(form, "outboundResourceStatus"),
        inbound_participant=_optional(form, "inboundParticipantSid"),
        inbound_resource=_optional(form, "inboundResourceSid"),
        outbound_resource=_optional(form, "outboundResourceSid"),
        created_at=_optional(form, "interactionDateCreated"),
    )
    new = runtime.ledger().log_interaction(interaction)
    log.emit(
        "interaction",
        session=interaction.session_sid,
        interaction=interaction.sid,
        kind=interaction.kind,
        inbound=interaction.inbound_status,
        outbound=interaction.outbound_status,
        new=new,
    )
    _catch_stop_word(form, interaction)
    _look_after_call(interaction, _optional(form, "outboundParticipantSid"))
    archive_later(interaction)
    return answer(204)


def _catch_stop_word(form: Form, interaction: Interaction) -> None:
    words = body_of(form)
    if not is_stop(words):
        return
    session = runtime.ledger().session(interaction.session_sid)
    party = session.party_of(interaction.inbound_participant) if session else None
    if session is None or party is None or not interaction.inbound_resource:
        return
    said_at = created_at(form, runtime.clock().now())
    done = take_stop(session, party, interaction.inbound_resource, words, said_at, actor="fn:interaction")
    if not done.repeated:
        log.emit("stop-word-missed-by-intercept", "ERROR", session=interaction.session_sid, interaction=interaction.sid)


def _look_after_call(interaction: Interaction, outbound_participant: str) -> None:
    """End a call that got through while the consent of one of its people was taken back, or have it recorded.

    It was permitted just before, or the intercept could not be asked, and whoever closed the session could not see it.
    """
    call = interaction.inbound_resource
    if interaction.kind != "voice" or interaction.outbound_status not in UNDER_WAY or not call:
        return
    session = runtime.ledger().session(interaction.session_sid)
    if session is None:
        return
    if session.revocation is not None:
        runtime.carrier().end_call(call, urgent=True)
        log.emit("call-ended", session=session.sid, resource=call)
    elif Scope.RECORD_VOICE in session.scopes and recordings.QUEUE in runtime.environment().queues:
        recordings.have_recorded(session, interaction, outbound_participant)


def _optional(form: Form, name: str) -> str:
    values = form.get(name, [""])
    return values[0]
