"""CloudWatch and SNS: log groups, alarms, topics."""

# ruff: noqa: RUF012, ARG002 - tables that nothing changes; arguments that the base class gives to all

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from typing import Any

from infra.provider import CheckFailure, Properties
from local.aws.provider.cloud import Client
from local.aws.provider.documents import ATTACHED, json_object
from local.aws.provider.kind import Kind, Name, Tagging
from local.aws.provider.kinds.sqs import text
from local.aws.provider.shapes import from_aws, request, to_aws

RETENTION = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
"""Days for which CloudWatch Logs keeps events (PutRetentionPolicy); 0 in Pulumi means for ever."""


DEFAULT_TOPIC_ACTIONS = (
    "AddPermission",
    "DeleteTopic",
    "GetTopicAttributes",
    "ListSubscriptionsByTopic",
    "Publish",
    "RemovePermission",
    "SetTopicAttributes",
    "Subscribe",
)
"""What the policy of a new topic lets its owner do."""


ENDPOINTS = {
    "application": "arn:",
    "email": "@",
    "email-json": "@",
    "firehose": "arn:",
    "http": "http://",
    "https": "https://",
    "lambda": "arn:",
    "sms": "+",
    "sqs": "arn:",
}
"""Protocols of SNS (Subscribe), and what an endpoint for each of them has."""


class LogGroup(Kind):
    """A log group."""

    token, service, form = "aws:cloudwatch/logGroup:LogGroup", "logs", "{name}"
    creates, deletes = "create_log_group", "delete_log_group"
    name = Name("name", 512)
    renames = {"name": "logGroupName"}
    replaces = frozenset({"name", "logGroupClass"})
    late = frozenset({"retentionInDays"})
    local = frozenset({"skipDestroy"})
    instead = {"deletionProtectionEnabled": "use Pulumi's protect option"}
    defaults = {"retentionInDays": 0, "kmsKeyId": "", "logGroupClass": "STANDARD"}
    tagging = Tagging("tag_resource", "untag_resource", "list_tags_for_resource", "resourceArn", "arn")

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield retentions that CloudWatch Logs does not have."""
        days = p.get("retentionInDays")
        if isinstance(days, int) and days not in {0, *RETENTION}:
            yield CheckFailure("retentionInDays", f"must be 0 (for ever) or one of {RETENTION}, got {days}")

    def settle(self, c: Client, id_: str, old: Properties, new: Properties) -> None:
        """Set how long events are kept."""
        if days := new.get("retentionInDays"):
            c.call("put_retention_policy", logGroupName=id_, retentionInDays=days)
        elif old.get("retentionInDays"):
            c.call("delete_retention_policy", logGroupName=id_)

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Find the group in the list: there is no call for a single one."""
        for group in c.pages("describe_log_groups", "logGroups", logGroupNamePrefix=id_):
            if group["logGroupName"] == id_:
                found = self.state({**group, "arn": group["arn"].removesuffix(":*")})
                return {"retentionInDays": 0, "logGroupClass": "STANDARD", **found}
        return None

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Change the key."""
        if "kmsKeyId" in changed and new.get("kmsKeyId"):
            c.call("associate_kms_key", logGroupName=id_, kmsKeyId=new["kmsKeyId"])
        elif "kmsKeyId" in changed:
            c.call("disassociate_kms_key", logGroupName=id_)

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Delete the group, unless it is to stay."""
        if not state.get("skipDestroy"):
            super().remove(c, id_, state)


class MetricAlarm(Kind):
    """An alarm on one metric or on an expression over several; it is always put as a whole."""

    token, service, form = "aws:cloudwatch/metricAlarm:MetricAlarm", "cloudwatch", "{name}"
    creates = updates = "put_metric_alarm"
    deletes = "delete_alarms"
    name = Name("name", 255)
    renames = {
        "name": "AlarmName",
        "arn": "AlarmArn",
        "evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile",
    }
    replaces = frozenset({"name"})
    own = frozenset({"metricQueries"})
    needs = frozenset({"comparisonOperator", "evaluationPeriods"})
    instead = dict.fromkeys(
        ("evaluationCriteria", "evaluationInterval", "evaluationWindow", "warmUpConfiguration"), "leave it out"
    )
    defaults = {"actionsEnabled": True, "treatMissingData": "missing"}
    tagging = Tagging("tag_resource", "untag_resource", "list_tags_for_resource", "ResourceARN", "arn")

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield what PutMetricAlarm refuses between properties."""
        queries = p.get("metricQueries")
        single = [name for name in ("metricName", "namespace", "period", "statistic") if p.get(name) is not None]
        if queries and single:
            yield CheckFailure(single[0], "does not go with metricQueries: leave one of the two out")
        if not queries:
            for name in ("metricName", "namespace", "period"):
                if p.get(name) is None:
                    yield CheckFailure(name, "is required without metricQueries")
            if (p.get("statistic") is None) == (p.get("extendedStatistic") is None):
                yield CheckFailure("statistic", "give either statistic or extendedStatistic")
        if (p.get("threshold") is None) == (p.get("thresholdMetricId") is None):
            yield CheckFailure("threshold", "give either threshold or thresholdMetricId")
        period = p.get("period")
        if isinstance(period, int) and period not in {10, 20, 30} and (period < 60 or period % 60):
            yield CheckFailure("period", f"must be 10, 20, 30 or a multiple of 60 seconds, got {period}")
        treatment = p.get("treatMissingData")
        if isinstance(treatment, str) and treatment not in {"missing", "ignore", "breaching", "notBreaching"}:
            yield CheckFailure("treatMissingData", f"must be missing, ignore, breaching or notBreaching: {treatment!r}")
        points, periods = p.get("datapointsToAlarm"), p.get("evaluationPeriods")
        if isinstance(points, int) and isinstance(periods, int) and points > periods:
            yield CheckFailure("datapointsToAlarm", f"must not be above evaluationPeriods ({periods}), got {points}")

    def arguments(self, method: str, p: Mapping[str, Any]) -> dict[str, Any]:
        """Return the alarm as AWS spells it; a query's metric and statistic lie one level deeper there."""
        if method == self.deletes:
            return {"AlarmNames": [p["name"]]}
        arguments = super().arguments(method, p)
        if p.get("metricQueries"):
            shape = request("cloudwatch", "put_metric_alarm")["Metrics"]
            arguments["Metrics"] = to_aws(shape, [_query(query) for query in p["metricQueries"]], {})
        return arguments

    def make(self, c: Client, p: Properties) -> str:
        """Put the alarm."""
        c.call("put_metric_alarm", **self.arguments("put_metric_alarm", p))
        return str(p["name"])

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the alarm."""
        alarms = c.call("describe_alarms", AlarmNames=[id_])["MetricAlarms"]
        if not alarms:
            return None
        found = self.state(alarms[0])
        queries = [_query_state(query) for query in alarms[0].get("Metrics") or []]
        lists = {name: found.get(name) or None for name in ("alarmActions", "okActions", "insufficientDataActions")}
        return {
            **found,
            **lists,
            "dimensions": found.get("dimensions") or None,
            "metricQueries": queries or None,
        }


def _query(p: Properties) -> Properties:
    metric = p.get("metric")
    if not metric:
        return p
    inner = {name: value for name, value in metric.items() if name in {"metricName", "namespace", "dimensions"}}
    outer = {name: value for name, value in metric.items() if name not in inner}
    return {**{k: v for k, v in p.items() if k != "metric"}, "metricStat": {"metric": inner, **outer}}


def _query_state(answer: dict[str, Any]) -> Properties:
    found = {
        "id": answer["Id"],
        "accountId": answer.get("AccountId"),
        "expression": answer.get("Expression"),
        "label": answer.get("Label"),
        "period": answer.get("Period"),
        "returnData": answer.get("ReturnData"),
    }
    if statistic := answer.get("MetricStat"):
        metric = statistic.get("Metric") or {}
        inner = {
            "metricName": metric.get("MetricName"),
            "namespace": metric.get("Namespace"),
            "dimensions": from_aws(dict[str, str], metric.get("Dimensions") or None, {}),
            "period": statistic.get("Period"),
            "stat": statistic.get("Stat"),
            "unit": statistic.get("Unit"),
        }
        found["metric"] = {name: value for name, value in inner.items() if value is not None}
    return {name: value for name, value in found.items() if value is not None}


class Topic(Kind):
    """A topic; its attributes are set one by one."""

    token, service, form = "aws:sns/topic:Topic", "sns", "{arn}"
    creates, deletes = "create_topic", "delete_topic"
    name = Name("name", 256)
    attributes = {
        "contentBasedDeduplication": "ContentBasedDeduplication",
        "deliveryPolicy": "DeliveryPolicy",
        "displayName": "DisplayName",
        "fifoTopic": "FifoTopic",
        "kmsMasterKeyId": "KmsMasterKeyId",
        "policy": "Policy",
        "signatureVersion": "SignatureVersion",
        "tracingConfig": "TracingConfig",
    }
    renames = {**attributes, "arn": "TopicArn"}
    own = frozenset(attributes)
    twins = frozenset({"policy"})
    replaces = frozenset({"name", "fifoTopic"})
    documents = {"policy": ATTACHED, "deliveryPolicy": json_object}
    defaults = {"displayName": "", "kmsMasterKeyId": "", "deliveryPolicy": "", "fifoTopic": False}
    tagging = Tagging("tag_resource", "untag_resource", "list_tags_for_resource", "ResourceArn", "arn")

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield names that do not fit the topic's type."""
        name, fifo = p.get("name"), p.get("fifoTopic") is True
        if isinstance(name, str) and name.endswith(".fifo") != fifo:
            yield CheckFailure("name", f"{name!r}: the names of FIFO topics, and no others, end with .fifo")
        if p.get("contentBasedDeduplication") is True and not fifo:
            yield CheckFailure("contentBasedDeduplication", "is for FIFO topics: set fifoTopic, or leave it out")

    def make(self, c: Client, p: Properties) -> str:
        """Create the topic with its attributes."""
        given = {target: text(p[name]) for name, target in self.attributes.items() if p.get(name) is not None}
        return str(c.call("create_topic", Name=p["name"], Attributes=given)["TopicArn"])

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the attributes."""
        found = c.call("get_topic_attributes", TopicArn=id_)["Attributes"]
        name = id_.rpartition(":")[2]
        given = {key: value for key, value in found.items() if value != ""}
        return {"displayName": "", **self.state(given), "arn": id_, "name": name, "owner": id_.split(":")[4]}

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Set each changed attribute."""
        for name in sorted(changed & self.attributes.keys()):
            value = text(new.get(name, ""))
            c.call("set_topic_attributes", TopicArn=id_, AttributeName=self.attributes[name], AttributeValue=value)

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Delete the topic."""
        c.call("delete_topic", TopicArn=id_)


class TopicPolicy(Kind):
    """A topic's policy; deleting it leaves the policy that AWS gives to new topics."""

    token, service, form = "aws:sns/topicPolicy:TopicPolicy", "sns", "{arn}"
    own = frozenset({"arn", "policy"})
    replaces = frozenset({"arn"})
    documents = {"policy": ATTACHED}

    def make(self, c: Client, p: Properties) -> str:
        """Put the policy."""
        self._put(c, p["arn"], p["policy"])
        return str(p["arn"])

    @staticmethod
    def _put(c: Client, arn: str, policy: str) -> None:
        c.call("set_topic_attributes", TopicArn=arn, AttributeName="Policy", AttributeValue=policy)

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the policy."""
        attributes = c.call("get_topic_attributes", TopicArn=id_)["Attributes"]
        return {"arn": id_, "owner": id_.split(":")[4], "policy": attributes["Policy"]}

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Put the policy again."""
        self._put(c, id_, new["policy"])

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Put a policy that lets the owner's account do what a new topic's lets it."""
        statement = {
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": [f"SNS:{action}" for action in DEFAULT_TOPIC_ACTIONS],
            "Resource": id_,
            "Condition": {"StringEquals": {"AWS:SourceOwner": id_.split(":")[4]}},
        }
        document = {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}
        self._put(c, id_, json.dumps(document))


class TopicSubscription(Kind):
    """Who gets a topic's messages."""

    token, service, form = "aws:sns/topicSubscription:TopicSubscription", "sns", "{arn}"
    creates = "subscribe"
    attributes = {
        "deliveryPolicy": "DeliveryPolicy",
        "filterPolicy": "FilterPolicy",
        "filterPolicyScope": "FilterPolicyScope",
        "rawMessageDelivery": "RawMessageDelivery",
        "redrivePolicy": "RedrivePolicy",
        "subscriptionRoleArn": "SubscriptionRoleArn",
    }
    renames = {**attributes, "topic": "TopicArn", "arn": "SubscriptionArn", "ownerId": "Owner"}
    own = frozenset(attributes)
    replaces = frozenset({"endpoint", "protocol", "topic"})
    instead = dict.fromkeys(("confirmationTimeoutInMinutes", "endpointAutoConfirms", "replayPolicy"), "leave it out")
    documents = dict.fromkeys(("deliveryPolicy", "filterPolicy", "redrivePolicy"), json_object)
    defaults = {
        "deliveryPolicy": "",
        "filterPolicy": "",
        "rawMessageDelivery": False,
        "redrivePolicy": "",
        "subscriptionRoleArn": "",
    }

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield protocols that SNS does not have, and endpoints that do not fit theirs."""
        protocol, endpoint = p.get("protocol"), p.get("endpoint")
        if isinstance(protocol, str) and protocol not in ENDPOINTS:
            yield CheckFailure("protocol", f"must be one of {', '.join(ENDPOINTS)}, got {protocol!r}")
        elif isinstance(protocol, str) and isinstance(endpoint, str) and ENDPOINTS[protocol] not in endpoint:
            yield CheckFailure(
                "endpoint", f"is no endpoint for the protocol {protocol}: it has {ENDPOINTS[protocol]!r}"
            )

    def make(self, c: Client, p: Properties) -> str:
        """Subscribe; an e-mail address still has to confirm it."""
        given = {target: text(p[name]) for name, target in self.attributes.items() if p.get(name) is not None}
        arguments = self.arguments("subscribe", p)
        return str(c.call("subscribe", ReturnSubscriptionArn=True, Attributes=given, **arguments)["SubscriptionArn"])

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the attributes."""
        found = c.call("get_subscription_attributes", SubscriptionArn=id_)["Attributes"]
        return {"rawMessageDelivery": False, **self.state({key: value for key, value in found.items() if value != ""})}

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Set each changed attribute."""
        for name in sorted(changed & self.attributes.keys()):
            value = text(new.get(name, ""))
            target = self.attributes[name]
            c.call("set_subscription_attributes", SubscriptionArn=id_, AttributeName=target, AttributeValue=value)

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """End the subscription."""
        c.call("unsubscribe", SubscriptionArn=id_)
