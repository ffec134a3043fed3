"""Functions of the local cloud: what a handler sees, how it fails, and how many run at once."""

from __future__ import annotations

import base64
import json
import os
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.cloud_fixture import LOGS, Cloud, cloud, package, policy

__all__ = ["cloud"]

ECHO = """
import os
count = 0
def handle(event, context):
    global count
    count += 1
    return {"event": event, "count": count, "arn": context.invoked_function_arn, "version": context.function_version,
            "left": context.get_remaining_time_in_millis(), "name": context.function_name}
"""


def test_a_handler_gets_its_event_context_and_a_warm_module(cloud: Cloud) -> None:
    """Event and context arrive whole, and the second event finds the module's state of the first."""
    arn = cloud.function("echo", ECHO, Timeout=5)
    error, answer = cloud.invoke("echo", {"text": "日本語", "n": [1, None]})
    assert error is None
    assert answer["event"] == {"text": "日本語", "n": [1, None]}
    assert (answer["arn"], answer["version"], answer["name"]) == (arn, "$LATEST", "echo")
    assert 0 < answer["left"] <= 5000
    assert cloud.invoke("echo", {})[1]["count"] == 2


def test_a_function_sees_a_clean_environment_and_only_what_aws_brings(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the host's environment leaks in; the SDK can be imported, this checkout and other packages cannot."""
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "host secret")
    source = """
import importlib, os, sys
def handle(event, context):
    found = {}
    for name in event:
        try:
            found[name] = importlib.import_module(name).__name__
        except ImportError:
            found[name] = None
    return {"environment": dict(os.environ), "found": found}
"""
    cloud.function("clean", source, Environment={"Variables": {"MODE": "strict"}}, MemorySize=256)
    names = ["boto3", "urllib3", "botocore", "infra", "local", "parley", "twilio", "moto", "pulumi"]
    answer = cloud.invoke("clean", names)[1]
    expected = {name: name if name in {"boto3", "urllib3", "botocore"} else None for name in names}
    assert answer["found"] == expected
    environment = answer["environment"]
    assert not any("host secret" in value for value in environment.values())
    assert environment["MODE"] == "strict"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "clean"
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environment["AWS_REGION"] == "us-east-1"
    assert environment["AWS_ACCESS_KEY_ID"].startswith("ASIA")


def test_a_function_acts_under_its_own_role(cloud: Cloud) -> None:
    """What the role may not do fails in the handler; a permission that is added counts at the next call."""
    cloud.client("sqs").create_queue(QueueName="target")
    source = """
import boto3
sqs = boto3.client("sqs")
def handle(event, context):
    url = sqs.get_queue_url(QueueName="target")["QueueUrl"]
    return sqs.send_message(QueueUrl=url, MessageBody="m")["ResponseMetadata"]["HTTPStatusCode"]
"""
    read = {"Effect": "Allow", "Action": "sqs:GetQueueUrl", "Resource": "*"}
    role = cloud.role("sender", LOGS, read)
    cloud.function("sender", source, role=role, Timeout=10)
    error, answer = cloud.invoke("sender")
    assert error == "Unhandled"
    assert "not authorized to perform: sqs:SendMessage" in answer["errorMessage"]
    send = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    document = policy(LOGS, read, send)
    cloud.client("iam").put_role_policy(RoleName="sender", PolicyName="given", PolicyDocument=document)
    assert cloud.invoke("sender") == (None, 200)


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("raise", "def handle(e, c): raise ValueError('bad')", "bad"),
        ("exit", "import os\ndef handle(e, c): os._exit(3)", "exit status 3"),
        ("killed", "import os, signal\ndef handle(e, c): os.kill(os.getpid(), signal.SIGKILL)", "signal: SIGKILL"),
        ("no-module", "import not_there\ndef handle(e, c): ...", "No module named 'not_there'"),
        ("syntax", "def handle(e, c:", "Syntax error"),
        ("at-import", "raise RuntimeError('early')\ndef handle(e, c): ...", "early"),
        ("no-handler", "def other(e, c): ...", "Handler 'handle' missing"),
        ("not-json", "def handle(e, c): return object()", "Unable to marshal response"),
    ],
)
def test_a_failing_function_is_an_error_with_its_reason(cloud: Cloud, name: str, source: str, message: str) -> None:
    """Whatever goes wrong in a function is `Unhandled` with the reason, and the next event gets an answer too."""
    cloud.function(f"fail-{name}", source)
    for _ in range(2):
        error, answer = cloud.invoke(f"fail-{name}", {})
        assert error == "Unhandled"
        assert message in answer["errorMessage"]


def test_a_function_that_takes_too_long_is_ended_and_starts_afresh(cloud: Cloud) -> None:
    """At its timeout an event fails as timed out; its process is gone, and the next event runs in a new one."""
    source = """
import os, threading
def handle(event, context):
    if event:
        threading.Event().wait()
    return os.getpid()
"""
    cloud.function("slow", source, Timeout=1)
    _, first = cloud.invoke("slow", 0)
    error, answer = cloud.invoke("slow", 1)
    assert error == "Unhandled"
    assert "Task timed out after 1.00 seconds" in answer["errorMessage"]
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert cloud.invoke("slow", 0)[1] != first
    assert any("Task timed out" in line for line in cloud.log("/aws/lambda/slow"))


def test_output_goes_to_the_functions_log_group(cloud: Cloud) -> None:
    """START, what was printed and logged, a stack trace as one line, END and REPORT; the tail comes on request."""
    source = """
import logging
logging.getLogger().setLevel("INFO")
def handle(event, context):
    print("printed")
    logging.info("logged")
    raise KeyError("why")
"""
    cloud.function("logging", source)
    answer = cloud.client("lambda").invoke(FunctionName="logging", LogType="Tail")
    lines = cloud.log("/aws/lambda/logging")
    assert lines[0].startswith("START RequestId: ")
    assert "printed" in lines
    assert any("[INFO]" in line and "logged" in line for line in lines)
    assert any("KeyError: 'why'" in line and "Traceback" in line for line in lines)
    assert lines[-1].startswith("REPORT ")
    assert "Init Duration" in lines[-1]
    assert b"printed" in base64.b64decode(answer["LogResult"])


def test_a_role_that_may_not_write_logs_has_none(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    """As on AWS the lines are lost; the cloud's own log tells why."""
    cloud.function("silent", "def handle(e, c): print('x')", role=cloud.role("silent"))
    assert cloud.invoke("silent") == (None, None)
    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/silent")["logGroups"]
    assert groups == []
    assert "log lines of /aws/lambda/silent are lost" in caplog.text


def test_changed_code_and_settings_take_effect_at_the_next_event(cloud: Cloud) -> None:
    """A warm sandbox does not outlive an update of its code or environment."""
    client = cloud.client("lambda")
    cloud.function("changing", "import os\ndef handle(e, c): return ['one', os.environ.get('X')]")
    assert cloud.invoke("changing")[1] == ["one", None]
    client.update_function_configuration(FunctionName="changing", Environment={"Variables": {"X": "y"}})
    assert cloud.invoke("changing")[1] == ["one", "y"]
    second = package("import os\ndef handle(e, c): return ['two', os.environ.get('X')]")
    client.update_function_code(FunctionName="changing", ZipFile=second)
    assert cloud.invoke("changing")[1] == ["two", "y"]


def test_versions_and_aliases_run_the_code_that_they_stand_for(cloud: Cloud) -> None:
    """A published version keeps its code, an alias follows its version, and the context names what was invoked."""
    client = cloud.client("lambda")
    arn = cloud.function("released", ECHO.replace('"event": event', '"event": "one"'))
    version = client.publish_version(FunctionName="released")["Version"]
    client.create_alias(FunctionName="released", Name="live", FunctionVersion=version)
    client.update_function_code(FunctionName="released", ZipFile=package("def handle(e, c): return 'two'"))
    assert cloud.invoke("released")[1] == "two"
    answer = cloud.invoke("released", Qualifier="live")[1]
    assert (answer["event"], answer["version"], answer["arn"]) == ("one", version, f"{arn}:live")
    assert cloud.invoke("released", Qualifier=version)[1]["event"] == "one"


def test_reserved_concurrency_throttles_what_is_above_it(cloud: Cloud) -> None:
    """With one execution reserved a second at the same time is a 429, and with none every one is."""
    source = """
import urllib.request
def handle(event, context):
    return urllib.request.urlopen(event).read().decode() if event else "quick"
"""
    client = cloud.client("lambda")
    cloud.function("limited", source, Timeout=10)
    client.put_function_concurrency(FunctionName="limited", ReservedConcurrentExecutions=1)
    inside, release = threading.Event(), threading.Event()
    server = _Gate(inside, release)
    held: list[Any] = []
    thread = threading.Thread(target=lambda: held.append(cloud.invoke("limited", server.url)))
    thread.start()
    try:
        assert inside.wait(10)
        with pytest.raises(ClientError, match="TooManyRequestsException"):
            cloud.invoke("limited")
    finally:
        release.set()
        thread.join()
        server.close()
    assert held == [(None, "open")]
    assert cloud.invoke("limited") == (None, "quick")
    client.put_function_concurrency(FunctionName="limited", ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError, match="TooManyRequestsException"):
        cloud.invoke("limited")


def test_events_at_once_run_in_sandboxes_of_their_own(cloud: Cloud) -> None:
    """Two events that wait for each other both get through: each has its own process."""
    source = """
import os, urllib.request
def handle(event, context):
    urllib.request.urlopen(event).read()
    return os.getpid()
"""
    cloud.function("parallel", source, Timeout=10)
    both, release = threading.Barrier(2, timeout=10), threading.Event()

    class Meet(threading.Event):
        def set(self) -> None:
            if both.wait() == 0:
                release.set()

    server = _Gate(Meet(), release)
    pids: list[int] = []
    threads = [threading.Thread(target=lambda: pids.append(cloud.invoke("parallel", server.url)[1])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.close()
    assert len(set(pids)) == 2


def test_invoke_refuses_what_aws_refuses(cloud: Cloud) -> None:
    """No JSON, too much of it, no such function or version: each has AWS's own error; a dry run runs nothing."""
    client = cloud.client("lambda")
    cloud.function("strict", ECHO)
    for arguments, code in (
        ({"FunctionName": "strict", "Payload": b"{"}, "InvalidRequestContentException"),
        ({"FunctionName": "strict", "Payload": b'"' + b"x" * 6 * 1024 * 1024 + b'"'}, "RequestTooLargeException"),
        ({"FunctionName": "nobody"}, "ResourceNotFoundException"),
        ({"FunctionName": "strict", "Qualifier": "9"}, "ResourceNotFoundException"),
    ):
        with pytest.raises(ClientError) as caught:
            client.invoke(**arguments)
        assert caught.value.response["Error"]["Code"] == code
    assert client.invoke(FunctionName="strict", InvocationType="DryRun")["StatusCode"] == 204
    assert cloud.invoke("strict", {})[1]["count"] == 1


def test_an_answer_above_six_megabytes_is_an_error(cloud: Cloud) -> None:
    """A large answer comes whole; one beyond the quota is Function.ResponseSizeTooLarge."""
    cloud.function("large", "def handle(event, context): return 'x' * event")
    assert len(cloud.invoke("large", 5_000_000)[1]) == 5_000_000
    error, answer = cloud.invoke("large", 6_300_000)
    assert (error, answer["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")


def test_a_role_that_lambda_may_no_longer_assume_stops_the_function(cloud: Cloud) -> None:
    """A new sandbox needs its role: without the trust, events fail with the reason."""
    role = cloud.role("trusted", LOGS)
    cloud.function("distrusted", "def handle(e, c): ...", role=role)
    other = policy({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})
    cloud.client("iam").update_assume_role_policy(RoleName="trusted", PolicyDocument=other)
    error, answer = cloud.invoke("distrusted")
    assert error == "Unhandled"
    assert "cannot be assumed by lambda.amazonaws.com" in answer["errorMessage"]


def test_a_deleted_function_leaves_no_process(cloud: Cloud) -> None:
    """The warm sandboxes of a function end with it."""
    cloud.function("deleted", "import os\ndef handle(e, c): return os.getpid()")
    pid = cloud.invoke("deleted")[1]
    os.kill(pid, 0)
    cloud.client("lambda").delete_function(FunctionName="deleted")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


class _Gate:
    """A page that tells when it is asked for, and answers when it may."""

    def __init__(self, asked: threading.Event, release: threading.Event) -> None:
        from local.serving import Server  # noqa: PLC0415

        def app(_environ: Any, start_response: Any) -> list[bytes]:
            asked.set()
            assert release.wait(10)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"open"]

        self._server = Server(app, port=0, purpose="gate")
        self._server.start()

    @property
    def url(self) -> str:
        """Its address."""
        return self._server.url

    def close(self) -> None:
        """End it."""
        self._server.close()


def test_an_asynchronous_event_is_taken_at_once_and_run(cloud: Cloud) -> None:
    """An Event invocation answers 202 before the function has run, and the function then runs."""
    cloud.function("later", "def handle(event, context): print('ran with', event)")
    answer = cloud.client("lambda").invoke(FunctionName="later", InvocationType="Event", Payload=b'{"a":1}')
    assert answer["StatusCode"] == 202
    assert cloud.running.settle()
    assert any("ran with {'a': 1}" in line for line in cloud.log("/aws/lambda/later"))


def letters(cloud: Cloud, url: str) -> list[Any]:
    """Return the messages of a queue."""
    answer = cloud.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    return list(answer.get("Messages", []))


def test_a_failing_asynchronous_event_is_tried_three_times_and_becomes_a_dead_letter(cloud: Cloud) -> None:
    """After one and after two more minutes of the movable clock, then the payload lies in the dead-letter queue."""
    url = cloud.client("sqs").create_queue(QueueName="letters")["QueueUrl"]
    queue = "arn:aws:sqs:us-east-1:123456789012:letters"
    role = cloud.role("failing", LOGS, {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue})
    source = "def handle(event, context): raise ValueError('never')"
    cloud.function("failing", source, role=role, DeadLetterConfig={"TargetArn": queue})
    cloud.client("lambda").invoke(FunctionName="failing", InvocationType="Event", Payload=b'{"a":1}')
    assert cloud.running.settle()

    def attempts() -> int:
        return sum(line.startswith("START") for line in cloud.log("/aws/lambda/failing"))

    assert attempts() == 1
    cloud.running.clock.advance(59)
    assert attempts() == 1
    cloud.running.clock.advance(2)
    assert attempts() == 2
    assert letters(cloud, url) == []
    cloud.running.clock.advance(121)
    assert attempts() == 3
    (letter,) = letters(cloud, url)
    assert json.loads(letter["Body"]) == {"a": 1}
    assert letter["MessageAttributes"]["ErrorMessage"]["StringValue"] == "never"


def test_an_event_invoke_config_sets_retries_and_destinations(cloud: Cloud) -> None:
    """With no retries a failure goes at once to the on-failure destination, a success to the other."""
    made = {}
    for name in ("failed", "succeeded"):
        made[name] = cloud.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    arns = {name: f"arn:aws:sqs:us-east-1:123456789012:{name}" for name in made}
    role = cloud.role("destined", LOGS, {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"})
    cloud.function("destined", "def handle(event, context): return 1 / event", role=role)
    cloud.client("lambda").put_function_event_invoke_config(
        FunctionName="destined",
        MaximumRetryAttempts=0,
        DestinationConfig={
            "OnFailure": {"Destination": arns["failed"]},
            "OnSuccess": {"Destination": arns["succeeded"]},
        },
    )
    for payload in (b"0", b"1"):
        cloud.client("lambda").invoke(FunctionName="destined", InvocationType="Event", Payload=payload)
    assert cloud.running.settle()
    (failed,), (succeeded,) = (letters(cloud, made[name]) for name in ("failed", "succeeded"))
    record = json.loads(failed["Body"])
    assert (record["requestPayload"], record["requestContext"]["condition"]) == (0, "RetriesExhausted")
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert json.loads(succeeded["Body"])["responsePayload"] == 1


def test_a_letter_that_the_role_may_not_send_is_lost_and_said_to_be(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the permission there is no dead letter, and the cloud's log says which event is lost and why."""
    cloud.client("sqs").create_queue(QueueName="unreachable")
    target = {"TargetArn": "arn:aws:sqs:us-east-1:123456789012:unreachable"}
    cloud.function("unlucky", "def handle(e, c): raise ValueError", DeadLetterConfig=target)
    cloud.client("lambda").put_function_event_invoke_config(FunctionName="unlucky", MaximumRetryAttempts=0)
    cloud.client("lambda").invoke(FunctionName="unlucky", InvocationType="Event")
    assert cloud.running.settle()
    assert "an event is lost" in caplog.text
    assert "sqs:SendMessage" in caplog.text
