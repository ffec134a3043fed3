"""EventBridge Scheduler: schedules and their groups."""

# ruff: noqa: RUF012 - tables that nothing changes; arguments that the base class gives to all

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Iterator, Set

from infra.provider import CheckFailure, Properties
from local.aws.provider.cloud import Client
from local.aws.provider.kind import Kind, Name, Tagging


def expression_fault(expression: str) -> str | None:
    """Return what is wrong with a schedule expression (EventBridge Scheduler user guide, schedule types)."""
    kind, _, inside = expression.partition("(")
    inside = inside.removesuffix(")")
    form = "it is rate(5 minutes), cron(0 12 * * ? *) or at(2030-01-31T12:00:00)"
    if not expression.endswith(")"):
        return f"{expression!r} is no schedule: {form}"
    if kind == "rate":
        found = re.fullmatch(r"(\d+) (minute|hour|day)s?", inside)
        return None if found and int(found[1]) > 0 else f"{expression!r} is no rate: {form}"
    if kind == "cron":
        return _cron_fault(inside.split(), form)
    if kind == "at":
        try:
            dt.datetime.strptime(inside, "%Y-%m-%dT%H:%M:%S")  # noqa: DTZ007 - the zone is another property
        except ValueError:
            return f"{expression!r} is no moment: {form}"
        return None
    return f"{expression!r} is no schedule: {form}"


def _cron_fault(fields: list[str], form: str) -> str | None:
    if len(fields) != 6:
        return f"a cron expression has six fields (minute hour day month weekday year), got {len(fields)}: {form}"
    if (fields[2] == "?") == (fields[4] == "?"):
        return f"one of day and weekday has to be ?, and the other not: {form}"
    strange = next((field for field in fields if not re.fullmatch(r"[A-Za-z0-9*?,/#LW-]+", field)), None)
    return f"{strange!r} is no cron field: {form}" if strange else None


class Schedule(Kind):
    """A schedule; it is always put as a whole."""

    token, service, form = "aws:scheduler/schedule:Schedule", "scheduler", "{groupName}/{name}"
    creates, updates, reads, deletes = "create_schedule", "update_schedule", "get_schedule", "delete_schedule"
    name = Name("name", 64)
    replaces = frozenset({"name", "groupName"})
    defaults = {"groupName": "default", "scheduleExpressionTimezone": "UTC", "state": "ENABLED"}

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield expressions, zones and windows that the scheduler refuses."""
        expression, zone = p.get("scheduleExpression"), p.get("scheduleExpressionTimezone")
        if isinstance(expression, str) and (fault := expression_fault(expression)):
            yield CheckFailure("scheduleExpression", fault)
        if isinstance(zone, str) and zone not in zoneinfo.available_timezones():
            yield CheckFailure("scheduleExpressionTimezone", f"{zone!r} is no time zone of the IANA list, such as UTC")
        window = p.get("flexibleTimeWindow") or {}
        mode, minutes = window.get("mode"), window.get("maximumWindowInMinutes")
        if mode == "FLEXIBLE" and minutes is None:
            yield CheckFailure("flexibleTimeWindow.maximumWindowInMinutes", "is required with mode FLEXIBLE")
        if mode == "OFF" and minutes is not None:
            yield CheckFailure("flexibleTimeWindow.maximumWindowInMinutes", "does not go with mode OFF: leave it out")

    def make(self, c: Client, p: Properties) -> str:
        """Create the schedule, in the default group unless another one is given."""
        return super().make(c, {**self.defaults, **p})

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the schedule."""
        found = super().look(c, id_, was) or {}
        return {**found, "description": found.get("description") or None}

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Put the schedule again: what is not given goes back to AWS's defaults."""
        super().change(c, id_, old, {**self.defaults, **new}, changed)


class ScheduleGroup(Kind):
    """A group of schedules: nothing but its tags can be changed."""

    token, service, form = "aws:scheduler/scheduleGroup:ScheduleGroup", "scheduler", "{name}"
    creates, reads, deletes = "create_schedule_group", "get_schedule_group", "delete_schedule_group"
    name = Name("name", 64)
    replaces = frozenset({"name"})
    tagging = Tagging("tag_resource", "untag_resource", "list_tags_for_resource", "ResourceArn", "arn")

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Delete the group; moto has no answer for one that is not there."""
        c.call("get_schedule_group", Name=id_)
        super().remove(c, id_, state)
