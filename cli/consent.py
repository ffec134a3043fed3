"""`parley consent`: where a person stands, what they are given of it, whether the chains hold, and imports.

A person is named by a number, a user id or a party key. The first two are turned into a key by KMS with the caller's
own rights, and neither is ever printed. What the functions of the stack go by is read from one of them, so that the
command says and writes what they would.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from cli.errors import CANNOT_TELL, DRIFT, FAILED, OK, UserError
from cli.home import STACK

if TYPE_CHECKING:
    from parley.adapters.dynamodb import DynamoLedger
    from parley.adapters.identity import Contacts, Identities
    from parley.core.consent import ConsentRecord
    from parley.env import Environment

    from cli.consent_import import Journal, Plan

consent_app = typer.Typer(help="Consents: where people stand, receipts, proof, import.", no_args_is_help=True)

out = Console()
err = Console(stderr=True)

READERS = 8
"""Chains that are verified at once."""

Party = Annotated[
    str, typer.Argument(help="A number in E.164 form, user:ID, or a party key; - reads it from standard input.")
]
StackOption = Annotated[str, typer.Option(help="The stack whose ledger it is.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


class ReceiptFormat(StrEnum):
    """The forms of a receipt."""

    JSON = "json"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Reach:
    """A stack's ledger, what its functions go by, and who asks (`caller`, an ARN)."""

    environment: Environment
    ledger: DynamoLedger
    identities: Identities
    contacts: Contacts | None
    caller: str


def reach(outputs: Mapping[str, Any], aws: Mapping[str, str] | None, connections: int = 10) -> Reach:
    """Return what the command works with: for the local cloud's environment variables `aws`, else the ambient ones.

    Raises UserError if the stack has no ledger, or AWS does not let the caller in.
    """
    import boto3  # noqa: PLC0415 - keeps `--help` quick
    from botocore.config import Config  # noqa: PLC0415 - as above
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above
    from parley.adapters.dynamodb import DynamoLedger  # noqa: PLC0415 - as above
    from parley.adapters.identity import Contacts, Identities  # noqa: PLC0415 - as above
    from parley.clock import SystemClock  # noqa: PLC0415 - as above
    from parley.env import from_environment, region_of  # noqa: PLC0415 - as above
    from parley.variables import EnvironmentMismatchError  # noqa: PLC0415 - as above

    function = (outputs.get("functions") or {}).get("consents")
    if not function:
        raise UserError("the stack has no consent ledger: deploy it with `pulumi up`", CANNOT_TELL)
    session: Any = boto3.Session()
    endpoint = None
    region = region_of(str(outputs.get("identityKeyArn", ""))) or None
    if aws is not None:
        session, endpoint = (
            boto3.Session(aws["AWS_ACCESS_KEY_ID"], aws["AWS_SECRET_ACCESS_KEY"]),
            aws["AWS_ENDPOINT_URL"],
        )
        region = aws["AWS_REGION"]
    config = Config(
        connect_timeout=3,
        read_timeout=20,
        max_pool_connections=connections,
        retries={"total_max_attempts": 5, "mode": "standard"},
    )

    def client(service: str) -> Any:
        return session.client(service, region_name=region, endpoint_url=endpoint, config=config)

    try:
        answer = client("lambda").get_function_configuration(FunctionName=function)
        environment = from_environment(answer.get("Environment", {}).get("Variables", {}))
        caller: str = client("sts").get_caller_identity()["Arn"]
        dynamodb, kms = client("dynamodb"), client("kms")
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise UserError(
            f"{function}: AWS does not tell how it is set up ({code}): check your rights", CANNOT_TELL
        ) from None
    except BotoCoreError as error:
        kind = type(error).__name__
        raise UserError(f"AWS cannot be asked ({kind}): check credentials and network", CANNOT_TELL) from None
    except EnvironmentMismatchError as error:
        raise UserError(f"{function}: {error}", CANNOT_TELL) from None
    key = environment.evidence_key
    return Reach(
        environment=environment,
        ledger=DynamoLedger(
            dynamodb, environment.ledger_table, environment.keep_days, SystemClock(), region=environment.region
        ),
        identities=Identities(kms, environment.identity_key),
        contacts=None if key is None else Contacts(kms, key),
        caller=caller,
    )


def party_of(text: str, identities: Identities) -> str:
    """Return the party key that PARTY means. Raises UserError, without what was given, LedgerError."""
    from parley.adapters.numbers import parse_number  # noqa: PLC0415 - keeps `--help` quick
    from parley.core.identity import USER, IdentifierError, is_party_key, parse_user  # noqa: PLC0415 - as above

    given = sys.stdin.readline().strip() if text == "-" else text.strip()
    if is_party_key(given):
        return given
    try:
        return identities.party(parse_user(given) if given.startswith(USER) else parse_number(given))
    except IdentifierError as error:
        raise UserError(f"PARTY {error}; or give {USER}ID or a party key of 64 hex digits", CANNOT_TELL) from None


@contextmanager
def _reached(stack: str, connections: int = 10) -> Iterator[Reach]:
    """Give a stack's ledger; a ledger that does not answer ends as one message."""
    from parley.ports import LedgerError  # noqa: PLC0415 - keeps `--help` quick

    from cli.main import deployed  # noqa: PLC0415 - it imports this module

    outputs, cloud = deployed(stack)
    try:
        yield reach(outputs, cloud.aws_environment() if cloud else None, connections)
    except LedgerError as error:
        raise UserError(f"{error}: the ledger cannot be asked; check your rights and try again", CANNOT_TELL) from None


# -- show and receipt ------------------------------------------------------------------------------


@consent_app.command("show", epilog="Example: parley consent show user:rider-7")
def show(party: Party, stack: StackOption = STACK, as_json: JsonFlag = False) -> None:
    """Show where a person's consents stand, and the records that say so."""
    with _reached(stack) as reached:
        key = party_of(party, reached.identities)
        found = history(reached.ledger, key, datetime.now(UTC))
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    out.print(f"party {key}", soft_wrap=True, highlight=False)
    if not found["records"]:
        out.print("no records")
    for one in found["consents"]:
        towards = f"towards {one['counterpart']}" if one["counterpart"] else "towards the service"
        until = f", valid until {one['valid_until']}" if one["valid_until"] else ""
        out.print(
            f"[bold]{one['scope']}[/] {one['state'] or 'unknown'} {towards}{until}", soft_wrap=True, highlight=False
        )
    for one in found["records"]:
        said = f"{one['scope']} {one['state']} by {one['method']}"
        line = f"{one['seq']:>4}  {one['effective_at']}  {said}  {one['receipt_id']}"
        out.print(line, soft_wrap=True, highlight=False, markup=False)


def history(ledger: DynamoLedger, party: str, now: datetime) -> dict[str, Any]:
    """Return where a person stands at a moment, and their records, as plain data."""
    from parley.core import moments  # noqa: PLC0415 - keeps `--help` quick
    from parley.core.disclosure import state_at  # noqa: PLC0415 - keeps `--help` quick

    return {
        "party": party,
        "consents": [
            {
                "scope": one.scope,
                "counterpart": one.counterpart,
                "state": state_at(one, now),
                "effective_at": moments.to_text(one.effective_at),
                "valid_until": None if one.valid_until is None else moments.to_text(one.valid_until),
                "record_id": one.record_id,
            }
            for one in ledger.standings_of(party)
        ],
        "records": [json.loads(record.to_json()) for record in ledger.records(party)],
    }


@consent_app.command("receipt", epilog="Example: parley consent receipt user:rider-7 --format html --out receipt.html")
def receipt(
    party: Party,
    record: Annotated[
        str | None, typer.Option(help="The record or its receipt, by id; by default the person's last one.")
    ] = None,
    form: Annotated[ReceiptFormat, typer.Option("--format", help="JSON, or a page to give to the person.")] = (
        ReceiptFormat.JSON
    ),
    write_to: Annotated[Path | None, typer.Option("--out", help="Write to this file instead of printing.")] = None,
    stack: StackOption = STACK,
) -> None:
    """Print the receipt of one record: what the person is given of it."""
    from parley.core import receipt as receipts  # noqa: PLC0415 - keeps `--help` quick

    with _reached(stack) as reached:
        records = reached.ledger.records(party_of(party, reached.identities))
        given = receipts.receipt(chosen(records, record), reached.environment.keep_days)
    text = (
        receipts.page(given) if form is ReceiptFormat.HTML else json.dumps(given, indent=2, ensure_ascii=False) + "\n"
    )
    if write_to is None:
        print(text, end="")
        return
    try:
        write_to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out {write_to}: {error.strerror}") from None
    err.print(f"written: {write_to}", highlight=False, soft_wrap=True)


def chosen(records: Sequence[ConsentRecord], wanted: str | None) -> ConsentRecord:
    """Return the record with an id, or with a receipt's id; the last one for None. Raises UserError."""
    if not records:
        raise UserError("the ledger has no records of this person: check the stack, or whom you named", CANNOT_TELL)
    if wanted is None:
        return records[-1]
    for one in records:
        if wanted in {one.record_id, one.receipt_id}:
            return one
    raise UserError("--record: this person has no such record; `parley consent show` lists them", CANNOT_TELL)


# -- verify ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether one person's chain holds. `fault` says what does not; `gone` counts records past their retention."""

    party: str
    records: int = 0
    gone: int = 0
    fault: str | None = None


@consent_app.command("verify", epilog="Example: parley consent verify --all")
def verify(
    party: Annotated[
        str | None, typer.Argument(help="A number, user:ID or a party key; - reads it from standard input.")
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Every chain of the ledger.")] = False,
    stack: StackOption = STACK,
    as_json: JsonFlag = False,
) -> None:
    """Check that no record was changed, moved, left out or slipped in, and that where people stand follows from them.

    Exits with 0 when every chain holds, with 7 when one does not, and with 2 when it cannot be told.
    """
    if (party is None) != everybody:
        raise UserError("give either PARTY or --all", CANNOT_TELL)
    with _reached(stack) as reached:
        ledger = reached.ledger
        parties = ledger.parties() if party is None else iter([party_of(party, reached.identities)])
        with err.status("verifying …") as status:
            proofs = []
            for proof in proven(ledger, parties):
                proofs.append(proof)
                if len(proofs) % 100 == 0:
                    status.update(f"verifying … {len(proofs)} chains done")
    broken = [proof for proof in proofs if proof.fault]
    told = {
        "chains": len(proofs),
        "records": sum(proof.records for proof in proofs),
        "pastRetention": sum(proof.gone for proof in proofs),
        "broken": [{"party": proof.party, "fault": proof.fault} for proof in broken],
    }
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        for proof in broken:
            out.print(
                f"[red]broken[/] party {proof.party}: {escape(proof.fault or '')}", soft_wrap=True, highlight=False
            )
        gone = f", {told['pastRetention']} past their retention" if told["pastRetention"] else ""
        summary = f"{len(broken)} of {told['chains']} chains do not hold" if broken else f"{told['chains']} chains hold"
        out.print(f"{summary}: {told['records']} records{gone}", soft_wrap=True, highlight=False)
    if broken:
        raise typer.Exit(DRIFT)
    if not everybody and not told["records"]:
        raise UserError("the ledger has no records of this person: check the stack, or whom you named", CANNOT_TELL)
    raise typer.Exit(OK)


def proven(ledger: DynamoLedger, parties: Iterable[str]) -> Iterable[Proof]:
    """Yield the proof of each person's chain, several at a time. Raises LedgerError."""
    with ThreadPoolExecutor(READERS) as pool:
        yield from pool.map(lambda party: prove(ledger, party), parties)


def prove(ledger: DynamoLedger, party: str, attempts: int = 3) -> Proof:
    """Return whether a person's chain holds, ends where the ledger says, and gives the standings that the ledger has.

    Somebody may write meanwhile, so what does not hold is looked at `attempts` times. Raises LedgerError.
    """
    proof = _prove(ledger, party)
    for _ in range(attempts - 1):
        if proof.fault is None:
            break
        proof = _prove(ledger, party)
    return proof


def _prove(ledger: DynamoLedger, party: str) -> Proof:
    from parley.core.consent import ChainError, project, verify_chain  # noqa: PLC0415 - keeps `--help` quick
    from parley.ports import UnreadableRecordError  # noqa: PLC0415 - as above

    head, standings = ledger.head(party), ledger.standings_of(party)
    try:
        records = ledger.records(party)
        verify_chain(records, head=head, whole=False)
    except UnreadableRecordError:
        return Proof(party, fault="a record cannot be read: it is none of this version, or was changed")
    except ChainError as error:
        return Proof(party, len(records), fault=str(error))
    gone = records[0].seq - 1 if records else 0
    # Without the beginning only what was said since can be concluded again; an erasure is a no without a record.
    whole = not gone and ledger.suppression(party) is None
    followed = project(records) if whole else {}
    for standing in standings:
        is_there = followed.get((standing.scope, standing.counterpart)) == standing
        if whole and not is_there:
            return Proof(party, len(records), fault=f"{standing.scope} does not stand as the records say")
    if whole and len(followed) != len(standings):
        return Proof(party, len(records), fault="a standing that follows from the records is missing")
    return Proof(party, len(records), gone)


# -- import ----------------------------------------------------------------------------------------


@consent_app.command(
    "import",
    epilog="Example: parley consent import signed.csv --method contract --scope manage --set evidence.clause=4.2",
)
def import_file(
    file: Annotated[Path, typer.Argument(help="A CSV file in UTF-8; docs/consent-records.md lists its columns.")],
    method: Annotated[str, typer.Option(help="How the consents were given: contract, admin_import, paper …")],
    scope: Annotated[list[str], typer.Option(help="What they are about; may be given several times.")],
    constants: Annotated[
        list[str] | None, typer.Option("--set", help="COLUMN=VALUE for every row; may be given several times.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an import that ended early.")] = False,
    rejects: Annotated[
        Path | None, typer.Option(help="Where rows go that were not imported: FILE.rejects.csv by default.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every row, and write nothing.")] = False,
    stack: StackOption = STACK,
) -> None:
    """Import consents that were given elsewhere: on contracts, or in another system (method admin_import).

    No import lifts a refusal or a withdrawal. Exits with 1 when rows were rejected: the rejects file has each with why.
    """
    from cli import consent_import as imports  # noqa: PLC0415 - keeps `--help` quick
    from cli.progress import file_news  # noqa: PLC0415 - as above

    with _reached(stack, imports.LANES) as reached:
        plan = plan_of(method, scope, constants or [], f"import:{reached.caller}")
        journal_path = file.with_name(f"{file.name}.journal")
        with (
            closing(imports.Source(file, plan)) as source,
            file_news(err, source.size, "checking" if dry_run else "importing") as tell,
        ):
            run = imports.Import(
                source,
                plan,
                reached.environment,
                datetime.now(UTC),
                lambda tally, done: tell(done, f"{tally.rows} rows, {tally.rejected} rejected"),
            )
            if dry_run:
                journal = run.check()
            else:
                journal = imports.Journal.begin(journal_path, run.identity, resume=resume)
                with closing(journal.file), _telling_how_to_go_on(journal):
                    run.run(journal, reached.ledger, reached.identities, reached.contacts)
    rejects_path = rejects or file.with_name(f"{file.name}.rejects.csv")
    if journal.rejects or rejects:
        imports.write_rejects(rejects_path, journal.rejects)
    if not dry_run:
        journal_path.unlink()
    done = f"{journal.tally.recorded} {'would be recorded' if dry_run else 'recorded'}"
    out.print(f"{done}, {journal.tally.repeated} recorded before, {journal.tally.rejected} rejected", highlight=False)
    if journal.rejects:
        err.print(f"rejected rows and reasons: {rejects_path}", highlight=False, soft_wrap=True)
        raise typer.Exit(FAILED)


def plan_of(method: str, scopes: Sequence[str], constants: Sequence[str], actor: str) -> Plan:
    """Return the plan of an import from its options. Raises UserError."""
    from parley.core.consent import Method, Scope  # noqa: PLC0415 - keeps `--help` quick

    from cli import consent_import as imports  # noqa: PLC0415 - as above

    if method not in set(Method):
        raise UserError(f"--method is none of {', '.join(Method)}", CANNOT_TELL)
    if not set(scopes) <= set(Scope):
        raise UserError(f"--scope is none of {', '.join(Scope)}", CANNOT_TELL)
    if len(set(scopes)) != len(scopes):
        raise UserError("--scope: one is given twice", CANNOT_TELL)
    pairs = [each.partition("=") for each in constants]
    if any(not name or not equals for name, equals, _ in pairs):
        raise UserError("--set is of the form COLUMN=VALUE", CANNOT_TELL)
    return imports.Plan(
        Method(method), tuple(map(Scope, scopes)), {name.strip(): value for name, _, value in pairs}, actor
    )


@contextmanager
def _telling_how_to_go_on(journal: Journal) -> Iterator[None]:
    try:
        yield
    except BaseException:
        said = f"stopped after {journal.tally.rows} rows; {journal.path} has what is done: go on with --resume"
        err.print(said, highlight=False, soft_wrap=True)
        raise
