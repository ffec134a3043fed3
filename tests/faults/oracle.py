"""What may be left of anybody, and until when: every store on both planes is listed, and each thing held against it.

The truth is kept by who plays the people (`tests/faults/life.py`): who agreed to what and when, who spoke with whom,
what is held, who was erased. Nothing of it is read from the stack. How long each copy may stay comes from
`parley.core.bound` over the stack's own schedule, with the delays that this world really has in place of the assumed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from parley import runtime
from parley.core.bound import DECLARED, Assumptions, Path, Term, bound
from parley.core.consent import Scope
from parley.core.erasure import read_proof
from parley.core.record_classes import RecordClass
from parley.core.retention import Schedule
from parley.handlers import chains

from local.twilio.state import Call
from tests.faults.year import BUCKET_STORES, Year
from tests.handlers.archives import CONTENT, EVIDENCE
from tests.handlers.world import ASK, DAY, KEY, POOL, SECRET, TOKEN

ERASED_WITHIN = 16 * DAY
"""How long an erasure may take: Twilio may refuse for 14 days, and a copy of a record may come for one."""

REFUSED = "Twilio refuses deletion (20009)"
KEPT_BY_TWILIO = ("Twilio purges", "Twilio shows")
"""What Twilio itself keeps after a deletion, which nobody can see through its API."""

CLASSES: Mapping[tuple[str, str], RecordClass] = {
    ("PARTY", "EVENT"): RecordClass.CONSENT_EVIDENCE,
    ("PARTY", "STATE"): RecordClass.CONSENT_EVIDENCE,
    ("PARTY", "SOURCE"): RecordClass.CONSENT_EVIDENCE,
    ("PARTY", "HEAD"): RecordClass.CONSENT_EVIDENCE,
    ("PARTY", "CONTACT"): RecordClass.CONSENT_EVIDENCE,
    ("PARTY", "SESSION"): RecordClass.SESSION_MAP,
    ("PARTY", "PAST"): RecordClass.INTERACTION_LOG,
    ("PARTY", "RECORD"): RecordClass.INTERACTION_LOG,
    ("PARTY", "CAPTURE"): RecordClass.INTERACTION_LOG,
    ("SESSION", "SESSION"): RecordClass.SESSION_MAP,
    ("SESSION", "INTENT"): RecordClass.SESSION_MAP,
    ("SESSION", "TOLD"): RecordClass.SESSION_MAP,
    ("SESSION", "INTERACTION"): RecordClass.INTERACTION_LOG,
    ("SESSION", "DECISION"): RecordClass.INTERACTION_LOG,
    ("SESSION", "CAPTURE"): RecordClass.INTERACTION_LOG,
    ("SESSION", "RECORD"): RecordClass.INTERACTION_LOG,
    ("RECORD", "RECORD"): RecordClass.INTERACTION_LOG,
    ("CALL", "CAPTURE"): RecordClass.INTERACTION_LOG,
    ("DELETIONS", "DELETION"): RecordClass.INTERACTION_LOG,
    ("HOLDS", "HOLD"): RecordClass.ERASURE_PROOFS,
    ("HOLDS", "CHANGE"): RecordClass.ERASURE_PROOFS,
    ("ERASURE", "ERASURE"): RecordClass.ERASURE_PROOFS,
    ("ERASURE", "ITEM"): RecordClass.ERASURE_PROOFS,
    ("HELD-ERASURES", "er_"): RecordClass.ERASURE_PROOFS,
    ("CURSOR", "CURSOR"): RecordClass.CONSENT_EVIDENCE,
    ("SWEEP", "LIMIT"): RecordClass.CONSENT_EVIDENCE,
}
"""The record class of every row that there may be, by what its keys begin with. Another one is an error."""

ONCE = frozenset({"EVENT", "DECISION", "INTERACTION", "SOURCE", "CHANGE"})
"""Rows that are never written again: their time counts from the first."""

TWILIO_CLASSES = {
    "recording": RecordClass.CALL_RECORDINGS,
    "transcription": RecordClass.TRANSCRIPTS,
    "message": RecordClass.MESSAGES,
    "media": RecordClass.MESSAGE_MEDIA,
    "call": RecordClass.INTERACTION_LOG,
    "call-archive": RecordClass.INTERACTION_LOG,
    "interaction": RecordClass.INTERACTION_LOG,
    "session": RecordClass.SESSION_MAP,
}

SECRETS = (TOKEN, SECRET, KEY)
"""What opens a door."""

CONSENTED = {
    RecordClass.CALL_RECORDINGS: (Scope.MANAGE, Scope.RECORD_VOICE),
    RecordClass.MESSAGES: (Scope.MANAGE, Scope.STORE_MESSAGES),
    RecordClass.MESSAGE_MEDIA: (Scope.MANAGE, Scope.STORE_MESSAGES),
}
"""What everybody must have agreed to before something of a class exists."""


# The truth --------------------------------------------------------------------------------------------------------


@dataclass
class Erased:
    """An erasure of a person: its id, when it was asked for, and when it was over."""

    name: str
    at: float
    done: float | None = None


@dataclass
class Person:
    """Somebody, and what they agreed to: for each scope the spans of time in which it stands.

    `away`: they were erased, and did not come back.
    """

    phone: str
    key: str
    spans: dict[Scope, list[tuple[float, float]]] = field(default_factory=dict)
    erasures: list[Erased] = field(default_factory=list)
    away: bool = False
    seen: bool = False

    def stands(self, scope: Scope, at: float) -> bool:
        """Tell whether a consent stands at a moment."""
        return any(start <= at < end for start, end in self.spans.get(scope, []))

    def gives(self, scope: Scope, at: float, days: int) -> None:
        """Take a yes, which counts as long as its record is kept."""
        self.seen = True
        self.spans.setdefault(scope, []).append((at, at + days * DAY))

    def refuses(self, at: float, *scopes: Scope) -> None:
        """Take a no."""
        for scope in scopes or Scope:
            self.spans[scope] = [(start, min(end, at)) for start, end in self.spans.get(scope, [])]


@dataclass
class Held:
    """A legal hold: on the person with this key or the session with this SID, from when it was applied on.

    `late`: the row of the session was gone when the hold was ordered, and with it what finds its people and its intent.
    """

    id: str
    subject: str
    placed: float
    late: bool = False
    applied: float | None = None
    released: float | None = None


@dataclass
class Truth:
    """What really happened.

    `people_of` has who was in a session, `session_of` the session of everything that was said, `begun` when that was,
    `legs` the inbound leg of each outbound one, `foreign` what is not the stack's own, `words` what was written.
    """

    people: dict[str, Person] = field(default_factory=dict)
    people_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    session_of: dict[str, str] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    holds: dict[str, Held] = field(default_factory=dict)
    legs: dict[str, str] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)

    def around(self, session: str) -> frozenset[str]:
        """Return the keys of the people of a session."""
        return frozenset(self.people_of.get(session, ()))

    def by_phone(self, *phones: str) -> frozenset[str]:
        """Return the keys of the people behind numbers."""
        return frozenset(one.key for one in self.people.values() if one.phone in phones)


# What there is ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Thing:
    """Something that is somewhere. `made` counts for its age, `copy` names the path of the bound that it goes by."""

    place: str
    kind: str
    name: str
    made: float
    record_class: RecordClass | None
    copy: str
    parties: frozenset[str] = frozenset()
    session: str = ""
    data: Any = None

    def __str__(self) -> str:
        """Return it as a failure names it."""
        return f"{self.kind} {self.name} in {self.place}"


class Oracle:
    """Lists everything, and says whether it may be there."""

    def __init__(self, year: Year, truth: Truth) -> None:
        self.year, self.truth = year, truth
        self.checks = 0
        self.compared = 0
        self._before: dict[str, Thing] = {}
        self._held_before: frozenset[str] = frozenset()
        self._born: dict[str, float] = {}
        self._read: set[str] = set()
        self._archived: set[str] = set()
        schedule = year.schedule
        assumed = Assumptions(session_days=1, s3_lag_days=0, ttl_lag_days=1, sweep_days=2)
        self.paths: dict[RecordClass, dict[str, Path]] = {
            each: {path.copy: path for path in bound(schedule, each, assumed).paths} for each in schedule.retentions
        }
        if "DynamoDB row" not in self.paths[RecordClass.ERASURE_PROOFS]:
            kept = Term("row expires", schedule.days(RecordClass.ERASURE_PROOFS), DECLARED)
            late = Term("DynamoDB removes late (assumed)", assumed.ttl_lag_days, DECLARED)
            self.paths[RecordClass.ERASURE_PROOFS]["DynamoDB row"] = Path("DynamoDB row", (kept, late))

    # Listing --------------------------------------------------------------------------------------------------

    def everything(self) -> dict[str, Thing]:
        """Return everything on both planes, by its name."""
        things = [*self._objects(), *self._uploads(), *self._rows(), *self._letters(), *self._at_twilio()]
        found = {f"{one.place}:{one.kind}:{one.name}": one for one in things}
        assert len(found) == len(things)
        return found

    def _objects(self) -> Iterator[Thing]:
        for bucket in BUCKET_STORES:
            pages = self.year.s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
            for page in pages:
                for each in page.get("Versions", []):
                    made = each["LastModified"].timestamp()
                    name = f"{each['Key']}?{each['VersionId']}"
                    self._born[each["Key"]] = max(made, self._born.get(each["Key"], made))
                    copy = "S3 current version" if each["IsLatest"] else "S3 noncurrent version"
                    yield self._object(bucket, "version", each["Key"], name, made, copy)
                for each in page.get("DeleteMarkers", []):
                    made = self._born.get(each["Key"], each["LastModified"].timestamp())
                    name = f"{each['Key']}?{each['VersionId']}"
                    copy = "S3 delete marker (the key only)"
                    yield self._object(bucket, "marker", each["Key"], name, made, copy)

    def _object(self, bucket: str, kind: str, key: str, name: str, made: float, copy: str) -> Thing:
        prefix, middle, *rest = key.split("/")
        record_class = RecordClass(prefix)
        place = "content" if bucket == CONTENT else "evidence"
        if place == "content":
            return Thing(place, kind, name, made, record_class, copy, self.truth.around(middle), middle, rest[-1])
        parties = frozenset({middle}) if record_class is RecordClass.CONSENT_EVIDENCE else frozenset()
        return Thing(place, kind, name, made, record_class, copy, parties, data=key)

    def _uploads(self) -> Iterator[Thing]:
        for bucket in BUCKET_STORES:
            for each in self.year.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
                name, made = f"{each['Key']}?{each['UploadId']}", each["Initiated"].timestamp()
                yield self._object(bucket, "upload", each["Key"], name, made, "S3 incomplete upload")

    def _rows(self) -> Iterator[Thing]:
        table = self.year.table
        for row in table.scan()["Items"]:
            pk, sk = row["pk"]["S"], row["sk"]["S"]
            kind = "er_" if pk == "HELD-ERASURES" else sk.partition("#")[0]
            made = (table.first if kind in ONCE else table.last)[pk, sk]
            record_class = CLASSES.get((pk.partition("#")[0], kind))
            if record_class is None:
                assert kind == "SUPPRESSED", f"a row of no class: {pk} {sk}"
            parties, session = self._row_of(pk, sk)
            yield Thing("ledger", kind, f"{pk} {sk}", made, record_class, "DynamoDB row", parties, session, row)

    def _row_of(self, pk: str, sk: str) -> tuple[frozenset[str], str]:
        """Return whose a row is, and of which session."""
        kind, _, name = pk.partition("#")
        if kind == "PARTY":
            pointed = sk.partition("#")[2]
            session = self.truth.session_of.get(pointed, pointed)
            return frozenset({name}) | self.truth.around(pointed) | self.truth.around(session), session
        if kind in {"RECORD", "CALL", "SESSION"}:
            session = self.truth.session_of.get(name, name)
            return self.truth.around(name) | self.truth.around(session), session
        return frozenset(), ""

    def _letters(self) -> Iterator[Thing]:
        for place, letters in (("queue", self.year.queues.letters), ("dead letters", self.year.queues.dead)):
            for each in letters:
                made, text = each.sent_at, each.text
                yield Thing(place, each.queue, each.id, made, RecordClass.DEAD_LETTERS, "SQS message", data=text)

    def _at_twilio(self) -> Iterator[Thing]:
        state, truth = self.year.state, self.truth

        def thing(kind: str, sid: str, made: float, parties: Collection[str], data: Any) -> Thing:
            copy = {"recording": "Twilio media", "transcription": "Twilio transcript"}.get(kind, "Twilio resource")
            session = sid if kind == "session" else truth.session_of.get(sid, "")
            everybody = frozenset(parties) | truth.around(session)
            return Thing("twilio", kind, sid, made, TWILIO_CLASSES[kind], copy, everybody, session, data)

        for record in state.recordings.values():
            if record.deleted is None:
                yield thing("recording", record.sid, record.created, (), record)
            else:
                assert not record.parts, "a deleted recording has sound"
        for one in state.transcriptions.values():
            yield thing(
                "transcription", one.sid, one.created, truth.around(truth.session_of.get(one.recording_sid, "")), one
            )
        for message in state.messages.values():
            parties = truth.by_phone(message.from_, message.to)
            yield thing("message", message.sid, message.created, parties, message)
            for media in message.media:
                yield thing("media", media["sid"], message.created, parties, message)
        for call in state.calls.values():
            yield thing("call", call.sid, call.started or call.created, truth.by_phone(call.from_, call.to), call)
        for kept in state.archives.values():
            yield thing("call-archive", kept.sid, self._begun(kept.sid, state.calls.get(kept.sid)), (), kept)
        for interaction in state.interactions.values():
            yield thing(
                "interaction", interaction.sid, interaction.created, truth.around(interaction.session_sid), interaction
            )
        for session in state.sessions.values():
            made = session.ended if session.ended is not None else self.year.now()
            yield thing("session", session.sid, made, (), session)

    def _begun(self, sid: str, call: Call | None) -> float:
        if call is not None:
            self._born[sid] = call.started or call.created
        return self._born[sid]

    # Checks ---------------------------------------------------------------------------------------------------

    def check(self) -> dict[str, Thing]:
        """List everything and hold all of it against what may be there; return the list."""
        things = self.everything()
        for one in things.values():
            self._check_age(one)
            self._check_consent(one)
        self._check_held(things)
        self._check_erased(things)
        self._check_foreign(things)
        self._check_silence(things)
        self._check_chains()
        self.checks += 1
        self._before = things
        self._held_before = frozenset(hold.id for hold in self._active() if hold.applied is not None)
        return things

    def _active(self) -> Iterator[Held]:
        return (hold for hold in self.truth.holds.values() if hold.released is None)

    @staticmethod
    def _covers(hold: Held, one: Thing) -> bool:
        return hold.subject in one.parties or (bool(one.session) and hold.subject == one.session)

    def _keeps(self, hold: Held, one: Thing) -> bool:
        """Tell whether a hold has to keep something from its order on."""
        if hold.late and one.place == "ledger" and one.kind in {"PAST", "INTENT", "DECISION", "TOLD"}:
            return False
        return self._covers(hold, one)

    def _check_age(self, one: Thing) -> None:
        """I4: nothing is older than the path that it goes by, or than its release allows."""
        if one.record_class is None or one.name in self.truth.foreign:
            return
        if one.place == "ledger" and not self._leaves(one):
            return
        path = self.paths[one.record_class][one.copy]
        limit = one.made + self._days(one, path.terms) * DAY
        released = [hold.released for hold in self.truth.holds.values() if self._covers(hold, one)]
        if None in released:
            return
        for at in released:
            assert at is not None
            limit = max(limit, at + self._days(one, path.after_release or path.terms) * DAY)
        age = (self.year.now() - one.made) / DAY
        assert self.year.now() <= limit, f"I4: {one} is {age:.1f} days old, {path}"

    def _days(self, one: Thing, terms: Iterable[Any]) -> int:
        """Return the days of a path, without what did not happen to this thing."""
        refused = self._was_refused(one)
        return sum(
            term.days
            for term in terms
            if not term.what.startswith(KEPT_BY_TWILIO) and (term.what != REFUSED or refused)
        )

    def _was_refused(self, one: Thing) -> bool:
        """Tell whether Twilio refused to delete it, or something that has to go before it."""
        sid = one.data.sid if one.kind == "media" else one.name
        refused = self.year.wire.refused
        if one.kind == "session":
            return any(self.truth.session_of.get(each) == sid for each in refused) or sid in refused
        return sid in refused

    def _leaves(self, one: Thing) -> bool:
        """Hold what a row says of its end against who is held; return whether it has to leave."""
        row = one.data
        if "expires_at" in row:
            return True
        if one.kind == "HOLD":
            hold = self.truth.holds[one.name.partition("HOLD#")[2]]
            assert hold.released is None or self.year.now() < hold.released + DAY, f"I4: {one} stays"
            return False
        assert "held_expires_at" in row, f"I4: {one} has no end"
        covering = [hold for hold in self.truth.holds.values() if self._covers(hold, one)]
        still = any(hold.released is None or self.year.now() < hold.released + DAY for hold in covering)
        assert still, f"I4: {one} is held by nothing"
        return False

    def _check_consent(self, one: Thing) -> None:
        """I2: what was recorded or kept was agreed to by everybody at its first second."""
        if one.record_class not in CONSENTED or one.name in self.truth.foreign or one.kind == "marker":
            return
        if one.place == "content":
            sid = str(one.data).partition(".")[0]
            begun = [self.truth.begun[sid], *([one.made] if not sid.startswith("RE") else [])]
            assert one.session == self.truth.session_of[sid], f"I2: {one} lies with another session"
        elif one.place == "twilio" and one.kind == "recording":
            if self.year.now() - one.made < DAY or self._was_refused(one) or self._ever_held(one):
                return
            begun = [one.made]
        else:
            return
        assert len(one.parties) == 2, f"I2: {one} is of nobody"
        for at in begun:
            for key in one.parties:
                for scope in CONSENTED[one.record_class]:
                    agreed = self.truth.people[key].stands(scope, at)
                    assert agreed, f"I2: {one} without {scope} of {key[:6]} at {_text(at)}"

    def _ever_held(self, one: Thing) -> bool:
        return any(self._covers(hold, one) for hold in self.truth.holds.values())

    def _check_held(self, things: Mapping[str, Thing]) -> None:
        """I5: whatever was there when a hold was seen to be applied is there as long as it stands."""
        holds = [hold for hold in self._active() if hold.id in self._held_before]
        self._note_archived(things)
        for name, one in self._before.items():
            if not any(self._keeps(hold, one) for hold in holds):
                continue
            if not self._is_holdable(one) or (one.place == "twilio" and not self._must_stay(one)):
                continue
            self.compared += 1
            assert name in things, f"I5: {one} is gone under hold"
        for one in things.values():
            if one.place in {"content", "evidence"} and one.kind == "version" and self._is_holdable(one):
                covering = [hold for hold in self._active() if hold.applied is not None and self._covers(hold, one)]
                # The archive puts a new object under a hold at once, a new copy of a consent record is found later.
                if any(one.place == "content" or one.made < (hold.applied or 0.0) for hold in covering):
                    self._check_legal_hold(one)

    def _is_holdable(self, one: Thing) -> bool:
        """Tell whether a hold keeps something: of a class that is declared so, and no pointer to a live call."""
        schedule: Schedule = self.year.schedule
        if one.record_class is None or one.kind in {"marker", "upload"} or not schedule[one.record_class].hold:
            return False
        return one.place != "ledger" or one.kind != "CAPTURE" or not one.name.startswith("PARTY#")

    def _check_legal_hold(self, one: Thing) -> None:
        key, _, version = one.name.rpartition("?")
        bucket = CONTENT if one.place == "content" else EVIDENCE
        told = self.year.s3.get_object_legal_hold(Bucket=bucket, Key=key, VersionId=version)
        assert told["LegalHold"].get("Status") == "ON", f"I5: {one} is not under S3's legal hold"

    def _must_stay(self, one: Thing) -> bool:
        """Tell whether Twilio's copy is the only one: what is in the bucket may leave Twilio under a hold."""
        if one.kind == "media":
            return one.data.sid not in self._archived
        if one.kind == "interaction":
            both = {one.data.inbound_resource_sid, one.data.outbound_resource_sid}
            return both.isdisjoint(self._archived)
        return self.truth.session_of.get(one.name, "") == "" or one.name not in self._archived

    def _note_archived(self, things: Mapping[str, Thing]) -> None:
        """Note the SIDs of what is or was in the content bucket, with the other leg of each message."""
        for one in things.values():
            if one.place == "content" and one.kind == "version":
                self._archived.add(str(one.data).partition(".")[0])
        self._archived |= {sid for sid, other in self.truth.legs.items() if other in self._archived}

    # Erasures -------------------------------------------------------------------------------------------------

    def _check_erased(self, things: Mapping[str, Thing]) -> None:
        """I6: of whoever was erased there is the suppression and the proof, and what the proof says."""
        for person in self.truth.people.values():
            if not person.erasures:
                continue
            last = person.erasures[-1]
            assert f"ledger:SUPPRESSED:SUPPRESSED#{person.key} SUPPRESSED" in things, "I6: a no was forgotten"
            if last.done is None:
                holds = [one for one in self.truth.holds.values() if self._touches(one, person)]
                released = [one.released or self.year.now() for one in holds]
                since = max([last.at, *released])
                assert self.year.now() < since + ERASED_WITHIN, f"I6: an erasure of {_text(last.at)} never ends"
                continue
            remains = self._proven(last)
            for one in things.values():
                if self._is_of(one, person, last):
                    assert self._is_told(one, person, remains), f"I6: {one} is left of somebody who was erased"

    def _touches(self, hold: Held, person: Person) -> bool:
        """Tell whether a hold may keep something of a person: on them, on somebody they spoke with, or a session."""
        shared = [people for people in self.truth.people_of.values() if person.key in people]
        return (
            hold.subject == person.key
            or any(hold.subject in people for people in shared)
            or (person.key in self.truth.around(hold.subject))
        )

    def _proven(self, erased: Erased) -> list[Mapping[str, Any]]:
        """Return what the last proof of an erasure says remains."""
        proofs, prefix = runtime.proofs(), f"{RecordClass.ERASURE_PROOFS}/{erased.name}"
        assert proofs is not None
        listed = self.year.s3.list_objects_v2(Bucket=EVIDENCE, Prefix=prefix).get("Contents", [])
        if not listed:
            kept = self.year.schedule.days(RecordClass.ERASURE_PROOFS)
            assert self.year.now() >= erased.at + kept * DAY, "I6: there is no proof of an erasure"
            return []
        newest = max(listed, key=lambda each: each["LastModified"])["Key"]
        last = proofs.read(newest.removeprefix(f"{RecordClass.ERASURE_PROOFS}/").removesuffix(".json"))
        assert last is not None
        signed, document = read_proof(last)
        assert proofs.holds(signed), "I6: a proof is not signed by the stack"
        remains: list[Mapping[str, Any]] = document["remains"]
        return remains

    def _is_of(self, one: Thing, person: Person, erased: Erased) -> bool:
        """Tell whether something is of a person, from before they were erased for the last time."""
        if one.kind == "SUPPRESSED" or one.name in self.truth.foreign or one.made > erased.at:
            return False
        if one.place in {"twilio", "content"}:
            return person.key in one.parties
        if one.place == "evidence":
            return person.key in str(one.data)
        if one.place in {"queue", "dead letters"}:
            return person.key in str(one.data)
        return person.key in json.dumps(one.data)

    @staticmethod
    def _is_told(one: Thing, person: Person, remains: Iterable[Mapping[str, Any]]) -> bool:
        """Tell whether a proof says that something remains; the log of a hold, which names its subject, does."""
        whys = {(line["system"], line["why"]) for line in remains}
        if one.place == "evidence":
            return ("evidence-bucket", "locked-until") in whys
        if one.place == "twilio":
            return any(line["why"] == "refused" and line["kind"] == one.kind for line in remains)
        others = one.name.startswith("PARTY#") and not one.name.startswith(f"PARTY#{person.key}")
        told = ("ledger", "evidence-of-others-until") in whys
        return one.kind in {"HOLD", "CHANGE"} or (others and told and one.kind in {"EVENT", "STATE", "SOURCE"})

    # The rest -------------------------------------------------------------------------------------------------

    def _check_foreign(self, things: Mapping[str, Thing]) -> None:
        """Check that the stack deletes nothing that is not its own."""
        there = {one.name for one in things.values() if one.place == "twilio"}
        assert self.truth.foreign <= there, "something was deleted that is not the stack's own"

    def _check_chains(self) -> None:
        """I3: every chain verifies, and every record is as its copy says, whoever was erased or held meanwhile."""
        try:
            chains.handle({}, None)
        except chains.ChainsError:
            told = [line for line in self.year.output.getvalue().splitlines() if '"chain' in line]
            raise AssertionError(f"I3: {told}") from None

    def _check_silence(self, things: Mapping[str, Thing]) -> None:
        """I8: no number, no body and no secret is in a row, a key, a tag, a message of a queue or a line of the log."""
        told = [self.year.output.getvalue()]
        self.year.output.seek(0)
        self.year.output.truncate()
        told += [json.dumps(one.data, ensure_ascii=False) for one in things.values() if one.place == "ledger"]
        told += [str(one.data) for one in things.values() if one.place in {"queue", "dead letters"}]
        told += [one.name for one in things.values() if one.place in {"content", "evidence"}]
        secrets = _pattern(frozenset((*SECRETS, *self.truth.words)) | _numbers(self.truth))
        for text in told:
            found = secrets.search(text)
            assert found is None, f"I8: {text[max(0, found.start() - 200) : found.end() + 80]}"
        words = _pattern(_numbers(self.truth))
        for one in things.values():
            if one.place not in {"content", "evidence"} or one.kind != "version" or one.name in self._read:
                continue
            self._read.add(one.name)
            if not one.name.partition("?")[0].endswith(".wav"):
                text = self._text(one)
                found = words.search(text)
                assert found is None, f"I8: {one} has a number"

    def _text(self, one: Thing) -> str:
        key, _, version = one.name.rpartition("?")
        bucket = CONTENT if one.place == "content" else EVIDENCE
        answer = self.year.s3.get_object(Bucket=bucket, Key=key, VersionId=version)
        tags = self.year.s3.get_object_tagging(Bucket=bucket, Key=key, VersionId=version)["TagSet"]
        body: str = answer["Body"].read().decode("utf-8", "replace")
        return body + json.dumps(answer["Metadata"]) + json.dumps(tags)


def _numbers(truth: Truth) -> frozenset[str]:
    return frozenset(phone.removeprefix("+1") for phone in (*POOL, ASK, *(one.phone for one in truth.people.values())))


@cache
def _pattern(words: frozenset[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(word) for word in sorted(words)))


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
