"""All checks of the pack, by subject."""

from __future__ import annotations

from policy.checks import (
    api,
    buckets,
    encryption,
    functions,
    keys,
    lifecycle,
    line,
    queues,
    retention,
    roles,
    secrets,
    stack,
    tables,
)
from policy.rules import Check

SUBJECTS = (
    stack,
    retention,
    lifecycle,
    buckets,
    encryption,
    keys,
    tables,
    queues,
    functions,
    roles,
    api,
    line,
    secrets,
)

CHECKS: tuple[Check, ...] = tuple(
    one for subject in SUBJECTS for one in vars(subject).values() if isinstance(one, Check)
)
