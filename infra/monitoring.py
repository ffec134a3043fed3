"""Monitoring: the topic that alarms go to, and an alarm for everything that would weaken a promise of the gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pulumi
import pulumi_aws as aws

from infra import documents
from infra.documents import Place
from infra.gate import ConsentGate, GateFunction, PublicApi
from infra.options import component
from infra.records import RecordStore
from infra.settings import Settings

FIVE_MINUTES = 300


class Monitoring(pulumi.ComponentResource):
    """Alarms on failing, throttled and slow functions, dead letters, server errors, and a reconciler that stopped."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        place: Place,
        *,
        api: PublicApi,
        gate: ConsentGate,
        records: RecordStore,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("parley:infra:Monitoring", name, {}, component(settings, "operations", opts, guarded=False))
        self._settings = settings
        self.topic = aws.sns.Topic(
            "alarms", kms_master_key_id=records.operations_key.arn, opts=pulumi.ResourceOptions(parent=self)
        )
        policy = aws.sns.TopicPolicy(
            "alarms",
            arn=self.topic.arn,
            policy=self.topic.arn.apply(lambda arn: documents.alarm_topic(place, arn, settings.prefix)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        if settings.alarms.email:
            aws.sns.TopicSubscription(
                "alarms",
                topic=self.topic.arn,
                protocol="email",
                endpoint=settings.alarms.email,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
            )
        for function in gate.functions.values():
            self._watch(function)
        self._alarm(
            "api-errors",
            "The API answered with a server error: Twilio goes on connecting open sessions when that happens",
            namespace="AWS/ApiGateway",
            metric="5xx",
            dimensions={"ApiId": api.api.id, "Stage": api.stage.name},
        )
        self._alarm(
            "intercept-slow",
            "The intercept is slow (p99): after 15 seconds Twilio connects without an answer",
            namespace="AWS/Lambda",
            metric="Duration",
            dimensions={"FunctionName": gate.functions["intercept"].function.name},
            statistic="p99",
            threshold=settings.alarms.intercept_milliseconds,
        )
        self._alarm(
            "reconcile-stopped",
            "The reconciler has not run for five minutes: a lost withdrawal would not be noticed",
            namespace="AWS/Lambda",
            metric="Invocations",
            dimensions={"FunctionName": gate.functions["reconcile"].function.name},
            threshold=1,
            below=True,
        )
        self.register_outputs({"topicArn": self.topic.arn})

    def _watch(self, deployed: GateFunction) -> None:
        name = deployed.handler.name
        function = {"FunctionName": deployed.function.name}
        self._alarm(f"{name}-errors", f"{name} fails", namespace="AWS/Lambda", metric="Errors", dimensions=function)
        self._alarm(
            f"{name}-throttles",
            f"{name} is throttled, so it does not answer",
            namespace="AWS/Lambda",
            metric="Throttles",
            dimensions=function,
        )
        self._alarm(
            f"{name}-dead-letters",
            f"{name} left work undone; look at it before it expires",
            namespace="AWS/SQS",
            metric="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": deployed.dead_letters.name},
            statistic="Maximum",
            threshold=1,
        )

    def _alarm(
        self,
        name: str,
        description: str,
        *,
        namespace: str,
        metric: str,
        dimensions: Mapping[str, pulumi.Input[str]],
        statistic: Literal["Sum", "Maximum", "p99"] = "Sum",
        threshold: int | None = None,
        below: bool = False,
    ) -> None:
        """Tell the topic when five minutes reach `threshold` (the stack's number of faults), or stay `below` it."""
        percentile = statistic == "p99"
        aws.cloudwatch.MetricAlarm(
            name,
            # Key and topic policies know this stack's alarms by the start of their names.
            name=f"{self._settings.prefix}-{name}",
            alarm_description=description,
            namespace=namespace,
            metric_name=metric,
            dimensions=dimensions,
            statistic=None if percentile else statistic,
            extended_statistic=statistic if percentile else None,
            period=FIVE_MINUTES,
            evaluation_periods=1,
            threshold=self._settings.alarms.faults if threshold is None else threshold,
            comparison_operator="LessThanThreshold" if below else "GreaterThanOrEqualToThreshold",
            # Silence is good news but from what must make itself heard.
            treat_missing_data="breaching" if below else "notBreaching",
            alarm_actions=[self.topic.arn],
            opts=pulumi.ResourceOptions(parent=self),
        )
