"""`parley hold`: what it asks the stack's API for, and what it says."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from parley.core.holds import Hold, Subject
from parley.core.verification import Verdict
from parley.ports import LedgerError

from cli import hold as command
from cli import main
from cli.errors import CANNOT_TELL, FAILED, OK
from tests.cli.consent_stage import Desk

NUMBER = "+12125550111"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOLD: dict[str, Any] = {
    "id": "case-17",
    "kind": "party",
    "subject": "a" * 64,
    "reason": "Doe v. Roe",
    "owner": "counsel",
    "review": "2026-11-04",
    "placed_at": "2026-05-04T12:00:00.000000Z",
    "stage": "held",
    "objects": 4,
    "rows": 9,
    "to_review": False,
    "not_held": ["operational-logs"],
}
ORDER = ("--reason", "Doe v. Roe", "--owner", "counsel", "--review", "2026-11-04")


class Gate:
    """The stack's API: gives a prepared answer and keeps what was asked."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.answer = (status, body)
        self.asked: list[tuple[str, str, Mapping[str, Any] | None]] = []

    def send(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, dict[str, Any]]:
        """Take a request."""
        self.asked.append((method, path, body))
        return self.answer


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Give a way to run `parley hold` against a prepared answer."""

    def run_it(gate: Gate, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(command, "gate", lambda _stack: gate.send)
        monkeypatch.setattr("sys.argv", ["parley", "hold", *arguments])
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as caught:
            main.main()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, " ".join(printed.err.split())

    return run_it


class TestAdd:
    """An order."""

    def test_person(self, run: Any) -> None:
        """A hold on a person is ordered under the given id, and what is not held is named."""
        gate = Gate(202, {**HOLD, "stage": "placing", "found": 0, "detail": "Nothing of this was found."})
        code, printed, _ = run(gate, "add", "--party", NUMBER, *ORDER, "--id", "case-17")
        words = {"reason": "Doe v. Roe", "owner": "counsel", "review": "2026-11-04"}
        assert gate.asked == [("PUT", "/v1/holds/case-17", {"party": NUMBER, **words})]
        assert code == OK
        assert "case-17: placing, party aaaa" in printed
        assert "Nothing of this was found." in printed
        assert "not held, as declared: operational-logs" in printed
        assert NUMBER not in printed

    def test_number_from_standard_input(self, run: Any) -> None:
        """A number that is read from standard input is in no list of processes."""
        gate = Gate(202, HOLD)
        run(gate, "add", "--party", "-", *ORDER, stdin=f"{NUMBER}\n")
        body = gate.asked[0][2] or {}
        assert body["party"] == NUMBER

    def test_session(self, run: Any) -> None:
        """A hold on a session gets an id of its own where none is given, and JSON where that is asked for."""
        gate = Gate(202, {**HOLD, "not_held": []})
        code, printed, _ = run(gate, "add", "--session", "KC" + "5" * 32, *ORDER, "--json")
        assert (code, json.loads(printed)["id"]) == (OK, "case-17")
        method, path, body = gate.asked[0]
        assert (method, path[:16], (body or {})["session"]) == ("PUT", "/v1/holds/hold-2", "KC" + "5" * 32)

    def test_one_subject(self, run: Any) -> None:
        """An order names a person or a session, not both and not neither."""
        for arguments in ((), ("--party", NUMBER, "--session", "KC")):
            code, _, said = run(Gate(500, {}), "add", *arguments, *ORDER)
            assert (code, said) == (CANNOT_TELL, "error: give one of --party and --session")

    def test_refusal(self, run: Any) -> None:
        """What the API refuses is told by its errors, and fails."""
        errors = [{"path": "review", "reason": "is not a day after today and within 1827 days"}]
        code, _, said = run(Gate(400, {"errors": errors}), "add", "--party", NUMBER, *ORDER)
        assert code == FAILED
        assert "review is not a day after today" in said


class TestList:
    """The list."""

    def test_those_that_stand(self, run: Any) -> None:
        """The holds that stand are listed, with a word about a review that passed; released ones are if asked for."""
        holds = [{**HOLD, "to_review": True}, {**HOLD, "id": "case-1", "released_at": "2026-05-05T00:00:00Z"}]
        gate = Gate(200, {"holds": holds})
        _, printed, _ = run(gate, "list")
        assert "review 2026-11-04, which has passed" in printed
        assert "4 versions and 9 rows under it" in printed
        assert "case-1:" not in printed
        assert "case-1:" in run(gate, "list", "--all")[1]
        assert [one["id"] for one in json.loads(run(gate, "list", "--json")[1])["holds"]] == ["case-17"]

    def test_none(self, run: Any) -> None:
        """Where no hold stands, that is said."""
        assert run(Gate(200, {"holds": []}), "list")[:2] == (OK, "nothing is held\n")


class TestStanding:
    """What the report says of holds."""

    def test_ledger_is_read(self, desk: Desk) -> None:
        """The report's holds are those of the ledger that were not released."""
        hold = Hold("case-17", Subject.PARTY, "a" * 64, "Doe v. Roe", "counsel", date(2027, 1, 1), NOON)
        over = replace(hold, id="case-18", released_at=NOON)
        assert desk.ledger.write_hold(None, hold)
        assert desk.ledger.write_hold(None, over)
        assert command.standing({}, None) == ((hold,), [])

    def test_ledger_that_cannot_be_read_is_a_finding(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reviewer who may not read the ledger gets a report that says that holds could not be read."""

        def refused(*_: Any) -> None:
            raise LedgerError("DynamoDB: AccessDeniedException")

        monkeypatch.setattr(type(desk.ledger), "active_holds", refused)
        holds, (finding,) = command.standing({"ledgerTable": "ledger"}, None)
        assert holds is None
        assert (finding.name, finding.verdict) == ("ledger", Verdict.CANNOT_TELL)


class TestShowAndRelease:
    """One hold."""

    def test_log(self, run: Any) -> None:
        """A hold is shown with everything that changed it, and who did."""
        log = [{"seq": 1, "what": "placed", "at": "2026-05-04T12:00:00.000000Z", "by": "api:arn:aws:iam::1:role/x"}]
        gate = Gate(200, {**HOLD, "log": log})
        printed = run(gate, "show", "case-17")[1]
        assert "placed    api:arn:aws:iam::1:role/x" in printed
        assert gate.asked == [("GET", "/v1/holds/case-17", None)]
        assert json.loads(run(gate, "show", "case-17", "--json")[1])["log"] == log

    def test_release(self, run: Any) -> None:
        """A release says why, and its id cannot lead to another path."""
        gate = Gate(202, {**HOLD, "stage": "releasing"})
        assert "case-17: releasing" in run(gate, "release", "case-17", "--reason", "settled")[1]
        run(gate, "release", "a/b", "--reason", "settled", "--json")
        paths = [path for _, path, _ in gate.asked]
        assert paths == ["/v1/holds/case-17", "/v1/holds/a%2Fb"]
        assert gate.asked[0] == ("DELETE", "/v1/holds/case-17", {"reason": "settled"})

    def test_unknown(self, run: Any) -> None:
        """An id that names nothing cannot be told about."""
        code, _, said = run(Gate(404, {"detail": "There is no legal hold with this id."}), "show", "case-9")
        assert (code, "There is no legal hold" in said) == (CANNOT_TELL, True)
