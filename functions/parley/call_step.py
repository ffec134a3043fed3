"""A step of a call between masked numbers (`direct`): where it stands, what its URL carries, what each step needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from parley import bridge, log, runtime
from parley.core import moments
from parley.core.calls import CALLEE, GROUP_CALLEE, Recording, time_limit
from parley.core.disclosure import Notice, language_for
from parley.core.identity import IdentifierError, parse_e164
from parley.core.lines import Channel, Line, interaction_sid
from parley.core.sids import SidError, check_sid
from parley.telling import asking
from parley.web import Form, MalformedError, single

if TYPE_CHECKING:
    from parley.ports import Interaction

NAME = "inbound-call"
PATH = "/twilio/call"
ACTOR = f"fn:{NAME}"

OVER: Final = frozenset({"busy", "canceled", "completed", "failed", "no-answer"})
"""The states of a leg that is over."""

STATUSES: Final[Mapping[str, str]] = {"answered": "in-progress"}
"""What Twilio calls a state in `DialCallStatus`, by its name in `CallStatus`."""


@dataclass(frozen=True, slots=True)
class Step:
    """Which call of which session, who made it, and whether it is recorded.

    In a conference `to` is the participant whose leg it is; the caller's own steps have none, and `conference` instead.
    """

    session: str
    call: str
    participant: str
    recording: Recording = Recording.NONE
    recorded: bool = False
    to: str = ""
    is_conference: bool = False

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Step:
        """Return the step that a URL carries: Twilio signs it with the rest, so it comes back as it was given.

        Raises MalformedError for anything else.
        """
        try:
            return cls(
                check_sid(query.get("session"), "KC"),
                check_sid(query.get("call"), "CA"),
                check_sid(query.get("from"), "KP"),
                Recording(query.get("recording", "")),
                query.get("recorded") == "yes",
                check_sid(query["to"], "KP") if query.get("to") else "",
                query.get("conference") == "yes",
            )
        except (SidError, ValueError):
            raise MalformedError("the URL names no step of a call") from None

    def url(self, step: str) -> str:
        """Return the URL of another step of the same call."""
        fields = {
            "session": self.session,
            "call": self.call,
            "from": self.participant,
            "recording": self.recording,
            "recorded": "yes" if self.recorded else "no",
            **({"to": self.to} if self.to else {}),
            **({"conference": "yes"} if self.is_conference else {}),
        }
        return f"{runtime.public_url()}{PATH}/{step}?{urlencode(fields)}"

    def interaction(self, inbound: str, outbound: str = "", resource: str = "") -> Interaction:
        """Return a state of the call's legs for the log; each leg of a conference has an interaction of its own."""
        from parley.ports import Interaction  # noqa: PLC0415 - nothing is logged before somebody takes the call

        return Interaction(
            session_sid=self.session,
            sid=interaction_sid(self.call + self.to),
            kind="voice",
            inbound_status=inbound,
            outbound_status=STATUSES.get(outbound, outbound),
            inbound_participant=self.participant,
            inbound_resource=self.call,
            outbound_resource=resource,
            created_at=moments.to_text(runtime.clock().now()),
        )


def call_sid(form: Form) -> str:
    """Return the SID of the leg that a webhook is about. Raises MalformedError."""
    try:
        return check_sid(single(form, "CallSid"), "CA")
    except SidError:
        raise MalformedError("the field CallSid is no SID of a call") from None


def number_of(form: Form, name: str) -> str:
    """Return the number in a field: plain, never log or keep. Raises MalformedError."""
    try:
        return parse_e164(single(form, name))
    except IdentifierError:
        raise MalformedError(f"the field {name} is no number") from None


def notice_for(notice_id: str, number: str) -> Notice:
    """Return what the holder of a number hears, in the language of its country."""
    return asking(notice_id, language_for(number), "voice")


def decide(name: str, line: Line, call: str) -> None:
    """Log that a call may go on, with the consent records that it rests on."""
    log.decision(
        name,
        permit=True,
        reasons=[],
        parties=line.parties,
        record_ids=line.records,
        session=line.session,
        resource=call,
    )


def whispered(place: Step) -> str:
    """Return the notice that whoever is called hears before they take the call."""
    if place.to:
        return GROUP_CALLEE
    return CALLEE[place.recording if place.recorded else Recording.NONE]


def refusal_of(line: Line | None, place: Step) -> str | None:
    """Return why a call may not go on, None if it may."""
    if line is None or line.session != place.session:
        return "no-session"
    return line.refusal(runtime.clock().now(), Channel.VOICE)


def way(line: Line, place: Step) -> bridge.Way:
    """Return the way to the other one of a session of two. Raises LedgerError."""
    peer = line.peers[0]
    return bridge.Way(
        number=runtime.sealer().open(peer.sealed, line.session),
        masked_number=peer.masked_number,
        whisper=place.url("whisper"),
        status=place.url("status"),
        after=place.url("after"),
        time_limit=time_limit(line, runtime.clock().now()),
    )
