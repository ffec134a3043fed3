"""EventBridge Scheduler on the movable clock: moto keeps schedules, this fires them.

A move of the clock fires each due schedule once, however many periods it leaps over: a story that skips ninety days
wants to see the reconciler run, not 129,600 runs of it. Sources: the user guide of EventBridge Scheduler, for the
event, the role and the dead letters.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import JsonRESTError
from moto.scheduler.models import EventBridgeSchedulerBackend, Schedule, scheduler_backends
from moto.sns.models import sns_backends

from local.aws import queues
from local.aws.authorization import permission
from local.aws.callers import RoleNotAssumableError, require_trust, session_of
from local.aws.calls import ACCOUNT
from local.aws.policy import Question
from local.lambda_ import schedule_expression
from local.lambda_.functions import FunctionMissingError, find_function

if TYPE_CHECKING:
    from local.aws.mends import Mends
    from local.clock import Clock
    from local.lambda_.agenda import Agenda
    from local.lambda_.invocations import Invocations

log = logging.getLogger(__name__)

_ACTIONS = {"lambda": "lambda:InvokeFunction", "sqs": "sqs:SendMessage", "sns": "sns:Publish"}


@dataclass(frozen=True)
class _Plan:
    """One arming of a schedule: a changed schedule gets another, and the old one does nothing when its time comes."""

    schedule: Schedule
    state: str


class Scheduler:
    """Fires moto's schedules through the agenda."""

    def __init__(self, invocations: Invocations, agenda: Agenda, clock: Clock) -> None:
        self._invocations = invocations
        self._agenda = agenda
        self._clock = clock
        self._plans: dict[str, _Plan] = {}
        self._lock = threading.RLock()

    def install(self, mends: Mends) -> None:
        """Check expressions as EventBridge does, and arm a schedule when it is made or changed."""

        def create(original: Any, backend: EventBridgeSchedulerBackend, *args: Any, **kwargs: Any) -> Any:
            _check(kwargs)
            schedule = original(backend, *args, **kwargs)
            # moto's creation date is real time; periods count on the cloud's clock.
            schedule.creation_date = schedule.last_modified_date = self._clock.now()
            self.arm(schedule, first=True)
            return schedule

        def update(original: Any, backend: EventBridgeSchedulerBackend, *args: Any, **kwargs: Any) -> Any:
            _check(kwargs)
            schedule = original(backend, *args, **kwargs)
            schedule.last_modified_date = self._clock.now()
            self.arm(schedule, first=True)
            return schedule

        mends.wrap(EventBridgeSchedulerBackend, "create_schedule", create)
        mends.wrap(EventBridgeSchedulerBackend, "update_schedule", update)

    def arm_all(self) -> None:
        """Arm every schedule, after a restart."""
        for schedule in _schedules():
            self.arm(schedule, first=False)

    def arm(self, schedule: Schedule, *, first: bool) -> None:
        """Put a schedule's next moment on the agenda. `first`: it was just made, and a rate begins now."""
        state = json.dumps([schedule.schedule_expression, schedule.schedule_expression_timezone, schedule.state])
        plan = _Plan(schedule, state)
        with self._lock:
            self._plans[schedule.arn] = plan
        self._put(plan, after=self._clock.now() - (0.001 if first else 0.0))

    def _put(self, plan: _Plan, *, after: float) -> None:
        schedule = plan.schedule
        if schedule.state != "ENABLED":
            return
        start, end = _epoch(schedule.start_date), _epoch(schedule.end_date)
        # "If you do not provide a StartDate, the schedule starts invoking the target immediately."
        begins = start if start is not None else float(schedule.last_modified_date)
        try:
            parsed = schedule_expression.parse(
                schedule.schedule_expression, zone=schedule.schedule_expression_timezone, start=begins
            )
        except schedule_expression.ExpressionError as error:
            log.error("schedule %s is not fired: %s", schedule.name, error)  # noqa: TRY400 - the message says it all
            return
        due = parsed.next_after(after if parsed.once or start is None else max(after, start - 0.001))
        if due is not None and (end is None or parsed.once or due <= end):
            self._agenda.at(due, lambda: self._fire(plan, due, last=parsed.once))

    def _fire(self, plan: _Plan, due: float, *, last: bool) -> None:
        schedule = plan.schedule
        with self._lock:
            current = self._plans.get(schedule.arn) is plan and any(s is schedule for s in _schedules())
            if not current:
                return
        if not last:
            self._put(plan, after=self._clock.now())
        self._deliver(schedule, due)
        if last:
            with self._lock:
                self._plans.pop(schedule.arn, None)
            if schedule.action_after_completion == "DELETE":
                group = scheduler_backends[ACCOUNT][schedule.arn.split(":")[3]].schedule_groups[schedule.group_name]
                group.schedules.pop(schedule.name, None)

    def _deliver(self, schedule: Schedule, due: float) -> None:
        target = schedule.target
        arn, role = str(target["Arn"]), str(target["RoleArn"])
        service = arn.split(":")[2]
        body = _input(schedule, due)
        action = _ACTIONS.get(service)
        problem: str | None = None
        if action is None:
            problem = f"the local cloud does not carry out the target {arn}"
        else:
            problem = _refusal(schedule, role, action, arn)
        if problem is None:
            problem = self._send(service, arn, body)
        if problem is not None:
            log.error("schedule %s: %s", schedule.name, problem)
            letters = (target.get("DeadLetterConfig") or {}).get("Arn")
            if letters:
                attributes = {"ERROR_CODE": "AccessDenied", "ERROR_MESSAGE": problem[:1024], "TARGET_ARN": arn}
                queues.send(letters, body, attributes)

    def _send(self, service: str, arn: str, body: str) -> str | None:
        if service == "lambda":
            try:
                find_function(arn)
            except FunctionMissingError as error:
                return str(error)
            self._invocations.run_now(arn, body.encode())
        elif service == "sqs":
            if not queues.send(arn, body):
                return f"there is no queue {arn}"
        else:
            sns_backends[ACCOUNT][arn.split(":")[3]].publish(body, arn)
        return None


def _check(arguments: dict[str, Any]) -> None:
    try:
        schedule_expression.parse(
            str(arguments.get("schedule_expression")), zone=arguments.get("schedule_expression_timezone") or "UTC"
        )
    except schedule_expression.ExpressionError as error:
        raise JsonRESTError("ValidationException", str(error)) from error


def _schedules() -> Iterator[Schedule]:
    for backend in list(scheduler_backends[ACCOUNT].values()):
        for group in list(backend.schedule_groups.values()):
            yield from list(group.schedules.values())


def _refusal(schedule: Schedule, role_arn: str, action: str, target: str) -> str | None:
    """Return why the schedule's role may not reach its target."""
    try:
        group = schedule.arn.replace(":schedule/", ":schedule-group/").rpartition("/")[0]
        require_trust(role_arn, service="scheduler.amazonaws.com", source_arn=group)
    except RoleNotAssumableError as error:
        return str(error)
    refused = permission(Question(session_of(role_arn, schedule.name), action, target))
    return refused.message if refused else None


def _input(schedule: Schedule, due: float) -> str:
    """Return the event: the declared input with its context attributes, else EventBridge's own notification."""
    moment = datetime.fromtimestamp(due, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    declared = schedule.target.get("Input")
    if declared:
        for name, value in (
            ("schedule-arn", schedule.arn),
            ("scheduled-time", moment),
            ("execution-id", str(uuid.uuid4())),
            ("attempt-number", "1"),
        ):
            declared = declared.replace(f"<aws.scheduler.{name}>", value)
        return str(declared)
    return json.dumps(
        {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": ACCOUNT,
            "time": moment,
            "region": schedule.arn.split(":")[3],
            "resources": [schedule.arn],
            "detail": "{}",
        }
    )


def _epoch(value: Any) -> float | None:
    """Read a start or end date as moto keeps it: epoch seconds or ISO text."""
    if value in (None, ""):
        return None
    try:
        return float(value)
    except ValueError:
        moment = datetime.fromisoformat(str(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
