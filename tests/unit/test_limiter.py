"""The limit of requests in flight: it falls fast, rises slowly, and is shared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from parley.core.limiter import CEILING, FLOOR, GROWTH, HOLD_OFF, Limit

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_begins_at_the_most() -> None:
    """A stack that was never refused has as many requests in flight as a worker may."""
    assert Limit().whole == CEILING
    assert Limit().grown(NOW).whole == CEILING


def test_refusal_halves_once() -> None:
    """A hundred refusals of what was in flight together halve the limit once; the next one after that halves again."""
    limit = Limit().refused(NOW)
    assert limit.whole == CEILING // 2
    for _ in range(100):
        limit = limit.refused(NOW + SECOND)
    assert limit.whole == CEILING // 2
    assert limit.refused(NOW + HOLD_OFF).whole == int((CEILING / 2 + 2 * GROWTH) / 2)


def test_grows_back_slowly() -> None:
    """Without a refusal the limit grows by so many requests a second, up to the most."""
    limit = Limit().refused(NOW)
    assert limit.grown(NOW + 10 * SECOND).whole == CEILING // 2 + int(10 * GROWTH)
    assert limit.grown(NOW + timedelta(hours=1)).whole == CEILING


def test_clock_that_goes_back_takes_nothing() -> None:
    """Two machines' clocks differ: time that runs backwards neither shrinks nor grows the limit."""
    limit = Limit(10.0, NOW)
    assert limit.grown(NOW - SECOND).permits == 10.0
    assert limit.grown(NOW - SECOND).since == NOW


def test_last_refusal_is_heeded() -> None:
    """Of two workers' limits the one counts that was refused last."""
    early, late, never = Limit(40.0, NOW, NOW), Limit(20.0, NOW, NOW + SECOND), Limit()
    assert early.heeding(late) == late
    assert late.heeding(early) == late
    assert never.heeding(early) == early
    assert early.heeding(never) == early


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 600)), max_size=50))
def test_stays_within_its_bounds(steps: list[tuple[bool, int]]) -> None:
    """Whatever happens, at least one and at most so many requests are in flight."""
    limit, now = Limit(), NOW
    for refused, seconds in steps:
        now += timedelta(seconds=seconds)
        limit = limit.refused(now) if refused else limit.grown(now)
        assert FLOOR <= limit.whole <= CEILING


@given(st.integers(2, 5), st.integers(20, 100))
def test_workers_come_to_what_twilio_takes(workers: int, capacity: int) -> None:
    """However many workers share the limit, in the end they exceed the capacity only by what a second lets grow."""
    limit, now = Limit(), NOW
    excess = 0
    for step in range(600):
        now += SECOND
        limit = limit.grown(now)
        over = limit.whole * workers - capacity
        if over > 0:
            limit = limit.refused(now)
        if step > 60:
            excess = max(excess, over)
    assert excess <= workers * (GROWTH + 1) * (HOLD_OFF.total_seconds() + 1)
