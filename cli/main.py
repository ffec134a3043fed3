"""The command `parley`: its arguments, its messages and its exit codes.

Exit codes: 0 done and all true; 1 failed; 2 wrong usage, or it cannot be told; 3 a port is taken; 4 a state file cannot
be read; 7 what runs is not what was declared; 130 interrupted.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from parley.clock import SystemClock
from parley.core.verification import Check
from rich.console import Console
from rich.markup import escape

from cli.consent import consent_app
from cli.erase import erase
from cli.errors import CANNOT_TELL, DRIFT, INTERRUPTED, UserError
from cli.hold import hold_app
from cli.home import PROJECT, STACK, CloudInfo, Home, default_home
from cli.sweep import sweep

app = typer.Typer(
    name="parley",
    help="Masked, consent-gated, recorded communication on Twilio and AWS, kept exactly as long as the stack declares.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
local_app = typer.Typer(help="The one-machine cloud: everything on loopback, no account needed.", no_args_is_help=True)
app.add_typer(local_app, name="local")
app.add_typer(consent_app, name="consent")
app.add_typer(hold_app, name="hold")
app.command("sweep", epilog="Example: parley sweep --dry-run")(sweep)
app.command("erase", epilog="Example: parley erase user:rider-7 --dry-run")(erase)

out = Console()
err = Console(stderr=True)


class ReportFormat(StrEnum):
    """The forms of the report."""

    MD = "md"
    HTML = "html"
    JSON = "json"


MaskingOption = Annotated[
    Literal["proxy", "direct"] | None,
    typer.Option(help="How people are masked (parley:masking) in place of what the stack's file says."),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@local_app.command("up", epilog="Example: parley local up --port 5170")
def local_up(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65533, help="First of three ports (AWS, Twilio, gateway); 0 takes free ones."),
    ] = None,
    masking: MaskingOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Start the one-machine cloud and deploy the kit on it; what is up already is left as it is."""
    from cli.progress import resource_news  # noqa: PLC0415 - keeps `--help` quick
    from cli.stack import status  # noqa: PLC0415 - keeps `--help` quick

    stack = _local_stack(masking=masking)
    with stack.home.alone():
        with _working("starting the local cloud"):
            stack.start_cloud(port)
        with _working("deploying") as update:
            result = stack.deploy(resource_news(update, "deploying"))
    if as_json:
        print(json.dumps(status(stack.home), indent=2))
        return
    changes = ", ".join(f"{n} {op}" for op, n in sorted(result.changes.items()) if n)
    out.print(f"[green]up[/] in {result.duration:.1f} s: {changes}")
    _print_status(status(stack.home))


@local_app.command("down", epilog="Example: parley local down --destroy")
def local_down(
    destroy: Annotated[bool, typer.Option("--destroy", help="Also delete every resource and the state.")] = False,
) -> None:
    """Stop the one-machine cloud; its state is kept for the next `up` unless --destroy is given."""
    home = Home(default_home())
    if not destroy:
        from cli.stack import stop_cloud  # noqa: PLC0415 - keeps `--help` quick

        with home.alone():
            stopped = stop_cloud(home, err.print)
        out.print("stopped; `parley local up` goes on from here" if stopped else "nothing was running")
        return
    if not home.path.exists():
        out.print(f"nothing to destroy: there is no {home.path}")
        return
    from cli.progress import resource_news  # noqa: PLC0415 - keeps `--help` quick

    stack = _local_stack(checkpoints=False)
    with home.alone():
        if home.stack_file.exists():
            with _working("destroying") as update:
                stack.start_cloud()
                stack.workspace(resource_news(update, "destroying")).destroy()
        stack.wipe()
    out.print("destroyed")


@local_app.command("status", epilog="Example: parley local status --json")
def local_status(as_json: JsonFlag = False) -> None:
    """Show where the local stack listens, its throw-away credentials and its outputs."""
    from cli.stack import status  # noqa: PLC0415 - keeps `--help` quick

    found = status(Home(default_home()))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _print_status(found)


@app.command(epilog="Example: parley demo --keep")
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the deployment up at the end.")] = False,
    masking: MaskingOption = None,
) -> None:
    """Deploy the kit on this machine, drive real conversations through it, and check every step."""
    from cli.demo import Story  # noqa: PLC0415 - keeps `--help` quick

    home = Home(default_home())
    if home.path.exists() and home.stack_file.exists() and not home.demo_marker.exists():
        raise UserError(
            f"a local stack that the demo did not make is in {home.path}: remove it with "
            "`parley local down --destroy`, or run the demo elsewhere with `PARLEY_HOME=/tmp/parley-demo make demo`"
        )
    began = time.monotonic()
    stack = _local_stack(masking=masking, checkpoints=False)
    story = Story(stack, out)
    story.done("get the Pulumi engine", time.monotonic() - began)
    with home.alone():
        stack.wipe()
        home.make()
        home.demo_marker.touch()
        finished = False
        try:
            path = story.run(keep)
            finished = True
        finally:
            if not (keep and finished):
                kept_report = _keep_reports(home)
                stack.wipe()
                _put_back(home, kept_report)
    out.print(f"report: {path}")
    if keep:
        out.print("left up: `parley local status` shows it, `parley local down --destroy` removes it")


@app.command(epilog="Example: parley report --preview --stack dev --format html --out report.html")
def report(
    form: Annotated[
        ReportFormat, typer.Option("--format", help="Markdown, one HTML page to read and print, or JSON for scripts.")
    ] = ReportFormat.MD,
    write_to: Annotated[Path | None, typer.Option("--out", help="Write to this file instead of printing.")] = None,
    stack: Annotated[
        str | None, typer.Option(help=f"The stack to report on: {STACK} if none is named, or the exported one.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="A file of `pulumi stack export`: no cloud is asked, nothing is live.")
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="What the stack file would declare: nothing is deployed or asked.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the running services.")] = False,
) -> None:
    """Report what is kept: how long, why, where, by which rule, when it is gone for certain, and whether it is live.

    Exits with 7 when something is not as declared, and with 2 when it could not be asked.
    """
    # Only what a source needs is imported: a report of an export or a preview starts without a cloud's libraries.
    from cli import report as reports  # noqa: PLC0415 - keeps `--help` quick
    from cli import report_forms, report_sources  # noqa: PLC0415 - as above
    from cli.requirements import requirements  # noqa: PLC0415 - as above

    if export is not None and preview:
        raise UserError("--export and --preview are two sources: give one of them", CANNOT_TELL)
    now = dt.datetime.now(dt.UTC)
    time_told = report_sources.moment(os.environ, now)
    checks, holds = None, None
    if export is not None:
        declaration, origin = report_sources.from_export(export, time_told, stack)
    elif preview:
        from cli.planned import planned  # noqa: PLC0415 - pulumi is slow to import

        declaration, origin = planned(stack or STACK, time_told)
    else:
        outputs, cloud = deployed(stack or STACK)
        declaration, origin = report_sources.from_outputs(stack or STACK, outputs, time_told)
        if not offline:
            from cli.hold import standing  # noqa: PLC0415 - as above

            checks = _checks(declaration, cloud, now)
            holds, unread = standing(outputs, cloud)
            checks += unread
    exempted = report_sources.exempted(now.date())
    made = reports.build(declaration, origin, checks, requirements=requirements(), exemptions=exempted, holds=holds)
    text = {
        ReportFormat.MD: report_forms.to_markdown,
        ReportFormat.HTML: report_forms.to_html,
        ReportFormat.JSON: report_forms.to_json,
    }[form](made)
    _print_or_write(text, write_to)
    if made.differs:
        raise typer.Exit(DRIFT)
    if made.findings:
        raise typer.Exit(CANNOT_TELL)


@app.command(epilog="Example: parley verify --json")
def verify(
    stack: Annotated[str, typer.Option(help="The stack to verify.")] = STACK,
    as_json: JsonFlag = False,
) -> None:
    """Hold all that the stack declares against what is live on AWS and at Twilio; name each difference with its fix.

    Exits with 0 when all of it is true, with 7 when something differs, and with 2 when something could not be read.
    """
    from cli import verify as verification  # noqa: PLC0415 - boto3 is slow to import

    outputs, cloud = deployed(stack)
    now, began = dt.datetime.now(dt.UTC), time.monotonic()
    found = _checks(outputs.get("declaration") or {}, cloud, now)
    if as_json:
        print(verification.to_json(stack, found, now))
    else:
        for verdict, what, fix in verification.lines(found):
            out.print(f"[red]{verdict}[/] {escape(what)}", highlight=False, soft_wrap=True)
            out.print(f"    {escape(fix)}", highlight=False, soft_wrap=True)
        out.print(verification.summary(found, time.monotonic() - began), highlight=False, soft_wrap=True)
    raise typer.Exit(verification.exit_code(found))


@app.command(epilog="Example: parley doctor --stack prod")
def doctor(
    stack: Annotated[str, typer.Option(help="The stack whose account is examined.")] = STACK,
    as_json: JsonFlag = False,
    sizing: Annotated[
        bool, typer.Option(help="Tell how large the pool has to be, too. This reads the whole ledger.")
    ] = True,
) -> None:
    """Look for what the Twilio account does behind the stack's back: recording or transcribing all calls, for one.

    Tells as well how many numbers the sessions of the last 30 days needed, by calling code.

    Exits with 0 when there is no trap, with 7 when there is one, and with 2 when something could not be asked.
    """
    from cli import doctor as told  # noqa: PLC0415 - boto3 is slow to import
    from cli import sizing as sizes  # noqa: PLC0415 - as above
    from cli import verify as verification  # noqa: PLC0415 - as above
    from infra.twilio import account_traps  # noqa: PLC0415 - as above
    from infra.twilio.findings import Word  # noqa: PLC0415 - as above

    outputs, cloud = deployed(stack)
    declaration, now = outputs.get("declaration") or {}, dt.datetime.now(dt.UTC)
    gate = str(outputs.get("gateUrl") or "")
    with _working("asking Twilio"):
        made = verification.clients(cloud.aws_environment() if cloud else None)
        twilio = verification.carrier(declaration, made, cloud)
        service, *others = verification.services_of(declaration)
        found = account_traps.examine(
            twilio,
            service,
            account=verification.account_of(declaration),
            others=others,
            channels=declaration.get("channels", ()),
            gate=gate,
            stack=str(declaration.get("stack") or stack),
            rules=[f"{declaration.get('project')}-{declaration.get('stack')}"],
        )
        if sizing:
            found += sizes.findings(declaration, made["dynamodb"], twilio, SystemClock(), gate=gate)
    if as_json:
        print(told.to_json(stack, found, now))
    else:
        colors = {Word.FINE: "green", Word.TRAP: "red"}
        for each in found:
            color = colors.get(each.word, "yellow")
            out.print(f"[{color}]{each.word}[/] {each.trap}: {escape(each.what)}", highlight=False, soft_wrap=True)
            if each.fix:
                out.print(f"    {escape(each.fix)}", highlight=False, soft_wrap=True)
    raise typer.Exit(told.exit_code(found))


@app.command(epilog="Example: parley engine")
def engine() -> None:
    """Find the Pulumi engine, or get it: on PATH, else the official release, else built from its Go modules."""
    found = _engine()
    out.print(f"pulumi {found.version} ({found.source}): {found.executable}", highlight=False, soft_wrap=True)


@app.command(
    epilog="Example: parley pulumi preview --stack dev",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def pulumi(context: typer.Context) -> None:
    """Run `pulumi` with these arguments: your own where there is one, else the engine that Parley got."""
    found = _engine()
    # Not the folder of the stand-ins: on a real stack the AWS plugin must be the official one.
    folders = (found.executable.parent, PROJECT / ".venv" / "bin", PROJECT / ".bootstrap" / "bin")
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, **found.environment(), "PATH": path}
    os.execve(found.executable, [str(found.executable), *context.args], environment)  # noqa: S606 - no shell is wanted


def main() -> None:
    """Run the command; a person's mistake ends as one message, never as a stack trace."""
    # A terminated command tidies up as an interrupted one does: no orphan, nothing half torn down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # a closed terminal; `nohup` has it ignored
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    from local.engine.errors import EngineError  # noqa: PLC0415 - pulumi is slow to import

    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            err.print("interrupted: nothing is lost, the same command goes on from here")
        raise
    except (UserError, EngineError) as error:
        err.print("[red]error:[/]", escape(str(error)), highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)


def _engine(quiet: bool = False) -> Any:
    from cli.progress import engine_news  # noqa: PLC0415 - keeps `--help` quick
    from local.engine.find import ensure_engine  # noqa: PLC0415 - keeps `--help` quick

    if quiet:
        return ensure_engine()
    with engine_news(err) as report:
        return ensure_engine(report)


def _local_stack(quiet: bool = False, masking: str | None = None, *, checkpoints: bool = True) -> Any:
    from cli.stack import LocalStack  # noqa: PLC0415 - keeps `--help` quick

    return LocalStack(Home(default_home()), _engine(quiet), err.print, masking, checkpoints=checkpoints)


@contextmanager
def _working(what: str) -> Iterator[Callable[[str], None]]:
    with err.status(f"{what} …") as status:
        yield status.update


def _print_status(status: dict[str, Any]) -> None:
    lines = {"running": "yes" if status["running"] else "no: `parley local up` starts it"}
    for name in ("home", "aws_endpoint", "aws_region", "twilio_endpoint", "twilio_account_sid", "gateway_url"):
        lines[name.replace("_", " ")] = status[name]
    lines |= {name: value for name, value in status["outputs"].items() if isinstance(value, str)}
    for name, value in lines.items():
        if value:
            # Never cut: these are copied, and read by scripts that did not ask for JSON.
            out.print(f"{name:<20} {value}", soft_wrap=True, highlight=False, markup=False)


def deployed(stack: str) -> tuple[dict[str, Any], CloudInfo | None]:
    """Return the outputs of a stack and, for the local one, the cloud that it is on."""
    if stack != STACK:
        return _stack_outputs(stack), None
    home = Home(default_home())
    cloud = home.cloud()
    if cloud is None:
        raise UserError(f"no local cloud runs for {home.path}: start it with `parley local up`", CANNOT_TELL)
    return home.outputs(), cloud


def _checks(declaration: Mapping[str, Any], cloud: CloudInfo | None, now: dt.datetime) -> list[Check]:
    """Hold a declaration against what is live."""
    from cli import verify as verification  # noqa: PLC0415 - boto3 is slow to import

    with _working("reading what is live"):
        made = verification.clients(cloud.aws_environment() if cloud else None)
        return verification.checks(declaration, made, verification.carrier(declaration, made, cloud), now)


def _stack_outputs(stack: str) -> dict[str, Any]:
    command = [str(_engine(quiet=True).executable), "stack", "output", "--json", "--stack", stack]
    answer = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if answer.returncode:
        said = answer.stderr.strip().splitlines()
        raise UserError(f"stack '{stack}': {said[-1] if said else 'pulumi gave no outputs'}", CANNOT_TELL)
    outputs: dict[str, Any] = json.loads(answer.stdout)
    return outputs


def _print_or_write(text: str, path: Path | None) -> None:
    if path is None:
        print(text, end="")
        return
    try:
        path.write_text(text)
    except OSError as error:
        raise UserError(f"--out {path}: {error.strerror}") from None
    err.print(f"written: {path}", highlight=False, soft_wrap=True)


def _keep_reports(home: Home) -> dict[str, str]:
    return {p.name: p.read_text() for p in home.path.glob("report.*")}


def _put_back(home: Home, reports: dict[str, str]) -> None:
    home.path.mkdir(parents=True, exist_ok=True)
    for name, text in reports.items():
        (home.path / name).write_text(text)
