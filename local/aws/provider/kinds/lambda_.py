"""Lambda: functions, their aliases and who may call them."""

# ruff: noqa: RUF012 - tables that nothing changes; arguments that the base class gives to all

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Set
from typing import Any

from botocore.exceptions import ClientError

from infra.provider import UNKNOWN, Archive, Asset, CheckFailure, Properties
from local.aws.provider.cloud import Client, code
from local.aws.provider.kind import Kind, Name, Tagging
from local.aws.provider.kinds.kms import within
from local.aws.provider.package import zipped

CODE = frozenset({"code", "s3Bucket", "s3Key", "s3ObjectVersion"})
FROM_S3 = {"s3Bucket": "S3Bucket", "s3Key": "S3Key", "s3ObjectVersion": "S3ObjectVersion"}
RESERVED = re.compile(
    r"_HANDLER|_X_AMZN_TRACE_ID|AWS_(DEFAULT_)?REGION|AWS_EXECUTION_ENV|AWS_LAMBDA_.*"
    r"|AWS_ACCESS_KEY(_ID)?|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN|LAMBDA_(TASK_ROOT|RUNTIME_DIR)"
)
"""Environment variables that Lambda sets itself and refuses from others (Lambda developer guide)."""


def gateway_uri(c: Client, arn: str) -> str:
    """Return what an API's integration calls a function."""
    return f"arn:aws:apigateway:{c.region}:lambda:path/2015-03-31/functions/{arn}/invocations"


class Function(Kind):
    """A function from a zip package."""

    token, service, form = "aws:lambda/function:Function", "lambda", "{name}"
    creates, updates, deletes = "create_function", "update_function_configuration", "delete_function"
    name = Name("name", 64)
    renames = {
        "name": "FunctionName",
        "arn": "FunctionArn",
        "sourceCodeSize": "CodeSize",
        "layers": "Layers",
    }
    replaces = frozenset({"name", "packageType"})
    late = frozenset({"reservedConcurrentExecutions"})
    own = frozenset({*CODE, "sourceCodeHash"})
    local = frozenset({"skipDestroy", "useResourceTimeoutForPropagation"})
    unread = frozenset({*CODE, "sourceCodeHash", "publish"})
    instead = {"codeSha256": "use sourceCodeHash"} | dict.fromkeys(
        (
            "capacityProviderConfig",
            "codeSigningConfigArn",
            "durableConfig",
            "fileSystemConfig",
            "imageConfig",
            "imageUri",
            "publishTo",
            "replaceSecurityGroupsOnDestroy",
            "replacementSecurityGroupIds",
            "snapStart",
            "sourceKmsKeyArn",
            "tenancyConfig",
            "vpcConfig",
        ),
        "leave it out",
    )
    volatile = frozenset(
        {"version", "qualifiedArn", "qualifiedInvokeArn", "lastModified", "codeSha256", "sourceCodeSize"}
    )
    defaults = {
        "deadLetterConfig": {"targetArn": ""},
        "description": "",
        "environment": {"variables": {}},
        "ephemeralStorage": {"size": 512},
        "kmsKeyArn": "",
        "layers": [],
        "memorySize": 128,
        "packageType": "Zip",
        "publish": False,
        "reservedConcurrentExecutions": -1,
        "timeout": 3,
        "tracingConfig": {"mode": "PassThrough"},
    }
    tagging = Tagging("tag_resource", "untag_resource", "list_tags", "Resource", "arn")

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield what Lambda refuses: limits, reserved variables, packages that are none."""
        yield from within(p, "timeout", 1, 900)
        yield from within(p, "memorySize", 128, 10240)
        yield from within(p, "reservedConcurrentExecutions", -1, 1000)
        if p.get("packageType", "Zip") == "Zip":
            for name in ("handler", "runtime"):
                if not p.get(name):
                    yield CheckFailure(name, "is required for a zip package")
        given = p.get("code")
        if given is None and not (p.get("s3Bucket") and p.get("s3Key")):
            yield CheckFailure("code", "is required (or s3Bucket and s3Key): give it a FileArchive or AssetArchive")
        elif given is not None and given is not UNKNOWN and not isinstance(given, Asset):
            yield CheckFailure("code", "must be an archive, such as pulumi.FileArchive")
        yield from self._variable_faults((p.get("environment") or {}).get("variables") or {})

    @staticmethod
    def _variable_faults(variables: Properties) -> Iterator[CheckFailure]:
        for name in variables:
            path = f"environment.variables.{name}"
            if RESERVED.fullmatch(name):
                yield CheckFailure(path, "is set by Lambda itself: take another name")
            elif not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]+", name):
                yield CheckFailure(path, "must start with a letter and hold letters, digits and underscores only")
        size = sum(
            len(name.encode()) + len(value.encode()) for name, value in variables.items() if value is not UNKNOWN
        )
        if size > 4096:
            yield CheckFailure("environment.variables", f"are {size} bytes: Lambda takes 4096 in all")

    @staticmethod
    def _package(p: Properties) -> dict[str, Any]:
        if p.get("code"):
            return {"ZipFile": zipped(p["code"])}
        return {target: p[name] for name, target in FROM_S3.items() if p.get(name)}

    def make(self, c: Client, p: Properties) -> str:
        """Create the function from its package."""
        c.call("create_function", Code=self._package(p), **self.arguments("create_function", p))
        return str(p["name"])

    def settle(self, c: Client, id_: str, old: Properties, new: Properties) -> None:
        """Reserve concurrency; -1 reserves none."""
        reserved = new.get("reservedConcurrentExecutions", -1)
        if reserved >= 0:
            c.call("put_function_concurrency", FunctionName=id_, ReservedConcurrentExecutions=reserved)
        elif old.get("reservedConcurrentExecutions", -1) >= 0:
            c.call("delete_function_concurrency", FunctionName=id_)

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the configuration, the newest version, and whether the code is still the one that was put."""
        answer = c.call("get_function", FunctionName=id_)
        configuration = answer["Configuration"]
        configuration["Layers"] = [layer["Arn"] for layer in configuration.get("Layers") or []] or None
        found = {"name": id_, **self.state(configuration)}
        arn = found["arn"]
        versions = [v["Version"] for v in c.pages("list_versions_by_function", "Versions", FunctionName=id_)]
        numbers = [int(version) for version in versions if version != "$LATEST"]
        version = str(max(numbers)) if numbers else "$LATEST"
        found.update(
            version=version,
            qualifiedArn=f"{arn}:{version}",
            invokeArn=gateway_uri(c, arn),
            qualifiedInvokeArn=gateway_uri(c, f"{arn}:{version}"),
            reservedConcurrentExecutions=(answer.get("Concurrency") or {}).get("ReservedConcurrentExecutions", -1),
        )
        changed_behind_us = was.get("codeSha256") not in {None, found.get("codeSha256")}
        if changed_behind_us and was.get("code"):
            found["code"] = Archive({"hash": found["codeSha256"], "assets": {}})
        if changed_behind_us and was.get("sourceCodeHash"):
            found["sourceCodeHash"] = found["codeSha256"]
        return found

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Put the code, then the configuration, then publish a version of both."""
        if changed & {*CODE, "sourceCodeHash", "architectures"}:
            architectures = {"Architectures": new["architectures"]} if new.get("architectures") else {}
            c.call("update_function_code", FunctionName=id_, **self._package(new), **architectures)
            c.wait("function_updated_v2", FunctionName=id_, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        if changed - {*CODE, "sourceCodeHash", "architectures", "publish"} - self.late - self.local:
            logging = new.get("loggingConfig") or {"logFormat": "Text", "logGroup": f"/aws/lambda/{id_}"}
            super().change(c, id_, old, {**new, "loggingConfig": logging}, changed)
            c.wait("function_updated_v2", FunctionName=id_, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        if new.get("publish"):
            c.call("publish_version", FunctionName=id_)

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Delete the function with all versions, unless it is to stay."""
        if not state.get("skipDestroy"):
            c.call("delete_function", FunctionName=id_)


class Alias(Kind):
    """A name of one version of a function."""

    token, service, form = "aws:lambda/alias:Alias", "lambda", "{arn}"
    creates, updates, reads, deletes = "create_alias", "update_alias", "get_alias", "delete_alias"
    name = Name("name", 128)
    renames = {"arn": "AliasArn"}
    replaces = frozenset({"name", "functionName"})
    defaults = {"description": "", "routingConfig": {"additionalVersionWeights": {}}}

    def keys(self, id_: str, was: Any) -> Properties:
        """Split the ARN, or on import `function/alias`."""
        function, _, name = id_.rpartition(":" if id_.startswith("arn:") else "/")
        return {"functionName": was.get("functionName") or function.rpartition(":")[2], "name": name}

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the alias."""
        found = super().look(c, id_, was) or {}
        routing = found.get("routingConfig") or {}
        found["routingConfig"] = routing if routing.get("additionalVersionWeights") else None
        found.setdefault("description", "")
        return {**found, "functionName": self.keys(id_, was)["functionName"], "invokeArn": gateway_uri(c, found["arn"])}


class Permission(Kind):
    """One statement of a function's policy."""

    token, service, form, parent = "aws:lambda/permission:Permission", "lambda", "{statementId}", "function"
    creates, deletes = "add_permission", "remove_permission"
    name = Name("statementId", 100)
    renames = {"function": "FunctionName", "principalOrgId": "PrincipalOrgID"}
    replaces = frozenset(
        {
            "action",
            "eventSourceToken",
            "function",
            "functionUrlAuthType",
            "invokedViaFunctionUrl",
            "principal",
            "principalOrgId",
            "qualifier",
            "sourceAccount",
            "sourceArn",
            "statementId",
        }
    )
    unread = frozenset({"qualifier"})
    conditions = {
        "aws:sourcearn": "sourceArn",
        "aws:sourceaccount": "sourceAccount",
        "aws:principalorgid": "principalOrgId",
        "lambda:functionurlauthtype": "functionUrlAuthType",
        "lambda:eventsourcetoken": "eventSourceToken",
    }

    def make(self, c: Client, p: Properties) -> str:
        """Add the statement."""
        c.call("add_permission", **self.arguments("add_permission", p))
        return str(p["statementId"])

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Find the statement in the function's policy."""
        keys = self.keys(id_, was)
        where = {name: was.get(name) for name in ("qualifier",)} | {"function": keys["function"]}
        policy = json.loads(c.call("get_policy", **self.arguments("get_policy", where))["Policy"])
        for statement in policy["Statement"]:
            if statement["Sid"] == keys["statementId"]:
                return {**keys, **self._statement(statement)}
        return None

    def _statement(self, statement: dict[str, Any]) -> Properties:
        who = statement["Principal"]
        found = {
            "action": statement["Action"],
            "principal": who if isinstance(who, str) else next(iter(who.values())),
        }
        for test in (statement.get("Condition") or {}).values():
            for key, value in test.items():
                if name := self.conditions.get(key.lower()):
                    found[name] = value
        return found

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Remove the statement."""
        where = {name: state.get(name) for name in ("function", "qualifier")}
        try:
            c.call("remove_permission", StatementId=id_, **self.arguments("remove_permission", where))
        except ClientError as error:
            if code(error) != "ResourceNotFoundException":
                raise


class EventSourceMapping(Kind):
    """What feeds a function from a stream or a queue."""

    token, service, form = "aws:lambda/eventSourceMapping:EventSourceMapping", "lambda", "{uuid}"
    creates, updates = "create_event_source_mapping", "update_event_source_mapping"
    reads, deletes = "get_event_source_mapping", "delete_event_source_mapping"
    renames = {
        "uuid": "UUID",
        "arn": "EventSourceMappingArn",
        "destinationConfig.onFailure.destinationArn": "Destination",
    }
    replaces = frozenset({"eventSourceArn", "startingPosition", "startingPositionTimestamp"})
    local = frozenset({"useResourceTimeoutForPropagation"})
    volatile = frozenset({"functionArn", "lastModified", "state", "stateTransitionReason"})
    instead = dict.fromkeys(
        (
            "amazonManagedKafkaEventSourceConfig",
            "documentDbEventSourceConfig",
            "kmsKeyArn",
            "maximumBatchingWindowInSeconds",
            "metricsConfig",
            "parallelizationFactor",
            "provisionedPollerConfig",
            "queues",
            "selfManagedEventSource",
            "selfManagedKafkaEventSourceConfig",
            "sourceAccessConfigurations",
            "topics",
            "tumblingWindowInSeconds",
        ),
        "leave it out",
    )
    defaults = {
        "bisectBatchOnFunctionError": False,
        "destinationConfig": {"onFailure": {"destinationArn": ""}},
        "enabled": True,
        "filterCriteria": {"filters": []},
        "functionResponseTypes": [],
        "maximumRecordAgeInSeconds": -1,
        "maximumRetryAttempts": -1,
    }
    needs = frozenset({"eventSourceArn"})
    tagging = Tagging("tag_resource", "untag_resource", "list_tags", "Resource", "arn")

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield what Lambda refuses: a stream without a beginning, limits, options that only streams have."""
        yield from within(p, "batchSize", 1, 10_000)
        yield from within(p.get("scalingConfig") or {}, "maximumConcurrency", 2, 1_000)
        yield from within(p, "maximumRecordAgeInSeconds", -1, 604_800)
        yield from within(p, "maximumRetryAttempts", -1, 10_000)
        source = p.get("eventSourceArn")
        if not isinstance(source, str):
            return
        if ":sqs:" not in source and not p.get("startingPosition"):
            yield CheckFailure("startingPosition", "is required for a stream: TRIM_HORIZON or LATEST")
        for name in ("bisectBatchOnFunctionError", "maximumRecordAgeInSeconds", "maximumRetryAttempts"):
            if ":sqs:" in source and p.get(name) is not None:
                yield CheckFailure(name, "is for streams only: the queue's redrive policy says it for a queue")

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the mapping; what is empty or AWS's default is as if it were not given."""
        answer = c.call("get_event_source_mapping", UUID=id_)
        found = self.state(answer)
        # Whatever way the program names the function, AWS answers its ARN.
        named = str(was.get("functionName") or "")
        function = answer["FunctionArn"]
        # An import takes the name of a function, and the ARN of an alias.
        plain = function.partition(":function:")[2]
        known = named or (plain if ":" not in plain else function)
        found.update(
            functionName=known if known in {function, plain} else function,
            functionArn=function,
            enabled=answer["State"] in {"Enabled", "Enabling", "Creating"},
        )
        for name in ("filterCriteria", "functionResponseTypes", "destinationConfig"):
            value = found.get(name)
            if value in ([], {}, self.defaults[name], {"onFailure": {}}):
                found[name] = None
        return found
