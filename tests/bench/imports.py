"""How many consents a second `parley consent import` writes, against stubs that stand at two depths.

In memory: boto3's two clients are replaced, so that what is measured is our own work. Unsent: the clients are boto3's
own, and each request is answered where it would go on the wire. `python -m tests.bench.imports 100000` measures so
many rows in memory once; without a number it prints a JSON line for each stub.
"""

from __future__ import annotations

import base64
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from botocore import xform_name
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from parley.adapters.dynamodb import DynamoLedger
from parley.adapters.identity import Contacts, Identities
from parley.env import Environment

from cli.consent_import import LANES, Import, Journal, Source
from tests.cli.consent_stage import KEEP_DAYS, SETTINGS, SIGNED, write_signed
from tests.unit.memory import Forgetful, MemoryKms, StillClock

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
BLOBS = ("Message", "Plaintext", "Mac", "CiphertextBlob")
"""Members that KMS's JSON has in Base64."""

Clients = Callable[[], tuple[Any, Any]]
"""Makes the clients of DynamoDB and KMS."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Rows a second, medians: by the clock, and by the processor time of all threads, which other programs cannot take.

    `spread` is the interquartile range of the latter. `left_out` is what the stub spares.
    """

    what: str
    stub: str
    left_out: str
    rows_a_second: float
    rows_a_processor_second: float
    spread: float


def in_memory() -> tuple[Any, Any]:
    """Return clients that are none of boto3's: a table that counts what is written and keeps nothing, and a KMS."""
    return Forgetful(), MemoryKms()


def unsent() -> tuple[Any, Any]:
    """Return boto3's clients, whose requests the same table and KMS answer, serialised and signed but never sent."""
    return unsent_client("dynamodb", Forgetful()), unsent_client("kms", MemoryKms())


class _Body(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        """Yield the body, as urllib3 does."""
        yield self.getvalue()


def unsent_client(service: str, memory: Any) -> Any:
    """Return boto3's client of a service, whose requests `memory` answers by its methods, and which sends nothing."""
    session: Any = boto3.Session("bench", "bench")
    client = session.client(service, region_name="us-east-1", config=Config(max_pool_connections=LANES))

    def answer(request: Any, **_: Any) -> Any:
        operation = xform_name(request.headers["X-Amz-Target"].decode().rpartition(".")[2])
        asked = json.loads(request.body)
        asked.pop("ClientRequestToken", None)  # botocore's own, of TransactWriteItems
        said = getattr(memory, operation)(**{name: _decoded(name, value) for name, value in asked.items()})
        body = json.dumps({name: _encoded(name, value) for name, value in said.items()}).encode()
        headers: Any = {"content-type": "application/x-amz-json-1.1"}
        return AWSResponse(request.url, 200, headers, _Body(body))

    client.meta.events.register("before-send", answer)
    return client


def _decoded(name: str, value: Any) -> Any:
    return base64.b64decode(value) if name in BLOBS else value


def _encoded(name: str, value: Any) -> Any:
    return base64.b64encode(value).decode() if name in BLOBS else value


def once(rows: int, clients: Clients = in_memory) -> tuple[float, float]:
    """Import so many signed contracts of as many people; return the seconds by the clock, and those of the processor.

    The file is read from disk, and the journal written.
    """
    with TemporaryDirectory() as folder:
        file = write_signed(Path(folder) / "signed.csv", rows)
        dynamodb, kms = clients()
        ledger = DynamoLedger(dynamodb, "ledger", KEEP_DAYS, StillClock(), region="us-east-1")
        clock, processor = time.perf_counter(), time.process_time()
        source = Source(file, SIGNED)
        run = Import(source, SIGNED, Environment(**SETTINGS), NOW)
        journal = Journal.begin(Path(folder) / "journal", run.identity, resume=False)
        run.run(journal, ledger, Identities(kms, "identity"), Contacts(kms, "evidence"))
        spent = time.perf_counter() - clock, time.process_time() - processor
        journal.file.close()
        source.close()
    assert journal.tally.recorded == rows
    return spent


def milliseconds(rows: int) -> Callable[[], float]:
    """Return a measurement of our own work: milliseconds of processor for a row."""
    return lambda: once(rows)[1] * 1000 / rows


STUBS: list[tuple[str, str, Clients, int]] = [
    ("in memory", "boto3, the network, KMS and DynamoDB", in_memory, 20_000),
    ("boto3, its requests unsent", "the network, KMS and DynamoDB", unsent, 1_000),
]
"""Each stub with what it leaves out, and the rows of one measurement over it."""


def rates() -> list[Rate]:
    """Measure an import over each stub, in a new interpreter as the command is: nothing that ran before is in its way.

    What goes wrong there is on stderr.
    """
    command = [sys.executable, "-m", "tests.bench.imports"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
    return [Rate(**json.loads(line)) for line in printed.splitlines()]


def rate(stub: str, left_out: str, clients: Clients, rows: int, rounds: int) -> Rate:
    """Measure so many rounds over one stub, after one that does not count."""
    once(rows // 10, clients)
    measured = [once(rows, clients) for _ in range(rounds)]
    by_processor = [rows / processor for _, processor in measured]
    quarters = statistics.quantiles(by_processor, n=4)
    return Rate(
        "import of consents from CSV",
        stub,
        left_out,
        statistics.median(rows / clock for clock, _ in measured),
        statistics.median(by_processor),
        quarters[2] - quarters[0],
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        count = int(sys.argv[1])
        by_clock, by_threads = once(count)
        print(f"{count} rows: {count / by_clock:.0f} a second, {count / by_threads:.0f} a processor second")  # noqa: T201
    else:
        for stub_name, spares, made, row_count in STUBS:
            print(json.dumps(asdict(rate(stub_name, spares, made, row_count, 5))))  # noqa: T201 - `rates` reads it
