"""The reads that go without boto3: signed as botocore signs, over one connection, and left to boto3 when in doubt."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from parley.adapters import signed as module
from parley.adapters.awaited import Client
from parley.adapters.signed import TARGETS, Signed, signed

USUAL = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "not/a+secret", "AWS_REGION": "eu-west-1"}
KEY = {"TableName": "ledger", "Key": {"pk": {"S": "SESSION#KC1"}, "sk": {"S": "SESSION"}}}
FUNCTIONS = Path(__file__).parents[2] / "functions"

printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


@given(
    secret=printable,
    token=st.none() | printable,
    region=st.sampled_from(["us-east-1", "eu-central-1", "ap-southeast-2"]),
    operation=st.sampled_from(sorted(TARGETS)),
    body=st.binary(max_size=200),
    epoch=st.integers(0, 4_000_000_000),
)
def test_signature_is_botocores(
    secret: str, token: str | None, region: str, operation: str, body: bytes, epoch: int
) -> None:
    """Whatever the credentials, the region, the moment and the body are, the headers are those that botocore makes."""
    environ = {**USUAL, "AWS_SECRET_ACCESS_KEY": secret} | ({"AWS_SESSION_TOKEN": token} if token else {})
    service, target, kind, _ = TARGETS[operation]
    host = f"{service}.{region}.amazonaws.com"
    ours = Signed(service, region, environ, f"https://{host}")._headers(target, kind, body, time.gmtime(epoch))
    request = AWSRequest("POST", f"https://{host}/", {"content-type": kind, "x-amz-target": target}, body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: datetime.fromtimestamp(epoch, UTC))
        credentials = Credentials(USUAL["AWS_ACCESS_KEY_ID"], secret, token)
        botocore.auth.SigV4Auth(credentials, service, region).add_auth(request)
    theirs = {name.lower(): value for name, value in request.headers.items()}
    assert {name: value for name, value in ours.items() if name != "host"} == theirs


@pytest.mark.parametrize(
    "changes",
    [
        {"AWS_ACCESS_KEY_ID": ""},
        {"AWS_SECRET_ACCESS_KEY": ""},
        {"AWS_REGION": ""},
        {"AWS_REGION": "cn-north-1"},
        {"AWS_REGION": "us-gov-west-1"},
        {"AWS_ENDPOINT_URL": "https://vpce.example.com"},
        {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:8000"},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"HTTPS_PROXY": "http://proxy.example.com"},
    ],
)
def test_unusual_is_left_to_boto3(changes: dict[str, str]) -> None:
    """Without credentials in the environment, in another partition, behind a proxy or an endpoint, boto3 asks."""
    assert signed("dynamodb", USUAL) is not None
    assert signed("dynamodb", {**USUAL, **changes}) is None


class Service:
    """A service on this machine: `answers` are taken in order, the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = [(200, {"Item": {}})]
        self.connections: set[Any] = set()
        self.asked: list[tuple[dict[str, str], Any]] = []
        self.closing = False
        service = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                service.connections.add(self.client_address)
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                service.asked.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status, answer = service.answers[0]
                service.answers = service.answers[1:] or service.answers
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
                self.close_connection = service.closing

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.environ = {**USUAL, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server.server_port}"}


class Boto:
    """What stands for boto3's client."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        """Return an operation that answers its name."""

        def ask(**_: Any) -> Any:
            self.asked.append(operation)
            return {"by": "boto3"}

        return ask


@pytest.fixture
def service() -> Iterator[Service]:
    """Give a service on this machine."""
    made = Service()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def boto() -> Boto:
    """Give what the client falls back to."""
    return Boto()


@pytest.fixture
def made(service: Service, boto: Boto) -> Iterator[Client]:
    """Give a client of the service."""
    client = Client("dynamodb", signed("dynamodb", service.environ), lambda: boto)
    yield client
    client.close()


def test_one_connection_serves_all(service: Service, made: Client, boto: Boto) -> None:
    """The connection that was opened before the first read is the one of every later read, and boto3 is not made."""
    made.connect()
    service.answers = [(200, {"Item": {"pk": {"S": "x"}}})]
    assert [made.get_item(**KEY) for _ in range(5)] == [{"Item": {"pk": {"S": "x"}}}] * 5
    assert (len(service.connections), boto.asked) == (1, [])
    headers, body = service.asked[0]
    assert (headers["x-amz-target"], body) == ("DynamoDB_20120810.GetItem", KEY)


def test_closed_connection_is_opened_again(service: Service, made: Client, boto: Boto) -> None:
    """A connection that the service closed meanwhile costs no answer."""
    made.get_item(**KEY)
    service.closing = True
    assert [made.get_item(**KEY) for _ in range(3)] == [{"Item": {}}] * 3
    assert boto.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        (400, {"__type": "ResourceNotFoundException"}),
        (503, {}),
        (200, {"Item": {"sealed": {"B": "AAAA"}}}),
        (200, {"Item": {"sealed": {"BS": ["AAAA"]}}}),
    ],
)
def test_anything_else_is_asked_of_boto3(service: Service, made: Client, boto: Boto, answer: tuple[int, Any]) -> None:
    """A refusal and bytes are boto3's to tell; a truth value and words that look like bytes are not."""
    service.answers = [answer, (200, {"Item": {"a": {"BOOL": True}, "b": {"S": '{"B": "x"}'}}})]
    assert made.get_item(**KEY) == {"by": "boto3"}
    assert made.get_item(**KEY)["Item"]["a"] == {"BOOL": True}
    assert boto.asked == ["get_item"]


def test_service_that_is_down_is_not_asked_of_boto3(
    service: Service, made: Client, boto: Boto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing answers the error comes at once: with boto3's attempts the function's time would be over."""
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    service.server.shutdown()
    service.server.server_close()
    with pytest.raises(ConnectionRefusedError):
        made.get_item(**KEY)
    assert boto.asked == []


@contextmanager
def saying(boto: Boto, *answers: bytes) -> Iterator[Client]:
    """Serve these bytes, one connection each, whatever is asked; give a client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                with listener.accept()[0] as connection:
                    connection.recv(65_536)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        reads = signed("dynamodb", {**USUAL, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{listener.getsockname()[1]}"})
        client = Client("dynamodb", reads, lambda: boto)
        try:
            yield client
        finally:
            client.close()


WHOLE = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"Item":{}}'


@pytest.mark.parametrize(
    "broken",
    [b"", b"HTTP/1.1 200 OK\r\n", WHOLE[:-1], b"HTTP/1.1 200 " + b"x" * 9000, b"HTTP/1.1 200 OK\r\nContent-Length: 11"],
    ids=["nothing", "no end of the head", "no end of the body", "a line without end", "no end of a line"],
)
def test_broken_answer_is_asked_for_again(boto: Boto, broken: bytes) -> None:
    """An answer that breaks off is asked for once more over a connection of its own; boto3 is not asked."""
    with saying(boto, broken, WHOLE) as client:
        assert client.get_item(**KEY) == {"Item": {}}
    with saying(boto, broken, broken) as client, pytest.raises((OSError, HTTPException)):
        client.get_item(**KEY)
    assert boto.asked == []


@pytest.mark.parametrize(
    "unusual",
    [
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{"Item":{}}\r\n0\r\n\r\n',
        b'HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\n{"Item":{}}',
        b"HTTP/1.1 200 OK\r\nContent-Length: eleven\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        WHOLE.replace(b"\r\n\r\n", b"\r\n" + b"a: b\r\n" * 101 + b"\r\n"),
    ],
    ids=["chunked", "HTTP/1.0", "no length", "no HTTP", "head without end", "head too long"],
)
def test_unusual_answer_is_boto3s(boto: Boto, unusual: bytes) -> None:
    """An answer of a form that is not read here is asked for by boto3."""
    with saying(boto, unusual) as client:
        assert client.get_item(**KEY) == {"by": "boto3"}


def test_length_in_any_case(boto: Boto) -> None:
    """Names of headers are read in any case, with or without a space."""
    with saying(boto, WHOLE.replace(b"Content-Length: ", b"CONTENT-length:")) as client:
        assert client.get_item(**KEY) == {"Item": {}}


def test_kms_answers_bytes(service: Service, boto: Boto) -> None:
    """Bytes go to KMS and come from it as with boto3, though they are base64 on the wire."""
    client = Client("kms", signed("kms", service.environ), lambda: boto)
    service.answers = [(200, {"KeyId": "k", "Mac": "AAH/"}), (200, {"Plaintext": "KzEyMTI1NTUwMTAx"})]
    assert client.generate_mac(KeyId="k", Message=b"\x00\xff", MacAlgorithm="HMAC_SHA_256")["Mac"] == b"\x00\x01\xff"
    assert client.decrypt(KeyId="k", CiphertextBlob=b"sealed")["Plaintext"] == b"+12125550101"
    assert [asked for _, asked in service.asked] == [
        {"KeyId": "k", "Message": "AP8=", "MacAlgorithm": "HMAC_SHA_256"},
        {"KeyId": "k", "CiphertextBlob": "c2VhbGVk"},
    ]
    assert boto.asked == []
    client.close()


def test_second_thread_is_boto3s(service: Service, made: Client, boto: Boto) -> None:
    """Whoever asks while another thread waits for an answer does not wait for it: boto3 has more connections."""
    reads = made._reads
    assert reads is not None
    with reads._lock:
        assert made.get_item(**KEY) == {"by": "boto3"}
    assert made.get_item(**KEY) == {"Item": {}}
    assert len(service.asked) == 1


def test_other_operations_are_boto3s(service: Service, made: Client, boto: Boto) -> None:
    """What Twilio does not wait for is boto3's, and so is all of an unusual environment."""
    assert made.put_item() == {"by": "boto3"}
    assert made.get_secret_value() == {"by": "boto3"}
    unusual = Client("dynamodb", None, lambda: boto)
    unusual.connect()
    assert unusual.get_item(**KEY) == {"by": "boto3"}
    assert service.asked == []


LOADED = """
import sys
before = set(sys.modules)
import parley.handlers.{handler}
from parley.adapters import {adapters}
{more}
print(*sorted(set(sys.modules) - before))
"""

GATE = {
    "parley",
    "parley.adapters",
    "parley.adapters.awaited",
    "parley.adapters.connection",
    "parley.adapters.secrets",
    "parley.adapters.session_items",
    "parley.adapters.signed",
    "parley.clock",
    "parley.cold",
    "parley.core",
    "parley.core.identity",
    "parley.core.moments",
    "parley.core.problem",
    "parley.core.signature",
    "parley.handlers",
    "parley.log",
    "parley.runtime",
    "parley.web",
    "parley.webhook",
}
"""What is loaded of ours before and in the first answer of either. A new one costs every cold start."""

INTERCEPT = GATE | {"parley.core.admission", "parley.handlers.intercept"}

CALL_ENTRY = GATE | {
    "parley.adapters.identity",
    "parley.adapters.line_items",
    "parley.adapters.places",
    "parley.bridge",
    "parley.call_entry",
    "parley.call_step",
    "parley.core.calls",
    "parley.core.consent",
    "parley.core.disclosure",
    "parley.core.lines",
    "parley.core.location",
    "parley.core.record_classes",
    "parley.core.sessions",
    "parley.core.sids",
    "parley.handlers.inbound_call",
    "parley.telling",
    "parley.twiml",
    "parley.variables",
}


@pytest.mark.parametrize(
    ("handler", "adapters", "more", "ours"),
    [
        ("intercept", "awaited, secrets, session_items", "", INTERCEPT),
        ("inbound_call", "awaited, secrets, line_items, identity", "from parley import variables", CALL_ENTRY),
    ],
)
def test_nothing_else_is_loaded(handler: str, adapters: str, more: str, ours: set[str]) -> None:
    """What Twilio waits for loads these modules of ours, no package but the standard library, and no boto3."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", LOADED.format(handler=handler, adapters=adapters, more=more)],
        env={"PYTHONPATH": str(FUNCTIONS)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("parley")} == ours
    others = {name.partition(".")[0] for name in loaded} - {"parley"} - sys.stdlib_module_names
    assert others == set()
