"""The people's side: a phone texts or calls one of the account's numbers, and the carrier does what it would do.

Order of events: keyword filter, session lookup, interaction, intercept, outbound leg, callbacks (pages under
https://www.twilio.com/docs/proxy). Webhooks go out without the lock, so that a handler may call the API back.
An interaction that has begun goes on even if its handler closes the session meanwhile: the less protective of the
two things that the real service might do.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from local.twilio import payloads, twiml
from local.twilio.chat import Utterance
from local.twilio.errors import TwilioError
from local.twilio.interpreter import Interpreter
from local.twilio.messaging import PROXY_DROPPED_WORDS, Attachment, attachment, keyword
from local.twilio.numbers import is_e164
from local.twilio.proxy import PROXY_INTAKE, Wish
from local.twilio.state import Call, Message
from local.twilio.voice import LIVE, UNANSWERED
from local.twilio.webhooks import UNHEARD, Webhook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.twilio.callbacks import Callbacks
    from local.twilio.carrier import Carrier
    from local.twilio.chat import Chat
    from local.twilio.state import (
        ChatParticipant,
        Conversation,
        Interaction,
        OwnedNumber,
        Participant,
        Service,
        Session,
    )
    from local.twilio.webhooks import Reply, Series, Webhooks

ANSWERS: Final = frozenset({"answered", "voicemail"}) | UNANSWERED


class ScriptError(ValueError):
    """A script asked for something impossible; the text says what, and the way out.

    `code` is Twilio's own, where it is Twilio that refuses.
    """

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code


@dataclass(slots=True)
class Outcome:
    """What became of one text or call. `connected`: the other person's phone got it."""

    sid: str
    connected: bool = False
    interaction_sid: str | None = None
    outbound_sid: str | None = None
    heard: list[str] = field(default_factory=list)
    callee_heard: list[str] = field(default_factory=list)
    alerts: list[int] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)
    """TwiML verbs that were met and not carried out."""


@dataclass(frozen=True, slots=True)
class Ring:
    """How a simulated call goes: seconds of talk, what the callee does, keys pressed, and whether it stays up.

    `digits` are the caller's keys, one for each prompt, `callee_digits` those of whoever is dialled; `hang-up` stands
    for putting the phone down there. A `voicemail` answers, and presses nothing. Where several phones are called,
    `phones` says how each of them answers, and which keys it presses, that does otherwise.
    """

    duration: float = 10.0
    answer: str = "answered"
    digits: tuple[str, ...] = ()
    callee_digits: tuple[str, ...] = ()
    hold: bool = False
    phones: Mapping[str, Ring] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Relay:
    """An interaction under way, with the people as they were when it began."""

    service: Service
    session: Session
    interaction: Interaction
    peer: Participant


class Simulator:
    """Plays phones against a carrier. Its methods take the lock themselves and must be called without it."""

    def __init__(self, carrier: Carrier, webhooks: Webhooks, callbacks: Callbacks, chat: Chat) -> None:
        self._carrier = carrier
        self._webhooks = webhooks
        self._callbacks = callbacks
        self._chat = chat
        self._interpreter = Interpreter(carrier, webhooks, self._record)
        self.undeliverable: dict[str, int] = {}
        """Phones that no message reaches, with Twilio's code for why."""

    # Entry points ---------------------------------------------------------------------------------------------

    def text(self, sender: str, number: str, body: str, media: Sequence[Attachment] = ()) -> Outcome:
        """Let a phone text one of the account's numbers. Raises ScriptError."""
        carrier = self._carrier
        with carrier.lock:
            owned = self._owned(sender, number, "sms")
            message = carrier.messaging.receive(owned.account_sid, sender, number, body, media)
            service = carrier.proxy.pool_service(owned.sid)
            bound = carrier.conversations.route(sender, number) if service is None else None
        outcome = Outcome(message.sid)
        if bound is not None:
            self._in_conversation(outcome, bound, message)
        elif service is None:
            self._plain(outcome, owned, message, "sms", Ring())
        elif keyword(body) in PROXY_DROPPED_WORDS:
            self._alert(outcome, 80901, service, message.sid)
        else:
            relay = self._begin(outcome, service, message) or self._out_of_session(outcome, service, message, Ring())
            if relay is not None:
                self._relay_text(outcome, relay, message)
        return outcome

    def call(self, caller: str, number: str, ring: Ring) -> Outcome:
        """Let a phone call one of the account's numbers. Raises ScriptError."""
        if not ANSWERS.issuperset({ring.answer, *(each.answer for each in ring.phones.values())}):
            raise ScriptError(f"`answer` must be one of {', '.join(sorted(ANSWERS))}")
        carrier = self._carrier
        with carrier.lock:
            owned = self._owned(caller, number, "voice")
            call = carrier.voice.ring(owned.account_sid, caller, number, "inbound", owned.sid)
            service = carrier.proxy.pool_service(owned.sid)
        outcome = Outcome(call.sid)
        if service is None:
            self._plain(outcome, owned, call, "voice", ring)
        else:
            relay = self._begin(outcome, service, call) or self._out_of_session(outcome, service, call, ring)
            if relay is not None:
                self._relay_call(outcome, relay, call, ring)
        with carrier.lock:
            if call.status in LIVE and not (ring.hold and outcome.connected):
                carrier.voice.set_status(call, "failed")
        if call.status not in LIVE:
            self._interpreter.tell(call, "completed")
        self._callbacks.settle()
        return outcome

    def hang_up(self, call_sid: str) -> bool:
        """Let a person end a call that was held; return whether it was up. Raises ScriptError."""
        with self._carrier.lock:
            call = self._carrier.state.calls.get(call_sid)
            if call is None:
                raise ScriptError("no such call: take `call_sid` from the answer of POST /_sim/call")
            legs = self._carrier.voice.end(call)
        self.after_end(legs)
        self._callbacks.settle()
        self._webhooks.drain()
        return bool(legs)

    def push(self, session: Session, participant: Participant, body: str) -> Interaction:
        """Send a text to one participant from the number that participant knows: a MessageInteraction.

        The caller holds the lock; the callbacks follow in the background. Raises TwilioError.
        """
        carrier = self._carrier
        if not session.active:
            raise TwilioError(80607)
        message = carrier.messaging.send(
            session.account_sid, participant.proxy_identifier, participant.identifier, body
        )
        interaction = carrier.proxy.log(session, "message", json.dumps({"body": body}))
        interaction.participant_sid = interaction.outbound_participant_sid = participant.sid
        interaction.outbound_resource_sid, interaction.outbound_resource_status = message.sid, message.status
        carrier.proxy.touch(session)
        service = carrier.state.services[session.service_sid]
        self._webhooks.later(lambda: self._deliver_text(Outcome(message.sid), service, interaction, message))
        return interaction

    def bring(self, message: Message, callback: str) -> None:
        """Bring a queued message to its phone, with its media, and tell the callback each status; in the background."""
        self._webhooks.later(partial(self._bring, message, callback))

    def _bring(self, message: Message, callback: str) -> None:
        code = self.undeliverable.get(message.to, 0)
        for item in message.media:
            found = self._webhooks.fetch(item["url"])
            if found is None:
                code = 11200
                self._record(Outcome(message.sid), code, message.account_sid, None, message.sid, item["url"])
                break
            item["content_type"], item["content"] = found[0], base64.b64encode(found[1]).decode()
        series = self._webhooks.series()
        for status in ("sent", "undelivered" if code else "delivered"):
            with self._carrier.lock:
                if message.sid not in self._carrier.state.messages:
                    return
                self._carrier.messaging.advance(message, status)
                message.error_code = code if status == "undelivered" else message.error_code
                fields = payloads.message_status(message)
            if callback:
                series.send(Webhook("message-status", message.account_sid, callback, fields))
        series.close()

    def after_placing(self) -> None:
        """Let the phones that were called ring in the background, unless a script that is under way does that."""
        if not self._interpreter.scripts:
            self._webhooks.later(lambda: self._interpreter.ring_placed(Outcome(""), Ring()))

    def after_redirect(self, call: Call) -> None:
        """Let a live call go on with another document in the background, unless a script under way does that."""
        if call.url and call.direction == "inbound" and not self._interpreter.scripts:
            self._webhooks.later(partial(self._interpreter.go_on, Outcome(call.sid), call, Ring()))

    def after_end(self, legs: list[Call]) -> None:
        """Tell, in the background, that a call has ended: the Service's CallbackUrl, or each leg's own callback."""
        for leg in legs:
            if leg.status_callback:
                self._webhooks.later(partial(self._interpreter.tell, leg, "completed"))
        ended = next((leg for leg in legs if leg.parent_call_sid is not None and leg.interaction_sid), None)
        if ended is not None:
            self._webhooks.later(lambda: self._tell_end(ended))

    # In a session ---------------------------------------------------------------------------------------------

    def _owned(self, sender: str, number: str, capability: str) -> OwnedNumber:
        if not is_e164(sender) or not is_e164(number):
            raise ScriptError("`from` and `to` must be phone numbers in E.164 form, such as +12125550111")
        owned = self._carrier.numbers.by_phone_number(number)
        if owned is None:
            raise ScriptError("`to` is not a number of the account: GET /_sim/numbers lists them, POST adds one")
        if not owned.capabilities[capability]:
            raise ScriptError(f"`to` is not capable of {capability}")
        return owned

    def _begin(self, outcome: Outcome, service: Service, resource: Message | Call) -> Relay | None:
        """Open the interaction that (From, To) belongs to, if they have an active session with two people in it."""
        voice = not isinstance(resource, Message)
        proxy = self._carrier.proxy
        with self._carrier.lock:
            proxy.expire()
            found = proxy.route(resource.from_, resource.to, "voice" if voice else "sms")
            peer = proxy.peer(found[1]) if found else None
            if found is None or peer is None:
                return None
            session, sender = found
            data = json.dumps({"body": resource.body}) if isinstance(resource, Message) else None
            interaction = proxy.log(session, "voice" if voice else "message", data)
            interaction.inbound_participant_sid, interaction.inbound_resource_sid = sender.sid, resource.sid
            interaction.inbound_resource_status = resource.status
            outcome.interaction_sid = interaction.sid
            return Relay(service, session, interaction, peer)

    def _intercepted(self, outcome: Outcome, relay: Relay) -> bool:
        """Ask InterceptCallbackUrl; only 403 stops the interaction, whatever else happens lets it go on."""
        url = relay.service.intercept_callback_url
        if not url:
            return False
        fields = payloads.intercept(relay.interaction)
        reply = self._webhooks.deliver(Webhook("intercept", relay.service.account_sid, url, fields))
        if reply.status == 403:
            self._alert(outcome, 80909, relay.service, relay.interaction.inbound_resource_sid, url)
            return True
        self._complain(outcome, relay.service, relay.interaction.inbound_resource_sid, url, reply)
        return False

    def _relay_text(self, outcome: Outcome, relay: Relay, message: Message) -> None:
        if self._intercepted(outcome, relay):
            return
        interaction, peer = relay.interaction, relay.peer
        refusal: TwilioError | None = None
        with self._carrier.lock:
            interaction.outbound_participant_sid = peer.sid
            try:
                outbound = self._carrier.messaging.send(
                    message.account_sid,
                    peer.proxy_identifier,
                    peer.identifier,
                    message.body,
                    [attachment(item) for item in message.media],
                )
                interaction.outbound_resource_sid = outcome.outbound_sid = outbound.sid
            except TwilioError as error:
                refusal, interaction.outbound_resource_status = error, "failed"
                if error.code == 21610:
                    barred = self._carrier.messaging.bar(
                        message.account_sid, peer.proxy_identifier, peer.identifier, message.body
                    )
                    interaction.outbound_resource_sid = outcome.outbound_sid = barred.sid
            self._carrier.proxy.touch(relay.session)
        if refusal is None:
            self._deliver_text(outcome, relay.service, interaction, outbound)
            outcome.connected = True
        else:
            self._alert(outcome, refusal.code, relay.service, message.sid)
            series = self._webhooks.series()
            self._call_back(series, relay.service, interaction, outcome)
            self._close(series, relay.service, interaction, outcome)

    def _deliver_text(self, outcome: Outcome, service: Service, interaction: Interaction, message: Message) -> None:
        """Bring a queued message to the phone, with one callback for each status."""
        series = self._webhooks.series()
        for status in ("queued", "sent", "delivered"):
            with self._carrier.lock:
                self._carrier.messaging.advance(message, status)
                interaction.outbound_resource_status, interaction.updated = status, self._carrier.clock.now()
            self._call_back(series, service, interaction, outcome)
        self._close(series, service, interaction, outcome)

    def _relay_call(self, outcome: Outcome, relay: Relay, call: Call, ring: Ring) -> None:
        voice = self._carrier.voice
        if self._intercepted(outcome, relay):
            with self._carrier.lock:
                voice.set_status(call, "busy")
            return
        interaction, peer = relay.interaction, relay.peer
        with self._carrier.lock:
            leg = voice.ring(
                call.account_sid,
                peer.proxy_identifier,
                peer.identifier,
                "outbound-dial",
                peer.proxy_identifier_sid,
                call,
            )
            leg.interaction_sid = call.interaction_sid = interaction.sid
            interaction.outbound_participant_sid, interaction.outbound_resource_sid = peer.sid, leg.sid
            outcome.outbound_sid = leg.sid
            self._carrier.proxy.touch(relay.session)
        series = self._webhooks.series()
        for status in ("initiated", "ringing", "in-progress" if ring.answer == "answered" else ring.answer):
            with self._carrier.lock:
                if leg.status not in LIVE:
                    break
                if status != "initiated":
                    voice.set_status(leg, status)
                if status in UNANSWERED | {"in-progress"}:
                    voice.set_status(call, status)
                interaction.inbound_resource_status, interaction.outbound_resource_status = call.status, status
                interaction.updated = self._carrier.clock.now()
            self._call_back(series, relay.service, interaction, outcome)
        outcome.connected = leg.started is not None
        if outcome.connected and not ring.hold:
            with self._carrier.lock:
                legs = voice.end(call, seconds=ring.duration)
                self._note_end(interaction, leg)
            if leg in legs:
                self._call_back(series, relay.service, interaction, outcome)
        self._close(series, relay.service, interaction, outcome)

    def _note_end(self, interaction: Interaction, leg: Call) -> None:
        calls = self._carrier.state.calls
        parent = calls.get(leg.parent_call_sid or "", leg)
        interaction.inbound_resource_status, interaction.outbound_resource_status = parent.status, leg.status
        interaction.data = json.dumps({"duration": str(self._carrier.voice.duration(leg))})
        interaction.updated = self._carrier.clock.now()

    def _tell_end(self, leg: Call) -> None:
        with self._carrier.lock:
            interaction = self._carrier.state.interactions.get(leg.interaction_sid or "")
            if interaction is None:
                return
            self._note_end(interaction, leg)
            service = self._carrier.state.services[interaction.service_sid]
        series = self._webhooks.series()
        outcome = Outcome(leg.sid)
        self._call_back(series, service, interaction, outcome)
        self._close(series, service, interaction, outcome)

    def _in_conversation(self, outcome: Outcome, bound: tuple[Conversation, ChatParticipant], message: Message) -> None:
        """Say a text in the conversation that its pair of numbers belongs to; a text of no words is not said."""
        conversation, speaker = bound
        said = Utterance(message.from_, message.body, "SMS", speaker=speaker)
        try:
            outcome.connected = self._chat.say(conversation, said, hooks=True) is not None
        except TwilioError as error:
            self._record(outcome, error.code, message.account_sid, None, message.sid)

    # Out of a session -----------------------------------------------------------------------------------------

    def _out_of_session(self, outcome: Outcome, service: Service, resource: Message | Call, ring: Ring) -> Relay | None:
        """Ask OutOfSessionCallbackUrl; return the relay to go on with if it created a session, else None."""
        url = service.out_of_session_callback_url
        if not url:
            self._alert(outcome, 80902, service, resource.sid)
            return None
        with self._carrier.lock:
            fields = self._native(resource)
            previous = self._carrier.proxy.last_session(resource.from_, resource.to)
            if previous is not None:
                session, sender = previous
                fields |= payloads.previous_session(session, sender, self._carrier.proxy.peer(sender))
        reply = self._webhooks.deliver(Webhook("out-of-session", service.account_sid, url, fields))
        if not reply.ok:
            self._complain(outcome, service, resource.sid, url, reply)
        elif reply.content_type in twiml.CONTENT_TYPES:
            try:
                steps = twiml.parse(reply.body)
            except twiml.TwimlError:
                self._record(outcome, 12100, resource.account_sid, None, resource.sid, url)
            else:
                self._perform(outcome, resource, url, steps, ring)
        elif reply.content_type == "application/json" and self._auto_create(outcome, service, resource, reply.body):
            return self._begin(outcome, service, resource)
        elif not outcome.alerts:
            self._alert(outcome, 80905, service, resource.sid, url)
        return None

    def _auto_create(self, outcome: Outcome, service: Service, resource: Message | Call, body: str) -> bool:
        """Create the session that an out-of-session answer asks for; return whether that worked."""
        try:
            answer = json.loads(body)
        except ValueError:
            return False
        if not isinstance(answer, dict) or not answer.get("participantIdentifier"):
            return False
        names = {"uniqueName": "UniqueName", "mode": "Mode", "ttl": "Ttl", "dateExpiry": "DateExpiry"}
        form = {form_name: str(answer[name]) for name, form_name in names.items() if answer.get(name) is not None}
        wishes = [
            Wish(resource.from_, proxy_identifier=resource.to),
            Wish(str(answer["participantIdentifier"]), proxy_identifier=answer.get("participantProxyIdentifier")),
        ]
        with self._carrier.lock:
            try:
                self._carrier.proxy.create_session(service, form, wishes)
            except TwilioError as error:
                self._alert(outcome, error.code if error.code >= 80000 else 80905, service, resource.sid)
                return False
        return True

    def _plain(self, outcome: Outcome, owned: OwnedNumber, resource: Message | Call, kind: str, ring: Ring) -> None:
        """Do what a number outside every Proxy pool does: ask its own webhook for TwiML.

        A number that has left its pool still points at Proxy, which no longer knows it: alert 80902 and nothing more.
        """
        voice = not isinstance(resource, Message)
        kinds = ("Url", "FallbackUrl")
        service = None if voice else self._carrier.messaging_services.of_number(owned.sid)
        if service is not None and not service.use_inbound_webhook_on_number:
            # The service answers for its numbers, or nobody does.
            urls: dict[str, str | None] = {"SmsUrl": service.inbound_request_url, "SmsFallbackUrl": ""}
            owned = replace(owned, settings=owned.settings | urls)
        url, fallback = (owned.settings[f"{'Voice' if voice else 'Sms'}{each}"] or "" for each in kinds)
        if not url:
            return
        if url.startswith(PROXY_INTAKE):
            self._record(outcome, 80902, owned.account_sid, None, resource.sid, url)
            return
        if isinstance(resource, Call):
            resource.status_callback, resource.status_events = owned.settings["StatusCallback"] or "", ["completed"]
        found = self._interpreter.fetch(outcome, kind, resource, url, fallback)
        if found is not None:
            self._perform(outcome, resource, *found, ring, fallback)

    def _native(self, resource: Message | Call) -> dict[str, str]:
        if isinstance(resource, Message):
            return payloads.native_message(self._carrier.state, resource)
        return payloads.native_call(self._carrier.state, resource)

    # TwiML ----------------------------------------------------------------------------------------------------

    def _perform(
        self,
        outcome: Outcome,
        resource: Message | Call,
        url: str,
        steps: list[twiml.Step],
        ring: Ring,
        fallback: str = "",
    ) -> None:
        if isinstance(resource, Message):
            self._interpreter.answer_text(outcome, resource, steps)
        else:
            self._interpreter.answer_call(outcome, resource, url, steps, ring, fallback)

    # Callbacks and alerts -------------------------------------------------------------------------------------

    def _call_back(self, series: Series, service: Service, interaction: Interaction, outcome: Outcome) -> None:
        """Tell CallbackUrl the interaction's state; its answer changes nothing."""
        url = service.callback_url
        if not url:
            return
        reply = series.send(Webhook("callback", service.account_sid, url, payloads.callback(interaction)))
        if reply is not None:
            self._complain(outcome, service, _resource(interaction), url, reply)

    def _close(self, series: Series, service: Service, interaction: Interaction, outcome: Outcome) -> None:
        for reply in series.close():
            self._complain(outcome, service, _resource(interaction), service.callback_url or "", reply)

    def _complain(self, outcome: Outcome, service: Service, sid: str | None, url: str, reply: Reply) -> None:
        """Leave alert 80908 if a webhook was not answered with 2xx; of a lost or late one nobody knows."""
        if not reply.ok and reply.problem not in UNHEARD:
            self._alert(outcome, 80908, service, sid, url)

    def _alert(self, outcome: Outcome, code: int, service: Service, sid: str | None, url: str | None = None) -> None:
        self._record(outcome, code, service.account_sid, service.sid, sid, url)

    def _record(
        self,
        outcome: Outcome,
        code: int,
        account_sid: str,
        service_sid: str | None,
        sid: str | None,
        url: str | None = None,
    ) -> None:
        with self._carrier.lock:
            self._carrier.alerts.record(code, account_sid, service_sid, sid, request_url=url)
        outcome.alerts.append(code)


def _resource(interaction: Interaction) -> str | None:
    return interaction.inbound_resource_sid or interaction.outbound_resource_sid
