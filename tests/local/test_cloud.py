"""The cloud as a whole: start, stop, what survives a restart, and that nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import urllib3

from local import cloud as local_cloud
from tests.local.cloud_fixture import LOGS, Cloud, StandInCarrier, package, policy
from tests.local.test_lambda_stream_sources import batches, fed, write

SLEEPER = """
import threading
def handle(event, context):
    threading.Event().wait()
"""


@contextlib.contextmanager
def in_process(home: Path) -> Iterator[Cloud]:
    """Run a cloud in this process."""
    running = Cloud(local_cloud.start(home, carrier=StandInCarrier))
    try:
        yield running
    finally:
        running.close()


class Command:
    """The cloud as a process of its own; `description` is what cloud.json says."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local.cloud", "--home", str(home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.description: dict[str, Any] = json.loads((home / "cloud.json").read_text())

    def client(self, service: str) -> Any:
        """Return a boto3 client, which its user closes."""
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=self.description["aws_endpoint"],
            region_name=self.description["aws_region"],
            aws_access_key_id=self.description["aws_access_key_id"],
            aws_secret_access_key=self.description["aws_secret_access_key"],
        )

    def children(self) -> list[psutil.Process]:
        """Return the sandboxes."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; return its exit code."""
        self.process.send_signal(how)
        self.process.communicate(timeout=20)
        return self.process.returncode


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """Run the command, and see to it that it ends."""
    made = Command(tmp_path / "home")
    yield made
    if made.process.poll() is None:
        made.stop(signal.SIGKILL)


def deploy(client: Any, iam: Any, source: str, name: str = "f", **settings: Any) -> None:
    """Deploy a function with a role that may write logs."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="logs", PolicyDocument=policy(LOGS))
    client.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="main.handle",
        Role=role,
        Code={"ZipFile": package(source)},
        **settings,
    )


def test_the_command_says_where_it_listens_keeps_its_state_and_leaves_no_process(command: Command) -> None:
    """cloud.json is private; SIGTERM ends with 0, a state, no cloud.json and no sandbox; a restart goes on."""
    described = command.description
    assert described["pid"] == command.process.pid
    assert described["aws_endpoint"] in command.line
    assert stat.S_IMODE((command.home / "cloud.json").stat().st_mode) == 0o600
    http = urllib3.PoolManager()
    assert http.request("GET", f"{described['twilio_endpoint']}/_sim/clock").status == 200
    http.clear()
    with contextlib.closing(command.client("lambda")) as client, contextlib.closing(command.client("iam")) as iam:
        deploy(client, iam, "def handle(e, c): return 'alive'")
        assert json.load(client.invoke(FunctionName="f")["Payload"]) == "alive"
    (sandbox,) = command.children()
    assert psutil.Process(command.process.pid).memory_info().rss < 400 * 2**20
    assert command.stop() == 0
    assert not (command.home / "cloud.json").exists()
    assert not sandbox.is_running()
    assert stat.S_IMODE((command.home / "cloud.state").stat().st_mode) == 0o600
    again = Command(command.home)
    try:
        for name in ("aws_access_key_id", "aws_secret_access_key", "twilio_account_sid", "twilio_auth_token"):
            assert again.description[name] == described[name]
        with contextlib.closing(again.client("lambda")) as client:
            assert json.load(client.invoke(FunctionName="f")["Payload"]) == "alive"
    finally:
        assert again.stop(signal.SIGINT) == 0


def test_it_ends_without_keeping_anything(command: Command) -> None:
    """SIGQUIT ends it with 0, and no state is written."""
    assert command.stop(signal.SIGQUIT) == 0
    assert not (command.home / "cloud.json").exists()
    assert not (command.home / "cloud.state").exists()


def test_no_sandbox_outlives_a_killed_cloud(command: Command) -> None:
    """After kill -9 both an idle sandbox and one in the middle of an event end by themselves."""
    with contextlib.closing(command.client("lambda")) as client, contextlib.closing(command.client("iam")) as iam:
        deploy(client, iam, "def handle(e, c): ...", "idle")
        deploy(client, iam, SLEEPER, "busy", Timeout=60)
        client.invoke(FunctionName="idle")
        client.invoke(FunctionName="busy", InvocationType="Event")
        # A third call, behind the event in no queue: when it is answered, both sandboxes are there.
        while len(command.children()) < 2:
            client.invoke(FunctionName="idle")
    sandboxes = command.children()
    command.stop(signal.SIGKILL)
    _, alive = psutil.wait_procs(sandboxes, timeout=10)
    assert alive == []


def test_a_taken_port_is_named_with_its_purpose_and_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command ends with 3 and one line, and leaves nothing running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        threads = threading.active_count()
        for purpose in ("aws", "twilio", "gateway"):
            assert local_cloud.main(["--home", str(tmp_path), f"--{purpose}-port", str(port)]) == 3
            said = capsys.readouterr().err
            assert f"port {port} for {purpose} cannot be used" in said
            assert f"--{purpose}-port 0" in said
            assert said.count("\n") == 1
    assert threading.active_count() == threads


@pytest.mark.parametrize("damage", ["text", "truncated", "other moto"])
def test_a_state_file_that_cannot_be_read_is_named_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    """The command ends with 4 and one line; the file stays as it is."""
    with in_process(tmp_path) as cloud:
        cloud.running.save()
    path = tmp_path / "cloud.state"
    if damage == "text":
        path.write_text("not a state")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    else:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        head = {**json.loads(parts["head.json"]), "moto_version": "0.1"}
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in {**parts, "head.json": json.dumps(head).encode()}.items():
                archive.writestr(name, data)
    before = path.read_bytes()
    assert local_cloud.main(["--home", str(tmp_path)]) == 4
    said = capsys.readouterr().err
    assert str(path) in said
    assert "move it away" in said
    assert said.count("\n") == 1
    assert path.read_bytes() == before


def test_one_process_hosts_one_cloud(tmp_path: Path) -> None:
    """A second cloud in the same process is refused (moto's state is global); after a close it starts."""
    with in_process(tmp_path / "one"), pytest.raises(local_cloud.AlreadyRunningError, match="close it first"):
        local_cloud.start(tmp_path / "two", carrier=StandInCarrier)
    with in_process(tmp_path / "two") as cloud:
        assert cloud.client("dynamodb").list_tables()["TableNames"] == []


def test_a_closed_cloud_leaves_no_thread_no_process_and_plain_moto(tmp_path: Path) -> None:
    """Every thread and sandbox ends on close, busy ones too; the unpacked code is gone, and moto is as it was."""
    from moto.kms.models import KmsBackend  # noqa: PLC0415

    original = KmsBackend.__dict__["encrypt"]
    before = set(threading.enumerate())
    others = set(psutil.Process().children(recursive=True))
    with in_process(tmp_path) as cloud:
        cloud.function("f", "def handle(e, c): ...")
        cloud.invoke("f")
        cloud.function("busy", SLEEPER, Timeout=60)
        cloud.client("lambda").invoke(FunctionName="busy", InvocationType="Event")
        assert KmsBackend.__dict__["encrypt"] is not original
        children = set(psutil.Process().children(recursive=True)) - others
        assert children
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    assert set(threading.enumerate()) <= before
    assert KmsBackend.__dict__["encrypt"] is original
    assert not (tmp_path / "lambda").exists()


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    """Objects, versions, items, ciphertexts, queues, secrets, functions, APIs, the clock, and the carrier's state."""
    with in_process(tmp_path) as cloud:
        fill(cloud)
        cloud.running._carrier.state = b"carrier"  # type: ignore[attr-defined]
        cloud.running.clock.advance(1000)
        credentials = cloud.running.credentials
        ciphertext = cloud.client("kms").encrypt(KeyId="alias/main", Plaintext=b"secret")["CiphertextBlob"]
        api = cloud.client("apigatewayv2").get_apis()["Items"][0]["ApiId"]
        cloud.running.close(save=True)
    with in_process(tmp_path) as cloud:
        assert cloud.running.credentials == credentials
        assert cloud.running.clock.offset == pytest.approx(1000)
        s3 = cloud.client("s3")
        assert len(s3.list_object_versions(Bucket="kept")["Versions"]) == 2
        assert s3.get_object(Bucket="kept", Key="k")["Body"].read() == b"new"
        assert s3.get_bucket_lifecycle_configuration(Bucket="kept")["Rules"][0]["Expiration"] == {"Days": 30}
        item = cloud.client("dynamodb").get_item(TableName="kept", Key={"pk": {"S": "1"}})["Item"]
        assert item["n"] == {"N": "7"}
        assert cloud.client("kms").decrypt(CiphertextBlob=ciphertext)["Plaintext"] == b"secret"
        assert cloud.client("secretsmanager").get_secret_value(SecretId="kept")["SecretString"] == "s"
        url = cloud.client("sqs").get_queue_url(QueueName="kept")["QueueUrl"]
        assert cloud.client("sqs").receive_message(QueueUrl=url)["Messages"][0]["Body"] == "m"
        assert cloud.invoke("kept") == (None, {"statusCode": 200, "body": "ran"})
        gateway = f"{cloud.running.gateway_url}/{api}/"
        assert cloud.http.request("GET", gateway).data == b"ran"
        assert cloud.http.request("GET", cloud.running.twilio_endpoint).data == b"carrier"


def fill(cloud: Cloud) -> None:
    """Make one of each thing."""
    s3, kms, d = cloud.client("s3"), cloud.client("kms"), cloud.client("dynamodb")
    s3.create_bucket(Bucket="kept")
    s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}
    s3.put_bucket_lifecycle_configuration(Bucket="kept", LifecycleConfiguration={"Rules": [rule]})
    for body in (b"old", b"new"):
        s3.put_object(Bucket="kept", Key="k", Body=body)
    kms.create_alias(AliasName="alias/main", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    d.create_table(
        TableName="kept",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    d.put_item(TableName="kept", Item={"pk": {"S": "1"}, "n": {"N": "7"}})
    cloud.client("secretsmanager").create_secret(Name="kept", SecretString="s")
    url = cloud.client("sqs").create_queue(QueueName="kept")["QueueUrl"]
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="m")
    cloud.client("sns").create_topic(Name="kept")
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName="kept",
        MetricName="m",
        Namespace="n",
        Period=60,
        Threshold=1,
        Statistic="Sum",
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    arn = cloud.function("kept", "def handle(e, c): return {'statusCode': 200, 'body': 'ran'}")
    gateway = cloud.client("apigatewayv2")
    api = gateway.create_api(Name="kept", ProtocolType="HTTP", Target=arn)["ApiId"]
    if not gateway.get_routes(ApiId=api)["Items"]:
        made = gateway.create_integration(
            ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
        )
        gateway.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{made['IntegrationId']}")
    gateway.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    cloud.client("lambda").add_permission(
        FunctionName="kept",
        StatementId="gateway",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )


def test_a_schedule_fires_after_a_restart(tmp_path: Path) -> None:
    """A schedule that was armed before goes on after a restart, on the clock as it was moved."""
    with in_process(tmp_path) as cloud:
        url = cloud.client("sqs").create_queue(QueueName="ticks")["QueueUrl"]
        arn = "arn:aws:sqs:us-east-1:123456789012:ticks"
        send = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arn}
        role = cloud.role("ticker", send, service="scheduler.amazonaws.com")
        cloud.client("scheduler").create_schedule(
            Name="ticks",
            ScheduleExpression="cron(0 0 1 1 ? *)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": arn, "RoleArn": role, "Input": "tick"},
        )
        cloud.running.close(save=True)
    with in_process(tmp_path) as cloud:
        cloud.running.clock.advance(366 * 86400)
        url = cloud.client("sqs").get_queue_url(QueueName="ticks")["QueueUrl"]
        assert cloud.client("sqs").receive_message(QueueUrl=url)["Messages"][0]["Body"] == "tick"


def test_the_state_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that fails leaves the state before it."""
    with in_process(tmp_path) as cloud:
        cloud.running.save()
        before = (tmp_path / "cloud.state").read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdopen", lambda *_args, **_kwargs: (_ for _ in ()).throw(OSError("disk full")))
            with pytest.raises(OSError, match="disk full"):
                cloud.running.save()
        assert (tmp_path / "cloud.state").read_bytes() == before
        cloud.running.save()


def test_a_restarted_cloud_goes_on_in_a_stream_where_it_stopped(tmp_path: Path) -> None:
    """After a restart no record is handed over twice, and what was waiting for its retry is handed over."""
    with in_process(tmp_path) as cloud:
        fed(cloud, "kept", MaximumRetryAttempts=1)
        write(cloud, "kept", "a")
        write(cloud, "kept", "poison")
        assert batches(cloud, "kept") == [["a"], ["poison"]]
        cloud.running.close(save=True)
    with in_process(tmp_path) as cloud:
        cloud.running.clock.advance(61)
        write(cloud, "kept", "b")
        assert batches(cloud, "kept") == [["a"], ["poison"], ["poison"], ["b"]]
