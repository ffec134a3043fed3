"""Log lines and problems never name anybody."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parley import log
from parley.core.requests import InvalidBodyError, consent_request, session_request
from parley.core.sessions import Mode

from tests.unit.chains import NOON

NUMBERS = st.integers(1_000_000, 999_999_999_999_999).map(lambda number: f"+{number}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=10), NUMBERS, st.text(max_size=10))
def test_number_never_reaches_a_line(before: str, number: str, after: str) -> None:
    """Whatever a caller logs, a phone number in it never reaches the line."""
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("parley.log.sys.stdout", _Out(lines))
        log.emit("x", "WARNING", a=before + number + after, b=[number])
        log.decision("h", permit=False, reasons=[number], parties=["0a" * 32], record_ids=["cr_1"])
        log.failure("failed", ValueError(number), c=number)
    assert number not in "".join(lines)
    assert all(json.loads(line)["event"] for line in lines)


class _Out:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def write(self, text: str) -> None:
        self._lines.append(text)

    def flush(self) -> None:
        """Do nothing."""


def test_failure_tells_where_but_not_what(capsys: pytest.CaptureFixture[str]) -> None:
    """A failure is logged by its kind and place; its text may quote a request and is left out."""
    try:
        int("secret words")
    except ValueError as error:
        log.failure("broken", error)
    line = json.loads(capsys.readouterr().out)
    assert line["error"] == "ValueError"
    assert line["where"].startswith("test_log.py:")
    assert "secret" not in str(line)


def test_failure_without_a_place(capsys: pytest.CaptureFixture[str]) -> None:
    """An error that was never raised has no place."""
    log.failure("broken", ValueError())
    assert json.loads(capsys.readouterr().out)["where"] == ""


@given(NUMBERS, st.sampled_from(["party", "counterpart", "scope", "state", "method", "notice", "evidence", "x"]))
def test_number_never_reaches_a_problem(number: str, name: str) -> None:
    """Whatever member of a body holds a number, the errors about the body do not repeat it."""
    for read in (
        lambda raw: consent_request(raw, now=NOON, methods=lambda _: ("in_app",)),
        lambda raw: session_request(raw, ttl_limit=60, mode="voice-only", modes=tuple(Mode)),
    ):
        for raw in ({name: number}, {number: name}, {name: {"a": number}}):
            with pytest.raises(InvalidBodyError) as caught:
                read(raw)
            assert number not in json.dumps(caught.value.errors, ensure_ascii=False)
