"""Carrying TwiML out: what a phone hears, which keys it presses, whom it is connected with, and what texts go back.

One document leads to the next: the action of a Gather or a Dial, a Redirect. Where a document cannot be had or read,
the number's fallback is asked, once, with ErrorCode and ErrorUrl (docs/voice/api/incomingphonenumber-resource); without
one the call ends. Who is dialled hears the document of `<Number url>` on their own leg first, and is connected when it
ends without hanging up (docs/voice/twiml/number). If that document fails, nobody is connected: what the real Twilio
does then is documented nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from local.twilio import payloads, twiml
from local.twilio.audio import RATE
from local.twilio.errors import TwilioError
from local.twilio.messaging import Attachment
from local.twilio.recordings import Order
from local.twilio.state import Call, Conference, Message
from local.twilio.voice import LIVE
from local.twilio.webhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.twilio.carrier import Carrier
    from local.twilio.simulator import Outcome, Ring
    from local.twilio.webhooks import Reply, Webhooks

HUNG_UP: Final = "hang-up"
"""Stands for a key: the phone is put down at this prompt."""


@dataclass(slots=True)
class Leg:
    """One phone of a call under way: its leg, the keys it will press, one for each prompt, and what it heard."""

    call: Call
    keys: list[str]
    heard: list[str]
    url: str = ""
    fallback: str = ""
    sent: dict[str, str] = field(default_factory=dict)


class Interpreter:
    """Carries TwiML out for phones of a carrier. Called without the carrier's lock."""

    def __init__(self, carrier: Carrier, webhooks: Webhooks, record: Callable[..., None]) -> None:
        self._carrier = carrier
        self._webhooks = webhooks
        self._record = record
        self.scripts = 0
        """How many scripted calls are under way."""

    # Texts ----------------------------------------------------------------------------------------------------

    def answer_text(self, outcome: Outcome, message: Message, steps: list[twiml.Step]) -> None:
        """Send the texts that a document answers a message with."""
        with self._carrier.lock:
            for step in steps:
                if not isinstance(step, twiml.Send):
                    outcome.unsupported.append(
                        step.verb if isinstance(step, twiml.Unsupported) else type(step).__name__
                    )
                    return
                to = step.to or message.from_
                try:
                    media = [Attachment(url) for url in step.media]
                    sent = self._carrier.messaging.send(
                        message.account_sid, message.to, to, step.body, media, "outbound-reply"
                    )
                except TwilioError as error:
                    self._record(outcome, error.code, message.account_sid, None, message.sid)
                else:
                    self._carrier.messaging.advance(sent, "delivered")

    # Documents ------------------------------------------------------------------------------------------------

    def fetch(
        self,
        outcome: Outcome,
        kind: str,
        resource: Message | Call,
        url: str,
        fallback: str = "",
        extra: dict[str, str] | None = None,
    ) -> tuple[str, list[twiml.Step]] | None:
        """Ask a URL for TwiML, else the fallback; return where it came from with its steps, None if there is none."""
        with self._carrier.lock:
            fields = self._native(resource) | (extra or {})
        reply = self._webhooks.deliver(Webhook(kind, resource.account_sid, url, fields))
        code, steps = _read(reply)
        if code == 0:
            return url, steps
        self._record(outcome, code, resource.account_sid, None, resource.sid, url)
        if not fallback:
            return None
        told = fields | {"ErrorCode": str(code), "ErrorUrl": url}
        reply = self._webhooks.deliver(Webhook("fallback", resource.account_sid, fallback, told))
        code, steps = _read(reply)
        if code == 0:
            return fallback, steps
        self._record(outcome, code, resource.account_sid, None, resource.sid, fallback)
        return None

    def _native(self, resource: Message | Call) -> dict[str, str]:
        if isinstance(resource, Message):
            return payloads.native_message(self._carrier.state, resource)
        return payloads.native_call(self._carrier.state, resource)

    # Calls ----------------------------------------------------------------------------------------------------

    def answer_call(
        self, outcome: Outcome, call: Call, url: str, steps: list[twiml.Step], ring: Ring, fallback: str = ""
    ) -> None:
        """Carry a document out on the caller's leg, with everything that follows from it."""
        leg = Leg(call, list(ring.digits), outcome.heard, url, fallback)
        self.scripts += 1
        try:
            stands = self._perform(outcome, leg, steps, ring)
        finally:
            self.scripts -= 1
        if stands != "held":
            self._end(call, "completed")

    def go_on(self, outcome: Outcome, call: Call, ring: Ring) -> None:
        """Let a live call that was redirected go on with its next document."""
        url, call.url = call.url, ""
        if not url or call.status not in LIVE:
            return
        leg = Leg(call, [], outcome.heard, url)
        following = self._follow(outcome, leg, "redirected", url)
        if isinstance(following, str) or self._perform(outcome, leg, following, ring) != "held":
            self._end(call, "completed")
            self.tell(call, "completed")

    def _perform(self, outcome: Outcome, leg: Leg, steps: list[twiml.Step], ring: Ring) -> str:
        """Carry steps out on a leg until there are none; return `over`, `done` (nothing left to do) or `held`."""
        pending = list(steps)
        while pending:
            if leg.call.status not in LIVE:
                return "over"
            following = self._step(outcome, leg, pending.pop(0), ring)
            if isinstance(following, str):
                return following
            pending = pending if following is None else following
        return "done"

    def _step(self, outcome: Outcome, leg: Leg, step: twiml.Step, ring: Ring) -> list[twiml.Step] | str | None:
        """Carry one step out; return the steps that follow instead of the others, how the leg stands, or None."""
        match step:
            case twiml.End():
                return self._end(leg.call, step.status)
            case twiml.Redirect():
                return self._follow(outcome, leg, "redirect", step.url)
            case twiml.Dial() | twiml.Record() | twiml.Confer():
                return self._talk(outcome, leg, step, ring)
            case twiml.Hear() | twiml.Gather():
                return self._prompt(outcome, leg, step)
            case _:
                outcome.unsupported.append(step.verb if isinstance(step, twiml.Unsupported) else "Message")
                return "done"

    def _talk(
        self, outcome: Outcome, leg: Leg, step: twiml.Dial | twiml.Record | twiml.Confer, ring: Ring
    ) -> list[twiml.Step] | str | None:
        """Let the phone talk to another one, to a recording, or in a conference."""
        if isinstance(step, twiml.Record):
            return self._record_words(outcome, leg, step, ring)
        if isinstance(step, twiml.Confer):
            return self._confer(outcome, leg, step, ring)
        told, held = self._dial(outcome, leg, step, ring)
        if held:
            return "held"
        gone = leg.call.status not in LIVE
        return None if gone or step.action is None else self._follow(outcome, leg, "dial", step.action, told)

    def _prompt(self, outcome: Outcome, leg: Leg, step: twiml.Hear | twiml.Gather) -> list[twiml.Step] | str | None:
        """Let the phone hear a step and press a key, or be put down."""
        key = self._hear(leg, step)
        if key == HUNG_UP:
            return self._end(leg.call, "completed")
        action = step.action if isinstance(step, twiml.Gather) else None
        return self._follow(outcome, leg, "gather", action, {"Digits": key, "msg": "Gather End"}) if key else None

    def _record_words(
        self, outcome: Outcome, leg: Leg, step: twiml.Record, ring: Ring
    ) -> list[twiml.Step] | str | None:
        """Record what the phone says, for as long as the script talks; who says nothing goes on with the next verb."""
        seconds, key = min(ring.duration, step.most), leg.keys.pop(0) if leg.keys else ""
        with self._carrier.lock:
            if leg.call.status == "ringing":
                self._carrier.voice.set_status(leg.call, "in-progress")
            if seconds <= 0:
                return None
            wish = Order(callback_url=step.status_callback, callback_events=step.status_events, source="RecordVerb")
            frames, now = round(seconds * RATE), self._carrier.clock.now()
            made = self._carrier.recordings.put(leg.call, wish, frames, now, "completed")
        told = {
            "RecordingSid": made.sid,
            "RecordingUrl": f"https://api.twilio.com/{payloads.API_VERSION}/Accounts/{made.account_sid}/Recordings/{made.sid}",
            "RecordingDuration": str(round(seconds)),
            "Digits": "hangup" if key == HUNG_UP else key,
        }
        following = self._follow(outcome, leg, "record", step.action, told)
        return self._end(leg.call, "completed") if key == HUNG_UP else following

    def _hear(self, leg: Leg, step: twiml.Hear | twiml.Gather) -> str:
        """Let the phone hear a step; return the key it presses then, if it may and does."""
        prompts = step.prompts if isinstance(step, twiml.Gather) else (step,)
        words = [prompt.text for prompt in prompts]
        with self._carrier.lock:
            if leg.call.status == "ringing":
                self._carrier.voice.set_status(leg.call, "in-progress")
            self._carrier.voice.hear(leg.call, words)
        leg.heard.extend(words)
        if leg.keys and (leg.keys[0] == HUNG_UP or isinstance(step, twiml.Gather)):
            return leg.keys.pop(0)
        return ""

    def _follow(
        self, outcome: Outcome, leg: Leg, kind: str, url: str | None, extra: dict[str, str] | None = None
    ) -> list[twiml.Step] | str:
        """Return the steps of the next document of a leg; without one the leg is over."""
        leg.url = urljoin(leg.url, url or leg.url)
        found = self.fetch(outcome, kind, leg.call, leg.url, leg.fallback, leg.sent | (extra or {}))
        if found is None:
            return self._end(leg.call, "completed")
        leg.url, steps = found
        return steps

    def _end(self, call: Call, status: str) -> str:
        with self._carrier.lock:
            if call.status in LIVE:
                if status == "completed" and call.status == "ringing":
                    self._carrier.voice.set_status(call, "in-progress")
                self._carrier.voice.set_status(call, status)
        return "over"

    # Conferences ----------------------------------------------------------------------------------------------

    def _confer(self, outcome: Outcome, leg: Leg, step: twiml.Confer, ring: Ring) -> list[twiml.Step] | str:
        """Let a leg join a conference. With the caller's, the phones that are called meanwhile ring, and it goes on.

        Without `hold` the caller is the one who hangs up, be it that nobody came.
        """
        voice = self._carrier.voice
        with self._carrier.lock:
            if leg.call.status == "ringing":
                voice.set_status(leg.call, "in-progress")
            events = step.status_events
            found = voice.join(
                leg.call, step.name, starts=step.starts, ends=step.ends, callback=step.status_callback, events=events
            )
        self._tell_joined(found, leg.call)
        if leg.call.direction != "inbound":
            return "held"
        self.ring_placed(outcome, ring)
        if leg.call.url and leg.call.status in LIVE:
            url, leg.call.url = leg.call.url, ""
            return self._follow(outcome, leg, "redirected", url)
        others = [sid for sid in found.present if sid != leg.call.sid]
        if others and leg.call.status in LIVE:
            outcome.connected, outcome.outbound_sid = True, others[0]
            if ring.hold:
                return "held"
        with self._carrier.lock:
            ended = voice.end(leg.call, ring.duration if others else None)
        for each in ended:
            if each is not leg.call:
                self.tell(each, "completed")
        return "over"

    def ring_placed(self, outcome: Outcome, ring: Ring) -> None:
        """Let every phone ring that was called by REST: each as `ring.phones` says, or as whoever is called."""
        placed = self._carrier.voice.placed
        while placed:
            call = placed.popleft()
            self._ring_out(outcome, call, ring.phones.get(call.to, ring))

    def _let_ring(self, call: Call) -> None:
        """Let a phone that is called ring, and tell both states, unless the call is ended meanwhile."""
        self.tell(call, "initiated")
        if call.status in LIVE:
            with self._carrier.lock:
                self._carrier.voice.set_status(call, "ringing")
            self.tell(call, "ringing")

    def _ring_out(self, outcome: Outcome, call: Call, ring: Ring) -> None:
        voice = self._carrier.voice
        self._let_ring(call)
        if call.status not in LIVE:
            return
        answered = ring.answer in {"answered", "voicemail"}
        with self._carrier.lock:
            voice.set_status(call, "in-progress" if answered else ring.answer)
        self.tell(call, "answered" if answered else "completed")
        if not answered:
            return
        keys = [] if ring.answer == "voicemail" else list(ring.callee_digits)
        leg = Leg(call, keys, outcome.callee_heard, call.url, call.fallback)
        found = self.fetch(outcome, "whisper", call, call.url, call.fallback)
        if found is not None:
            leg.url, steps = found
            if self._perform(outcome, leg, steps, ring) == "held":
                return
        self._end(call, "completed")
        self.tell(call, "completed")

    def _tell_joined(self, found: Conference, call: Call) -> None:
        """Tell the conference's status callback who joined, if it wants to know."""
        if not found.status_callback or "join" not in found.status_events:
            return
        with self._carrier.lock:
            found.told += 1
            fields = payloads.conference(found, call, "participant-join")
        self._call_back(Webhook("conference", call.account_sid, found.status_callback, fields), call)

    # Dialling -------------------------------------------------------------------------------------------------

    def _dial(self, outcome: Outcome, leg: Leg, dial: twiml.Dial, ring: Ring) -> tuple[dict[str, str], bool]:
        """Call another phone and connect it; return what the action is told, and whether the call stays up."""
        caller_id = dial.caller_id or leg.call.from_
        owned = self._carrier.numbers.by_phone_number(caller_id)
        if owned is None and caller_id not in {leg.call.from_, leg.call.to}:
            self._record(outcome, 13214, leg.call.account_sid, None, leg.call.sid)
            return {"DialCallStatus": "failed", "DialBridged": "false"}, False
        voice = self._carrier.voice
        with self._carrier.lock:
            if leg.call.status == "ringing" and not dial.answer_on_bridge:
                voice.set_status(leg.call, "in-progress")
            number_sid = "" if owned is None else owned.sid
            child = voice.ring(leg.call.account_sid, caller_id, dial.number, "outbound-dial", number_sid, leg.call)
            child.status_callback, child.status_events = dial.status_callback, list(dial.status_events)
            outcome.outbound_sid = child.sid
        self._let_ring(child)
        answered = ring.answer in {"answered", "voicemail"}
        bridged = answered and child.status in LIVE and self._take(outcome, leg, child, dial, ring)
        if bridged and ring.hold:
            return {}, True
        seconds = ring.duration if bridged else 0.0
        with self._carrier.lock:
            if child.status in LIVE:
                voice.set_status(child, "completed" if answered else ring.answer, seconds=seconds)
                ended_here = True
            else:
                ended_here = False
        if ended_here:
            self.tell(child, "completed")
        status = "completed" if bridged or (answered and child.started is not None) else child.status
        told = {"DialCallSid": child.sid, "DialCallStatus": status, "DialBridged": str(bridged).lower()}
        duration = voice.duration(child)
        return told | ({"DialCallDuration": str(duration)} if bridged and duration is not None else {}), False

    def _take(self, outcome: Outcome, leg: Leg, child: Call, dial: twiml.Dial, ring: Ring) -> bool:
        """Let the other phone be answered; return whether the two are connected."""
        voice = self._carrier.voice
        with self._carrier.lock:
            voice.set_status(child, "in-progress")
        self.tell(child, "answered")
        if child.status not in LIVE or leg.call.status not in LIVE:
            return False
        if dial.url:
            keys = [] if ring.answer == "voicemail" else list(ring.callee_digits)
            side = Leg(child, keys, outcome.callee_heard, dial.url, sent={"ParentCallSid": leg.call.sid})
            found = self.fetch(outcome, "whisper", child, urljoin(leg.url, dial.url), extra=side.sent)
            if found is None:
                return False
            side.url, steps = found
            if self._perform(outcome, side, steps, ring) != "done":
                return False
        if child.status not in LIVE or leg.call.status not in LIVE:
            return False
        with self._carrier.lock:
            if leg.call.status == "ringing":
                voice.set_status(leg.call, "in-progress")
        outcome.connected = True
        return True

    def tell(self, call: Call, event: str) -> None:
        """Tell the status callback of a leg an event of it, if it wants to know (`statusCallbackEvent`)."""
        if not call.status_callback or event not in call.status_events:
            return
        with self._carrier.lock:
            fields = self._native(call)
            status = "initiated" if event == "initiated" else call.status
            fields |= {"CallStatus": status, "CallbackSource": "call-progress-events"}
            if call.parent_call_sid is not None:
                fields["ParentCallSid"] = call.parent_call_sid
            duration = self._carrier.voice.duration(call)
            if duration is not None:
                fields["CallDuration"] = str(duration)
        self._call_back(Webhook("call-status", call.account_sid, call.status_callback, fields), call)

    def _call_back(self, webhook: Webhook, call: Call) -> None:
        """Deliver a status callback; of one that is answered with an error there is an alert."""
        reply = self._webhooks.deliver(webhook)
        if not reply.ok and reply.problem is None:
            with self._carrier.lock:
                self._carrier.alerts.record(11200, call.account_sid, None, call.sid, request_url=webhook.url)


def _read(reply: Reply) -> tuple[int, list[twiml.Step]]:
    """Return the debugger's code for an answer that is no TwiML, 0 with the steps for one that is."""
    if not reply.ok:
        return 11200, []
    if reply.content_type not in twiml.CONTENT_TYPES:
        return 12300, []
    try:
        return 0, twiml.parse(reply.body)
    except twiml.TwimlError:
        return 12100, []
