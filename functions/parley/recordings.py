"""Recordings of calls: started with everybody's consent, paused, resumed, and stopped as soon as it is gone.

Proxy records nothing by itself, and a call can only be recorded while it is in progress. So the first callback of a
call puts a message on a queue, and whoever works on it does, in this order (`core/recording.py` has the judgement):

| step | what is done | who dies after it leaves |
|---|---|---|
| judge | read the session and the consents of everybody | a message that comes again |
| claim | write that Twilio is asked, if the consents still stand as they were read | a claim that runs out |
| start | ask Twilio to record | a recording that nobody knows: whoever takes the claim over looks for it first |
| judge again | read the consents once more, since somebody may have said no meanwhile | as before |
| accept | write recording and record in one transaction, if consents and claim still stand | all that there has to be |

Who finds the consents gone writes the record as dropped in that last step and stops the recording: its end is told by
the status callback like any other, and what is dropped is deleted at Twilio and never kept. If the claim is not there
any more, somebody paused or stopped the recording before it had begun, and it is dropped as well. Until a recording is
accepted or dropped it has no record, and without a record nothing is kept.

What goes on is looked after once a minute (`check`): a claim whose holder died is taken over, a consent that ran out or
was lost without anybody telling stops the recording, and what Twilio could not be made to stop is tried again.
A no stops the recording before it is answered. What was recorded until then was recorded with consent: it is kept, and
its record says why it ends there. A pause is never ended by anybody but who asks for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

from parley import log, runtime
from parley.adapters.twilio_records import BUSY, NOT_IN_PROGRESS
from parley.core import recording
from parley.core.consent import Scope, Standing
from parley.core.jurisdiction import JurisdictionPolicy, Table, overridden, reviewed_table
from parley.core.recording import LEASE, ON, PATIENCE, RINGING, TOO_LATE, Capture, Permission, Phase, Step
from parley.core.records import Stage
from parley.core.sessions import Session
from parley.core.verification import METRICS
from parley.ports import CarrierError, Interaction, LedgerError
from parley.telling import is_late
from parley.work import Message

QUEUE = "recorder"
CALLBACK = "/twilio/recording"
ATTEMPTS = 5
"""How often what others got ahead of is read and written again."""

OVERTAKEN = "stopped-before-it-began"
REFUSED = "carrier-refused"
CONTENTION = "too many writers at once for one capture"

BEGUN = frozenset({"in-progress", "paused", "processing", "completed"})
"""The states of a recording that has begun and was not deleted."""


class OverError(Exception):
    """Nothing of this call is recorded any more, and nothing will be."""


class NotPermittedError(Exception):
    """Not everybody consents to being recorded any more. `permission` says who does not."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission
        super().__init__("consent is missing")


class BusyError(Exception):
    """It is being started or stopped at this moment; a repeat in a few seconds finds it settled."""


def have_recorded(session: Session, interaction: Interaction, outbound_participant: str) -> None:
    """Put a call on the queue of what is to be recorded, unless somebody is in it whose consent nobody has.

    Raises LedgerError, QueueError.
    """
    call = interaction.inbound_resource
    if unknown := recording.strangers(session, interaction.inbound_participant, outbound_participant):
        log.emit("participant-unknown", "ERROR", session=session.sid, call=call, participants=list(unknown))
        refuse(session, call, recording.STRANGER)
        return
    attempt = recording.first_attempt(runtime.ledger().capture(call), interaction.outbound_status)
    if attempt is not None:
        message = {"session": session.sid, "call": call, "interaction": interaction.sid, "attempt": attempt}
        runtime.queues().send(QUEUE, message)


# Starting -----------------------------------------------------------------------------------------------------


def begin(message: Message) -> None:
    """Start to record a call, or send a message that tries again, or give up. See the module for the order.

    Raises LedgerError, QueueError, SecretError: then nothing is lost, and the message comes again.
    """
    ledger, now = runtime.ledger(), runtime.clock().now()
    call, sid, attempt = str(message["call"]), str(message["session"]), int(message["attempt"])
    before = ledger.capture(call)
    step = recording.step(before, attempt, now)
    if step is Step.BUSY:
        runtime.queues().send(QUEUE, message, delay=int(LEASE.total_seconds()))
    if step in {Step.BUSY, Step.NOTHING}:
        return
    session = ledger.session(sid)
    if session is None:
        log.emit("recording-given-up", "WARNING", session=sid, call=call, reason="session-unknown")
        return
    claimed = _claim(before, step, session, call, attempt)
    if claimed is None:
        return
    try:
        found = _look(claimed) if step is Step.LOOK else ""
        if step is Step.LOOK and not found and now >= claimed.first_at + PATIENCE:
            _give_up(claimed, claimed, TOO_LATE)
            return
        found = found or runtime.twilio_records().start_recording(call, _callback())
    except CarrierError as error:
        _try_again(claimed, error)
        return
    _accept(claimed, found)


def _claim(before: Capture | None, step: Step, session: Session, call: str, attempt: int) -> Capture | None:
    """Write that Twilio is about to be asked, and return it; None if consent is missing or somebody got ahead."""
    ledger, now = runtime.ledger(), runtime.clock().now()
    fresh = before is None or recording.starts_anew(before, attempt)
    first_at = now if before is None or fresh else before.first_at
    wanted = Capture(call, session.sid, session.parties, first_at, attempt=attempt)
    standings = _standings(session)
    permitted = _permission(session, call, standings, now)
    why = recording.refusal(session, now)
    reasons = [*([why] if why else []), *permitted.reasons]
    _tell_decision(session, call, permitted, reasons)
    if reasons and step is Step.LOOK and before is not None:
        # Twilio was asked, and what came of it must not be kept.
        dropped = replace(before, phase=Phase.DROPPED, owed=True, leased_until=None, reason=recording.cause(reasons))
        if ledger.write_capture(before, dropped):
            settle(dropped)
        return None
    if reasons:
        _give_up(before, wanted, recording.cause(reasons))
        return None
    claimed = replace(
        wanted,
        phase=Phase.STARTING,
        leased_until=now + LEASE,
        consents=permitted.consents,
        law=permitted.law,
        announcement=permitted.announcement,
    )
    if ledger.write_capture(before, claimed, standings):
        return claimed
    # Somebody said something, or is at it: the message finds out which.
    message = {"session": session.sid, "call": call, "attempt": attempt}
    runtime.queues().send(QUEUE, message, delay=recording.delay(attempt))
    return None


def _look(claimed: Capture) -> str:
    """Return the recording that was started before and that no record is of, or an empty text. Raises CarrierError."""
    return next(_unrecorded(claimed.call), "")


def _unrecorded(call: str) -> Iterator[str]:
    """Yield the recordings of a call that nothing was written down of. Raises CarrierError, LedgerError."""
    for one in runtime.twilio_records().recordings_of(call):
        if one.get("status") in BEGUN and runtime.ledger().record(str(one["sid"])) is None:
            yield str(one["sid"])


def _callback() -> str:
    return f"{runtime.environment().public_url}{CALLBACK}"


def _try_again(claimed: Capture, error: CarrierError) -> None:
    """Send a message that tries again, where that may help; else give up."""
    now = runtime.clock().now()
    late = now >= claimed.first_at + PATIENCE
    waits = error.code == NOT_IN_PROGRESS
    if waits and not _is_live(claimed.call):
        _give_up(claimed, claimed, "call-over")
    elif not waits and not (error.unavailable or error.status == 408 or error.code == BUSY):
        reason = "call-over" if error.status == 404 else REFUSED
        _give_up(claimed, claimed, reason, status=error.status, code=error.code)
    elif waits and late:
        _give_up(claimed, claimed, TOO_LATE)
    elif late:
        # It may have begun. Whoever looks after what goes on looks for it.
        log.emit("recording-unknown", "ERROR", call=claimed.call, status=error.status, code=error.code)
    else:
        following = claimed.attempt + 1
        message = {"session": claimed.session, "call": claimed.call, "attempt": following}
        runtime.queues().send(QUEUE, message, delay=recording.delay(claimed.attempt))
        phase = Phase.WAITING if waits else Phase.STARTING
        runtime.ledger().write_capture(claimed, replace(claimed, phase=phase, attempt=following, leased_until=None))


def _is_live(call: str) -> bool:
    """Tell whether a call may still be answered; if Twilio does not say, it may."""
    try:
        found = runtime.twilio_records().call(call)
    except CarrierError:
        return True
    return found is not None and found.get("status") in RINGING


def _give_up(before: Capture | None, wanted: Capture, reason: str, **fields: int) -> None:
    after = replace(wanted, phase=Phase.GIVEN_UP, leased_until=None, reason=reason)
    if not runtime.ledger().write_capture(before, after):
        return  # somebody paused or stopped it meanwhile, or is at it
    level: log.Level = "ERROR" if reason == REFUSED else "WARNING"
    log.emit("recording-given-up", level, session=after.session, call=after.call, reason=reason, **fields)
    _count("RecordingsGivenUp")


def _accept(claimed: Capture, sid: str) -> None:
    """Write a recording down that has begun, or drop it if consent is gone or the claim is."""
    ledger = runtime.ledger()
    for _ in range(ATTEMPTS):
        now = runtime.clock().now()
        record = recording.record_of(claimed, sid, now)
        permitted, standings = _now(claimed, now)
        begun = replace(claimed, recording=sid, started_at=now, leased_until=None)
        if not permitted.granted:
            why = recording.cause(permitted.reasons)
            after = replace(begun, phase=Phase.DROPPED, owed=True, reason=why)
            if ledger.write_capture(claimed, after, record=replace(record, stage=Stage.DROPPED, reason=why)):
                settle(after)
                return
        else:
            after = replace(begun, phase=Phase.RECORDING)
            if ledger.write_capture(claimed, after, standings, record):
                log.emit("recording-started", session=claimed.session, call=claimed.call, recording=sid)
                _count("RecordingsStarted")
                return
        found = ledger.capture(claimed.call)
        if found != claimed:
            if found is None or found.recording != sid:
                _drop(claimed, sid, OVERTAKEN)
            return
    raise LedgerError("the consents of a call change too often")


# Going on -----------------------------------------------------------------------------------------------------


def look_after() -> int:
    """Put a message on the queue for each recording that goes on; return how many there are."""
    going_on = [{"kind": "check", "call": call} for call in runtime.ledger().captures_on()]
    runtime.queues().send(QUEUE, *going_on)
    return len(going_on)


def check(message: Message) -> None:
    """See to it that a recording that goes on still may, and that what is to be stopped is.

    Raises CarrierError, LedgerError, QueueError, SecretError: then the message comes again.
    """
    ledger, now = runtime.ledger(), runtime.clock().now()
    found = ledger.capture(str(message["call"]))
    if found is None or not found.goes_on:
        return
    if found.owed:
        settle(found)
    elif found.is_past(now):
        ledger.write_capture(found, replace(found, phase=Phase.ENDED, leased_until=None))
    elif found.phase is Phase.STARTING:
        begin({"session": found.session, "call": found.call, "attempt": found.attempt})
    else:
        permitted, _ = _now(found, now)
        if not permitted.granted:
            stop(found, recording.cause(permitted.reasons))


def ended(call: str, sid: str) -> None:
    """Note that a recording is over, as Twilio tells. Raises LedgerError."""
    found = runtime.ledger().capture(call)
    if found is not None and found.recording == sid:
        _written(found, ON, phase=Phase.ENDED)


# Pause, resume, stop ------------------------------------------------------------------------------------------


def pause(found: Capture, by: str) -> Capture:
    """Let nothing that is said be recorded until somebody resumes; return how the capture is then.

    One that has not begun does not begin. Raises CarrierError, LedgerError, SecretError.
    """
    if found.recording and found.phase in {Phase.RECORDING, Phase.PAUSED}:
        # Twilio first: what comes next is what must not be heard.
        done = runtime.twilio_records().set_recording(found.call, "paused", found.recording)
        return _written(found, {Phase.RECORDING, Phase.PAUSED}, phase=Phase.PAUSED if done else Phase.ENDED, by=by)
    starting = found.phase is Phase.STARTING
    if not starting and found.phase is not Phase.WAITING:
        return found
    after = _written(found, {found.phase}, phase=Phase.PAUSED, by=by, owed=starting)
    if after.phase is not Phase.PAUSED or after.recording:
        # Whoever was starting it was faster.
        return pause(after, by)
    return settle(after) if after.owed else after


def resume(found: Capture, by: str) -> Capture:
    """Go on recording what was paused, if everybody still consents; return how the capture is then.

    Raises OverError, NotPermittedError (it is stopped then), BusyError, CarrierError, LedgerError, QueueError and
    SecretError.
    """
    ledger, now = runtime.ledger(), runtime.clock().now()
    if found.owed:
        found = settle(found)
        if found.owed:
            raise BusyError
    if found.phase is Phase.STARTING:
        return found
    if found.phase not in {Phase.WAITING, Phase.RECORDING, Phase.PAUSED}:
        raise OverError
    permitted, standings = _now(found, now)
    if not permitted.granted:
        stop(found, recording.cause(permitted.reasons))
        raise NotPermittedError(permitted)
    if not found.recording:
        after = found
        if found.phase is Phase.PAUSED:
            after = replace(found, phase=Phase.WAITING, attempt=found.attempt + 1, first_at=now, by=by)
            if not ledger.write_capture(found, after, standings):
                raise BusyError
        runtime.queues().send(QUEUE, {"session": after.session, "call": after.call, "attempt": after.attempt})
        return after
    after = replace(found, phase=Phase.RECORDING, by=by)
    if not ledger.write_capture(found, after, standings):
        raise BusyError
    if not runtime.twilio_records().set_recording(after.call, "in-progress", after.recording):
        return _written(after, ON, phase=Phase.ENDED)
    permitted, _ = _now(after, runtime.clock().now())
    if not permitted.granted:
        stop(after, recording.cause(permitted.reasons))
        raise NotPermittedError(permitted)
    return after


def stop(found: Capture, reason: str, by: str = "", *, urgent: bool = False) -> Capture:
    """Stop a recording for good, or let it not begin; what was recorded before is kept. Return how it is then.

    It is written first, so that whoever is starting it finds out, and what Twilio does not do at once is tried again.
    `urgent`: one short attempt at Twilio. Raises CarrierError, LedgerError, SecretError.
    """
    ledger = runtime.ledger()
    for _ in range(ATTEMPTS):
        if found.phase not in {*ON, Phase.WAITING}:
            return found
        owed = found.owed or found.phase is Phase.STARTING or bool(found.recording)
        after = replace(found, phase=Phase.STOPPED, reason=reason, by=by, owed=owed)
        if ledger.write_capture(found, after):
            return settle(after, urgent=urgent) if owed else after
        found = ledger.capture(found.call) or found
    raise LedgerError(CONTENTION)


def refuse(session: Session, call: str, reason: str) -> None:
    """Let a call not be recorded, or not any more. Raises CarrierError, LedgerError, SecretError."""
    found = runtime.ledger().capture(call)
    if found is not None:
        stop(found, reason)
    else:
        now = runtime.clock().now()
        _give_up(None, Capture(call, session.sid, session.parties, now), reason)


def stop_without_consent(party: str, deadline: float | None = None) -> list[str]:
    """Stop every recording of a person's calls that not everybody consents to any more.

    Returns the SIDs of the sessions in which that has to be tried again: the next check does. Raises LedgerError.
    """
    pending = []
    for found in runtime.ledger().captures_of(party):
        if found.phase not in ON:
            continue  # what waits is judged before it begins
        permitted, _ = _now(found, runtime.clock().now())
        if permitted.granted:
            continue
        if is_late(deadline):
            pending.append(found.session)
            continue
        try:
            stop(found, recording.cause(permitted.reasons), urgent=deadline is not None)
        except CarrierError as error:
            pending.append(found.session)
            log.emit("recording-still-on", "ERROR", call=found.call, status=error.status, code=error.code)
    return pending


def settle(found: Capture, *, urgent: bool = False) -> Capture:
    """Do at Twilio what a capture owes: stop its recording, or whatever was started for it and is not known.

    While somebody may still be starting one it is owed all the same. Raises CarrierError, LedgerError, SecretError.
    """
    twilio, ledger = runtime.twilio_records(), runtime.ledger()
    if found.recording:
        # False: it is over already, with its call or by an earlier attempt.
        twilio.set_recording(found.call, "stopped", found.recording, urgent=urgent)
        _mark(found)
    else:
        for sid in _unrecorded(found.call):
            _drop(found, sid, found.reason or OVERTAKEN)
    lease = found.leased_until
    if not found.recording and lease is not None and runtime.clock().now() < lease:
        return found
    after = replace(found, owed=False, leased_until=None)
    if not ledger.write_capture(found, after):
        return ledger.capture(found.call) or after
    log.emit(
        "recording-stopped" if found.phase is Phase.STOPPED else f"recording-{found.phase}",
        session=found.session,
        call=found.call,
        recording=found.recording,
        reason=found.reason,
    )
    if found.phase is Phase.DROPPED:
        _count("RecordingsDropped")
    return after


def _mark(found: Capture) -> None:
    """Say in the record of a recording why it ends before its call. Raises LedgerError."""
    ledger = runtime.ledger()
    for _ in range(ATTEMPTS):
        record = ledger.record(found.recording)
        if record is None or record.reason or ledger.advance(record, replace(record, reason=found.reason)):
            return


def _drop(found: Capture, sid: str, reason: str) -> None:
    """Stop a recording that must not be kept, and write that down. Raises CarrierError, LedgerError.

    It is stopped first: one that is over and has no record is not kept either.
    """
    runtime.twilio_records().set_recording(found.call, "stopped", sid)
    record = recording.record_of(found, sid, runtime.clock().now())
    runtime.ledger().begin_record(replace(record, stage=Stage.DROPPED, reason=reason))
    log.emit("recording-dropped", "WARNING", session=found.session, call=found.call, recording=sid, reason=reason)
    _count("RecordingsDropped")


# Shared -------------------------------------------------------------------------------------------------------


def _written(found: Capture, among: Collection[Phase], **changes: Any) -> Capture:
    """Change a capture as long as it is in one of these phases; return how it is then. Raises LedgerError."""
    ledger = runtime.ledger()
    for _ in range(ATTEMPTS):
        after = replace(found, **changes) if found.phase in among else found
        if after == found or ledger.write_capture(found, after):
            return after
        found = ledger.capture(found.call) or found
    raise LedgerError(CONTENTION)


def _standings(session: Session) -> list[Standing]:
    return runtime.ledger().standings(session.parties, Scope.MANAGE, Scope.RECORD_VOICE)


def _permission(session: Session, call: str, standings: Sequence[Standing], now: datetime) -> Permission:
    policy = runtime.environment().jurisdiction
    places = {party: (place,) for party, place in session.places.items()}
    return recording.permission(session, standings, now, call=call, places=places, policy=policy, table=_table(policy))


def _now(found: Capture, now: datetime) -> tuple[Permission, list[Standing]]:
    """Return whether a recording under way may go on, and what was read to say so.

    That the session is over is no reason: a call may go on after it, and its people still consent.
    """
    session = runtime.ledger().session(found.session)
    if session is None:
        return Permission(("session-unknown",)), []
    standings = _standings(session)
    return _permission(session, found.call, standings, now), standings


@cache
def _table(policy: JurisdictionPolicy) -> Table:
    return overridden(reviewed_table(), policy.overrides)


def _tell_decision(session: Session, call: str, permitted: Permission, reasons: Sequence[str]) -> None:
    log.decision(
        "recorder",
        permit=not reasons,
        reasons=reasons,
        parties=session.parties,
        record_ids=permitted.consents,
        session=session.sid,
        call=call,
        law=permitted.law,
        announcement=permitted.announcement,
    )


def _count(name: str) -> None:
    log.measure(METRICS, {"Stack": runtime.environment().stack}, {name: 1})
