"""The gate: the public API that Twilio and the application call, and the functions that decide behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
from parley.core.assignment import NumberChoice
from parley.core.erasure import minimums
from parley.core.record_classes import RecordClass
from parley.core.retention import Store
from parley.env import to_environment

from infra import documents, roles
from infra.functions import SESSIONS, Handler, Work, carrying_roles, deployed_name, handlers
from infra.ledger import ConsentLedger
from infra.masking import MaskedLine
from infra.options import component
from infra.records import RecordStore
from infra.roles import FunctionReach, ObjectReach
from infra.settings import Settings
from infra.statements import Place

RUNTIME = "python3.13"
ARCHITECTURE = "arm64"
LIVE = "live"
API_LIMIT_MILLISECONDS = 30_000
"""The longest that an HTTP API waits for a function (API Gateway quotas)."""
SECONDS_A_DAY = 86_400

NEW_RECORDS = {"eventName": ["INSERT"], "dynamodb": {"Keys": {"sk": {"S": [{"prefix": "EVENT#"}]}}}}
"""Which changes of the ledger are copied: new consent records, and nothing else of a person."""

COPY_RETRIES, COPY_SECONDS = 500, 21_600
"""How often a copy is tried, and for how long (six hours), before the place in the stream becomes a dead letter.

An outage of S3 or KMS must not cost a copy, so the time decides; a row that no attempt could copy is passed over by
the function itself and keeps nobody waiting. DynamoDB keeps the stream for 24 hours.
"""


def log_group_names(settings: Settings) -> list[str]:
    """Return the name of the API's log group and the pattern of those of the functions."""
    return [f"/aws/lambda/{settings.prefix}-*", _api_log_group(settings)]


def _api_log_group(settings: Settings) -> str:
    # Under this prefix AWS needs no growing resource policy to deliver logs.
    return f"/aws/vendedlogs/{settings.prefix}-api"


# What an access log line may hold: nothing of the path, the query or the caller, where a phone number could stand.
ACCESS_LOG_FORMAT = json.dumps(
    {
        "requestId": "$context.requestId",
        "time": "$context.requestTime",
        "route": "$context.routeKey",
        "status": "$context.status",
        "latency": "$context.responseLatency",
        "functionStatus": "$context.integration.status",
        "functionLatency": "$context.integrationLatency",
    },
    separators=(",", ":"),
)


class PublicApi(pulumi.ComponentResource):
    """The address of the gate: an HTTP API with limits and access logs. It is made first, for the webhooks to point at.

    `url` has no slash at its end.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        *,
        log_key: aws.kms.Key,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("parley:infra:PublicApi", name, {}, component(settings, "operations", opts))
        child = pulumi.ResourceOptions(parent=self)
        self.api = aws.apigatewayv2.Api(
            "api", protocol_type="HTTP", description=f"{settings.prefix}: the consent gate", opts=child
        )
        self.log_group = aws.cloudwatch.LogGroup(
            "api",
            name=_api_log_group(settings),
            retention_in_days=settings.records.days(RecordClass.ACCESS_LOGS),
            kms_key_id=log_key.arn,
            opts=child,
        )
        self.stage = aws.apigatewayv2.Stage(
            "api",
            api_id=self.api.id,
            name="$default",
            auto_deploy=True,
            access_log_settings={"destination_arn": self.log_group.arn, "format": ACCESS_LOG_FORMAT},
            default_route_settings={
                "throttling_rate_limit": settings.throttle.rate_per_second,
                "throttling_burst_limit": settings.throttle.burst,
            },
            opts=child,
        )
        self.url = self.api.api_endpoint.apply(lambda url: url.rstrip("/"))
        self.register_outputs({"url": self.url})


@dataclass(frozen=True, slots=True)
class WorkQueue:
    """A queue that feeds a function, with its policy."""

    queue: aws.sqs.Queue
    policy: aws.sqs.QueuePolicy


@dataclass(frozen=True, slots=True)
class GateFunction:
    """A deployed function with what belongs to it; `work` is the queue that feeds it, if any."""

    handler: Handler
    function: aws.lambda_.Function
    alias: aws.lambda_.Alias
    log_group: aws.cloudwatch.LogGroup
    dead_letters: aws.sqs.Queue
    queue_policy: aws.sqs.QueuePolicy
    permissions: aws.iam.RolePolicy
    work: WorkQueue | None


class ConsentGate(pulumi.ComponentResource):
    """The functions that open sessions, judge every interaction and close what lost its consent.

    Each has a role, a log group and a dead-letter queue of its own. Callers reach a published version through the
    alias `live`, so that no request ever meets new code with old configuration. `code` is the path of the
    functions' zip; `deployers` are the principals that may read the Twilio secret beside the functions.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        place: Place,
        *,
        api: PublicApi,
        records: RecordStore,
        ledger: ConsentLedger,
        line: MaskedLine,
        code: str,
        deployers: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("parley:infra:ConsentGate", name, {}, component(settings, "operations", opts))
        self._settings = settings
        self._place = place
        self._records = records
        self._ledger = ledger
        self._api = api
        self._line = line
        self._code = pulumi.FileArchive(code)
        self.secret, self.secret_policy = self._secret(deployers)
        # Before the functions: each is told all queues, and may put work on those that it names.
        self._dead_letters = {each.name: self._queue(each.name) for each in handlers(settings)}
        self._queues = {each.name: self._work_queue(each.name, each.work) for each in handlers(settings) if each.work}
        self._environment: Mapping[str, pulumi.Input[str]] = to_environment(
            environment=settings.environment,
            stack=settings.stack,
            ledger_table=ledger.table.name,
            identity_key=ledger.identity_key.arn,
            twilio_secret=self.secret.arn,
            twilio_account_sid=settings.twilio.account_sid,
            proxy_service_sids=pulumi.Output.all(*line.sids).apply(",".join) if line.services else None,
            public_url=api.url,
            controller=settings.controller,
            session=settings.session,
            consent=settings.consent,
            channels=settings.channels,
            keep_days=settings.records.keep_days(),
            twilio_endpoint=settings.twilio.endpoint,
            evidence_bucket=records.evidence.bucket,
            evidence_key=records.evidence_key.arn,
            purposes={str(each): kept.purposes for each, kept in settings.records.retentions.items()},
            jurisdiction=settings.jurisdiction,
            content_bucket=records.content.bucket,
            content_key=records.content_key.arn,
            proof_key=records.proof_key.arn,
            queues=pulumi.Output.json_dumps({name: each.queue.url for name, each in self._queues.items()}),
            twilio_copy_days={
                str(each.record_class): each.twilio_copy_days for each in settings.records.living_in(Store.TWILIO)
            },
            holdable=tuple(str(each) for each, kept in settings.records.retentions.items() if kept.hold),
            readers=settings.readers,
            minimums=minimums(settings.records),
            masking=settings.masking,
            line_key=line.key.arn if line.key else None,
            number_choice=NumberChoice(settings.number_choice.geo_match, settings.number_choice.selection),
        )
        self.functions = {handler.name: self._function(handler) for handler in handlers(settings)}
        for function in self.functions.values():
            self._route(api, function)
        self._schedules = aws.scheduler.ScheduleGroup("gate", name=settings.prefix, opts=self._child)
        for function in self.functions.values():
            # The daily check waits for the declaration that it reads (`check_daily`).
            if function.handler.every and not function.handler.inspects:
                self._schedule(function)
        self._follow(self.functions["evidence"])
        for function in self.functions.values():
            self._feed(function)
        self.register_outputs({"functions": self.function_names})

    @property
    def function_names(self) -> dict[str, pulumi.Output[str]]:
        """The deployed name of every function, by its logical name."""
        return {name: function.function.name for name, function in self.functions.items()}

    @property
    def _child(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self)

    def _secret(self, deployers: Sequence[str]) -> tuple[aws.secretsmanager.Secret, aws.secretsmanager.SecretPolicy]:
        """Make the secret with the Twilio credentials, the only place where functions find them, and its policy."""
        settings = self._settings
        twilio = settings.twilio
        secret = aws.secretsmanager.Secret(
            "twilio",
            description=f"{settings.prefix}: Twilio API key and auth tokens",
            kms_key_id=self._records.operations_key.arn,
            # Without a window a stack that is taken down and made again finds its name free.
            recovery_window_in_days=30 if settings.protection.retain else 0,
            opts=self._child,
        )
        policy = aws.secretsmanager.SecretPolicy(
            "twilio",
            secret_arn=secret.arn,
            block_public_policy=True,
            policy=secret.arn.apply(
                lambda arn: documents.secret(self._place, arn, carrying_roles(settings), list(deployers))
            ),
            opts=self._child,
        )
        shared = {key: secret.value for key, secret in twilio.shared_keys.items()}
        tokens = [twilio.auth_token, *([twilio.auth_token_secondary] if twilio.auth_token_secondary else [])]
        aws.secretsmanager.SecretVersion(
            "twilio",
            secret_id=secret.id,
            secret_string=pulumi.Output.secret(
                json.dumps(
                    {
                        "api_key": twilio.api_key,
                        "api_secret": twilio.api_secret.value,
                        "auth_tokens": [token.value for token in tokens],
                        **({"shared_keys": shared} if shared else {}),
                    }
                )
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )
        return secret, policy

    def _function(self, handler: Handler) -> GateFunction:
        settings, records, ledger = self._settings, self._records, self._ledger
        name = deployed_name(settings, handler.name)
        log_group = aws.cloudwatch.LogGroup(
            handler.name,
            name=f"/aws/lambda/{name}",
            retention_in_days=settings.records.days(RecordClass.OPERATIONAL_LOGS),
            kms_key_id=records.operations_key.arn,
            opts=self._child,
        )
        dead_letters, queue_policy = self._dead_letters[handler.name]
        work = self._queues.get(handler.name)
        role = aws.iam.Role(
            handler.name,
            name=name,
            description=f"{settings.prefix}: runs {handler.entry}",
            assume_role_policy=roles.assume_by_lambda(),
            permissions_boundary=settings.permissions_boundary,
            opts=self._child,
        )
        permissions = aws.iam.RolePolicy(
            handler.name,
            role=role.name,
            policy=pulumi.Output.all(
                log_group=log_group.arn,
                dead_letters=dead_letters.arn,
                operations_key=records.operations_key.arn,
                table=ledger.table.arn,
                evidence_key=records.evidence_key.arn,
                **({"secret": self.secret.arn} if handler.carries else {}),
                **({"stream": ledger.table.stream_arn} if handler.follows else {}),
                **({"evidence": records.evidence.arn} if handler.follows or handler.audits else {}),
                **({"proof_key": records.proof_key.arn} if handler.audits else {}),
                **({"identity_key": ledger.identity_key.arn} if handler.identifies else {}),
                **({"inspects": self._inspection()} if handler.inspects else {}),
                **({"work": work.queue.arn} if work else {}),
                **({"sends": pulumi.Output.all(*self._sends(handler))} if handler.sends else {}),
                **({"objects": self._objects(handler)} if handler.stores else {}),
                **({"line_key": self._line.key.arn} if self._line.key and handler.reaches else {}),
            ).apply(
                lambda arns: roles.function_role(
                    self._place,
                    FunctionReach(
                        function=self._place.arn("lambda", f"function:{name}"),
                        table_actions=handler.table,
                        index_actions=handler.index,
                        audits=handler.audits,
                        seals=handler.seals,
                        opens=handler.name == SESSIONS,
                        **arns,
                    ),
                )
            ),
            opts=self._child,
        )
        function = aws.lambda_.Function(
            handler.name,
            name=name,
            description=f"{settings.prefix}: {handler.entry}",
            runtime=RUNTIME,
            architectures=[ARCHITECTURE],
            handler=handler.entry,
            code=self._code,
            role=role.arn,
            timeout=handler.timeout,
            memory_size=max(handler.memory, settings.functions.memory_megabytes),
            # Unset means the account's shared pool; what is scheduled never needs a second run beside the first.
            reserved_concurrent_executions=1
            if handler.every and not handler.work and settings.functions.reserved_concurrency
            else settings.functions.reserved_concurrency,
            kms_key_arn=records.operations_key.arn,
            environment={"variables": self._environment},
            dead_letter_config={"target_arn": dead_letters.arn},
            logging_config={
                "log_format": "JSON",
                "log_group": log_group.name,
                # Never DEBUG: the AWS libraries would log requests and answers, secrets and numbers among them.
                "application_log_level": "INFO",
                "system_log_level": "WARN",
            },
            publish=True,
            snap_start={"apply_on": "PublishedVersions"} if handler.gates and settings.functions.snap_start else None,
            # Lambda tries the role when the function is made.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[permissions]),
        )
        alias = aws.lambda_.Alias(
            handler.name,
            name=LIVE,
            description="What callers reach",
            function_name=function.name,
            function_version=function.version,
            opts=self._child,
        )
        if handler.gates and settings.functions.provisioned_concurrency:
            aws.lambda_.ProvisionedConcurrencyConfig(
                handler.name,
                function_name=function.name,
                qualifier=alias.name,
                provisioned_concurrent_executions=settings.functions.provisioned_concurrency,
                opts=self._child,
            )
        return GateFunction(handler, function, alias, log_group, dead_letters, queue_policy, permissions, work)

    def _queue(self, name: str, **how: Any) -> tuple[aws.sqs.Queue, aws.sqs.QueuePolicy]:
        """Make a queue, whose messages leave as dead letters do, and its policy."""
        queue = aws.sqs.Queue(
            name,
            kms_master_key_id=self._records.operations_key.arn,
            message_retention_seconds=self._settings.records.days(RecordClass.DEAD_LETTERS) * SECONDS_A_DAY,
            opts=self._child,
            **how,
        )
        policy = aws.sqs.QueuePolicy(
            name,
            queue_url=queue.url,
            policy=queue.arn.apply(lambda arn: documents.queue(self._place, arn)),
            opts=self._child,
        )
        return queue, policy

    def _work_queue(self, name: str, work: Work) -> WorkQueue:
        """Make the queue that feeds a function; what was tried too often becomes one of its dead letters."""
        dead_letters, _ = self._dead_letters[name]
        redrive = {"deadLetterTargetArn": dead_letters.arn, "maxReceiveCount": work.receives}
        return WorkQueue(
            *self._queue(
                f"{name}-work",
                visibility_timeout_seconds=work.visibility,
                redrive_policy=pulumi.Output.json_dumps(redrive),
            )
        )

    def _sends(self, handler: Handler) -> list[pulumi.Output[str]]:
        return [self._queues[name].queue.arn for name in handler.sends]

    def _objects(self, handler: Handler) -> pulumi.Output[ObjectReach]:
        records = self._records
        return pulumi.Output.all(
            content=records.content.arn,
            content_key=records.content_key.arn,
            evidence=records.evidence.arn,
            proof_key=records.proof_key.arn,
        ).apply(lambda found: ObjectReach(does=handler.stores, **found))

    def _feed(self, deployed: GateFunction) -> None:
        """Feed a function from its queue; of a batch only the messages that failed come again."""
        work = deployed.handler.work
        if deployed.work is None or work is None:
            return
        aws.lambda_.EventSourceMapping(
            f"{deployed.handler.name}-work",
            event_source_arn=deployed.work.queue.arn,
            function_name=deployed.alias.arn,
            batch_size=work.batch,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config={"maximum_concurrency": work.concurrency} if work.concurrency else None,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[deployed.permissions]),
        )

    def _inspection(self) -> pulumi.Output[roles.Inspection]:
        """Return what the scheduled check may read of this stack."""
        records, ledger = self._records, self._ledger
        keys = (
            *(records.content_key, records.evidence_key, records.operations_key, records.proof_key),
            ledger.identity_key,
            *([self._line.key] if self._line.key else []),
        )
        return pulumi.Output.all(
            content=records.content.arn,
            evidence=records.evidence.arn,
            access_logs=records.access_logs.arn,
            keys=pulumi.Output.all(*(key.arn for key in keys)),
            api=self._api.api.id,
        ).apply(lambda found: roles.Inspection(prefix=self._settings.prefix, **found))

    def _route(self, api: PublicApi, deployed: GateFunction) -> None:
        handler = deployed.handler
        if not handler.routes:
            return
        integration = aws.apigatewayv2.Integration(
            handler.name,
            api_id=api.api.id,
            integration_type="AWS_PROXY",
            integration_uri=deployed.alias.arn,
            integration_method="POST",
            payload_format_version="2.0",
            # A little longer than the function itself, which then tells its own failure.
            timeout_milliseconds=min((handler.timeout + 1) * 1000, API_LIMIT_MILLISECONDS),
            opts=self._child,
        )
        for route in handler.routes:
            logical = f"{route.method.lower()}{route.path.replace('/', '-').replace('{', '').replace('}', '')}"
            allowed = aws.lambda_.Permission(
                logical,
                action="lambda:InvokeFunction",
                principal="apigateway.amazonaws.com",
                function=deployed.function.name,
                qualifier=deployed.alias.name,
                source_arn=pulumi.Output.concat(api.api.execution_arn, route.source),
                opts=self._child,
            )
            aws.apigatewayv2.Route(
                logical,
                api_id=api.api.id,
                route_key=route.key,
                authorization_type=route.authorization,
                target=pulumi.Output.concat("integrations/", integration.id),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
            )

    def _follow(self, deployed: GateFunction) -> None:
        """Feed a function with the ledger's new consent records, each shard of the stream in its order."""
        aws.lambda_.EventSourceMapping(
            deployed.handler.name,
            event_source_arn=self._ledger.table.stream_arn,
            function_name=deployed.alias.arn,
            starting_position="TRIM_HORIZON",
            batch_size=100,
            filter_criteria={"filters": [{"pattern": json.dumps(NEW_RECORDS, separators=(",", ":"))}]},
            function_response_types=["ReportBatchItemFailures"],
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=COPY_RETRIES,
            maximum_record_age_in_seconds=COPY_SECONDS,
            # It is told where in the stream the records are, never the records.
            destination_config={"on_failure": {"destination_arn": deployed.dead_letters.arn}},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[deployed.permissions]),
        )

    def check_daily(self, declaration: pulumi.Resource) -> None:
        """Start the daily check, once the declaration that it reads is there."""
        self._schedule(self.functions["verify"], after=[declaration])

    def _schedule(self, deployed: GateFunction, *, after: Sequence[pulumi.Resource] = ()) -> None:
        """Start a function by the clock, for the first time at once."""
        settings, name = self._settings, deployed.handler.name
        role = aws.iam.Role(
            f"{name}-schedule",
            name=deployed_name(settings, f"{name}-schedule"),
            description=f"{settings.prefix}: starts {name}",
            assume_role_policy=roles.assume_by_scheduler(self._place, settings.prefix),
            permissions_boundary=settings.permissions_boundary,
            opts=self._child,
        )
        permissions = aws.iam.RolePolicy(
            f"{name}-schedule",
            role=role.name,
            policy=pulumi.Output.all(
                deployed.alias.arn, deployed.dead_letters.arn, self._records.operations_key.arn
            ).apply(lambda arns: roles.schedule_role(self._place, *arns)),
            opts=self._child,
        )
        aws.scheduler.Schedule(
            name,
            # Inside of the stack's own group; the declaration names it before it exists.
            name=name,
            group_name=self._schedules.name,
            description=f"Starts {name}",
            schedule_expression=deployed.handler.every,
            flexible_time_window={"mode": "OFF"},
            target={
                "arn": deployed.alias.arn,
                "role_arn": role.arn,
                "dead_letter_config": {"arn": deployed.dead_letters.arn},
                # The next time brings the next run, so an old one is worth nothing; AWS takes no less than a minute.
                "retry_policy": {
                    "maximum_event_age_in_seconds": max(60, deployed.handler.timeout),
                    "maximum_retry_attempts": 1,
                },
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[permissions, *after]),
        )
