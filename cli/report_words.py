"""The words of the report: periods, names of things, and the paragraphs for a privacy policy.

Every sentence is made of what is declared; what a class is about is the kit's own description of it. California asks to
disclose how long each category is kept, or by which criteria that is decided (CPRA, Civ. Code 1798.100(a)(3)); the GDPR
asks the same in art. 13(2)(a), beside the purposes and the legal basis (13(1)(c)) and the recipients (13(1)(e)).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

DAYS_A_YEAR = 365.25
MONTHS_A_YEAR = 12

CLASSES: Mapping[str, tuple[str, str]] = {
    "call-recordings": ("Call recordings", "the sound of calls between users"),
    "video-recordings": ("Video recordings", "picture and sound of video calls between users"),
    "messages": ("Messages", "the text of messages between users"),
    "message-media": ("Message media", "pictures and files that users send with messages"),
    "transcripts": ("Transcripts", "what was said in recorded calls, as text"),
    "interaction-log": (
        "Interaction log",
        "that a call or message took place, when and how it ended, not its content",
    ),
    "session-map": (
        "Session map",
        "who could reach whom, when, and in which country or state each was said to be, under codes instead of numbers",
    ),
    "consent-evidence": ("Consent evidence", "what a person was asked, what the answer was, when and how it was given"),
    "access-logs": ("Access logs", "requests to the interface and to the storage: when, from where, for what"),
    "operational-logs": ("Operational logs", "technical messages of the functions, without numbers and content"),
    "dead-letters": ("Dead letters", "events that a function could not process, kept until they are looked into"),
    "erasure-proofs": ("Erasure proofs", "that records were erased, when and where, not what they held"),
}
"""What each class of `parley.core.record_classes.RecordClass` is called and holds, for a reader who knows no code."""

BASES: Mapping[str, str] = {
    "consent": "consent (GDPR art. 6(1)(a))",
    "contract": "a contract (GDPR art. 6(1)(b))",
    "legal_obligation": "a legal obligation (GDPR art. 6(1)(c))",
    "legitimate_interest": "a legitimate interest (GDPR art. 6(1)(f))",
}
_POLICY_BASES: Mapping[str, str] = {
    "consent": "your consent (GDPR art. 6(1)(a))",
    "contract": "our contract with you (GDPR art. 6(1)(b))",
    "legal_obligation": "a legal obligation of ours (GDPR art. 6(1)(c))",
    "legitimate_interest": "our legitimate interest (GDPR art. 6(1)(f))",
}
_STARTS: Mapping[str, str] = {"session-map": "after the session has ended"}
_CHANNELS: Mapping[str, str] = {"voice": "calls", "sms": "text messages", "chat": "chat", "video": "video calls"}
_PROCESSORS: Mapping[str, str] = {"AWS": "Amazon Web Services (AWS)"}
SYSTEMS: Mapping[str, str] = {
    "s3": "S3 bucket",
    "dynamodb": "DynamoDB table",
    "logs": "CloudWatch log group",
    "sqs": "SQS queue",
    "twilio": "Twilio Proxy service",
}
_RULES: Mapping[str, str] = {
    "s3": "lifecycle rule {rule}",
    "dynamodb": "time to live on {rule}",
    "logs": "{rule} of the log group",
    "sqs": "{rule} of the queue",
    "twilio": "the sweeper, every hour, by {rule}",
}
_READERS: Mapping[str, str] = {
    "AWS": "whoever the AWS account's IAM and the key's policy allow",
    "Twilio": "Twilio, and whoever holds the account's credentials",
}


def in_words(days: int) -> str:
    """Return about how long a number of days is ("about 3 months"), or nothing where the days say it best."""
    years = round(days / DAYS_A_YEAR)
    months = round(days / DAYS_A_YEAR * MONTHS_A_YEAR)
    if years and abs(days - years * DAYS_A_YEAR) < 2:
        return count(years, "year")
    if days < 14:
        return ""
    if days < 25:
        return ("" if days % 7 == 0 else "about ") + count(round(days / 7), "week")
    if months < 2 * MONTHS_A_YEAR:
        return f"about {count(months, 'month')}"
    years, rest = divmod(months, MONTHS_A_YEAR)
    return f"about {count(years, 'year')}" + (f" {count(rest, 'month')}" if rest else "")


def count(number: int, unit: str) -> str:
    """Return "1 day" or "4 days"."""
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def period(days: int) -> str:
    """Return a number of days for a person: "90 days (about 3 months)"."""
    words = in_words(days)
    return count(days, "day") + (f" ({words})" if words else "")


def listed(words: Iterable[str]) -> str:
    """Return "a, b and c"."""
    *most, last = list(words) or ["nothing"]
    return f"{', '.join(most)} and {last}" if most else last


def title_of(record_class: str) -> str:
    """Return what a class is called."""
    return CLASSES[record_class][0] if record_class in CLASSES else _plain(record_class).capitalize()


def what(record_class: str) -> str:
    """Return what a class holds."""
    return CLASSES[record_class][1] if record_class in CLASSES else f"records of the class {record_class}"


def enforced_by(system: str, rule: str) -> str:
    """Return what makes a record go from one place."""
    return _RULES.get(system, "{rule}").format(rule=rule)


def other_readers(processor: str) -> str:
    """Return who else than the stack's own roles may read at a processor."""
    return _READERS.get(processor, f"{processor}, and whoever it lets in")


def introduction(controller: Mapping[str, str], channels: Sequence[str], processors: Sequence[str]) -> str:
    """Return the paragraph that goes before those of the classes: who is responsible, and by whose services."""
    name, contact = controller["name"], controller["contact"]
    means = listed(_CHANNELS.get(channel, channel) for channel in channels)
    named = listed(_PROCESSORS.get(processor, processor) for processor in processors)
    return (
        f"{name} is responsible for the records described here; you reach us about them at {contact}. "
        f"When you use {means} with other users, you do not communicate with them directly: we manage this through "
        f"our service providers {named}, which process these records for us. For each category of records we "
        "state what we use it for, on which legal basis, and how long we keep it. The periods are carried out by rules "
        f"in the systems that hold the records. This text belongs to version {controller['version']} of our "
        f"privacy policy ({controller['url']})."
    )


def paragraph(
    record_class: str,
    *,
    purposes: Sequence[str],
    basis: str,
    why: str,
    keep_days: int,
    floors: Sequence[tuple[int, str]],
    ceilings: Sequence[tuple[int, str]],
    copies: Sequence[tuple[str, int]],
    gone: tuple[int, int],
    lock: str,
    hold: bool,
) -> str:
    """Return what a privacy policy says about one class, ready to paste.

    `floors` and `ceilings` are (days, rule). `copies` are (processor, days), one for each processor. `gone`
    are the days until the record itself and until its last name is gone.
    """
    said = [
        f"{title_of(record_class)}: {what(record_class)}.",
        f"We use these records for {listed(map(_plain, purposes))}, on the basis of {_POLICY_BASES.get(basis, basis)}.",
        f"We keep each for {period(keep_days)} {_STARTS.get(record_class, 'after it is made')}"
        + (f"; the criterion is: {why}." if why else "."),
    ]
    said += [f"It must be kept for at least {period(days)} ({rule})." for days, rule in floors]
    said += [f"It may be kept for at most {period(days)} ({rule})." for days, rule in ceilings]
    for processor, days in copies:
        name = _PROCESSORS.get(processor, processor)
        if days == keep_days:
            said.append(f"They are stored with our processor {name}.")
        else:
            said.append(f"A copy with our processor {name} is deleted after {period(days)}.")
    said.append(_deletion(*gone))
    if lock != "none":
        said.append(f"A technical lock ({lock} mode) keeps these records from being deleted before their time.")
    if hold:
        said.append("A legal hold on single records suspends these periods until it is lifted.")
    return " ".join(said)


def _deletion(record_days: int, name_days: int) -> str:
    """Return when what is deleted is really gone."""
    text = f"Deletion takes time: the record itself is gone at most {period(record_days)} after it was made"
    if name_days > record_days:
        text += f", and names and other metadata of it, such as lines of access logs, after {period(name_days)}"
    return f"{text}."


def _plain(word: str) -> str:
    return word.replace("-", " ").replace("_", " ")
