"""`parley sweep`: what it asks the stack's sweeper for, and how it tells the answer."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from typer.testing import CliRunner

from cli import main as command
from cli import sweep
from cli.errors import CANNOT_TELL, FAILED, OK, UserError

RUN = {"partitions": 7, "walks": 1, "deletions": 3, "holds": 0}
REHEARSED = {
    "complete": True,
    "kinds": {
        "message": {"delete": 12, "keep": 4, "wait": 1, "oldest": "2026-05-04T10:00:00.000000Z"},
        "recording": {"archive": 2},
    },
    "pending": 5,
}


class Function:
    """A Lambda client whose function answers what a test tells it to."""

    def __init__(self, answer: Any, **more: Any) -> None:
        self._answer, self._more = answer, more
        self.called: list[tuple[str, Any]] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: N803 - boto3's names
        """Answer one call."""
        self.called.append((FunctionName, json.loads(Payload)))
        if isinstance(self._answer, Exception):
            raise self._answer
        text = self._answer if isinstance(self._answer, bytes) else json.dumps(self._answer).encode()
        return {"Payload": io.BytesIO(text), **self._more}


def run(monkeypatch: pytest.MonkeyPatch, function: Function, *arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code and what it printed."""
    monkeypatch.setattr(sweep, "reach", lambda _stack: (function, "parley-local-sweep"))
    result = CliRunner().invoke(command.app, ["sweep", *arguments])
    assert not isinstance(result.exception, UserError)
    return result.exit_code, result.output


def test_run_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an option one run of the schedule is begun, and what it handed out is told."""
    function = Function(RUN)
    code, printed = run(monkeypatch, function)
    assert (code, function.called) == (OK, [("parley-local-sweep", {})])
    assert "7 stretches of time, 1 walks, 3 deletions" in " ".join(printed.split())


def test_rehearsal_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run tells by kind what would go, and deletes nothing."""
    function = Function(REHEARSED)
    code, printed = run(monkeypatch, function, "--dry-run")
    assert (code, function.called) == (OK, [("parley-local-sweep", {"dry_run": True})])
    row = next(line for line in printed.splitlines() if "message" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == ["message", "12", "0", "1", "4", "2026-05-04"]
    assert "5 deletions wait" in printed


def test_rehearsal_that_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run that did not see everything says so, also by its exit code."""
    code, printed = run(monkeypatch, Function({**REHEARSED, "complete": False}), "--dry-run")
    assert code == CANNOT_TELL
    assert "incomplete" in printed


def test_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """For scripts the answer is printed as it came."""
    code, printed = run(monkeypatch, Function(REHEARSED), "--dry-run", "--json")
    assert code == OK
    assert json.loads(printed) == REHEARSED


@pytest.mark.parametrize(
    ("function", "code", "said"),
    [
        (
            Function(ClientError({"Error": {"Code": "AccessDeniedException"}}, "Invoke")),
            CANNOT_TELL,
            "check your rights",
        ),
        (Function(EndpointConnectionError(endpoint_url="http://x")), CANNOT_TELL, "check credentials and network"),
        (Function(b"<html>"), CANNOT_TELL, "no answer"),
        (Function({"errorType": "LedgerError"}, FunctionError="Unhandled"), FAILED, "LedgerError"),
        (Function("odd", FunctionError="Unhandled"), FAILED, "the run failed"),
    ],
)
def test_failures_name_the_way_out(function: Function, code: int, said: str) -> None:
    """Whatever stops the call is one message with the way out."""
    with pytest.raises(UserError, match=said) as caught:
        sweep.call(function, "parley-local-sweep", {})
    assert caught.value.exit_code == code


def test_stack_without_a_sweeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack of before the sweeper says that it has none."""
    monkeypatch.setattr(command, "deployed", lambda _stack: ({"functions": {"consents": "c"}}, None))
    with pytest.raises(UserError, match="has no sweeper: deploy it"):
        sweep.reach("prod")


def test_function_of_the_stack_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function is the one that the stack's outputs name, in the region of its keys."""
    key = "arn:aws:kms:eu-central-1:123456789012:key/1"
    outputs = {"functions": {"sweep": "parley-prod-sweep"}, "identityKeyArn": key}
    monkeypatch.setattr(command, "deployed", lambda _stack: (outputs, None))
    client, function = sweep.reach("prod")
    made: Any = client
    assert (function, made.meta.region_name) == ("parley-prod-sweep", "eu-central-1")
