"""`make bench`: ratios measured in one run, interleaved, so that a noisy machine moves both sides alike.

Each comparison has its peer or its floor beside it. Milliseconds belong to this machine, ratios carry over.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from parley.core.consent import Head, append
from parley.core.signature import verify
from rich.console import Console
from rich.table import Table
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from local.engine.errors import EngineError
from local.engine.find import ensure_engine
from tests.bench import archive, entry, erase, gate, imports, page, pool, sessions, sweep
from tests.bench.ratio import Ratio, compared
from tests.unit.chains import event

ROOT = Path(__file__).resolve().parents[2]
URL = "https://gate.example.com/twilio/intercept"
SIGNED_EVENT = event(
    notice={"id": "manage", "version": "1", "language": "en", "sha256": "cd" * 32},
    evidence={"document_id": "terms", "document_version": "7", "document_sha256": "ab" * 32, "clause": "4.2"},
)
TOKEN = "0123456789abcdef0123456789abcdef"
FIELDS = {
    "inboundParticipantSid": "KP" + "1" * 32,
    "inboundResourceSid": "SM" + "2" * 32,
    "inboundResourceStatus": "received",
    "inboundResourceType": "message",
    "inboundResourceUrl": "https://api.twilio.com/2010-04-01/Accounts/AC/Messages/SM",
    "interactionAccountSid": "AC" + "3" * 32,
    "interactionData": '{"body":"I am at the corner"}',
    "interactionDateCreated": "2026-11-24T04:00:00Z",
    "interactionDateUpdated": "2026-11-24T04:00:00Z",
    "interactionServiceSid": "KS" + "4" * 32,
    "interactionSessionSid": "KC" + "5" * 32,
    "interactionSid": "KI" + "6" * 32,
    "interactionType": "Message",
}


def interleaved(
    what: str,
    ours: Callable[[], float],
    theirs: str,
    peer: Callable[[], float],
    rounds: int,
    bar: float | None = None,
) -> Ratio:
    """Time both by turns; each callable returns milliseconds."""
    ours(), peer()
    pairs = [(ours(), peer()) for _ in range(rounds)]
    return compared(what, [a for a, _ in pairs], theirs, [b for _, b in pairs], bar=bar)


def looped(action: Callable[[], object], times: int = 200) -> Callable[[], float]:
    """Return a measurement of one action, in milliseconds, averaged over a loop."""

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(times):
            action()
        return (time.perf_counter() - began) * 1000 / times

    return measure


def fresh_interpreter(statement: str) -> Callable[[], float]:
    """Return a measurement of a statement in a new interpreter, start included, in milliseconds."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "functions")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def measure() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True, env=environment, cwd="/")
        return (time.perf_counter() - began) * 1000

    return measure


def archived() -> list[Ratio]:
    """Compare archiving a recording of half an hour with three ways to copy it."""
    size = 64 * 1024 * 1024
    with archive.server(archive.NETWORK) as url:
        what, ours, peer = "archive, 64 MB at 75 MB/s", archive.archiving(url, size), archive.streaming(url, size)
        slow = [interleaved(what, ours, "plain streamed copy", peer, 7, 1.1)]
    with archive.server() as url:
        ours = archive.archiving(url, size)
        return slow + [
            interleaved("archive, 64 MB, SHA-256 twice", ours, name, peer(url, size), 15, most)
            for name, peer, most in (
                ("plain streamed copy", archive.streaming, 1.1),
                ("boto3 upload_fileobj", archive.uploading, None),
                ("socket to socket (floor)", archive.copying, None),
            )
        ]


def erased() -> list[Ratio]:
    """Compare erasing many versions with boto3 alone."""
    with erase.stub(erase.COUNT) as client:
        ours, what = erase.ours(client, erase.COUNT), f"erasing {erase.COUNT:,} object versions"
        threads, one = (erase.bare(client, erase.COUNT, side_by_side=how) for how in (True, False))
        return [
            interleaved(what, ours, "boto3, batches in threads", threads, 5),
            interleaved(what, ours, "boto3, batches one after the other", one, 3, 1 / 2.3),
        ]


def swept() -> list[Ratio]:
    """Compare deleting recordings at a Twilio of 80 ms; `python -m tests.bench.sweep 100000` has so many of them."""

    def ours() -> float:
        sweep.counted(address)
        return sweep.ours(address, 2000)

    def peer() -> float:
        sweep.counted(address)
        return sweep.peer(address)

    with sweep.stub() as address:
        what = "deletion of a recording, 100 in flight, seen to be gone"
        return [interleaved(what, ours, "twilio package, one after the other", peer, 7, 1 / 80)]


def gated() -> tuple[list[Ratio], str]:
    """Compare the gate, cold and warm, with its floor and its peers; return its slowest answers as a line, too."""
    with tempfile.TemporaryDirectory() as folder:
        sides = gate.measure(Path(folder))
    beyond = ", ".join(f"{side} {each:.2f} ms" for side, each in gate.beyond_raw(sides).items())
    ours = sides.pop("gate")
    results = []
    for side, theirs in sides.items():
        bar = gate.BAR if side == "floor" else None
        if side != gate.RAW:
            results.append(compared("gate, start to first answer", ours.cold, side, theirs.cold, bar=bar))
        if theirs.warm:
            results.append(compared("gate, warm answer (medians)", ours.warm, side, theirs.warm, bar=bar))
    calls = entry.measure()
    ours_calls = calls.pop(entry.HANDLER)
    what = "call to a masked number (`direct`), start to first answer"
    results += [compared(what, ours_calls, side, theirs) for side, theirs in calls.items()]
    return results, f"warm answers, 99th percentile beyond that of a raw round trip (at most 1 ms): {beyond}"


def pooled() -> tuple[list[Ratio], str]:
    """Compare one resource for a pool with one for each number: once, since that takes minutes.

    Return how large the states were as a line, too.
    """
    engine = ensure_engine()
    ours = pool.live(engine, pool.ONE_RESOURCE, pool.COUNT)
    results, states = [], [f"{ours.state / 1000:,.0f} kB for the pool as one"]
    for peer, program, bar in (
        ("one dynamic resource each, twilio package", pool.DYNAMIC, 1 / 50),
        ("one resource each, of this plugin", pool.ONE_EACH, None),
    ):
        theirs = pool.live(engine, program, pool.COUNT)
        what = f"pulumi up, {pool.COUNT:,} numbers"
        results += [
            compared(what, [ours.up * 1000], peer, [theirs.up * 1000], bar=bar),
            compared("the same without a change", [ours.again * 1000], peer, [theirs.again * 1000]),
        ]
        states.append(f"{theirs.state / 1000:,.0f} kB for {peer}")
    return results, f"state of {pool.COUNT:,} numbers: " + ", ".join(states)


def main() -> None:
    """Run every comparison and print what came of it; exit with 1 where the machine is too busy to tell, else 2."""
    try:
        compare()
    except (gate.BenchError, EngineError, OSError) as error:
        raise SystemExit(f"the bench cannot be run: {error}") from None


def compare() -> None:
    """Run every comparison and print a table; JSON lines with `--json`, docs/bench.md with `--page`.

    Raises SystemExit.
    """
    answers, slowest = gated()
    pools, states = pooled()
    validator = RequestValidator(TOKEN)
    signature = validator.compute_signature(URL, FIELDS)
    lists = {name: [value] for name, value in FIELDS.items()}
    results = [
        interleaved(
            "webhook signature, 13 fields",
            looped(lambda: verify([TOKEN], URL, signature, form=lists)),
            "twilio.request_validator",
            looped(lambda: validator.validate(URL, FIELDS, signature)),
            31,
        ),
        interleaved(
            "import of the intercept handler",
            fresh_interpreter("import parley.handlers.intercept"),
            "bare interpreter (floor)",
            fresh_interpreter("pass"),
            15,
        ),
        interleaved(
            "import of the intercept handler",
            fresh_interpreter("import parley.handlers.intercept"),
            "boto3 + twilio.request_validator",
            fresh_interpreter("import boto3; import twilio.request_validator"),
            15,
        ),
        interleaved(
            "import of the consents handler",
            fresh_interpreter("import parley.handlers.consents"),
            "the same but the phonenumbers library",
            fresh_interpreter(
                "import sys; sys.modules['phonenumbers'] = sys; sys.NumberParseException = "
                "sys.PhoneMetadata = sys.PhoneNumber = sys.PhoneNumberFormat = None; import parley.handlers.consents"
            ),
            31,
        ),
        interleaved(
            "import of a consent from CSV, a row",
            imports.milliseconds(10_000),
            "its record and hash alone (floor)",
            looped(lambda: append(Head(), SIGNED_EVENT, SIGNED_EVENT.effective_at), 2000),
            5,
        ),
        *answers,
        *pools,
        *archived(),
        *erased(),
        *swept(),
    ]
    memory = {f"{size / 1e6:.0f} MB": archive.peak_kilobytes(size) // 1024 for size in archive.SIZES}
    rates = imports.rates()
    opened = [sessions.measure(stub) for stub in sessions.STUBS]
    if "--page" in sys.argv:
        lines = [
            slowest,
            states,
            *(f"{each.what}, over {each.stub}: {each.rows_a_second:.0f} rows a second" for each in rates),
            *(f"{each.what}, over {each.stub}: {each.sessions_a_second:.0f} sessions a second" for each in opened),
            "peak memory of archiving: " + ", ".join(f"{peak} MiB for {size}" for size, peak in memory.items()),
        ]
        page.PAGE.write_text(page.render(results, lines, datetime.now(UTC).date()), encoding="utf-8")
    if "--json" in sys.argv:
        for measured in [
            *({**asdict(one), "told": one.told} for one in results),
            *map(asdict, rates),
            *map(asdict, opened),
        ]:
            print(json.dumps(measured))  # noqa: T201 - this is its output
        print(json.dumps({"what": slowest}))  # noqa: T201 - as above
        print(json.dumps({"what": states}))  # noqa: T201 - as above
        print(json.dumps({"what": "peak memory of archiving, in MiB", **memory}))  # noqa: T201 - as above
        _fail_if_noisy(results)
        return
    table = Table("what", "ours", "peer or floor", "theirs", "ratio", "")
    for one in results:
        table.add_row(
            one.what,
            f"{one.ours_ms:.3f} ms",
            one.theirs,
            f"{one.theirs_ms:.3f} ms",
            one.shown,
            one.verdict,
        )
    Console().print(table)
    peaks = ", ".join(f"{peak} MiB for {size}" for size, peak in memory.items())
    Console().print(f"{slowest}\n{states}\npeak memory of archiving: {peaks}")
    table = Table("what", "over a stub", "which leaves out", "rows a second", "a processor second", "spread")
    for each in rates:
        by_clock, by_processor = f"{each.rows_a_second:.0f}", f"{each.rows_a_processor_second:.0f}"
        table.add_row(each.what, each.stub, each.left_out, by_clock, by_processor, f"±{each.spread / 2:.0f}")
    Console().print(table)
    table = Table("what", "over a stub", "which leaves out", "sessions a second", "spread")
    for found in opened:
        a_second, spread = f"{found.sessions_a_second:.0f}", f"±{found.spread / 2:.0f}"
        table.add_row(found.what, found.stub, found.left_out, a_second, spread)
    Console().print(table)
    _fail_if_noisy(results)


def _fail_if_noisy(results: list[Ratio]) -> None:
    """Raise SystemExit where an interval does not leave out what would make it say nothing."""
    if untold := [f"{one.what} / {one.theirs}" for one in results if not one.told]:
        raise SystemExit(f"this machine is too busy to tell: {'; '.join(untold)}. Run it again when nothing else runs")


if __name__ == "__main__":
    main()
