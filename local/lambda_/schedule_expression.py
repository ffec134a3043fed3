"""When an EventBridge schedule is due: `rate(…)`, `cron(…)` and `at(…)`.

"Schedule types on EventBridge Scheduler" of its user guide.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_UNITS = {"minute": 60, "hour": 3600, "day": 86400}
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
#: EventBridge counts Sunday as 1.
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_LAST_YEAR = 2199


class ExpressionError(ValueError):
    """A schedule expression that EventBridge would refuse, and why."""


@dataclass(frozen=True)
class Schedule:
    """Yields the moments of an expression. `once` tells a one-time schedule."""

    next_after: Callable[[float], float | None]
    once: bool = False


def parse(expression: str, *, zone: str = "UTC", start: float = 0.0) -> Schedule:
    """Parse an expression; `start` (epoch seconds) is when a rate begins to count. Raises ExpressionError."""
    found = re.fullmatch(r"\s*(rate|cron|at)\((.*)\)\s*", expression)
    if found is None:
        raise ExpressionError(f"Invalid Schedule Expression {expression}: expected rate(…), cron(…) or at(…)")
    kind, body = found[1], found[2].strip()
    try:
        time_zone = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ExpressionError(f"Invalid Schedule Expression {expression}: unknown time zone {zone}") from error
    if kind == "rate":
        return _rate(expression, body, start)
    if kind == "at":
        return _at(expression, body, time_zone)
    return _cron(expression, body, time_zone)


def _rate(expression: str, body: str, start: float) -> Schedule:
    found = re.fullmatch(r"([1-9]\d*) (minute|hour|day)(s?)", body)
    if found is None:
        raise ExpressionError(f"Invalid Schedule Expression {expression}: expected such as rate(5 minutes)")
    period = int(found[1]) * _UNITS[found[2]]

    def next_after(moment: float) -> float:
        return start if moment < start else start + (int((moment - start) // period) + 1) * period

    return Schedule(next_after)


def _at(expression: str, body: str, zone: ZoneInfo) -> Schedule:
    try:
        due = datetime.strptime(body, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=zone).timestamp()
    except ValueError as error:
        raise ExpressionError(f"Invalid Schedule Expression {expression}: expected at(yyyy-mm-ddThh:mm:ss)") from error
    return Schedule(lambda moment: due if moment < due else None, once=True)


# --- cron ---


@dataclass(frozen=True)
class _Cron:
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    years: frozenset[int]
    day: Callable[[date], bool]
    zone: ZoneInfo

    def next_after(self, moment: float) -> float | None:
        """Return the first moment later than `moment`."""
        local = datetime.fromtimestamp(moment, self.zone)
        day = local.date()
        while day.year <= _LAST_YEAR:
            if day.year not in self.years or day.month not in self.months:
                day = _first_of_next_month(day)
                continue
            if self.day(day):
                for hour in self.hours:
                    for minute in self.minutes:
                        at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)
                        # A time that the clocks leap over in spring does not exist, and is left out.
                        exists = at.astimezone(UTC).astimezone(self.zone).hour == hour
                        if at.timestamp() > moment and exists:
                            return at.timestamp()
            day += timedelta(days=1)
        return None


def _cron(expression: str, body: str, zone: ZoneInfo) -> Schedule:
    fields = body.upper().split()
    if len(fields) != 6:
        raise ExpressionError(f"Invalid Schedule Expression {expression}: cron needs six fields, got {len(fields)}")
    minute, hour, month_day, month, week_day, year = fields
    if (month_day == "?") == (week_day == "?"):
        raise ExpressionError(f"Invalid Schedule Expression {expression}: exactly one of the two day fields must be ?")
    try:
        cron = _Cron(
            tuple(sorted(_values(minute, 0, 59))),
            tuple(sorted(_values(hour, 0, 23))),
            frozenset(_values(month, 1, 12, _MONTHS)),
            frozenset(_values(year, 1970, _LAST_YEAR)),
            _month_days(month_day) if week_day == "?" else _week_days(week_day),
            zone,
        )
    except (ValueError, KeyError) as error:
        raise ExpressionError(f"Invalid Schedule Expression {expression}: {error}") from error
    return Schedule(cron.next_after)


def _values(text: str, lowest: int, highest: int, names: dict[str, int] | None = None) -> set[int]:
    """Return the numbers of one field: `*`, lists, ranges and steps."""

    def number(word: str) -> int:
        value = names[word] if names and word in names else int(word)
        if not lowest <= value <= highest:
            raise ValueError(f"{value} is not within {lowest}-{highest}")
        return value

    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span in {"*", "?"}:
            first, last = lowest, highest
        elif "-" in span:
            first, last = (number(word) for word in span.split("-", 1))
        else:
            first = number(span)
            last = highest if step else first
        found.update(range(first, last + 1, int(step) if step else 1))
    return found


def _month_days(text: str) -> Callable[[date], bool]:
    if text == "L":
        return lambda day: day.day == _days_in(day)
    if text.endswith("W"):
        wanted = int(text[:-1])
        return lambda day: day == _nearest_weekday(day, wanted)
    days = _values(text, 1, 31)
    return lambda day: day.day in days


def _week_days(text: str) -> Callable[[date], bool]:
    def number(day: date) -> int:
        return day.isoweekday() % 7 + 1

    if "#" in text:
        name, _, nth = text.partition("#")
        (wanted,) = _values(name, 1, 7, _DAYS)
        return lambda day: number(day) == wanted and (day.day - 1) // 7 + 1 == int(nth)
    if text.endswith("L") and text != "L":
        (wanted,) = _values(text[:-1], 1, 7, _DAYS)
        return lambda day: number(day) == wanted and day.day + 7 > _days_in(day)
    days = {7} if text == "L" else _values(text, 1, 7, _DAYS)
    return lambda day: number(day) in days


def _days_in(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _nearest_weekday(day: date, wanted: int) -> date:
    target = day.replace(day=min(wanted, _days_in(day)))
    shift = {5: -1, 6: 1}.get(target.weekday(), 0)
    moved = target + timedelta(days=shift)
    # It stays within its month: from a Saturday the 1st to Monday the 3rd, from a Sunday at the end to the Friday.
    return moved if moved.month == target.month else target - timedelta(days=2 * shift)


def _first_of_next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
