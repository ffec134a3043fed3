"""`parley hold`: orders, shows and releases legal holds through the stack's own API.

Each request is signed as the caller (SigV4), so the log of a hold says who asked. A number is sent to the API and never
printed.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console

from cli.erase import answered, gate
from cli.errors import CANNOT_TELL, UserError
from cli.home import STACK, CloudInfo

if TYPE_CHECKING:
    from parley.core.holds import Hold
    from parley.core.verification import Check

hold_app = typer.Typer(help="Legal holds: what must be kept, whoever would delete it.", no_args_is_help=True)

out = Console()

EXAMPLE = (
    'Example: parley hold add --party user:rider-7 --reason "Doe v. Roe" --owner counsel@acme.example '
    "--review 2027-05-04"
)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
StackOption = Annotated[str, typer.Option(help="The stack that the hold is in.")]
Id = Annotated[str, typer.Argument(help="The hold's id, as `parley hold list` shows it.")]


@hold_app.command("add", epilog=EXAMPLE)
def add(
    reason: Annotated[str, typer.Option(help="Why it is held: the case. It is kept for years; name no number.")],
    owner: Annotated[str, typer.Option(help="Who answers for it: a name or an address.")],
    review: Annotated[str, typer.Option(metavar="DATE", help="When somebody asks if it still stands: 2027-05-04.")],
    party: Annotated[
        str | None,
        typer.Option(help="Whose records: a number in E.164 form, user:ID or a party key; - reads standard input."),
    ] = None,
    session: Annotated[str | None, typer.Option(help="The session (KC…), room (RM…) or chat (CH…) instead.")] = None,
    hold_id: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="ID", help="Its id. The same one again changes words or review, and nothing else."
        ),
    ] = None,
    stack: StackOption = STACK,
    as_json: JsonFlag = False,
) -> None:
    """Order a legal hold: from now on nothing that is declared with `hold: true` is deleted of this person or session.

    It starts no recording and permits no contact.
    """
    if (party is None) == (session is None):
        raise UserError("give one of --party and --session", CANNOT_TELL)
    subject = {"session": session} if party is None else {"party": _read(party)}
    name = hold_id or f"hold-{dt.datetime.now(dt.UTC):%Y%m%d}-{secrets.token_hex(4)}"
    body = {**subject, "reason": reason, "owner": owner, "review": review}
    told = answered(gate(stack)("PUT", _path(name), body))
    if as_json:
        print(json.dumps(told, indent=2))
        return
    _print(told)
    if "detail" in told:
        out.print(told["detail"], soft_wrap=True, highlight=False, markup=False)
    out.print(f"not held, as declared: {', '.join(told['not_held']) or 'nothing'}", soft_wrap=True, highlight=False)


@hold_app.command("list", epilog="Example: parley hold list --json")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Those that were released as well.")] = False,
    stack: StackOption = STACK,
    as_json: JsonFlag = False,
) -> None:
    """List the legal holds that stand, the next to review first."""
    holds = [
        one
        for one in answered(gate(stack)("GET", "/v1/holds", None))["holds"]
        if everything or "released_at" not in one
    ]
    if as_json:
        print(json.dumps({"holds": holds}, indent=2))
        return
    for one in holds:
        _print(one)
    if not holds:
        out.print("nothing is held")


@hold_app.command("show", epilog="Example: parley hold show case-17")
def show(hold_id: Id, stack: StackOption = STACK, as_json: JsonFlag = False) -> None:
    """Show a legal hold with everything that changed it, and who did."""
    told = answered(gate(stack)("GET", _path(hold_id), None))
    if as_json:
        print(json.dumps(told, indent=2))
        return
    _print(told)
    for entry in told["log"]:
        line = f"  {entry['at']}  {entry['what']:<8}  {entry['by']}"
        out.print(line, soft_wrap=True, highlight=False, markup=False)


@hold_app.command("release", epilog='Example: parley hold release case-17 --reason "settled"')
def release(
    hold_id: Id,
    reason: Annotated[str, typer.Option(help="Why it does not stand any more. It is kept for years; name no number.")],
    stack: StackOption = STACK,
    as_json: JsonFlag = False,
) -> None:
    """Release a legal hold: what was to go meanwhile goes, unless another hold keeps it; waiting erasures go on."""
    told = answered(gate(stack)("DELETE", _path(hold_id), {"reason": reason}))
    if as_json:
        print(json.dumps(told, indent=2))
        return
    _print(told)


def standing(outputs: Mapping[str, Any], cloud: CloudInfo | None) -> tuple[tuple[Hold, ...] | None, list[Check]]:
    """Return the legal holds that stand in a stack, as its ledger has them; None and a finding if it cannot be read."""
    from parley.core.verification import Check, Verdict  # noqa: PLC0415 - keeps `--help` quick
    from parley.ports import LedgerError  # noqa: PLC0415 - as above

    from cli.consent import reach  # noqa: PLC0415 - as above

    try:
        return reach(outputs, cloud.aws_environment() if cloud else None).ledger.active_holds(), []
    except (UserError, LedgerError) as error:
        table = str(outputs.get("ledgerTable") or "the ledger")
        fix = "let whoever reports read the partition HOLDS of the ledger and the settings of a function"
        return None, [Check("dynamodb", table, "legal holds", "read", str(error), Verdict.CANNOT_TELL, fix)]


def _path(hold_id: str) -> str:
    return f"/v1/holds/{quote(hold_id, safe='')}"


def _read(party: str) -> str:
    return sys.stdin.readline().strip() if party == "-" else party.strip()


def _print(told: Mapping[str, Any]) -> None:
    """Print a hold in three lines; its subject is a party key or a SID, never a number."""
    late = ", which has passed" if told["to_review"] else ""
    for line in (
        f"{told['id']}: {told['stage']}, {told['kind']} {told['subject']}",
        f"  {told['reason']} ({told['owner']}), review {told['review']}{late}",
        f"  {told['objects']} versions and {told['rows']} rows under it",
    ):
        out.print(line, soft_wrap=True, highlight=False, markup=False)
