"""Evidence: the proof that each method of obtaining consent leaves, and what that proof must hold.

A consent counts only with the proof that its own method makes (16 CFR 310.5: a copy of the consent in the manner and
format in which it was given; CTIA Messaging Principles 5.1.2: medium, capture of experience, identity). So a keypress
without a call, a contract without a version, or a text message without the answer's SID is no consent at all. Nothing
here holds a number, a name or a body: messages and calls are named by their SIDs, texts by their hashes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from parley.core import moments
from parley.core.consent import Kind, Method

MEMBERS_LIMIT = 20
"""Members of one proof, those of the caller's own included."""

TEXT_LIMIT = 500
"""Characters of one member."""

# Nine digits or more that stand alone, grouped as people write numbers; a date has eight.
_DIALLABLE = re.compile(r"(?<![0-9A-Za-z])\(?[0-9](?:[ ()./-]{0,2}[0-9]){8,14}(?![0-9A-Za-z])")

Fault = tuple[str, str]
"""What is wrong with a proof: the member, or an empty text for the whole, and the reason."""

Check = Callable[[object], str | None]
"""Returns why a value is none of the kind, or None."""


def _matching(pattern: str, what: str) -> Check:
    compiled = re.compile(pattern)

    def check(value: object) -> str | None:
        return None if isinstance(value, str) and compiled.fullmatch(value) else f"is not {what}"

    return check


def _text(value: object) -> str | None:
    if not isinstance(value, str) or not value.strip() or len(value) > TEXT_LIMIT or not value.isprintable():
        return f"is not a text of 1 to {TEXT_LIMIT} printable characters"
    return "holds digits like a phone number; write an id with letters around it" if _DIALLABLE.search(value) else None


def _version(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return None if value > 0 else "is not a version"
    return _text(value)


def _whole(least: int, most: int, unit: str) -> Check:
    def check(value: object) -> str | None:
        fine = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if fine else f"is not a whole number of {unit} from {least} to {most}"

    return check


def _one_of(*choices: str) -> Check:
    def check(value: object) -> str | None:
        return None if value in choices else f"is not one of {', '.join(choices)}"

    return check


def _moment(value: object) -> str | None:
    try:
        moments.from_text(value)
    except ValueError as error:
        return str(error)
    return None


_sha256 = _matching("[0-9a-f]{64}", "a SHA-256 in lower-case hex")
_message = _matching("(SM|MM)[0-9a-f]{32}", "the SID of a message (SM… or MM…)")
_call = _matching("CA[0-9a-f]{32}", "the SID of a call (CA…)")
_recording = _matching("RE[0-9a-f]{32}", "the SID of a recording (RE…)")
_digit = _matching("[0-9*#]", "one key of a telephone")
_leg = _one_of("caller", "callee")


@dataclass(frozen=True, slots=True)
class Form:
    """What a method's proof must hold, and what else it may hold, member by member.

    `kinds` are those of consent that the method can prove: whoever merely stays on the line has said nothing.
    """

    required: Mapping[str, Check]
    optional: Mapping[str, Check]
    kinds: frozenset[Kind] = frozenset({Kind.EXPLICIT})


FORMS: Mapping[Method, Form] = {
    Method.CONTRACT: Form(
        {"document_id": _text, "document_version": _version, "document_sha256": _sha256, "clause": _text},
        {"accepted_at": _moment, "signature": _one_of("click", "signed", "qualified"), "user_agent": _text},
    ),
    Method.IN_APP: Form(
        {"screen": _text, "action": _text},
        {"text_sha256": _sha256, "app_version": _version, "shown_at": _moment, "user_agent": _text, "session": _text},
    ),
    Method.SMS_REPLY: Form(
        {"question_sid": _message, "answer_sid": _message},
        {"delivered_at": _moment, "answer": _text, "text_sha256": _sha256},
    ),
    Method.IVR_KEYPRESS: Form(
        {"call_sid": _call, "leg": _leg, "digits": _digit, "prompt_sha256": _sha256},
        {"prompt_played_at": _moment, "valid_for": _one_of("call")},
    ),
    Method.VERBAL_RECORDED: Form(
        {"recording_sid": _recording, "script_sha256": _sha256},
        {"agent": _text, "offset_seconds": _whole(0, 86_400, "seconds")},
    ),
    Method.ANNOUNCEMENT_STAY: Form(
        {"call_sid": _call, "leg": _leg, "prompt_sha256": _sha256, "stayed_seconds": _whole(1, 86_400, "seconds")},
        {"prompt_played_at": _moment},
        frozenset({Kind.IMPLIED}),
    ),
    Method.TONE: Form(
        # Conn. Gen. Stat. 52-570d: about every fifteen seconds.
        {"call_sid": _call, "leg": _leg, "interval_seconds": _whole(1, 15, "seconds")},
        {},
        frozenset({Kind.IMPLIED}),
    ),
    Method.PAPER: Form(
        {"file_sha256": _sha256, "agent": _text},
        {"document_id": _text, "document_version": _version, "signed_at": _moment, "pages": _whole(1, 1000, "pages")},
    ),
    Method.ADMIN_IMPORT: Form(
        {"system": _text, "batch": _text, "original_method": _one_of(*(str(m) for m in Method if m != "admin_import"))},
        {"row": _whole(1, 10**9, "rows"), "exported_at": _moment, "document_id": _text, "document_version": _version},
        frozenset({Kind.EXPLICIT, Kind.IMPLIED}),
    ),
}
"""Every method and the form of its proof."""


def faults(method: Method, kind: Kind, evidence: Mapping[str, Any], *, now: datetime, skew: timedelta) -> list[Fault]:
    """Return everything that keeps `evidence` from proving a consent that was obtained by `method`; empty if it does.

    A member that the form does not know is the caller's own and may stay, if it is a short text, a number, true or
    false. Reasons never repeat a value.
    """
    form = FORMS[method]
    found: list[Fault] = []
    if kind not in form.kinds:
        found.append(("", f"of {method} proves no {kind} consent"))
    if len(evidence) > MEMBERS_LIMIT:
        found.append(("", f"has more than {MEMBERS_LIMIT} members"))
    for name, check in form.required.items():
        if name not in evidence:
            found.append((name, f"is missing: it is part of the proof of {method}"))
        elif reason := check(evidence[name]):
            found.append((name, reason))
    for name, value in evidence.items():
        if name in form.required:
            continue
        check = form.optional.get(name, _own)
        if reason := check(value):
            found.append((name, reason))
    wrong = {name for name, _ in found}
    for name, value in evidence.items():
        is_moment = (form.required.get(name) or form.optional.get(name)) is _moment
        if is_moment and name not in wrong and moments.from_text(value) > now + skew:
            found.append((name, "is in the future"))
    return found


def _own(value: object) -> str | None:
    if isinstance(value, bool | int | float):
        return None
    return _text(value)
