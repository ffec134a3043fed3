"""`parley consent import`: the rules of the API for every row, nothing lost by a kill, and nothing that lifts a no."""

from __future__ import annotations

import csv
import gc
import io
import itertools
import json
import os
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from parley.adapters.dynamodb import DynamoLedger
from parley.adapters.identity import Contacts, Identities
from parley.core.consent import Head, Method, Scope, State, append, verify_chain
from parley.env import Environment
from parley.ports import LedgerError
from rich.console import Console

from cli import consent_import, progress
from cli.consent_import import Import, Journal, Plan, Source, Tally
from cli.errors import CANNOT_TELL, FAILED, INTERRUPTED, OK
from tests.cli.consent_stage import CONSTANTS, KEEP_DAYS, NUMBER, SETTINGS, SIGNED, Desk, person, write_signed
from tests.unit.chains import event
from tests.unit.memory import Forgetful, MemoryDynamo, MemoryKms, StillClock

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ROWS = int(os.environ.get("PARLEY_IMPORT_ROWS", "20000"))
"""Rows of the one large import: `PARLEY_IMPORT_ROWS=100000` for as many as a company may bring."""
SETS = list(itertools.chain.from_iterable(("--set", f"{name}={value}") for name, value in CONSTANTS.items()))
CONTRACT = ["--method", "contract", "--scope", "manage", *SETS]
AT = "2026-05-04T10:00:00Z"


def written(path: Path, *rows: str, header: str = "party,occurred_at") -> Path:
    """Write a file of these rows."""
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


def rejected(path: Path) -> list[list[str]]:
    """Return the rows of the rejects file that belongs to a file."""
    with path.with_name(f"{path.name}.rejects.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["row", "member", "reason"]
    return rows


class TestRows:
    """What becomes of a row."""

    def test_signed_contracts_are_recorded(self, desk: Desk, tmp_path: Path) -> None:
        """Each row is a record with its proof, its notice and who imported it; the contact is sealed apart."""
        code, printed, _ = desk.run("import", str(write_signed(tmp_path / "signed.csv", 130)), *CONTRACT)
        assert (code, "130 recorded, 0 recorded before, 0 rejected" in printed) == (OK, True)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["signed.csv"]
        (record,) = desk.ledger.records(desk.identities.party(person(100)))
        said = record.event
        assert said.evidence == {
            "document_id": "terms",
            "document_version": "7",
            "document_sha256": "ab" * 32,
            "clause": "4.2",
            "accepted_at": "2026-05-04T10:01:40Z",
        }
        assert said.notice is not None
        assert (said.notice["id"], said.notice["version"]) == ("manage", 1)
        assert said.notice["privacy_policy"]["version"] == "2026-02"
        assert (said.actor, said.purposes) == ("import:arn:aws:iam::123456789012:user/ops", ("safety",))
        assert said.valid_until == said.effective_at + timedelta(days=365)
        assert len(desk.dynamo.items("CONTACT")) == 130
        assert person(100) not in repr(desk.dynamo.items())
        assert desk.dynamo.writes <= consent_import.LANES + 130 // 20

    def test_every_column(self, desk: Desk, tmp_path: Path) -> None:
        """A row can say everything that the API takes, for several scopes at once, in one append."""
        columns = {
            "party": "user:rider-7",
            "occurred_at": AT,
            "counterpart": NUMBER,
            "kind": "explicit",
            "source_event_id": "booking-7",
            "how_verified": "account",
            "first_seen": "2026-03-01",
            "last_verified": "2026-04-01",
            "line_type": "mobile",
            "location": "US-WA DE",
            "location_source": "kyc",
            "location_confidence": "high",
            "legal_basis": "contract",
            "evidence.file_sha256": "ab" * 32,
            "evidence.agent": "desk-3",
            "evidence.pages": "2",
        }
        notice = {name: value for name, value in CONSTANTS.items() if name.startswith("notice")}
        form = notice | {"notice_id": "app:form"}
        plan = Plan(Method.PAPER, (Scope.MANAGE, Scope.RECORD_VOICE), form, "import:test")
        file = written(tmp_path / "x.csv", ",".join(columns.values()), header=",".join(columns))
        journal = imported(desk, file, plan)
        assert (journal.tally, journal.rejects) == (Tally(recorded=1), [])
        first, second = desk.ledger.records(desk.identities.party("user:rider-7"))
        assert (first.event.scope, second.event.scope) == (Scope.MANAGE, Scope.RECORD_VOICE)
        assert first.event.counterpart == desk.identities.party(NUMBER)
        assert first.event.source_event_id == second.event.source_event_id == "booking-7"
        assert first.event.evidence["pages"] == 2
        assert first.event.identity == {"how_verified": "account"}
        assert first.event.number_tenure == {
            "first_seen": "2026-03-01",
            "last_verified": "2026-04-01",
            "line_type": "mobile",
        }
        assert first.event.jurisdiction is not None
        assert first.event.jurisdiction["codes"] == ["US-WA", "DE"]

    @pytest.mark.parametrize(
        ("row", "member"),
        [
            ("2125550111," + AT, "party"),
            ("+1212555," + AT, "party"),
            ("," + AT, "party"),
            (NUMBER + ",yesterday", "occurred_at"),
            (NUMBER + ",2099-01-01T00:00:00Z", "occurred_at"),
            (NUMBER, ""),
            (NUMBER + f",{AT},more", ""),
            (f'"{NUMBER}"x,{AT}', ""),
            (f"user:\udcff,{AT}", ""),
        ],
    )
    def test_bad_row_is_told_by_its_number(self, desk: Desk, tmp_path: Path, row: str, member: str) -> None:
        """A row that breaks a rule is rejected with its number and the reason; the others are imported."""
        file = tmp_path / "x.csv"
        text = f"party,occurred_at\nuser:a,{AT}\n{row}\n\nuser:b,{AT}\n"
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        code, printed, said = desk.run("import", str(file), *CONTRACT)
        assert (code, "2 recorded, 0 recorded before, 1 rejected" in printed) == (FAILED, True)
        assert "x.csv.rejects.csv" in said
        ((number, path, reason),) = rejected(file)
        assert (number, path) == ("3", member)
        assert reason
        assert "2125550111" not in printed + said + repr(rejected(file))

    @pytest.mark.parametrize(
        ("header", "values", "member"),
        [
            ("state", "requested", "state"),
            ("kind", "implied", "kind"),
            ("evidence.accepted_at", "soon", "evidence.accepted_at"),
            ("location", "Berlin", "location.codes"),
            ("line_type", "pager", "number_tenure.line_type"),
            ("withdrawal_channel", "sms", "withdrawal"),
            ("counterpart", "user:a", "counterpart"),
        ],
    )
    def test_rules_are_those_of_the_api(
        self, desk: Desk, tmp_path: Path, header: str, values: str, member: str
    ) -> None:
        """Whatever the API would refuse in a body is refused in a row, with the same path."""
        file = written(tmp_path / "x.csv", f"user:a,{AT},{values}", header=f"party,occurred_at,{header}")
        assert desk.run("import", str(file), *CONTRACT)[0] == FAILED
        assert member in {path for _, path, _ in rejected(file)}
        assert desk.dynamo.items() == []

    def test_evidence_must_prove_the_method(self, desk: Desk, tmp_path: Path) -> None:
        """A signed contract without the clause is no proof, so no row is imported."""
        file = write_signed(tmp_path / "x.csv", 3)
        plan = Plan(Method.CONTRACT, (Scope.MANAGE,), {**CONSTANTS, "evidence.clause": ""}, "import:test")
        journal = imported(desk, file, plan)
        assert {path for _, path, _ in journal.rejects} == {"evidence.clause"}
        assert (journal.tally, desk.dynamo.items()) == (Tally(rejected=3), [])

    @pytest.mark.parametrize(
        ("name", "value", "member"),
        [
            ("notice_version", "2", "notice.version"),
            ("notice_language", "fi", "notice.language"),
            ("notice_id", "terms", "notice.id"),
        ],
    )
    def test_notice_must_exist(self, desk: Desk, tmp_path: Path, name: str, value: str, member: str) -> None:
        """A notice that was never there, or is not said to be the application's own, proves nothing."""
        file = write_signed(tmp_path / "x.csv", 1)
        journal = imported(desk, file, Plan(Method.CONTRACT, (Scope.MANAGE,), CONSTANTS | {name: value}, "import:test"))
        assert {path for _, path, _ in journal.rejects} == {member}
        assert journal.tally == Tally(rejected=1)

    @pytest.mark.parametrize("scopes", [(Scope.RECORD_VOICE,), (Scope.MANAGE, Scope.RECORD_VOICE)])
    def test_notice_must_ask_for_every_scope(self, desk: Desk, tmp_path: Path, scopes: tuple[Scope, ...]) -> None:
        """A row with a scope that its notice of ours does not ask for is rejected whole, with the notice that does."""
        file = write_signed(tmp_path / "x.csv", 1)
        journal = imported(desk, file, Plan(Method.CONTRACT, scopes, CONSTANTS, "import:test"))
        ((_, path, reason),) = journal.rejects
        assert (path, "(record or whisper-ask does)" in reason) == ("notice.id", True)
        assert (journal.tally, desk.dynamo.items()) == (Tally(rejected=1), [])


def imported(desk: Desk, file: Path, plan: Plan = SIGNED, *, resume: bool = False) -> Journal:
    """Run an import as the command does, and return its journal."""
    source = Source(file, plan)
    try:
        run = Import(source, plan, Environment(**SETTINGS | {"consent": ANY_METHOD}), NOW)
        journal = Journal.begin(file.with_name(f"{file.name}.journal"), run.identity, resume=resume)
        with journal.file:
            run.run(journal, desk.ledger, desk.identities, Contacts(desk.kms, "evidence"))
    finally:
        source.close()
    return journal


ANY_METHOD = SETTINGS["consent"].__class__(tuple(str(method) for method in Method), 365)


class TestNo:
    """A no that a person said."""

    @pytest.mark.parametrize("method", ["contract", "admin_import"])
    @pytest.mark.parametrize("no", [State.REFUSED, State.WITHDRAWN])
    def test_is_never_lifted(self, desk: Desk, tmp_path: Path, method: str, no: State) -> None:
        """Neither a contract nor another system's list lifts it, however late it was signed; the row is rejected."""
        party = desk.identities.party(NUMBER)
        desk.ledger.append([event(party=party, state=no, effective_at=NOW - timedelta(days=9))])
        proof = {"evidence.system": "crm", "evidence.batch": "1", "evidence.original_method": "in_app"}
        notice = {name: value for name, value in CONSTANTS.items() if name.startswith("notice")}
        constants = CONSTANTS if method == "contract" else notice | proof
        file = written(tmp_path / "x.csv", f"{NUMBER},{AT}", f"user:a,{AT}")
        journal = imported(desk, file, Plan(Method(method), (Scope.MANAGE,), constants, "import:test"))
        assert journal.tally == Tally(recorded=1, rejected=1)
        assert journal.rejects == [(2, "", "was refused or withdrawn by the person, and no import lifts that")]
        (standing,) = desk.ledger.standings_of(party)
        assert standing.state is no

    def test_can_be_imported(self, desk: Desk, tmp_path: Path) -> None:
        """Refusals and withdrawals of another system are imported, over a consent as well, in the order of the file."""
        rows = [f"{NUMBER},{AT},", f"{NUMBER},{AT},withdrawn", f"{NUMBER},2026-05-04T11:00:00Z,"]
        file = written(tmp_path / "x.csv", *rows, header="party,occurred_at,state")
        journal = imported(desk, file)
        assert journal.tally == Tally(recorded=2, rejected=1)
        party = desk.identities.party(NUMBER)
        assert [record.event.state for record in desk.ledger.records(party)] == [State.GIVEN, State.WITHDRAWN]
        (standing,) = desk.ledger.standings_of(party)
        assert standing.state is State.WITHDRAWN

    def test_reused_source_event_is_rejected(self, desk: Desk, tmp_path: Path) -> None:
        """An id of the caller's own that meant something else before is rejected."""
        rows = [f"user:a,{AT},x,DE", f"user:a,{AT},x,FR"]
        file = written(tmp_path / "x.csv", *rows, header="party,occurred_at,source_event_id,location")
        journal = imported(desk, file)
        assert journal.rejects == [(3, "", "has a source event that was used for another consent before")]


class TestResume:
    """An import that ended early."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """Give a file with good rows, bad ones, and one person several times."""
        rows = [f"user:rider-{number % 60},{AT}" for number in range(90)]
        rows[7], rows[40] = "nobody," + AT, NUMBER + ",soon"
        return written(tmp_path / "x.csv", *rows)

    def test_second_run_writes_nothing(self, desk: Desk, file: Path) -> None:
        """The same file again finds every row recorded before, and the table stays as it was."""
        assert desk.run("import", str(file), *CONTRACT)[0] == FAILED
        before = desk.dynamo.items()
        code, printed, _ = desk.run("import", str(file), *CONTRACT)
        assert (code, "0 recorded, 88 recorded before, 2 rejected" in printed) == (FAILED, True)
        assert desk.dynamo.items() == before

    def test_kill_at_any_point_loses_nothing(self, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Wherever a kill cuts the journal off, going on ends with the same records, each once, and rejects."""
        whole = stage()
        journal = imported(whole, file)
        text = journal.path.read_bytes()
        expected = sorted(journal.rejects)
        records = Counter(row["pk"]["S"] for row in whole.dynamo.items("EVENT#"))
        header = text.index(b"\n") + 1
        for end in sorted({header, len(text), *range(header, len(text), 97)}):
            journal.path.write_bytes(text[:end])
            gone_on = imported(whole, file, resume=True)
            assert (gone_on.tally.rows, sorted(gone_on.rejects)) == (90, expected)
            assert Counter(row["pk"]["S"] for row in whole.dynamo.items("EVENT#")) == records

    @pytest.mark.parametrize("batch", [0, 1, 5, 20])
    def test_ledger_that_goes_away(self, desk: Desk, file: Path, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the ledger goes away the import stops with what to do, and goes on from there."""
        append_all, calls = DynamoLedger.append_all, itertools.count()

        def fail(self: DynamoLedger, entries: Any) -> Any:
            if next(calls) >= batch:
                raise LedgerError("DynamoDB: ResourceNotFoundException")
            return append_all(self, entries)

        monkeypatch.setattr(DynamoLedger, "append_all", fail)
        code, _, said = desk.run("import", str(file), *CONTRACT)
        assert (code, "go on with --resume" in said) == (CANNOT_TELL, True)
        monkeypatch.setattr(DynamoLedger, "append_all", append_all)
        code, _, said = desk.run("import", str(file), *CONTRACT)
        assert (code, "an import of this file was begun" in said) == (CANNOT_TELL, True)
        code, printed, _ = desk.run("import", str(file), *CONTRACT, "--resume")
        assert (code, " 2 rejected" in printed) == (FAILED, True)
        assert [number for number, *_ in rejected(file)] == ["9", "42"]
        assert len(desk.dynamo.items("EVENT#")) == 88
        assert not file.with_name("x.csv.journal").exists()

    def test_interrupt_can_go_on(self, desk: Desk, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An interrupted import says how to go on, and leaves no lane at work."""

        def interrupt(_self: object, _entries: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(DynamoLedger, "append_all", interrupt)
            code, _, said = desk.run("import", str(file), *CONTRACT)
        assert (code, "go on with --resume" in said) == (INTERRUPTED, True)
        assert desk.run("import", str(file), *CONTRACT, "--resume")[0] == FAILED
        assert len(desk.dynamo.items("EVENT#")) == 88

    def test_busy_person_does_not_stop_the_others(
        self, desk: Desk, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A transaction that others are always faster than is tried person by person."""
        append_all = DynamoLedger.append_all

        def contend(self: DynamoLedger, entries: Any) -> Any:
            if len(entries) > 1:
                raise LedgerError("too many writers at once for one person")
            return append_all(self, entries)

        monkeypatch.setattr(DynamoLedger, "append_all", contend)
        assert imported(desk, file).tally == Tally(recorded=88, rejected=2)

    def test_nothing_of_a_person_overtakes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """After a row that could not be written, no later row of that person is."""
        bare, calls = stage(), itertools.count()
        append_all = DynamoLedger.append_all

        def fail_once(self: DynamoLedger, entries: Any) -> Any:
            if next(calls) == 1:
                raise LedgerError("DynamoDB: ThrottlingException")
            return append_all(self, entries)

        monkeypatch.setattr(DynamoLedger, "append_all", fail_once)
        with pytest.raises(LedgerError, match="ThrottlingException"):
            imported(bare, written(tmp_path / "x.csv", *[f"user:a,{AT}"] * 4))
        (record,) = bare.ledger.records(bare.identities.party("user:a"))
        assert record.event.source_event_id.endswith(":2")

    def test_journal_that_cannot_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full disk ends the import with its own error, and the interpreter is left as it was found."""

        def fail(_self: Journal, _rows: object, _rejected: object, _repeated: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Journal, "add", fail)
        before = gc.get_threshold()
        with pytest.raises(OSError, match="No space left"):
            imported(stage(), write_signed(tmp_path / "x.csv", 100))
        assert gc.get_threshold() == before
        assert not [one for one in threading.enumerate() if one.name.startswith("lane-")]

    def test_journal_holds_nothing_of_a_person(self, desk: Desk, tmp_path: Path) -> None:
        """What is written beside the file has rows and reasons, but no number and no id."""
        file = written(tmp_path / "x.csv", f"{NUMBER},{AT}", f"{NUMBER},soon", "user:ana;x," + AT)
        journal = imported(desk, file)
        text = journal.path.read_text(encoding="utf-8")
        assert "555" not in text
        assert "ana" not in text
        assert [json.loads(line) for line in text.splitlines()]

    def test_journal_of_something_else(self, desk: Desk, file: Path) -> None:
        """A journal of another file or other options, and one that is not there, are told."""
        code, _, said = desk.run("import", str(file), *CONTRACT, "--resume")
        assert (code, "no journal to go on from" in said) == (CANNOT_TELL, True)
        imported(desk, file, Plan(Method.CONTRACT, (Scope.TRANSCRIBE,), CONSTANTS, "import:test"))
        code, _, said = desk.run("import", str(file), *CONTRACT, "--resume")
        assert (code, "another file or other options" in said) == (CANNOT_TELL, True)


def stage() -> Any:
    """Return a ledger in memory without a command over it."""

    class Bare:
        dynamo, kms = MemoryDynamo(), MemoryKms()
        ledger = DynamoLedger(dynamo, "ledger", KEEP_DAYS, StillClock(), region="us-east-1", sleep=lambda _: None)
        identities = Identities(kms, "identity")

    return Bare()


class TestFile:
    """The file as such, and the options."""

    @pytest.mark.parametrize(
        ("header", "said"),
        [
            ("party,occured_at", "column 2 is none that an import knows; did you mean occurred_at?"),
            (f"{NUMBER},{AT}", "column 1 is none that an import knows"),
            ("party", "the column occurred_at is missing"),
            ("party,occurred_at,party", "party is there twice"),
            ("party,occurred_at,notice_id", "notice_id is there twice"),
            ('"party', "the column party is missing"),
            ("", "the column party is missing"),
        ],
    )
    def test_header_must_be_known(self, desk: Desk, tmp_path: Path, header: str, said: str) -> None:
        """A column that is unknown, missing or there twice stops the import at once, named by its place."""
        file = written(tmp_path / "x.csv", f"user:a,{AT}", header=header)
        code, printed, told = desk.run("import", str(file), *CONTRACT)
        assert (code, said in told) == (CANNOT_TELL, True), told
        assert NUMBER not in printed + told

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--method", "telepathy", "--scope", "manage"], "--method is none of contract"),
            (["--method", "paper", "--scope", "manage"], "add it to parley:consent.methods"),
            (["--method", "contract", "--scope", "all"], "--scope is none of manage"),
            (["--method", "contract", "--scope", "manage", "--scope", "manage"], "--scope: one is given twice"),
            (["--method", "contract", "--scope", "manage", "--set", "x"], "--set is of the form COLUMN=VALUE"),
            (["--method", "contract", "--scope", "manage", "--set", "x=1"], "--set is none that an import knows"),
        ],
    )
    def test_wrong_options_are_told(self, desk: Desk, tmp_path: Path, options: list[str], said: str) -> None:
        """A wrong option is one message that names it, and nothing is written."""
        code, _, told = desk.run("import", str(write_signed(tmp_path / "x.csv", 1)), *options)
        assert (code, said in told) == (CANNOT_TELL, True), told

    def test_missing_file(self, desk: Desk, tmp_path: Path) -> None:
        """A file that is not there is named."""
        code, _, told = desk.run("import", str(tmp_path / "none.csv"), *CONTRACT)
        assert (code, "No such file" in told) == (CANNOT_TELL, True)

    def test_spreadsheets_mark_at_the_beginning(self, desk: Desk, tmp_path: Path) -> None:
        """The mark that spreadsheets put at a file's beginning, and their line ends, are no part of it."""
        file = tmp_path / "x.csv"
        file.write_bytes(f"\ufeffparty,occurred_at\r\nuser:a,{AT}\r\n".encode())
        assert imported(desk, file).tally == Tally(recorded=1)

    def test_dry_run_writes_nothing(self, desk: Desk, tmp_path: Path) -> None:
        """A dry run tells what would be recorded and what not, and leaves neither records nor a journal."""
        file = written(tmp_path / "x.csv", f"user:a,{AT}", "nobody," + AT)
        code, printed, _ = desk.run("import", str(file), *CONTRACT, "--dry-run", "--rejects", str(tmp_path / "r.csv"))
        assert (code, "1 would be recorded, 0 recorded before, 1 rejected" in printed) == (FAILED, True)
        assert (desk.dynamo.items(), desk.kms.macs) == ([], 0)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["r.csv", "x.csv"]

    def test_rejects_that_cannot_be_written(self, desk: Desk, tmp_path: Path) -> None:
        """If the rejects cannot be written the journal stays, so that nothing has to be imported again."""
        file = written(tmp_path / "x.csv", "nobody," + AT)
        code, _, told = desk.run("import", str(file), *CONTRACT, "--rejects", str(tmp_path / "none" / "r.csv"))
        assert (code, "No such file" in told) == (FAILED, True)
        code, printed, _ = desk.run("import", str(file), *CONTRACT, "--resume")
        assert (code, "1 rejected" in printed) == (FAILED, True)


class TestProgress:
    """What is shown meanwhile."""

    def test_log_gets_a_line_now_and_then(self, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where nobody watches a bar, lines say how far it is, how many rows are done, and how many were rejected."""
        monkeypatch.setattr(progress, "LOG_INTERVAL", 0)
        _, _, said = desk.run("import", str(written(tmp_path / "x.csv", "nobody," + AT, f"user:a,{AT}")), *CONTRACT)
        assert "importing: 100%, 2 rows, 1 rejected" in said

    def test_terminal_gets_a_bar(self) -> None:
        """On a terminal there is a bar, which is gone at the end."""
        screen = io.StringIO()
        with progress.file_news(Console(file=screen, force_terminal=True, width=100), 10, "importing") as tell:
            tell(5, "7 rows")
        assert "importing" in screen.getvalue()


class TestScale:
    """As many contracts as a company may bring."""

    def test_many_rows(self, tmp_path: Path) -> None:
        """Tens of thousands of rows of as many people are recorded, each in 40 times its record and hash at most.

        That is for a machine that others use too; the bench has the figure of one that nobody else uses.
        """
        file = write_signed(tmp_path / "signed.csv", ROWS)
        dynamo, kms = Forgetful(), MemoryKms()
        ledger = DynamoLedger(dynamo, "ledger", KEEP_DAYS, StillClock())
        source = Source(file, SIGNED)
        run = Import(source, SIGNED, Environment(**SETTINGS), NOW)
        began = time.process_time()
        with Journal.begin(tmp_path / "journal", run.identity, resume=False).file as kept:
            journal = Journal(tmp_path / "journal", kept)
            run.run(journal, ledger, Identities(kms, "identity"), Contacts(kms, "evidence"))
        spent = time.process_time() - began
        source.close()
        assert journal.tally == Tally(recorded=ROWS)
        assert dynamo.counted == dict.fromkeys(("EVENT", "HEAD", "STATE", "SOURCE", "CONTACT"), ROWS)
        assert dynamo.writes <= ROWS / 20 + consent_import.LANES
        said, began = event(), time.process_time()
        for _ in range(ROWS // 10):
            append(Head(), said, said.effective_at)
        floor = (time.process_time() - began) * 10
        assert spent < 40 * floor


def test_imported_chains_verify(desk: Desk, tmp_path: Path) -> None:
    """After an import every chain holds, which `parley consent verify` says as well."""
    assert desk.run("import", str(write_signed(tmp_path / "signed.csv", 300)), *CONTRACT)[0] == OK
    for party in desk.ledger.parties():
        verify_chain(desk.ledger.records(party), head=desk.ledger.head(party))
    assert desk.run("verify", "--all")[0] == OK
