"""A cloud of one's own for each test module: in this process, with a stand-in for the Twilio emulator."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as SigningKeys

from local import cloud as local_cloud

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ACCOUNT, REGION = "123456789012", "us-east-1"
LOGS = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}


class StandInCarrier:
    """A Twilio of one page, which remembers what it was restored from."""

    def __init__(self, credentials: local_cloud.Credentials, _clock: Any) -> None:
        self.credentials = credentials
        self.state = b"fresh"

    def wsgi_app(self, _environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer with the state."""
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [self.state]

    def snapshot(self) -> bytes:
        """Return the state."""
        return self.state

    def restore(self, snapshot: bytes) -> None:
        """Take a state over."""
        self.state = snapshot

    def close(self) -> None:
        """Nothing runs."""


@dataclass
class Cloud:
    """A running cloud and short ways to fill it."""

    running: local_cloud.Running
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False))
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    def client(self, service: str, keys: dict[str, str] | None = None) -> Any:
        """Return a boto3 client, under the administrator's keys or others; without retries."""
        credentials = self.running.credentials
        keys = keys or {
            "aws_access_key_id": credentials.aws_access_key_id,
            "aws_secret_access_key": credentials.aws_secret_access_key,
        }
        name = service, keys["aws_access_key_id"]
        if name not in self._clients:
            config = Config(retries={"total_max_attempts": 1}, read_timeout=30)
            make: Any = boto3.client
            self._clients[name] = make(
                service, endpoint_url=self.running.aws_endpoint, region_name=REGION, config=config, **keys
            )
        return self._clients[name]

    def role(self, name: str, *statements: dict[str, Any], service: str = "lambda.amazonaws.com") -> str:
        """Make a role that a service may assume, with one inline policy; return its ARN."""
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        iam = self.client("iam")
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="given", PolicyDocument=policy(*statements))
        return arn

    def session(self, role_arn: str) -> dict[str, str]:
        """Return the keys of a session of a role, as keyword arguments of a boto3 client."""
        found = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="test")["Credentials"]
        return {
            "aws_access_key_id": found["AccessKeyId"],
            "aws_secret_access_key": found["SecretAccessKey"],
            "aws_session_token": found["SessionToken"],
        }

    def function(self, name: str, source: str, *, role: str | None = None, **settings: Any) -> str:
        """Deploy a zip of one module; return the function's ARN. Its handler is `handle`."""
        made: dict[str, Any] = self.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="main.handle",
            Role=role or self.role(f"{name}-role", LOGS),
            Code={"ZipFile": package(source)},
            **settings,
        )
        return str(made["FunctionArn"])

    def invoke(self, name: str, event: Any = None, **options: Any) -> tuple[str | None, Any]:
        """Invoke a function; return its error and its answer."""
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode(), **options)
        return answer.get("FunctionError"), json.loads(answer["Payload"].read() or b"null")

    def log(self, group: str) -> list[str]:
        """Return the lines of a log group."""
        events = self.client("logs").filter_log_events(logGroupName=group)["events"]
        return [event["message"] for event in events]

    def signed(
        self, method: str, url: str, body: bytes = b"", keys: dict[str, str] | None = None, service: str = "execute-api"
    ) -> dict[str, str]:
        """Return the headers of a request signed by SigV4."""
        own = self.running.credentials
        keys = keys or {
            "aws_access_key_id": own.aws_access_key_id,
            "aws_secret_access_key": own.aws_secret_access_key,
        }
        signing = SigningKeys(keys["aws_access_key_id"], keys["aws_secret_access_key"], keys.get("aws_session_token"))
        request = AWSRequest(method=method, url=url, data=body, headers={"Content-Type": "application/json"})
        SigV4Auth(signing, service, REGION).add_auth(request)
        return dict(request.headers.items())

    def close(self) -> None:
        """End the cloud and the connections to it."""
        for client in self._clients.values():
            client.close()
        self.http.clear()
        self.running.close()


def policy(*statements: dict[str, Any]) -> str:
    """Return a policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def package(source: str) -> bytes:
    """Return a zip of one module, `main`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", source)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Run a cloud for the tests of one module."""
    home: Path = tmp_path_factory.mktemp("cloud")
    running = Cloud(local_cloud.start(home, carrier=StandInCarrier))
    try:
        yield running
    finally:
        running.close()
