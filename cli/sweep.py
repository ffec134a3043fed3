"""`parley sweep`: starts a run of the sweeper, or shows what it would delete at Twilio.

Both are done by the stack's own function: it has the rights and knows what is held; whoever calls it needs
`lambda:InvokeFunction` on it and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.table import Table

from cli.errors import CANNOT_TELL, FAILED, OK, UserError
from cli.home import STACK

out = Console()

SECONDS = 870
"""A little longer than the function may run."""


class Lambda(Protocol):
    """What is asked of AWS Lambda."""

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: N803 - boto3's names
        """Call a function and wait for its answer."""
        ...


def sweep(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go, by kind; delete, write and send nothing.")
    ] = False,
    stack: Annotated[str, typer.Option(help="The stack whose sweeper it is.")] = STACK,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Have everything that is over its time at Twilio deleted now, rather than within the hour; or show what would go.

    Exits with 2 when a dry run did not come to the end of what there is.
    """
    client, function = reach(stack)
    told = call(client, function, {"dry_run": True} if dry_run else {})
    if as_json:
        print(json.dumps(told, indent=2))
    elif dry_run:
        _print_kinds(told)
    else:
        out.print(
            f"handed out: {told['partitions']} stretches of time, {told['walks']} walks, "
            f"{told['deletions']} deletions that were due again",
            highlight=False,
        )
    raise typer.Exit(OK if told.get("complete", True) else CANNOT_TELL)


def reach(stack: str) -> tuple[Lambda, str]:
    """Return a client and the name of a stack's sweeper. Raises UserError if it has none."""
    import boto3  # noqa: PLC0415 - keeps `--help` quick
    from botocore.config import Config  # noqa: PLC0415 - as above
    from parley.env import region_of  # noqa: PLC0415 - as above

    from cli.main import deployed  # noqa: PLC0415 - it imports this module

    outputs, cloud = deployed(stack)
    function = (outputs.get("functions") or {}).get("sweep")
    if not function:
        raise UserError(f"stack '{stack}' has no sweeper: deploy it with `pulumi up`", CANNOT_TELL)
    # Not repeated: a second call would begin a second run while the first one goes on.
    config = Config(connect_timeout=5, read_timeout=SECONDS, retries={"total_max_attempts": 1})
    session, endpoint = boto3.Session(), None
    region = region_of(str(outputs.get("identityKeyArn", ""))) or None
    if cloud is not None:
        session = boto3.Session(cloud.aws_access_key_id, cloud.aws_secret_access_key)
        region, endpoint = cloud.aws_region, cloud.aws_endpoint
    return session.client("lambda", region_name=region, endpoint_url=endpoint, config=config), function


def call(client: Lambda, function: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Call a function and return its answer. Raises UserError."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - keeps `--help` quick

    try:
        answer = client.invoke(FunctionName=function, Payload=json.dumps(payload).encode())
        told = json.loads(answer["Payload"].read())
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise UserError(f"{function}: AWS does not call it ({code}): check your rights", CANNOT_TELL) from None
    except (BotoCoreError, ValueError) as error:
        kind = type(error).__name__
        raise UserError(f"{function}: no answer ({kind}): check credentials and network", CANNOT_TELL) from None
    if answer.get("FunctionError"):
        kind = told.get("errorType", "unknown") if isinstance(told, dict) else "unknown"
        raise UserError(f"{function}: the run failed ({kind}): its log has the place", FAILED)
    found: dict[str, Any] = told
    return found


def _print_kinds(told: Mapping[str, Any]) -> None:
    table = Table("kind", "would go", "to the archive", "waits", "kept", "oldest that goes")
    for kind, counts in told["kinds"].items():
        table.add_row(
            kind,
            *(str(counts.get(step, 0)) for step in ("delete", "archive", "wait", "keep")),
            str(counts.get("oldest", ""))[:10],
        )
    out.print(table)
    out.print(f"{told['pending']} deletions wait by now", highlight=False)
    if not told["complete"]:
        out.print("[yellow]incomplete[/]: there is more than one run can look at, or Twilio failed; see the log")
