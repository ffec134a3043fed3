"""API Gateway v2: HTTP APIs, their stages, integrations and routes."""

# ruff: noqa: RUF012, ARG002 - tables that nothing changes; arguments that the base class gives to all

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from infra.provider import CheckFailure, Properties
from local.aws.provider.cloud import Client
from local.aws.provider.kind import Kind, Name, Tagging
from local.aws.provider.kinds.kms import within
from local.aws.provider.schema import element
from local.aws.provider.shapes import from_aws, request, to_aws

TAGGING = Tagging("tag_resource", "untag_resource", "get_tags", "ResourceArn", "arn")


class Api(Kind):
    """An HTTP API. Its public URL is the local gateway's, where the environment names one."""

    token, service, form = "aws:apigatewayv2/api:Api", "apigatewayv2", "{apiId}"
    creates, updates, reads, deletes = "create_api", "update_api", "get_api", "delete_api"
    name = Name("name", 128)
    replaces = frozenset({"protocolType"})
    instead = dict.fromkeys(
        ("body", "credentialsArn", "failOnWarnings", "routeKey", "target"),
        "use aws.apigatewayv2.Integration and aws.apigatewayv2.Route",
    )
    defaults = {"description": "", "disableExecuteApiEndpoint": False, "version": ""}
    tagging = TAGGING

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield APIs of a kind that the local gateway does not serve."""
        if p.get("protocolType") == "WEBSOCKET":
            yield CheckFailure("protocolType", "the local stand-in carries out HTTP APIs only: give it HTTP")

    def make(self, c: Client, p: Properties) -> str:
        """Create the API."""
        return str(c.call("create_api", **self.arguments("create_api", p))["ApiId"])

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the API."""
        found = self.state(c.call("get_api", ApiId=id_))
        return {
            "description": "",
            "version": "",
            **found,
            "corsConfiguration": found.get("corsConfiguration") or None,
            "arn": f"arn:aws:apigateway:{c.region}::/apis/{id_}",
            "executionArn": f"arn:aws:execute-api:{c.region}:{c.account}:{id_}",
            "apiEndpoint": f"{c.gateway}/{id_}" if c.gateway else found["apiEndpoint"],
        }

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Update the API; CORS is taken away by a call of its own."""
        if "corsConfiguration" in changed and not new.get("corsConfiguration"):
            c.call("delete_cors_configuration", ApiId=id_)
        super().change(c, id_, old, new, changed)


class Stage(Kind):
    """A stage: its name is its id.

    moto has neither UpdateStage nor tags of stages. A stage holds nothing but its settings, so a new one of the same
    name does as well.
    """

    token, service, form, parent = "aws:apigatewayv2/stage:Stage", "apigatewayv2", "{name}", "apiId"
    creates, reads, deletes = "create_stage", "get_stage", "delete_stage"
    name = Name("name", 128)
    renames = {"name": "StageName"}
    replaces = frozenset({"apiId", "name"})
    instead = {"clientCertificateId": "it is for WebSocket APIs"}
    defaults = {
        "autoDeploy": False,
        "defaultRouteSettings": {},
        "description": "",
        "stageVariables": {},
    }
    tagging = TAGGING
    needs = frozenset({"name"})
    own = frozenset({"routeSettings"})

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield stage names, throttles and log targets that API Gateway refuses."""
        name = p.get("name")
        if isinstance(name, str) and not re.fullmatch(r"\$default|[A-Za-z0-9_-]{1,128}", name):
            yield CheckFailure("name", f"must be $default, or letters, digits, - and _, got {name!r}")
        throttles = {"defaultRouteSettings": p.get("defaultRouteSettings") or {}}
        throttles |= {f"routeSettings[{index}]": entry for index, entry in enumerate(p.get("routeSettings") or [])}
        for path, throttle in throttles.items():
            for limit in ("throttlingBurstLimit", "throttlingRateLimit"):
                if isinstance(throttle.get(limit), int | float) and throttle[limit] < 0:
                    yield CheckFailure(f"{path}.{limit}", f"must not be negative, got {throttle[limit]}")
        target = (p.get("accessLogSettings") or {}).get("destinationArn")
        if isinstance(target, str) and not re.match(r"arn:[\w-]+:(logs|firehose):", target):
            path = "accessLogSettings.destinationArn"
            yield CheckFailure(path, f"must be the ARN of a log group or a Firehose stream, got {target!r}")

    def arguments(self, method: str, p: Mapping[str, Any]) -> dict[str, Any]:
        """Return the stage as AWS spells it: settings of single routes are a map there."""
        arguments = super().arguments(method, p)
        if method == self.creates and p.get("routeSettings"):
            settings = {
                entry["routeKey"]: {k: v for k, v in entry.items() if k != "routeKey"} for entry in p["routeSettings"]
            }
            arguments["RouteSettings"] = to_aws(request(self.service, method)["RouteSettings"], settings, {})
        return arguments

    def make(self, c: Client, p: Properties) -> str:
        """Create the stage."""
        c.call("create_stage", **self.arguments("create_stage", p))
        return str(p["name"])

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the stage."""
        keys = self.keys(id_, was)
        answer = c.call("get_stage", ApiId=keys["apiId"], StageName=keys["name"])
        routes = answer.pop("RouteSettings", None) or {}
        kind = element(self.schema.outputs["routeSettings"])
        single = [{"routeKey": key, **from_aws(kind, settings, {})} for key, settings in sorted(routes.items())]
        found = {**self.state(answer), "routeSettings": single}
        api, stage = keys["apiId"], keys["name"]
        host = f"{c.gateway}/{api}" if c.gateway else f"https://{api}.execute-api.{c.region}.amazonaws.com"
        settings = {name: found.get(name) or None for name in ("accessLogSettings", "stageVariables", "routeSettings")}
        return {
            "description": "",
            **found,
            **settings,
            **keys,
            "arn": f"arn:aws:apigateway:{c.region}::/apis/{api}/stages/{stage}",
            "executionArn": f"arn:aws:execute-api:{c.region}:{c.account}:{api}/{stage}",
            "invokeUrl": f"{host}/" if stage == "$default" else f"{host}/{stage}",
        }

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Make the stage anew, with its tags."""
        self._again(c, new, self.arguments("create_stage", new), self.get_tags(c, new))

    def put_tags(self, c: Client, state: Properties, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        """Make the stage anew, with its settings."""
        there = c.call("get_stage", ApiId=state["apiId"], StageName=state["name"])
        self._again(c, state, {name: there[name] for name in request(self.service, self.creates) if name in there}, new)

    @staticmethod
    def _again(c: Client, p: Properties, arguments: dict[str, Any], tags: Mapping[str, str]) -> None:
        where = {"ApiId": p["apiId"], "StageName": p["name"]}
        c.call("delete_stage", **where)
        c.call("create_stage", **{**arguments, **where, "Tags": dict(tags)})

    def get_tags(self, c: Client, state: Properties) -> dict[str, str]:
        """Return the tags, which the stage itself tells."""
        return dict(c.call("get_stage", ApiId=state["apiId"], StageName=state["name"]).get("Tags") or {})


class Integration(Kind):
    """What a route calls."""

    token, service, form, parent = (
        "aws:apigatewayv2/integration:Integration",
        "apigatewayv2",
        "{integrationId}",
        "apiId",
    )
    creates, updates = "create_integration", "update_integration"
    reads, deletes = "get_integration", "delete_integration"
    renames = {"timeoutMilliseconds": "TimeoutInMillis"}
    replaces = frozenset({"apiId", "integrationType"})
    instead = {"responseParameters": "leave it out", "tlsConfig": "leave it out"}
    defaults = {"description": "", "timeoutMilliseconds": 30000}

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield integrations that an HTTP API does not have, and timeouts beyond its limits."""
        yield from within(p, "timeoutMilliseconds", 50, 30000)
        kind, version = p.get("integrationType"), p.get("payloadFormatVersion")
        if isinstance(kind, str) and kind != "AWS_PROXY":
            yield CheckFailure("integrationType", f"the local gateway carries out AWS_PROXY only, got {kind!r}")
        if not p.get("integrationUri"):
            yield CheckFailure("integrationUri", "is required: give it a function's ARN")
        if version not in (None, "1.0", "2.0") and isinstance(version, str):
            yield CheckFailure("payloadFormatVersion", f"must be 1.0 or 2.0, got {version!r}")

    def make(self, c: Client, p: Properties) -> str:
        """Create the integration."""
        return str(c.call("create_integration", **self.arguments("create_integration", p))["IntegrationId"])

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the integration."""
        return {"description": "", **(super().look(c, id_, was) or {})}


class Route(Kind):
    """Which requests go to which integration."""

    token, service, form, parent = "aws:apigatewayv2/route:Route", "apigatewayv2", "{routeId}", "apiId"
    creates, updates, reads, deletes = "create_route", "update_route", "get_route", "delete_route"
    replaces = frozenset({"apiId"})
    instead = dict.fromkeys(
        (
            "apiKeyRequired",
            "authorizationScopes",
            "authorizerId",
            "modelSelectionExpression",
            "requestModels",
            "requestParameters",
            "routeResponseSelectionExpression",
        ),
        "leave it out",
    )
    defaults = {"authorizationType": "NONE", "operationName": ""}

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield route keys and targets that API Gateway refuses, and authorizers that the local gateway lacks."""
        key, target, authorization = p.get("routeKey"), p.get("target"), p.get("authorizationType")
        methods = "ANY|GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS"
        if isinstance(key, str) and not re.fullmatch(rf"\$default|({methods}) /\S*", key):
            yield CheckFailure(
                "routeKey", f"must be $default or METHOD /path, such as 'POST /v1/consents', got {key!r}"
            )
        if isinstance(target, str) and not re.fullmatch(r"integrations/\S+", target):
            yield CheckFailure("target", f"must be integrations/ID, got {target!r}")
        if authorization in {"JWT", "CUSTOM"}:
            yield CheckFailure(
                "authorizationType", f"the local gateway carries out NONE and AWS_IAM, got {authorization}"
            )

    def make(self, c: Client, p: Properties) -> str:
        """Create the route."""
        return str(c.call("create_route", **self.arguments("create_route", p))["RouteId"])
