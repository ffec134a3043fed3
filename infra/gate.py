"""The gate: the public API that Twilio and the application call, and the functions that decide behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi
import pulumi_aws as aws
from parley.core.retention import RecordClass
from parley.env import to_environment

from infra import documents
from infra.documents import FunctionReach, Place
from infra.ledger import ConsentLedger
from infra.masking import CALLBACK, INTERCEPT, OUT_OF_SESSION, MaskedLine
from infra.options import component
from infra.records import RecordStore
from infra.settings import Settings

RUNTIME = "python3.13"
ARCHITECTURE = "arm64"
LIVE = "live"
SECONDS_A_DAY = 86_400

# A transaction needs the permission of each of its parts. Nothing may delete: rows leave by their time to live.
_LOOK_UP, _LIST, _WRITE, _CHANGE = (
    "dynamodb:GetItem",
    "dynamodb:Query",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
)
_WITHDRAW = (_LOOK_UP, _LIST, _WRITE, _CHANGE)

OPTOUT = "/optout/"
"""What the path of the page begins with that refuses all contact."""

READS = frozenset({_LOOK_UP, _LIST})
"""The actions that let a function read the ledger."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the API: `POST /v1/sessions`. First-party callers sign with IAM, Twilio with its auth token."""

    method: str
    path: str

    @property
    def key(self) -> str:
        """The route key of API Gateway."""
        return f"{self.method} {self.path}"

    @property
    def authorization(self) -> str:
        """How API Gateway checks the caller.

        Twilio signs the body with its auth token, which no authorizer of an HTTP API gets to see; so these routes are
        open here, and the handler checks X-Twilio-Signature before it does anything else. The page that refuses all
        contact is for people, whose link is their proof: the handler checks its MAC first.
        """
        return "NONE" if self.path.startswith(("/twilio/", OPTOUT)) else "AWS_IAM"

    @property
    def source(self) -> str:
        """The end of the ARN that API Gateway calls a function as: any stage, this method, this path."""
        segments = ["*" if segment.startswith("{") else segment for segment in self.path.split("/")]
        return f"/*/{self.method}{'/'.join(segments)}"


@dataclass(frozen=True, slots=True)
class Handler:
    """A function of the gate: what starts it, how long it may take (seconds), and what it needs to do its work.

    `table` and `index` are the actions on the ledger and on its index of open sessions; `identifies` says that it is
    given phone numbers, and so has to make party keys. `every` is the schedule expression of one that the clock
    starts.
    `inspects` lets it read the settings of the whole stack, `seals` lets it encrypt plain identifiers for the ledger.
    `memory` is the least that it needs, in megabytes. One that `carries` is given the credentials of Twilio; one that
    `follows` is fed by the ledger's stream and makes the copies of consent records, one that `audits` reads them.
    """

    name: str
    entry: str
    timeout: int
    table: tuple[str, ...]
    routes: tuple[Route, ...] = ()
    index: tuple[str, ...] = ()
    identifies: bool = True
    every: str = ""
    inspects: bool = False
    memory: int = 0
    seals: bool = False
    carries: bool = True
    follows: bool = False
    audits: bool = False


HANDLERS = (
    # Twilio waits 15 s for a webhook and then connects: a function must have failed by then. Any of the three may meet
    # a stop word, which is written down and closes the sender's sessions.
    Handler(
        "intercept",
        "parley.handlers.intercept.handle",
        8,
        _WITHDRAW,
        (Route("POST", INTERCEPT),),
        identifies=False,
    ),
    Handler(
        "interaction",
        "parley.handlers.interaction.handle",
        8,
        _WITHDRAW,
        (Route("POST", CALLBACK),),
        identifies=False,
    ),
    Handler(
        "out-of-session",
        "parley.handlers.out_of_session.handle",
        8,
        _WITHDRAW,
        (Route("POST", OUT_OF_SESSION),),
    ),
    # The key that a caller pressed; nobody is connected by it, so Twilio only says that something failed.
    Handler("voice", "parley.handlers.voice.handle", 8, _WITHDRAW, (Route("POST", "/twilio/voice"),)),
    # A sink of Event Streams waits 5 s.
    Handler("events", "parley.handlers.events.handle", 8, _WITHDRAW, (Route("POST", "/twilio/events"),)),
    Handler("sms", "parley.handlers.sms.handle", 8, _WITHDRAW, (Route("POST", "/twilio/sms"),)),
    # API Gateway waits 30 s.
    Handler(
        "consents",
        "parley.handlers.consents.handle",
        29,
        _WITHDRAW,
        (
            Route("POST", "/v1/consents"),
            Route("GET", "/v1/consents/{party}"),
            Route("GET", "/v1/consents/{party}/receipts/{id}"),
        ),
        seals=True,
    ),
    Handler(
        "optout",
        "parley.handlers.optout.handle",
        29,
        _WITHDRAW,
        (Route("GET", f"{OPTOUT}{{token}}"), Route("POST", f"{OPTOUT}{{token}}")),
    ),
    Handler(
        "optout-links",
        "parley.handlers.optout_links.handle",
        10,
        # A link is kept nowhere.
        (),
        (Route("POST", "/v1/optout-links"),),
        carries=False,
    ),
    Handler(
        "questions",
        "parley.handlers.questions.handle",
        29,
        # It appends to a chain, as `consents` does.
        _WITHDRAW,
        (Route("POST", "/v1/questions"),),
        seals=True,
    ),
    Handler(
        "sessions",
        "parley.handlers.sessions.handle",
        29,
        # A session is written on condition that its consents have not changed.
        (*_WITHDRAW, "dynamodb:ConditionCheckItem"),
        (
            Route("POST", "/v1/sessions"),
            Route("GET", "/v1/sessions/{id}"),
            Route("DELETE", "/v1/sessions/{id}"),
            Route("POST", "/v1/sessions/{id}/renewals"),
            Route("GET", "/v1/decisions/{id}"),
        ),
    ),
    # Started every minute, or as often as parley:session.reconcileSeconds says: one run is over when the next begins.
    Handler("reconcile", "parley.handlers.reconcile.handle", 55, _WITHDRAW, index=(_LIST,), every="rate(1 minute)"),
    # Lists every version in every bucket, all prefixes at once; its reads stop well before its time is over.
    Handler(
        "verify",
        "parley.handlers.verify.handle",
        300,
        (),
        identifies=False,
        # A little under a day, so that the alarm on its silence finds a run in every window of a day.
        every="rate(23 hours)",
        inspects=True,
        memory=1024,
    ),
    # A batch of a hundred copies takes seconds. The list of a person's rows is for copying one person again.
    Handler(
        "evidence",
        "parley.handlers.evidence.handle",
        60,
        (_LIST,),
        identifies=False,
        carries=False,
        follows=True,
    ),
    # As long as Lambda lets a function run, with a whole processor; what is left goes on an hour later.
    Handler(
        "chain",
        "parley.handlers.chains.handle",
        900,
        (_LOOK_UP, _LIST, "dynamodb:Scan"),
        identifies=False,
        carries=False,
        every="rate(1 hour)",
        audits=True,
        memory=1769,
    ),
)

NEW_RECORDS = {"eventName": ["INSERT"], "dynamodb": {"Keys": {"sk": {"S": [{"prefix": "EVENT#"}]}}}}
"""Which changes of the ledger are copied: new consent records, and nothing else of a person."""

COPY_RETRIES, COPY_SECONDS = 500, 21_600
"""How often a copy is tried, and for how long (six hours), before the place in the stream becomes a dead letter.

An outage of S3 or KMS must not cost a copy, so the time decides; a row that no attempt could copy is passed over by
the function itself and keeps nobody waiting. DynamoDB keeps the stream for 24 hours.
"""


def handlers(settings: Settings) -> tuple[Handler, ...]:
    """Return the functions of a stack, which says how often the reconciler runs."""
    minutes = settings.session.reconcile_seconds // 60
    every = "rate(1 minute)" if minutes == 1 else f"rate({minutes} minutes)"
    return tuple(replace(each, every=every) if each.name == "reconcile" else each for each in HANDLERS)


def deployed_name(settings: Settings, handler: str) -> str:
    """Return the name of a function and of its role: key policies name the role before it exists."""
    return f"{settings.prefix}-{handler}"


def role_names(settings: Settings, *, identifying: bool = False) -> list[str]:
    """Return the names of the roles that functions run under: all, or those of functions that make party keys."""
    return [deployed_name(settings, each.name) for each in HANDLERS if each.identifies or not identifying]


def carrying_roles(settings: Settings) -> list[str]:
    """Return the names of the roles of the functions that may read the Twilio secret."""
    return [deployed_name(settings, each.name) for each in HANDLERS if each.carries]


def sealing_roles(settings: Settings) -> list[str]:
    """Return the names of the roles of the functions that seal plain identifiers."""
    return [deployed_name(settings, each.name) for each in HANDLERS if each.seals]


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
class GateFunction:
    """A deployed function with what belongs to it."""

    handler: Handler
    function: aws.lambda_.Function
    alias: aws.lambda_.Alias
    log_group: aws.cloudwatch.LogGroup
    dead_letters: aws.sqs.Queue
    queue_policy: aws.sqs.QueuePolicy
    permissions: aws.iam.RolePolicy


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
        self._code = pulumi.FileArchive(code)
        self.secret, self.secret_policy = self._secret(deployers)
        self._environment: Mapping[str, pulumi.Input[str]] = to_environment(
            environment=settings.environment,
            stack=settings.stack,
            ledger_table=ledger.table.name,
            identity_key=ledger.identity_key.arn,
            twilio_secret=self.secret.arn,
            twilio_account_sid=settings.twilio.account_sid,
            proxy_service_sid=line.service.sid,
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
        )
        self.functions = {handler.name: self._function(handler) for handler in handlers(settings)}
        for function in self.functions.values():
            self._route(api, function)
        self._schedules = aws.scheduler.ScheduleGroup("gate", name=settings.prefix, opts=self._child)
        self._schedule(self.functions["reconcile"])
        self._schedule(self.functions["chain"])
        self._follow(self.functions["evidence"])
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
        dead_letters = aws.sqs.Queue(
            handler.name,
            kms_master_key_id=records.operations_key.arn,
            message_retention_seconds=settings.records.days(RecordClass.DEAD_LETTERS) * SECONDS_A_DAY,
            opts=self._child,
        )
        queue_policy = aws.sqs.QueuePolicy(
            handler.name,
            queue_url=dead_letters.url,
            policy=dead_letters.arn.apply(lambda arn: documents.queue(self._place, arn)),
            opts=self._child,
        )
        role = aws.iam.Role(
            handler.name,
            name=name,
            description=f"{settings.prefix}: runs {handler.entry}",
            assume_role_policy=documents.assume_by_lambda(),
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
                **({"identity_key": ledger.identity_key.arn} if handler.identifies else {}),
                **({"inspects": self._inspection()} if handler.inspects else {}),
            ).apply(
                lambda arns: documents.function_role(
                    self._place,
                    FunctionReach(
                        function=self._place.arn("lambda", f"function:{name}"),
                        table_actions=handler.table,
                        index_actions=handler.index,
                        audits=handler.audits,
                        seals=handler.seals,
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
            if handler.every and settings.functions.reserved_concurrency
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
        return GateFunction(handler, function, alias, log_group, dead_letters, queue_policy, permissions)

    def _inspection(self) -> pulumi.Output[documents.Inspection]:
        """Return what the scheduled check may read of this stack."""
        records, ledger = self._records, self._ledger
        keys = (records.content_key, records.evidence_key, records.operations_key, ledger.identity_key)
        return pulumi.Output.all(
            content=records.content.arn,
            evidence=records.evidence.arn,
            access_logs=records.access_logs.arn,
            keys=pulumi.Output.all(*(key.arn for key in keys)),
            api=self._api.api.id,
        ).apply(lambda found: documents.Inspection(prefix=self._settings.prefix, **found))

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
            timeout_milliseconds=(handler.timeout + 1) * 1000,
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
            assume_role_policy=documents.assume_by_scheduler(self._place, settings.prefix),
            permissions_boundary=settings.permissions_boundary,
            opts=self._child,
        )
        permissions = aws.iam.RolePolicy(
            f"{name}-schedule",
            role=role.name,
            policy=pulumi.Output.all(
                deployed.alias.arn, deployed.dead_letters.arn, self._records.operations_key.arn
            ).apply(lambda arns: documents.schedule_role(self._place, *arns)),
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
