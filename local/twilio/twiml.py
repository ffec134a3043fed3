"""The TwiML that this emulator carries out, turned into steps.

Voice: Say, Play, Pause, Gather, Record, Dial with one Number or a Conference, Redirect, Hangup, Reject. Messaging:
Message. Anything else becomes an `Unsupported` step: the caller stops there, says so, and pretends nothing.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

CONTENT_TYPES = frozenset({"application/xml", "text/xml"})


class TwimlError(ValueError):
    """A document that is not TwiML."""


@dataclass(frozen=True, slots=True)
class Hear:
    """The phone hears a text, or a recording: then the text is its URL in angle brackets."""

    text: str


@dataclass(frozen=True, slots=True)
class Gather:
    """The phone hears prompts and may press keys; with keys pressed, `action` is asked how to go on."""

    prompts: tuple[Hear, ...]
    action: str | None


@dataclass(frozen=True, slots=True)
class Send:
    """The number texts back, to `to` or else to whoever wrote."""

    body: str
    media: tuple[str, ...]
    to: str | None


@dataclass(frozen=True, slots=True)
class End:
    """The call ends with this status."""

    status: str


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A verb that is not carried out."""

    verb: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """The call goes on with another document."""

    url: str


@dataclass(frozen=True, slots=True)
class Dial:
    """Another phone is called and connected, after it heard the document of `url`; then `action` is asked how to go on.

    `status_callback` is told the events of the other leg that are named (statusCallbackEvent; by default `completed`).
    """

    number: str
    caller_id: str | None
    action: str | None
    answer_on_bridge: bool
    url: str
    status_callback: str
    status_events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """What the phone says is recorded, for `most` seconds or until a key; then `action` is asked how to go on."""

    action: str | None
    most: float
    status_callback: str | None
    status_events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Confer:
    """The phone joins the conference with this name, which begins with the first that starts it.

    It ends with one that `ends` it. `status_callback` is told the events that are named: that of whoever came first.
    """

    name: str
    action: str | None
    starts: bool
    ends: bool
    status_callback: str
    status_events: tuple[str, ...]


Step = Confer | Record | Hear | Gather | Send | Redirect | Dial | End | Unsupported


def parse(document: str) -> list[Step]:
    """Return the steps of a TwiML document. Raises TwimlError."""
    try:
        root = ET.fromstring(document.strip())  # noqa: S314 - the answer of the very handler under test
    except ET.ParseError as error:
        raise TwimlError(f"not XML: {error}") from None
    if root.tag != "Response":
        raise TwimlError("the root element of TwiML is Response")
    return [step for verb in root for step in _steps(verb)]


def _steps(verb: ET.Element) -> list[Step]:
    step: Step | None
    match verb.tag:
        case "Say" | "Play":
            step = _hear(verb)
        case "Pause":
            step = None
        case "Gather":
            step = Gather(tuple(_hear(child) for child in verb if child.tag in {"Say", "Play"}), verb.get("action"))
        case "Message":
            body = _text(verb) or "".join(_text(child) for child in verb if child.tag == "Body")
            step = Send(body, tuple(_text(child) for child in verb if child.tag == "Media"), verb.get("to"))
        case "Redirect":
            step = Redirect(_text(verb))
        case "Dial":
            step = _dial(verb)
        case "Record":
            step = Record(
                action=verb.get("action"),
                most=float(verb.get("maxLength", 3600)),
                status_callback=verb.get("recordingStatusCallback"),
                status_events=tuple(verb.get("recordingStatusCallbackEvent", "completed").split()),
            )
        case "Hangup":
            step = End("completed")
        case "Reject":
            step = End("busy" if verb.get("reason") == "busy" else "no-answer")
        case _:
            step = Unsupported(verb.tag)
    return [] if step is None else [step]


def _dial(verb: ET.Element) -> Step:
    nouns = list(verb)
    if [noun.tag for noun in nouns] == ["Conference"] and "record" not in {*verb.keys(), *nouns[0].keys()}:
        noun = nouns[0]
        return Confer(
            name=_text(noun),
            action=verb.get("action"),
            starts=noun.get("startConferenceOnEnter", "true") == "true",
            ends=noun.get("endConferenceOnExit", "false") == "true",
            status_callback=noun.get("statusCallback", ""),
            status_events=tuple(noun.get("statusCallbackEvent", "").split()),
        )
    if verb.get("record", "do-not-record") != "do-not-record" or [noun.tag for noun in nouns] != ["Number"]:
        return Unsupported("Dial")
    noun = nouns[0]
    return Dial(
        number=_text(noun),
        caller_id=verb.get("callerId"),
        action=verb.get("action"),
        answer_on_bridge=verb.get("answerOnBridge") == "true",
        url=noun.get("url", ""),
        status_callback=noun.get("statusCallback", ""),
        status_events=tuple(noun.get("statusCallbackEvent", "completed").split()),
    )


def _hear(verb: ET.Element) -> Hear:
    text = "".join(verb.itertext()).strip()
    return Hear(f"<{text}>" if verb.tag == "Play" else " ".join(text.split()))


def _text(element: ET.Element) -> str:
    return (element.text or "").strip()
