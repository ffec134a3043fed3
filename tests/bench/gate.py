"""The gate, cold and warm, against a floor that does the least and against what others write.

Cold is from the start of the interpreter with AWS's own runtime client to the first answer. Warm is one answer of many
in one process. All sides fetch the secret once, check the signature and read one row, over the same stub of AWS: plain
HTTP on loopback, so no TLS on any side. A machine that is too busy to tell them apart is said to be.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from parley.adapters.sessions import _session_item
from parley.core.sessions import Participant, Session
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from tests.bench.ratio import compared

ROOT: Final = Path(__file__).resolve().parents[2]
GATE, TOKEN = "https://gate.example.com", "0123456789abcdef0123456789abcdef"
SIDES: Final = {
    "gate": "parley.handlers.intercept.handle",
    "gate, compiled at each start": "parley.handlers.intercept.handle",
    "floor": "tests.bench.peers.floor.handle",
    "boto3, twilio": "tests.bench.peers.plain.handle",
    "Powertools, boto3, twilio": "tests.bench.peers.powertools.handle",
    "raw round trip": "tests.bench.peers.raw.handle",
}
UNCOMPILED: Final = "gate, compiled at each start"
"""As on Lambda where the zip holds no compiled modules: nothing can be written beside the code there."""
RAW: Final = "raw round trip"
"""The same read, unsigned and unread: what no gate can be faster than. It is no webhook, so it has no cold start."""
BAR: Final = 1.3
"""How many times the floor the gate may take, cold and warm."""
COLD_ROUNDS: Final = 15
WARM_CALLS: Final = 300

_WARM: Final = """
import contextlib, importlib, io, json, sys, time
module, _, name = sys.argv[1].rpartition(".")
event, count = json.load(open(sys.argv[2])), int(sys.argv[3])
class Context:
    function_name = function_version = aws_request_id = log_group_name = log_stream_name = "gate"
    invoked_function_arn, memory_limit_in_mb = "arn:aws:lambda:us-east-1:123456789012:function:gate", 256
times = []
with contextlib.redirect_stdout(io.StringIO()):
    handle = getattr(importlib.import_module(module), name)
    for _ in range(count):
        began = time.perf_counter()
        answer = handle(event, Context())
        times.append((time.perf_counter() - began) * 1000)
assert answer["statusCode"] == 200, answer
print(json.dumps(times[count // 6:]))
"""


class BenchError(Exception):
    """A comparison cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Timed:
    """What one side took, in ms: each cold start, the medians of warm answers by turns, and their 99th percentile."""

    cold: list[float]
    warm: list[float]
    p99: float


class Aws(BaseHTTPRequestHandler):
    """Lambda's runtime API, DynamoDB, Secrets Manager and KMS, each as far as the gate asks."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # headers and body in one piece, else Nagle and delayed acknowledgements cost 40 ms
    item: dict[str, Any]
    event: bytes
    answered = threading.Event()
    status = 0

    def do_GET(self) -> None:
        """Give the one event, once for each process."""
        if Aws.answered.is_set():
            time.sleep(60)
        more = {
            "Lambda-Runtime-Aws-Request-Id": "1",
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 10_000),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:gate",
        }
        self._send(200, Aws.event, more)

    def do_POST(self) -> None:
        """Take an answer of the function, or give one of a service."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if "/runtime/" in self.path:
            Aws.status = json.loads(body).get("statusCode", 500) if self.path.endswith("/response") else 500
            Aws.answered.set()
            self._send(202, b"{}", {})
        elif self.headers["x-amz-target"].endswith("GetSecretValue"):
            secret = json.dumps({"api_key": "SK1", "api_secret": "s", "auth_tokens": [TOKEN]})
            self._send(200, json.dumps({"SecretString": secret, "Name": "twilio"}).encode(), {})
        elif self.headers["x-amz-target"].endswith("GenerateMac"):
            self._send(200, json.dumps({"Mac": base64.b64encode(bytes(32)).decode()}).encode(), {})
        elif self.headers["x-amz-target"].endswith("Decrypt"):
            self._send(200, json.dumps({"Plaintext": base64.b64encode(b"+12125550101").decode()}).encode(), {})
        else:
            self._send(200, json.dumps({"Item": Aws.item}).encode(), {})

    def _send(self, status: int, body: bytes, more: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**more, "content-type": "application/json", "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server whose clients are killed."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a client that is gone."""


@contextmanager
def aws() -> Iterator[dict[str, str]]:
    """Serve AWS; give the environment of a function."""
    now = datetime.now(UTC)
    people = (Participant("KP1", "ab" * 32, "", "1"), Participant("KP2", "cd" * 32, "", "1"))
    session = Session(
        "KC1", "KS1", people, "voice-and-message", now, now + timedelta(hours=1), records=("cr_1", "cr_2")
    )
    Aws.item = {**_session_item(session), "expires_at": {"N": str(int(time.time()) + 86_400)}}
    Aws.event = json.dumps(webhook()).encode()
    server = Server(("127.0.0.1", 0), Aws)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    try:
        yield {
            **inherited,
            "AWS_LAMBDA_RUNTIME_API": address,
            "AWS_ENDPOINT_URL": f"http://{address}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_FUNCTION_NAME": "gate",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "PARLEY_PUBLIC_URL": GATE,
            "PARLEY_LEDGER_TABLE": "ledger",
            "PARLEY_TWILIO_SECRET": "twilio",
            "PARLEY_TWILIO_ACCOUNT_SID": "AC1",
            "PARLEY_PROXY_SERVICE_SIDS": "KS1",
            "PYTHONPATH": os.pathsep.join((str(ROOT / "functions"), str(ROOT))),
        }
    finally:
        server.shutdown()
        server.server_close()


def webhook() -> dict[str, Any]:
    """Return a signed event of an interaction in the open session."""
    loaded = json.loads((ROOT / "tests/handlers/events/intercept-message.json").read_text())
    form = {
        **loaded["form"],
        "interactionAccountSid": "AC1",
        "interactionServiceSid": "KS1",
        "interactionSessionSid": "KC1",
        "inboundParticipantSid": "KP1",
    }
    signature = RequestValidator(TOKEN).compute_signature(GATE + loaded["event"]["rawPath"], form)
    event: dict[str, Any] = loaded["event"]
    headers = {**event["headers"], "x-twilio-signature": signature}
    return {**event, "headers": headers, "body": base64.b64encode(urlencode(form).encode()).decode()}


def cold(side: str, environment: dict[str, str], **limits: Any) -> float:
    """Return what a side, or a handler, takes from start to first answer, in milliseconds. Raises BenchError.

    `limits` go to the process.
    """
    Aws.answered.clear()
    began = time.perf_counter()
    command = [sys.executable, "-P", "-m", "awslambdaric", SIDES.get(side, side)]
    with subprocess.Popen(
        command, env=environment, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **limits
    ) as child:
        answered = Aws.answered.wait(30)
        took = (time.perf_counter() - began) * 1000
        child.kill()
        said = child.communicate()[1].strip().splitlines()
    if not answered or Aws.status != 200:
        raise BenchError(f"{side} did not answer 200 ({said[-1] if said else Aws.status}): run `make setup`")
    return took


def warm(side: str, environment: dict[str, str], event: Path) -> list[float]:
    """Return what the answers of a side take in one process, in milliseconds. Raises BenchError."""
    command = [sys.executable, "-P", "-c", _WARM, SIDES[side], str(event), str(WARM_CALLS)]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{side}: {done.stderr.strip().splitlines()[-1]}")
    times: list[float] = json.loads(done.stdout)
    return times


def measure(folder: Path, rounds: int = COLD_ROUNDS) -> dict[str, Timed]:
    """Return what each side took, measured by turns. Raises BenchError."""
    event = folder / "event.json"
    event.write_text(json.dumps(webhook()))
    with aws() as environment:
        started = [side for side in SIDES if side != RAW]
        shutil.copytree(ROOT / "functions", folder / "functions", ignore=shutil.ignore_patterns("__pycache__"))
        path = os.pathsep.join((str(folder / "functions"), str(ROOT)))
        bare = {**environment, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        for side in started:  # so that every module is compiled
            cold(side, environment)
        starts: dict[str, list[float]] = {side: [] for side in SIDES}
        answers: dict[str, list[list[float]]] = {side: [] for side in SIDES}
        for _ in range(rounds):
            for side in started:
                starts[side].append(cold(side, bare if side == UNCOMPILED else environment))
            for side in SIDES:
                if side != UNCOMPILED:  # it makes no difference to them
                    answers[side].append(warm(side, environment, event))
    return {side: _timed(starts[side], answers[side]) for side in SIDES}


def _timed(cold_starts: list[float], answers: list[list[float]]) -> Timed:
    every = [each for turn in answers for each in turn] or [0.0, 0.0]
    return Timed(cold_starts, [statistics.median(turn) for turn in answers], statistics.quantiles(every, n=100)[98])


def beyond_raw(found: Mapping[str, Timed]) -> dict[str, float]:
    """Return by how many ms the 99th percentile of each side's warm answers is over that of a raw round trip."""
    return {side: timed.p99 - found[RAW].p99 for side, timed in found.items() if side != RAW and timed.warm}


def main() -> None:
    """Print what each side took, as JSON lines."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    for side, timed in found.items():
        said: dict[str, Any] = {"side": side, "warm_p99_ms": round(timed.p99, 3)}
        for name, ours, floor in (("cold", timed.cold, found["floor"].cold), ("warm", timed.warm, found["floor"].warm)):
            if ours:
                one = compared(name, ours, "floor", floor)
                ends = [round(each, 2) for each in (one.ratio, one.low, one.high)]
                said |= {f"{name}_ms": round(one.ours_ms, 3), f"{name}_over_floor": ends}
        print(json.dumps(said))  # noqa: T201 - this is its output
    print(json.dumps({"p99_beyond_raw_ms": {side: round(each, 2) for side, each in beyond_raw(found).items()}}))  # noqa: T201


if __name__ == "__main__":
    main()
