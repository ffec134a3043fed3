"""Queues and schedules that feed functions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.lambda_ import schedule_expression
from tests.local.cloud_fixture import LOGS, Cloud, cloud

__all__ = ["cloud"]

FEED = {
    "Effect": "Allow",
    "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
    "Resource": "*",
}
PICKY = """
import json
def handle(event, context):
    bodies = [record["body"] for record in event["Records"]]
    print("batch", json.dumps(bodies))
    if "crash" in bodies:
        raise ValueError("crash")
    poison = [record for record in event["Records"] if record["body"] == "poison"]
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in poison]}
"""


def queue(cloud: Cloud, name: str, **attributes: str) -> tuple[str, str]:
    """Make a queue; return its URL and ARN."""
    url = cloud.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, f"arn:aws:sqs:us-east-1:123456789012:{name}"


def fed(cloud: Cloud, name: str, source: str = PICKY, **mapping: Any) -> tuple[str, str]:
    """Make a function with a queue, a dead-letter queue after two receptions; return both queues' URLs."""
    dead, dead_arn = queue(cloud, f"{name}-dead")
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    url, arn = queue(cloud, name, RedrivePolicy=redrive, VisibilityTimeout="60")
    cloud.function(name, source, role=cloud.role(name, LOGS, FEED))
    cloud.client("lambda").create_event_source_mapping(FunctionName=name, EventSourceArn=arn, **mapping)
    return url, dead


def send(cloud: Cloud, url: str, *bodies: str) -> None:
    """Send messages in one call, so that they are there together."""
    entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
    cloud.client("sqs").send_message_batch(QueueUrl=url, Entries=entries)
    assert cloud.running.settle()


def waiting(cloud: Cloud, url: str) -> int:
    """Return how many messages a queue holds, seen or not."""
    names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
    got = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(got[name]) for name in names)


def handled(cloud: Cloud, name: str) -> list[str]:
    """Return the bodies that a function was given, in order."""
    lines = [line for line in cloud.log(f"/aws/lambda/{name}") if line.startswith("batch ")]
    return [body for line in lines for body in json.loads(line.removeprefix("batch "))]


def test_messages_reach_the_function_and_leave_the_queue(cloud: Cloud) -> None:
    """What the function has worked off is deleted."""
    url, dead = fed(cloud, "plain")
    send(cloud, url, "a", "b")
    assert sorted(handled(cloud, "plain")) == ["a", "b"]
    assert (waiting(cloud, url), waiting(cloud, dead)) == (0, 0)


def test_gateway_tells_when_everything_was_handed_out(cloud: Cloud) -> None:
    """After `POST /_sim/settle` a message that had arrived was worked off."""
    url, _ = fed(cloud, "settled")
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="a")
    settle = f"{cloud.running.gateway_url}/_sim/settle"
    assert cloud.http.request("POST", settle).status == 204
    assert handled(cloud, "settled") == ["a"]


def test_of_a_batch_only_the_failed_message_comes_back_and_ends_in_the_dead_letters(cloud: Cloud) -> None:
    """With ReportBatchItemFailures the good ones go; the poison comes back once and then is a dead letter."""
    url, dead = fed(cloud, "partial", FunctionResponseTypes=["ReportBatchItemFailures"])
    send(cloud, url, "good", "poison")
    assert waiting(cloud, url) == 1
    cloud.running.clock.advance(61)
    assert waiting(cloud, dead) == 0
    cloud.running.clock.advance(61)
    assert (waiting(cloud, url), waiting(cloud, dead)) == (0, 1)
    assert sorted(handled(cloud, "partial")) == ["good", "poison", "poison"]
    (letter,) = cloud.client("sqs").receive_message(QueueUrl=dead)["Messages"]
    assert letter["Body"] == "poison"


def test_without_partial_answers_a_failure_list_is_not_looked_at(cloud: Cloud) -> None:
    """Unless the mapping asks for it, an answer without an error has worked off the whole batch."""
    url, dead = fed(cloud, "whole")
    send(cloud, url, "poison")
    assert (waiting(cloud, url), waiting(cloud, dead)) == (0, 0)


def test_a_function_error_brings_the_whole_batch_back(cloud: Cloud) -> None:
    """A batch that raises comes back after the visibility timeout, and in the end lies in the dead letters."""
    url, dead = fed(cloud, "crashing")
    send(cloud, url, "crash")
    assert waiting(cloud, url) == 1
    cloud.running.clock.advance(61)
    cloud.running.clock.advance(61)
    assert (waiting(cloud, url), waiting(cloud, dead)) == (0, 1)


def test_a_delayed_message_is_handed_out_when_its_time_has_come(cloud: Cloud) -> None:
    """A delay counts on the movable clock."""
    url, _ = fed(cloud, "delayed")
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="later", DelaySeconds=300)
    assert cloud.running.settle()
    assert waiting(cloud, url) == 1
    cloud.running.clock.advance(301)
    assert handled(cloud, "delayed") == ["later"]


def test_a_disabled_mapping_feeds_nothing_until_it_is_enabled(cloud: Cloud) -> None:
    """Messages wait while a mapping is off, and are handed out when it is on."""
    url, _ = fed(cloud, "toggled", Enabled=False)
    send(cloud, url, "a")
    assert waiting(cloud, url) == 1
    (mapping,) = cloud.client("lambda").list_event_source_mappings(FunctionName="toggled")["EventSourceMappings"]
    cloud.client("lambda").update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
    assert cloud.running.settle()
    assert handled(cloud, "toggled") == ["a"]


def test_a_mapping_needs_a_role_that_may_receive(cloud: Cloud) -> None:
    """Lambda refuses a mapping whose function's role cannot read the queue."""
    _, arn = queue(cloud, "forbidden")
    cloud.function("forbidden", PICKY)
    with pytest.raises(ClientError, match="does not have permissions to call ReceiveMessage on SQS"):
        cloud.client("lambda").create_event_source_mapping(FunctionName="forbidden", EventSourceArn=arn)


# --- schedules ---


@pytest.fixture
def scheduled(cloud: Cloud, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Give a way to schedule a function that logs its event; every schedule is deleted in the end."""
    name = f"s{abs(hash(request.node.name)) % 10**8}"
    arn = cloud.function(name, "import json\ndef handle(e, c): print('fired', json.dumps(e))", Timeout=10)
    invoke = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn}
    role = cloud.role(f"{name}-scheduler", invoke, service="scheduler.amazonaws.com")
    client = cloud.client("scheduler")

    def make(expression: str, *, target: dict[str, Any] | None = None, **settings: Any) -> Any:
        client.create_schedule(
            Name=name,
            ScheduleExpression=expression,
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": arn, "RoleArn": role, **(target or {})},
            **settings,
        )
        return lambda: [
            json.loads(line.removeprefix("fired "))
            for line in (cloud.log(f"/aws/lambda/{name}") if _has_log(cloud, name) else [])
            if line.startswith("fired ")
        ]

    make.name, make.role, make.arn = name, role, arn  # type: ignore[attr-defined]
    yield make
    for found in client.list_schedules()["Schedules"]:
        client.delete_schedule(Name=found["Name"])


def _has_log(cloud: Cloud, name: str) -> bool:
    return bool(cloud.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"])


def test_a_rate_fires_with_the_clock(cloud: Cloud, scheduled: Any) -> None:
    """Each move past a period fires once, before the move is answered, with EventBridge's own event."""
    future = datetime.fromtimestamp(cloud.running.clock.now() + 100, UTC)
    fired = scheduled("rate(1 minute)", StartDate=future)
    cloud.running.clock.advance(90)
    assert len(fired()) == 0
    cloud.running.clock.advance(15)
    assert len(fired()) == 1
    cloud.running.clock.advance(60)
    cloud.running.clock.advance(3600)
    events = fired()
    assert len(events) == 3
    assert (events[0]["source"], events[0]["detail-type"]) == ("aws.scheduler", "Scheduled Event")


def test_a_one_time_schedule_fires_once_with_its_own_input(cloud: Cloud, scheduled: Any) -> None:
    """`at` fires once, its input has its context attributes filled in, and it deletes itself where told to."""
    due = datetime.fromtimestamp(cloud.running.clock.now() + 600, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    text = json.dumps({"when": "<aws.scheduler.scheduled-time>"})
    fired = scheduled(f"at({due})", target={"Input": text}, ActionAfterCompletion="DELETE")
    for _ in range(3):
        cloud.running.clock.advance(599)
    assert fired() == [{"when": f"{due}Z"}]
    assert cloud.client("scheduler").list_schedules()["Schedules"] == []


def test_a_disabled_or_deleted_schedule_does_not_fire(cloud: Cloud, scheduled: Any) -> None:
    """An update to DISABLED stops a schedule that was on the agenda, and deleting it does."""
    future = datetime.fromtimestamp(cloud.running.clock.now() + 30, UTC)
    fired = scheduled("rate(1 minute)", StartDate=future)
    client = cloud.client("scheduler")
    client.update_schedule(
        Name=scheduled.name,
        State="DISABLED",
        ScheduleExpression="rate(1 minute)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": scheduled.arn, "RoleArn": scheduled.role},
    )
    cloud.running.clock.advance(300)
    client.delete_schedule(Name=scheduled.name)
    cloud.running.clock.advance(300)
    assert fired() == []


def test_a_schedules_role_has_to_be_allowed_to_invoke(
    cloud: Cloud, scheduled: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Without lambda:InvokeFunction nothing runs; the event is a dead letter and the log says why."""
    url, dead = queue(cloud, "schedule-dead")
    cloud.client("iam").delete_role_policy(RoleName=scheduled.role.rpartition("/")[2], PolicyName="given")
    due = datetime.fromtimestamp(cloud.running.clock.now() + 60, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fired = scheduled(f"at({due})", target={"DeadLetterConfig": {"Arn": dead}, "Input": '{"a": 1}'})
    cloud.running.clock.advance(61)
    assert fired() == []
    assert "not authorized to perform: lambda:InvokeFunction" in caplog.text
    (letter,) = cloud.client("sqs").receive_message(QueueUrl=url)["Messages"]
    assert json.loads(letter["Body"]) == {"a": 1}


@pytest.mark.parametrize(
    "expression", ["rate(0 minutes)", "rate(5)", "cron(* * * * *)", "cron(0 25 * * ? *)", "every day"]
)
def test_an_invalid_expression_is_refused(cloud: Cloud, expression: str) -> None:
    """Unlike moto, the cloud refuses what EventBridge would refuse."""
    with pytest.raises(ClientError, match=r"ValidationException.*Invalid Schedule Expression"):
        cloud.client("scheduler").create_schedule(
            Name="invalid",
            ScheduleExpression=expression,
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": "arn:aws:sqs:us-east-1:123456789012:q", "RoleArn": "arn:aws:iam::123456789012:role/r"},
        )


@pytest.mark.parametrize(
    ("expression", "zone", "after", "due"),
    [
        ("rate(5 minutes)", "UTC", "2026-03-01T00:07:00+00:00", "2026-03-01T00:10:00+00:00"),
        ("cron(0 10 * * ? *)", "UTC", "2026-03-01T10:00:00+00:00", "2026-03-02T10:00:00+00:00"),
        ("cron(0/15 8-17 ? * MON-FRI *)", "UTC", "2026-02-27T17:45:00+00:00", "2026-03-02T08:00:00+00:00"),
        ("cron(30 9 L * ? *)", "UTC", "2026-02-01T00:00:00+00:00", "2026-02-28T09:30:00+00:00"),
        ("cron(0 0 ? * 6#3 *)", "UTC", "2026-03-01T00:00:00+00:00", "2026-03-20T00:00:00+00:00"),
        ("cron(0 0 ? * 6L *)", "UTC", "2026-03-01T00:00:00+00:00", "2026-03-27T00:00:00+00:00"),
        ("cron(0 0 1W * ? *)", "UTC", "2026-07-31T12:00:00+00:00", "2026-08-03T00:00:00+00:00"),
        ("cron(0 12 1 JAN,JUL ? 2027)", "UTC", "2026-03-01T00:00:00+00:00", "2027-01-01T12:00:00+00:00"),
        ("cron(30 2 * * ? *)", "America/New_York", "2026-03-07T08:00:00+00:00", "2026-03-09T06:30:00+00:00"),
        ("at(2026-03-01T09:00:00)", "Europe/Berlin", "2026-03-01T00:00:00+00:00", "2026-03-01T08:00:00+00:00"),
    ],
)
def test_an_expression_is_due_when_eventbridge_says(expression: str, zone: str, after: str, due: str) -> None:
    """Lists, ranges, steps, names, L, W, #, years, time zones and the hour that spring leaves out."""
    start = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    schedule = schedule_expression.parse(expression, zone=zone, start=start)
    moment = schedule.next_after(datetime.fromisoformat(after).timestamp())
    assert moment is not None
    assert datetime.fromtimestamp(moment, UTC) == datetime.fromisoformat(due)


def test_a_past_moment_and_a_past_year_are_never_due() -> None:
    """A one-time schedule in the past and a cron of past years yield nothing."""
    for expression in ("at(2020-01-01T00:00:00)", "cron(0 0 1 1 ? 2020)"):
        assert schedule_expression.parse(expression).next_after(1_800_000_000.0) is None
