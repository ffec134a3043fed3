"""Opening and renewing sessions, in an order that cannot leave one open at Twilio without anybody knowing.

To open: decide; write the intent, on condition that the consents still stand; let Twilio open the session under the
intent's name; write the session down, on the same condition. Whoever stops anywhere in between leaves nothing at
Twilio, or a session whose name says that its intent is under way or was given up, which the reconciler closes.

To renew: decide; lengthen the session in the ledger, on condition that the consents still stand; then at Twilio.
Whoever stops in between leaves a session that ends at Twilio sooner than the ledger says, never later.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache

from parley import log, runtime
from parley.core.consent import Method, Scope, Standing, canonical_json, sha256_hex
from parley.core.identity import calling_code, label
from parley.core.jurisdiction import JurisdictionPolicy, Table, overridden, reviewed_table
from parley.core.location import Location
from parley.core.requests import SessionRequest
from parley.core.sessions import MIN_TTL, Intent, Participant, Session, Stage, closing_time, intent_id
from parley.core.verdict import Action, DecisionRecord, Verdict, asked_per_call, decision_id, judge
from parley.ports import CarrierError, ConsentChangedError, LedgerError, OpenedParticipant

ATTEMPTS = 3
"""How often consents that changed while a session was opened or renewed are read again."""


class UnsettledError(Exception):
    """The consents, or the attempt itself, changed each time; nothing is open, and a repeat may succeed."""


class UnderWayError(Exception):
    """The same request is being carried out at this moment."""


class NameReusedError(Exception):
    """The name of a request was used before, for something else or for a session that is no longer kept."""


@dataclass(frozen=True, slots=True, repr=False)
class Opened:
    """A session that is open, or was when the same request came first. `record` is None for such a repeat."""

    session: Session
    participants: tuple[OpenedParticipant, ...]
    record: DecisionRecord | None


def open_session(wanted: SessionRequest, parties: tuple[str, ...], name: str | None) -> Opened | DecisionRecord:
    """Open a session between `parties` (party keys), or return the decision that refuses it.

    The same `name` (None: the request has none) answers the same session.
    Raises UnsettledError, UnderWayError, NameReusedError, CarrierError, SecretError, LedgerError.
    """
    ledger, wish = runtime.ledger(), intent_id(secrets.token_hex(16) if name is None else name)
    asked = [parties, wanted.mode, wanted.ttl, wanted.scopes, wanted.unique_name]
    if wanted.idle_ttl or wanted.reopens:
        asked += [wanted.idle_ttl, wanted.reopens]
    digest = sha256_hex(canonical_json(asked))
    places = {party: place for party, place in zip(parties, wanted.locations, strict=True) if place is not None}
    for _ in range(ATTEMPTS):
        known = None if name is None else ledger.intent(wish)
        if known is not None and not _is_given_up(known):
            return _repeat(known, digest, wanted)
        now = runtime.clock().now()
        standings = ledger.standings(parties, Scope.MANAGE, *wanted.scopes)
        # A consent that runs out within the shortest session is no ground for one.
        verdict = _judge(parties, standings, now + timedelta(seconds=MIN_TTL), wanted.scopes, places)
        record = _record(wish, Action.OPEN, now, verdict)
        if not record.permit:
            return _refuse(record)
        closes_at = closing_time(now, wanted.ttl, verdict.manage.valid_until)
        record = replace(record, closes_at=closes_at)
        intent = Intent(wish, 1 if known is None else known.attempt + 1, digest, parties, now, closes_at)
        try:
            ledger.begin(intent, standings, record)
        except ConsentChangedError:
            continue
        _tell(record)
        return _open_at_twilio(intent, record, wanted, places)
    raise UnsettledError


def _is_given_up(intent: Intent) -> bool:
    """Tell whether an attempt can be followed by another one. One whose time is over is given up here.

    Raises UnderWayError.
    """
    if intent.is_under_way(runtime.clock().now()):
        raise UnderWayError
    if intent.stage is Stage.OPENING:
        return runtime.ledger().abandon(intent)
    return intent.stage is Stage.ABANDONED


def _repeat(intent: Intent, digest: str, wanted: SessionRequest) -> Opened:
    """Return what was opened when the same request came first. Its masked numbers are kept by Twilio only."""
    session = runtime.ledger().session(intent.sid) if intent.sid else None
    if session is None or intent.digest != digest:
        raise NameReusedError
    return Opened(session, runtime.carrier().participants(session.sid, wanted.identifiers), None)


def _open_at_twilio(
    intent: Intent, record: DecisionRecord, wanted: SessionRequest, places: dict[str, Location]
) -> Opened | DecisionRecord:
    try:
        opened = runtime.carrier().open_session(
            wanted.identifiers,
            unique_name=intent.unique_name,
            ttl=int((intent.closes_at - intent.began_at).total_seconds()),
            closes_at=intent.closes_at,
            mode=wanted.mode,
            idle=wanted.idle_ttl,
            reopens=wanted.reopens,
        )
    except Exception:
        # Twilio may have opened it all the same; once given up, it is closed by the reconciler's next run.
        _give_up(intent)
        raise
    # On `proxy` Twilio finds the session by the masked number; that is the only place where it is kept.
    direct = runtime.environment().is_direct
    session = Session(
        sid=opened.sid,
        service_sid=opened.service_sid,
        participants=tuple(
            Participant(one.sid, party, one.masked_number if direct else "", calling_code(one.masked_number))
            for one, party in zip(opened.participants, intent.parties, strict=True)
        ),
        mode=wanted.mode,
        opened_at=intent.began_at,
        closes_at=intent.closes_at,
        intent=intent.id,
        name=wanted.unique_name,
        places=places,
        idle=wanted.idle_ttl,
    )
    written = False
    try:
        outcome = _confirm(intent, session, record, wanted)
        written = not isinstance(outcome, DecisionRecord)
    finally:
        if not written:
            _drop(intent, session)
    return outcome if isinstance(outcome, DecisionRecord) else Opened(outcome[0], opened.participants, outcome[1])


def _confirm(
    intent: Intent, session: Session, record: DecisionRecord, wanted: SessionRequest
) -> tuple[Session, DecisionRecord] | DecisionRecord:
    """Write the session down; return it with the decision that holds, or the one that refuses it after all."""
    ledger = runtime.ledger()
    for _ in range(ATTEMPTS):
        now = runtime.clock().now()
        standings = ledger.standings(intent.parties, Scope.MANAGE, *wanted.scopes)
        verdict = _judge(intent.parties, standings, now, wanted.scopes, session.places)
        ends = verdict.manage.valid_until
        if not verdict.manage.permit:
            return _refuse(_record(intent.id, Action.OPEN, now, verdict))
        if ends is not None and ends < session.closes_at:
            break
        session = replace(
            session, records=verdict.manage.record_ids, scopes=verdict.scopes, asks=_asked_per_call(verdict)
        )
        if verdict.scopes != record.verdict.scopes:
            record = replace(_record(intent.id, Action.OPEN, now, verdict), closes_at=session.closes_at)
            ledger.log_decision(record)
            _tell(record)
        try:
            ledger.confirm(intent, session, standings)
        except ConsentChangedError:
            continue
        return session, record
    raise UnsettledError


def _asked_per_call(verdict: Verdict) -> tuple[Scope, ...]:
    """Return what everybody is asked for on each call: only where a call can ask, and the stack declares the key."""
    env = runtime.environment()
    if not env.is_direct or Method.IVR_KEYPRESS not in env.consent.methods_for(Scope.RECORD_VOICE):
        return ()
    return asked_per_call(verdict)


def _drop(intent: Intent, session: Session) -> None:
    """Close at Twilio what could not be written down. What this cannot do, the reconciler does."""
    try:
        runtime.carrier().close_session(session.sid)
    except CarrierError as error:
        log.emit("session-orphaned", "ERROR", session=session.sid, status=error.status, code=error.code)
    try:
        if not runtime.ledger().abandon(intent):
            # It was written down, and the ledger's answer was lost. Whoever revoked it meanwhile closes it as well.
            runtime.ledger().close_session(session, "not-confirmed")
    except LedgerError as error:
        log.failure("intent-left", error, intent=intent.id)


def _give_up(intent: Intent) -> None:
    try:
        runtime.ledger().abandon(intent)
    except LedgerError as error:
        log.failure("intent-left", error, intent=intent.id)


def renew_session(found: Session, ttl: int, moved: Mapping[str, Location]) -> Session | DecisionRecord:
    """Let a session last `ttl` seconds from now, or return the decision that refuses it. It is never shortened.

    It is decided by the places that were given when it was opened or renewed last, but for those who `moved`; so is
    what was permitted besides being connected, of which some may be lost and none is gained.
    Raises UnsettledError, CarrierError, SecretError, LedgerError.
    """
    ledger, session = runtime.ledger(), found
    for _ in range(ATTEMPTS):
        now, places = runtime.clock().now(), {**session.places, **moved}
        standings = ledger.standings(session.parties, Scope.MANAGE, *session.scopes)
        verdict = _judge(session.parties, standings, now + timedelta(seconds=MIN_TTL), session.scopes, places)
        record = replace(_record(session.intent, Action.RENEW, now, verdict), refusal=_ended(session, now))
        if not record.permit:
            return _refuse(record)
        closes_at = max(session.closes_at, closing_time(now, ttl, verdict.manage.valid_until))
        record = replace(record, closes_at=closes_at)
        try:
            ledger.renew(session, closes_at, places, standings, record)
        except ConsentChangedError:
            session = ledger.session(session.sid) or replace(session, closes_at=now)
            continue
        _tell(record)
        session = replace(session, closes_at=closes_at, places=places, scopes=verdict.scopes)
        left = int((closes_at - now).total_seconds())
        if runtime.carrier().renew_session(session.sid, ttl=left, closes_at=closes_at):
            return session
        ledger.close_session(session, "closed-at-carrier")
        later = runtime.clock().now()
        return _refuse(replace(_record(session.intent, Action.RENEW, later, verdict), refusal="session-closed"))
    raise UnsettledError


def _ended(session: Session, now: datetime) -> str | None:
    if session.is_over(now):
        return "session-closed"
    return None if session.revocation is None else "consent-lost"


def _judge(
    parties: Sequence[str],
    standings: Iterable[Standing],
    now: datetime,
    wanted: Sequence[Scope],
    places: Mapping[str, Location],
) -> Verdict:
    """Decide under the law of everybody's place as far as it is known, and under what the operator declared."""
    policy = runtime.environment().jurisdiction
    return judge(
        parties,
        standings,
        now,
        wanted=wanted,
        places={party: (place,) for party, place in places.items()},
        policy=policy,
        table=_table(policy),
    )


@cache
def _table(policy: JurisdictionPolicy) -> Table:
    return overridden(reviewed_table(), policy.overrides)


def _record(intent: str, action: Action, now: datetime, verdict: Verdict) -> DecisionRecord:
    env = runtime.environment()
    declared = {
        "methods": env.consent.declared_methods(),
        "validityDays": env.consent.validity_days,
        "ttl": env.session.ttl,
        "channels": env.channels,
        "jurisdiction": env.jurisdiction.to_json(),
    }
    return DecisionRecord(
        id=decision_id(intent, now, secrets.token_hex(3)),
        intent=intent,
        action=action,
        decided_at=now,
        verdict=verdict,
        policy={
            "privacy_policy": env.controller.privacy_policy_version,
            "declared": sha256_hex(canonical_json(declared))[:16],
        },
    )


def _refuse(record: DecisionRecord) -> DecisionRecord:
    """Keep a decision that refuses, and return it."""
    runtime.ledger().log_decision(record)
    _tell(record)
    return record


def _tell(record: DecisionRecord) -> None:
    codes = [
        f"{reason.scope}-{reason.state}:{label(reason.party)}"
        for one in record.verdict.judgements
        for reason in one.decided.reasons
    ]
    log.decision(
        "sessions",
        permit=record.permit,
        reasons=[*([record.refusal] if record.refusal else []), *codes],
        parties=record.verdict.parties,
        record_ids=record.verdict.manage.record_ids,
        action=str(record.action),
        decision_id=record.id,
        law=record.verdict.judgements[0].ruling.version,
    )
