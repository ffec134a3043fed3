"""Monitoring: the topic that alarms go to, and an alarm for everything that would weaken a promise of the gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pulumi
import pulumi_aws as aws
from parley.core.chains import FINDINGS, REFUSED, UNREAD
from parley.core.verification import METRICS
from parley.env import DIRECT, PROXY

from infra import documents
from infra.gate import ConsentGate, GateFunction, PublicApi
from infra.options import component
from infra.records import RecordStore
from infra.settings import Settings
from infra.statements import Place

FIVE_MINUTES = 300
RUN_SECONDS = 60
"""How long a run of the reconciler may take at most, rounded up to a minute."""

ONE_DAY = 86_400
"""Seconds; a day is the longest that an alarm may look back on (PutMetricAlarm, period times evaluation periods)."""


def exposure_seconds(settings: Settings) -> int:
    """Return how long a session may outlive a consent when everything else failed: one interval and one run."""
    return settings.session.reconcile_seconds + RUN_SECONDS


LATE_WORK_SECONDS = 14_400
"""How old work in a queue may be: four hours, in which what Twilio has not finished is tried again and again."""

LATE_MILLISECONDS = 900_000
"""How old a record of the ledger's stream may be when it is copied."""


_ASKED: Mapping[str, tuple[str, str]] = {
    PROXY: ("intercept", "The intercept is slow (p99): after 15 seconds Twilio connects without an answer"),
    DIRECT: ("inbound-call", "Calls are answered slowly (p99): after 15 seconds Twilio asks the fallback"),
}
"""By how people are masked: the function that Twilio waits for, and what it means if it is slow."""


class Monitoring(pulumi.ComponentResource):
    """Alarms on failing, throttled and slow functions, dead letters, server errors, and on what no longer runs."""

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
        self.alarms: list[aws.cloudwatch.MetricAlarm] = []
        self.topic_policy = aws.sns.TopicPolicy(
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
                opts=pulumi.ResourceOptions(parent=self, depends_on=[self.topic_policy]),
            )
        for function in gate.functions.values():
            self._watch(function)
            self._watch_work(function)
        self._alarm(
            "api-errors",
            "The API answered with a server error: Twilio goes on connecting open sessions when that happens",
            namespace="AWS/ApiGateway",
            metric="5xx",
            dimensions={"ApiId": api.api.id, "Stage": api.stage.name},
        )
        asked, slow = _ASKED[settings.masking]
        self._alarm(
            f"{asked}-slow",
            slow,
            namespace="AWS/Lambda",
            metric="Duration",
            dimensions={"FunctionName": gate.functions[asked].function.name},
            statistic="p99",
            threshold=settings.alarms.intercept_milliseconds,
        )
        if settings.is_direct:
            self._watch_pool(gate)
        self._watch_silence(gate)
        self._alarm(
            "exposure",
            "Somebody stayed reachable after saying no for longer than the bound of this stack",
            namespace=METRICS,
            metric="ExposureSeconds",
            dimensions={"Stack": settings.stack},
            statistic="Maximum",
            # Reaching the bound keeps it.
            threshold=exposure_seconds(settings) + 1,
        )
        for metric, what in (("Differences", "differs from"), ("CannotTell", "cannot be held against")):
            self._alarm(
                f"verify-{'differences' if metric == 'Differences' else 'cannot-tell'}",
                f"Something live {what} the declaration: `parley verify` names it, with the way out",
                namespace=METRICS,
                metric=metric,
                dimensions={"Stack": settings.stack},
                statistic="Maximum",
                threshold=1,
                period=ONE_DAY,
            )
        self._watch_evidence(gate)
        self._watch_records()
        self.register_outputs({"topicArn": self.topic.arn})

    def _watch_pool(self, gate: ConsentGate) -> None:
        """Watch that numbers are left, and that nothing has to be answered by the fallback."""
        self._alarm(
            "pool-short",
            "Somebody of a country has all its masked numbers in use: add numbers before a session is refused",
            namespace=METRICS,
            metric="PoolShort",
            dimensions={"Stack": self._settings.stack},
            statistic="Maximum",
            threshold=1,
        )
        self._alarm(
            "relay-incomplete",
            "A text reached not everybody that it was for, or somebody could not be called: the log names the session",
            namespace=METRICS,
            metric="RelaysIncomplete",
            dimensions={"Stack": self._settings.stack},
            threshold=1,
        )
        self._alarm(
            "fallback-asked",
            "Twilio asked the fallback: a call or text met a function that failed, and reached nobody",
            namespace="AWS/Lambda",
            metric="Invocations",
            dimensions={"FunctionName": gate.functions["fallback"].function.name},
            threshold=1,
        )

    def _watch_silence(self, gate: ConsentGate) -> None:
        """Watch that what the clock starts runs at all."""
        for name, seconds, what in (
            ("reconcile", 2 * self._settings.session.reconcile_seconds, "a lost withdrawal"),
            ("recorder", FIVE_MINUTES, "a recording that must not go on"),
            ("sweep", ONE_DAY, "what is over its time at Twilio"),
            ("verify", ONE_DAY, "what differs from the declaration"),
            ("chain", ONE_DAY, "a consent record that was changed"),
        ):
            self._alarm(
                f"{name}-stopped",
                f"{name} does not run any more: nobody would notice {what}",
                namespace="AWS/Lambda",
                metric="Invocations",
                dimensions={"FunctionName": gate.functions[name].function.name},
                threshold=1,
                below=True,
                period=max(FIVE_MINUTES, seconds),
            )

    def _watch_evidence(self, gate: ConsentGate) -> None:
        """Watch that each consent record is copied, and that chains and copies are held against each other."""
        self._alarm(
            "evidence-late",
            "Consent records wait for their copies for a quarter of an hour: after six hours they become dead letters",
            namespace="AWS/Lambda",
            metric="IteratorAge",
            dimensions={"FunctionName": gate.functions["evidence"].function.name},
            statistic="Maximum",
            threshold=LATE_MILLISECONDS,
        )
        for metric, name, period, what in (
            (REFUSED, "evidence-refused", FIVE_MINUTES, "A new row of the ledger is no consent record: it has no copy"),
            (FINDINGS, "chain-findings", ONE_DAY, "A consent record or its copy is not as it was written"),
            (UNREAD, "chain-unread", ONE_DAY, "Consent records or copies could not be read by the check of the chains"),
        ):
            self._alarm(
                name,
                f"{what}; the function's log names it",
                namespace=METRICS,
                metric=metric,
                dimensions={"Stack": self._settings.stack},
                statistic="Maximum",
                threshold=1,
                period=period,
            )

    def _watch_records(self) -> None:
        """Watch what the pipelines of records tell: each of these is a promise at risk, whose log names the record."""
        for metric, name, period, threshold, what in (
            (
                "RecordingsDropped",
                "recordings-dropped",
                FIVE_MINUTES,
                1,
                "A recording without consent on record was made",
            ),
            ("RecordingsLost", "recordings-lost", FIVE_MINUTES, 1, "A recording is gone at Twilio and not archived"),
            ("RecordingsGivenUp", "recordings-given-up", FIVE_MINUTES, 1, "A call that could be recorded was not"),
            ("DeletionsOverdue", "deletions-overdue", ONE_DAY, 1, "Twilio refuses to delete something for 14 days"),
            ("ErasuresOverdue", "erasures-overdue", ONE_DAY, 1, "An erasure is not done after 14 days"),
            (
                "HoldsToReview",
                "holds-to-review",
                ONE_DAY,
                1,
                "The day has come on which a legal hold is to be reviewed",
            ),
            ("MessagesUngated", "messages-ungated", FIVE_MINUTES, 1, "A chat message passed without consent"),
            ("ReadsDenied", "reads-denied", FIVE_MINUTES, 10, "Somebody tries to read records who may not"),
        ):
            self._alarm(
                name,
                f"{what}; the function's log names it",
                namespace=METRICS,
                metric=metric,
                dimensions={"Stack": self._settings.stack},
                statistic="Sum" if metric == "ReadsDenied" else "Maximum",
                threshold=threshold,
                period=period,
            )

    def _watch_work(self, deployed: GateFunction) -> None:
        """Watch that a queue is worked off: what waits there for long is a record that is not where it belongs."""
        if deployed.work is None:
            return
        self._alarm(
            f"{deployed.handler.name}-work-late",
            f"Work of {deployed.handler.name} waits for hours; after its retention it is lost",
            namespace="AWS/SQS",
            metric="ApproximateAgeOfOldestMessage",
            dimensions={"QueueName": deployed.work.queue.name},
            statistic="Maximum",
            threshold=LATE_WORK_SECONDS,
        )

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
        period: int = FIVE_MINUTES,
    ) -> None:
        """Tell the topic when a `period` (seconds) reaches `threshold` (the stack's faults), or stays `below` it."""
        percentile = statistic == "p99"
        alarm = aws.cloudwatch.MetricAlarm(
            name,
            # Key and topic policies know this stack's alarms by the start of their names.
            name=f"{self._settings.prefix}-{name}",
            alarm_description=description,
            namespace=namespace,
            metric_name=metric,
            dimensions=dimensions,
            statistic=None if percentile else statistic,
            extended_statistic=statistic if percentile else None,
            period=period,
            evaluation_periods=1,
            threshold=self._settings.alarms.faults if threshold is None else threshold,
            comparison_operator="LessThanThreshold" if below else "GreaterThanOrEqualToThreshold",
            # Silence is good news but from what must make itself heard.
            treat_missing_data="breaching" if below else "notBreaching",
            alarm_actions=[self.topic.arn],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.alarms.append(alarm)
