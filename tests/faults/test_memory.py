"""The table in memory answers as moto's does: one story, call by call, on both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.twilio.simulator import Ring
from tests.faults.page import MASKINGS
from tests.faults.stage import TALK, Served, one_stage
from tests.handlers.world import ASK, TABLE, World, body

ANA, BEN = "+12125550111", "+12125550112"
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
TOLD = ("Item", "Items", "Responses", "LastEvaluatedKey", "Attributes")


class OnlyTable:
    """What making the table needs of a world."""

    def __init__(self, client: Any) -> None:
        self.dynamodb = client


def told(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a handler reads of an answer."""
    return {name: plain(answer[name]) for name in TOLD if name in answer}


def refusal(error: ClientError) -> tuple[str, list[str], Any]:
    """Return what a handler reads of a refusal."""
    response: Mapping[str, Any] = error.response
    reasons = [reason["Code"] for reason in response.get("CancellationReasons", [])]
    return response["Error"]["Code"], reasons, plain(response.get("Item"))


def plain(answer: Any) -> Any:
    """Return an answer whose sets compare whatever their order."""
    if isinstance(answer, dict):
        return {name: sorted(value) if name == "SS" else plain(value) for name, value in answer.items()}
    return [plain(each) for each in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("masking", MASKINGS)
def test_story_is_the_same_on_moto(served: Served, masking: str) -> None:
    """Whatever the handlers ask of the table in a story, moto answers the same, and ends with the same rows."""
    with one_stage(served, masking) as stage:
        moto = boto3.client("dynamodb", region_name="us-east-1", **KEYS)  # type: ignore[call-overload]  # keys by name
        World._make_table(OnlyTable(moto))  # type: ignore[arg-type]  # it uses the client and nothing else
        asked: list[str] = []

        def both(service: str, operation: str, call: Callable[[], Any], arguments: Mapping[str, Any]) -> Any:
            if service != "dynamodb":
                return call()
            asked.append(operation)
            theirs: Any = None
            try:
                theirs = told(getattr(moto, operation)(**arguments))
            except ClientError as error:
                theirs = refusal(error)
            refused: ClientError | None = None
            try:
                answer = call()
            except ClientError as error:
                refused = error
            ours = told(answer) if refused is None else refusal(refused)
            assert (operation, ours) == (operation, theirs)
            if refused is not None:
                raise refused
            return answer

        stage.around_aws.append(both)
        for phone in (ANA, BEN):
            stage.agree(phone)
        session = body(stage.open(ANA, BEN, key="ride-1"))["session"]
        stage.open(ANA, BEN, key="ride-1")
        masked = stage.numbers_of(ANA)[0]
        stage.text(ANA, masked, TALK)
        stage.call(BEN, stage.numbers_of(BEN)[0], Ring(callee_digits=("1",)))
        for one in list(stage.heard):
            stage.deliver(one.event)
        stage.renew(session)
        stage.emulator.faults.add({"on": "rest", "mode": "error", "match": "POST proxy.*/Sessions$", "times": 1})
        stage.open(ANA, BEN)
        stage.advance(130)
        stage.text(ANA, masked, "revoke", no=True)
        stage.agree(ANA)
        stage.open(ANA, BEN)
        stage.refuse(BEN, everything=True)
        stage.answer(ANA, "hello")
        stage.text(ANA, ASK, "stop", no=True)
        stage.sleep(86_400)
        stage.around_aws.remove(both)
        rows = {(row["pk"]["S"], row["sk"]["S"]): row for row in moto.scan(TableName=TABLE)["Items"]}
        assert plain(rows) == plain(stage.rows())
        assert {"get_item", "put_item", "update_item", "query", "transact_get_items", "transact_write_items"} == set(
            asked
        )
