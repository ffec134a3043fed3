"""The HTTP API gateway: routes, events, answers, IAM authorization, throttling, access logs and faults."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from local.lambda_.http_events import MalformedAnswerError, to_response
from tests.local.cloud_fixture import LOGS, Cloud, cloud, policy

__all__ = ["cloud"]

REFLECT = """
import json
def handle(event, context):
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}
"""


class Api:
    """An API with one function behind its routes."""

    def __init__(
        self, cloud: Cloud, name: str, source: str, *routes: str, stage: str = "$default", **settings: Any
    ) -> None:
        self.cloud = cloud
        self.gateway = cloud.client("apigatewayv2")
        self.id = self.gateway.create_api(Name=name, ProtocolType="HTTP")["ApiId"]
        self.function = cloud.function(name, source, Timeout=5)
        self.integration = self.gateway.create_integration(
            ApiId=self.id,
            IntegrationType="AWS_PROXY",
            IntegrationUri=self.function,
            IntegrationMethod="POST",
            PayloadFormatVersion="2.0",
        )["IntegrationId"]
        for route in routes:
            self.route(route)
        self.gateway.create_stage(ApiId=self.id, StageName=stage, AutoDeploy=True, **settings)
        cloud.client("lambda").add_permission(
            FunctionName=name,
            StatementId="gateway",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=f"arn:aws:execute-api:us-east-1:123456789012:{self.id}/*/*",
        )

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{self.cloud.running.gateway_url}/{self.id}"

    def route(self, key: str, **settings: Any) -> None:
        """Add a route to the function."""
        self.gateway.create_route(ApiId=self.id, RouteKey=key, Target=f"integrations/{self.integration}", **settings)

    def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Send a request; return status and JSON body."""
        response = self.cloud.http.request(method, self.url + path, **options)
        return response.status, json.loads(response.data or b"null")


@pytest.fixture(scope="module")
def reflecting(cloud: Cloud) -> Api:
    """Make an API that answers with the event."""
    return Api(
        cloud,
        "reflecting",
        REFLECT,
        *("GET /v1/sessions", "GET /v1/sessions/{id}", "GET /v1/sessions/open", "ANY /any", "GET /files/{path+}"),
        *("POST /twilio/intercept", "DELETE /v1/sessions/{id}"),
    )


@pytest.mark.parametrize(
    ("method", "path", "route", "parameters"),
    [
        ("GET", "/v1/sessions", "GET /v1/sessions", None),
        ("GET", "/v1/sessions/KC1", "GET /v1/sessions/{id}", {"id": "KC1"}),
        ("GET", "/v1/sessions/a%20b", "GET /v1/sessions/{id}", {"id": "a b"}),
        ("GET", "/v1/sessions/open", "GET /v1/sessions/open", None),
        ("DELETE", "/v1/sessions/KC1", "DELETE /v1/sessions/{id}", {"id": "KC1"}),
        ("PUT", "/any", "ANY /any", None),
        ("GET", "/files/a/b.txt", "GET /files/{path+}", {"path": "a/b.txt"}),
    ],
)
def test_the_most_specific_route_takes_a_request(
    reflecting: Api, method: str, path: str, route: str, parameters: dict[str, str] | None
) -> None:
    """Exact before parameter before greedy; parameters arrive decoded, the path as sent and without the API's id."""
    status, event = reflecting.call(method, path)
    assert status == 200
    assert (event["routeKey"], event.get("pathParameters")) == (route, parameters)
    assert event["rawPath"] == path
    assert event["requestContext"]["http"]["path"] == path


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/sessions"), ("GET", "/v1/sessions/"), ("GET", "/none")])
def test_no_route_is_not_found(reflecting: Api, method: str, path: str) -> None:
    """Another method, an empty parameter and an unknown path have no route; nor has an unknown API."""
    assert reflecting.call(method, path) == (404, {"message": "Not Found"})
    stranger = reflecting.cloud.http.request("GET", f"{reflecting.cloud.running.gateway_url}/nosuchapi/x")
    assert (stranger.status, json.loads(stranger.data)) == (404, {"message": "Not Found"})


def test_the_default_route_takes_the_rest(cloud: Cloud) -> None:
    """`$default` gets what no other route matches."""
    api = Api(cloud, "catching", REFLECT, "GET /known", "$default")
    assert api.call("GET", "/known")[1]["routeKey"] == "GET /known"
    assert api.call("PATCH", "/other/thing")[1]["routeKey"] == "$default"


def test_the_event_has_the_form_of_payload_2_0(reflecting: Api) -> None:
    """Headers in lower case, cookies apart, repeated query names joined, forwarded headers as the real one sets."""
    headers = {"X-Custom": "1", "Cookie": "a=1; b=2", "User-Agent": "test"}
    _, event = reflecting.call("GET", "/v1/sessions?a=1&a=2&b=&c=%20x", headers=headers)
    assert event["version"] == "2.0"
    assert event["rawQueryString"] == "a=1&a=2&b=&c=%20x"
    assert event["queryStringParameters"] == {"a": "1,2", "b": "", "c": " x"}
    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]
    assert event["headers"]["x-custom"] == "1"
    assert event["headers"]["x-forwarded-proto"] == "https"
    context = event["requestContext"]
    assert (context["apiId"], context["stage"]) == (reflecting.id, "$default")
    assert context["http"]["method"] == "GET"
    assert context["http"]["userAgent"] == "test"
    assert not event["isBase64Encoded"]
    assert "body" not in event


@pytest.mark.parametrize(
    ("kind", "encoded"),
    [
        ("application/x-www-form-urlencoded", True),
        ("application/octet-stream", True),
        ("application/json; charset=utf-8", False),
        ("application/problem+json", False),
        ("text/plain", False),
    ],
)
def test_a_body_comes_as_text_or_base64_by_its_type(reflecting: Api, kind: str, *, encoded: bool) -> None:
    """Forms, as Twilio sends them, come as base64 with blank values kept; text and JSON come as they are."""
    body = b"From=%2B12125550111&interactionData="
    _, event = reflecting.call("POST", "/twilio/intercept", body=body, headers={"Content-Type": kind})
    assert event["isBase64Encoded"] is encoded
    assert (base64.b64decode(event["body"]) if encoded else event["body"].encode()) == body


def test_an_answer_becomes_the_response(cloud: Cloud) -> None:
    """Status, headers, cookies and a base64 body are taken over."""
    source = """
import base64
def handle(event, context):
    return {"statusCode": 201, "headers": {"Content-Type": "application/xml", "X-N": 5}, "cookies": ["a=1", "b=2"],
            "isBase64Encoded": True, "body": base64.b64encode(b"<Response/>").decode()}
"""
    api = Api(cloud, "answering", source, "GET /")
    response = cloud.http.request("GET", f"{api.url}/")
    assert (response.status, response.data) == (201, b"<Response/>")
    assert (response.headers["content-type"], response.headers["x-n"]) == ("application/xml", "5")
    assert response.headers.getlist("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b'{"statusCode": 204}', 204, b""),
        (b'{"any": "thing"}', 200, b'{"any": "thing"}'),
        (b'"text"', 200, b'"text"'),
        (b'{"statusCode": 200, "body": "t"}', 200, b"t"),
    ],
)
def test_format_2_0_reads_short_answers(answer: bytes, status: int, body: bytes) -> None:
    """Without a status code the whole answer is the body of a 200."""
    response = to_response(answer)
    assert (response.status, response.body) == (status, body)


@pytest.mark.parametrize("answer", [b'{"statusCode": "x"}', b'{"statusCode": 9}', b'{"statusCode": 200, "headers": 1}'])
def test_a_malformed_answer_is_an_error(answer: bytes) -> None:
    """What cannot be made a response of is said to be malformed."""
    with pytest.raises(MalformedAnswerError):
        to_response(answer)


def test_a_failing_function_is_a_bad_gateway(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    """A function that raises or answers nonsense is a 502 that tells neither client nor log what it said."""
    source = """
def handle(event, context):
    if event["rawPath"] == "/raise":
        raise ValueError("secret")
    return {"statusCode": 1000}
"""
    api = Api(cloud, "failing", source, "GET /raise", "GET /nonsense")
    for path in ("/raise", "/nonsense"):
        assert api.call("GET", path) == (502, {"message": "Internal Server Error"})
    assert "failed: ValueError" in caplog.text
    assert "secret" not in caplog.text


def test_a_function_that_does_not_let_the_gateway_invoke_it_is_not_invoked(cloud: Cloud) -> None:
    """Without lambda:AddPermission for this API a request is a 500, as on AWS, and the function does not run."""
    api = Api(cloud, "unpermitted", REFLECT, "GET /")
    cloud.client("lambda").remove_permission(FunctionName="unpermitted", StatementId="gateway")
    assert api.call("GET", "/") == (500, {"message": "Internal Server Error"})
    cloud.client("lambda").add_permission(
        FunctionName="unpermitted",
        StatementId="other",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn="arn:aws:execute-api:us-east-1:123456789012:otherapi/*/*",
    )
    assert api.call("GET", "/")[0] == 500


def test_an_alias_is_invoked_as_that_alias(cloud: Cloud) -> None:
    """An integration with an alias runs the version behind it, under a permission of the alias."""
    api = Api(
        cloud, "aliased", "def handle(event, context): return {'body': context.invoked_function_arn, 'statusCode': 200}"
    )
    client = cloud.client("lambda")
    version = client.publish_version(FunctionName="aliased")["Version"]
    alias = client.create_alias(FunctionName="aliased", Name="live", FunctionVersion=version)["AliasArn"]
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{alias}/invocations"
    api.gateway.update_integration(ApiId=api.id, IntegrationId=api.integration, IntegrationUri=uri)
    api.route("GET /")
    assert cloud.http.request("GET", f"{api.url}/").status == 500
    client.add_permission(
        FunctionName="aliased",
        Qualifier="live",
        StatementId="live",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    response = cloud.http.request("GET", f"{api.url}/")
    assert (response.status, response.data.decode()) == (200, alias)


def test_a_named_stage_is_the_first_segment_of_the_path(cloud: Cloud) -> None:
    """A stage other than $default answers under its name, with its variables, and keeps the name in rawPath."""
    api = Api(cloud, "staged", REFLECT, "GET /x", stage="v1", StageVariables={"colour": "blue"})
    assert api.call("GET", "/x")[0] == 404
    _, event = api.call("GET", "/v1/x")
    assert (event["rawPath"], event["requestContext"]["stage"]) == ("/v1/x", "v1")
    assert event["stageVariables"] == {"colour": "blue"}


def test_a_concurrency_limit_and_an_oversized_body_are_refused(cloud: Cloud) -> None:
    """A throttled function is a 503, a body beyond the quota a 413."""
    api = Api(cloud, "limits", REFLECT, "POST /")
    assert api.call("POST", "/", body=b"x" * (10 * 1024 * 1024 + 1)) == (413, {"message": "Request Entity Too Large"})
    cloud.client("lambda").put_function_concurrency(FunctionName="limits", ReservedConcurrentExecutions=0)
    assert api.call("POST", "/") == (503, {"message": "Service Unavailable"})


# --- IAM authorization ---


@pytest.fixture(scope="module")
def guarded(cloud: Cloud) -> Api:
    """Make an API whose route asks for IAM authorization."""
    api = Api(cloud, "guarded", REFLECT)
    api.route("POST /v1/consents", AuthorizationType="AWS_IAM")
    return api


FORBIDDEN = (403, {"message": "Forbidden"})
PATH, BODY = "/v1/consents", b'{"party":"x"}'


def test_a_signed_request_of_the_administrator_passes(guarded: Api) -> None:
    """SigV4 for execute-api over the URL as it was called passes, and the event says who asked."""
    headers = guarded.cloud.signed("POST", guarded.url + PATH, BODY)
    status, event = guarded.call("POST", PATH, body=BODY, headers=headers)
    assert status == 200
    assert event["requestContext"]["authorizer"]["iam"]["accountId"] == "123456789012"


def test_an_unsigned_changed_or_stale_request_is_forbidden(guarded: Api) -> None:
    """No signature, another body, path, service or date, or a wrong secret: all are the same 403."""
    call, sign, url = guarded.call, guarded.cloud.signed, guarded.url + PATH
    assert call("POST", PATH, body=BODY) == FORBIDDEN
    good = sign("POST", url, BODY)
    assert call("POST", PATH, body=b'{"party":"y"}', headers=good) == FORBIDDEN
    assert call("POST", f"{PATH}?a=1", body=BODY, headers=good) == FORBIDDEN
    assert call("POST", PATH, body=BODY, headers=sign("POST", url, BODY, service="lambda")) == FORBIDDEN
    assert call("POST", PATH, body=BODY, headers={**good, "X-Amz-Date": "20200101T000000Z"}) == FORBIDDEN
    own = guarded.cloud.running.credentials.aws_access_key_id
    wrong = {"aws_access_key_id": own, "aws_secret_access_key": "wrong"}
    assert call("POST", PATH, body=BODY, headers=sign("POST", url, BODY, wrong)) == FORBIDDEN
    stranger = {"aws_access_key_id": "AKIASTRANGER", "aws_secret_access_key": "x"}
    assert call("POST", PATH, body=BODY, headers=sign("POST", url, BODY, stranger)) == FORBIDDEN


def test_a_role_needs_execute_api_invoke_on_the_route(guarded: Api) -> None:
    """A role's session passes only where its policy allows the route, and only with its session token."""
    cloud, url = guarded.cloud, guarded.url + PATH
    role = cloud.role("caller", LOGS)
    keys = cloud.session(role)
    assert guarded.call("POST", PATH, body=BODY, headers=cloud.signed("POST", url, BODY, keys)) == FORBIDDEN
    route = f"arn:aws:execute-api:us-east-1:123456789012:{guarded.id}/$default/POST/v1/consents"
    allowed = policy({"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": route})
    cloud.client("iam").put_role_policy(RoleName="caller", PolicyName="given", PolicyDocument=allowed)
    status, event = guarded.call("POST", PATH, body=BODY, headers=cloud.signed("POST", url, BODY, keys))
    assert status == 200
    assert event["requestContext"]["authorizer"]["iam"]["userArn"].endswith("assumed-role/caller/test")
    without = {name: value for name, value in keys.items() if name != "aws_session_token"}
    assert guarded.call("POST", PATH, body=BODY, headers=cloud.signed("POST", url, BODY, without)) == FORBIDDEN


# --- throttling, logs, faults ---


def test_a_stage_lets_through_its_burst_and_then_its_rate(cloud: Cloud) -> None:
    """A burst of two passes, the third is a 429; a second of the movable clock fills one more at a rate of one."""
    settings = {"ThrottlingBurstLimit": 2, "ThrottlingRateLimit": 0.001}
    api = Api(cloud, "throttled", REFLECT, "GET /", DefaultRouteSettings=settings)
    statuses = [api.call("GET", "/")[0] for _ in range(3)]
    assert statuses == [200, 200, 429]
    cloud.running.clock.advance(1001)
    assert [api.call("GET", "/")[0] for _ in range(2)] == [200, 429]


def test_each_request_is_a_line_in_the_access_log(cloud: Cloud) -> None:
    """The stage's declared format is filled in; what has no value is a dash; refused requests are logged too."""
    cloud.client("logs").create_log_group(logGroupName="/access")
    shape = (
        '{"route":"$context.routeKey","status":"$context.status","ip":"$context.identity.sourceIp","x":"$context.moon"}'
    )
    destination = "arn:aws:logs:us-east-1:123456789012:log-group:/access"
    api = Api(cloud, "logged", REFLECT, "GET /seen", AccessLogSettings={"DestinationArn": destination, "Format": shape})
    api.call("GET", "/seen")
    api.call("GET", "/unseen")
    lines = [json.loads(line) for line in cloud.log("/access")]
    assert lines == [
        {"route": "GET /seen", "status": "200", "ip": "127.0.0.1", "x": "-"},
        {"route": "-", "status": "404", "ip": "127.0.0.1", "x": "-"},
    ]


@pytest.mark.parametrize("mode", ["error", "timeout", "crash"])
def test_a_fault_makes_the_named_function_fail(cloud: Cloud, reflecting: Api, mode: str) -> None:
    """A fault by a part of the name, for so many events or until cleared, fails that function and no other."""
    faults = f"{cloud.running.gateway_url}/_sim/faults"
    fault = {"function": "reflect", "mode": mode, "times": 1}
    assert cloud.http.request("POST", faults, json=fault).status == 201
    assert reflecting.call("GET", "/v1/sessions") == (502, {"message": "Internal Server Error"})
    assert reflecting.call("GET", "/v1/sessions")[0] == 200
    cloud.http.request("POST", faults, json={**fault, "times": None})
    assert [reflecting.call("GET", "/v1/sessions")[0] for _ in range(2)] == [502, 502]
    assert cloud.http.request("DELETE", faults).status == 204
    assert reflecting.call("GET", "/v1/sessions")[0] == 200


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"mode": "error"}, "function is missing"),
        ({"function": "f", "mode": "odd"}, "mode: expected one of error, timeout, crash"),
        ({"function": "f", "mode": "error", "times": 0}, "times: expected"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(cloud: Cloud, fault: dict[str, Any], says: str) -> None:
    """A wrong fault is a 400 that names the field."""
    response = cloud.http.request("POST", f"{cloud.running.gateway_url}/_sim/faults", json=fault)
    assert response.status == 400
    assert says in json.loads(response.data)["message"]
