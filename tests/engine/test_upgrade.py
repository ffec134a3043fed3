"""A state that an earlier version left is updated by this one, and nothing that holds data is replaced."""

from __future__ import annotations

import pytest
from parley.core.verification import Verdict

from cli import verify
from cli.stack import LocalStack
from local.engine.events import Result, Step
from local.engine.workspace import Workspace
from tests.engine.upgrade import fit, names, read

DATA = frozenset(
    {
        "aws:s3/bucket:Bucket",
        "aws:dynamodb/table:Table",
        "aws:kms/key:Key",
        "aws:secretsmanager/secret:Secret",
        "aws:cloudwatch/logGroup:LogGroup",
        "aws:apigatewayv2/api:Api",
        "parley:index:ProxyService",
        "parley:index:NumberPool",
        "parley:index:NumberWebhooks",
    }
)
"""What holds data, numbers or the address that webhooks go to: replacing one loses something."""


def lost(result: Result) -> list[str]:
    """Return what was deleted or replaced of what holds data."""
    return [str(step) for step in result.steps if step.type in DATA and ("replace" in step.op or step.op == "delete")]


@pytest.mark.parametrize("name", names())
def test_earlier_state_is_updated(stack: LocalStack, workspace: Workspace, name: str) -> None:
    """`pulumi up` ends well, everything that holds data is what it was, and all that is declared holds."""
    now = workspace.export()
    kept = {each["urn"]: each["id"] for each in now["deployment"]["resources"] if each["type"] in DATA}
    old = fit(read(name), now)
    workspace.import_state(old)
    try:
        done = workspace.up()
    except BaseException:
        workspace.import_state(now)
        raise
    assert lost(done) == []
    after = {each["urn"]: each.get("id") for each in workspace.export()["deployment"]["resources"]}
    assert {urn: after.get(urn) for urn in kept} == kept
    cloud, declaration = stack.start_cloud(), workspace.outputs()["declaration"]
    made = verify.clients(cloud.aws_environment())
    found = verify.checks(declaration, made, verify.carrier(declaration, made, cloud))
    assert [check for check in found if check.verdict is not Verdict.TRUE] == []
    assert done.changed or name == max(names())


def test_loss_is_seen() -> None:
    """A table that is replaced, and a key that is deleted, are losses; a function that is replaced is none."""
    steps = (
        Step("create-replacement", "urn::table", "aws:dynamodb/table:Table"),
        Step("delete", "urn::key", "aws:kms/key:Key"),
        Step("update", "urn::bucket", "aws:s3/bucket:Bucket"),
        Step("replace", "urn::sweep", "aws:lambda/function:Function"),
    )
    assert [line.partition(" ")[0] for line in lost(Result({}, steps, {}, (), 0))] == ["create-replacement", "delete"]
