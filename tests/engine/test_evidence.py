"""Evidence on the deployed stack: the stream copies each consent, and the check of the chains finds what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cli import verify
from cli.demo import Conversation
from cli.stack import LocalStack

NOA = "+12125550166"


@dataclass
class Evidence:
    """The deployed ledger and its copies, by an administrator's hands, and one person in it."""

    clients: dict[str, Any]
    outputs: dict[str, Any]
    party: str

    def key(self, seq: int) -> str:
        """Return the key of a copy."""
        return f"consent-evidence/{self.party}/{seq:012d}.json"

    def copy(self, seq: int) -> str:
        """Return a copy, as soon as it is there."""
        where = {"Bucket": self.outputs["evidenceBucket"], "Key": self.key(seq)}
        self.clients["s3"].get_waiter("object_exists").wait(**where, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        text: str = self.clients["s3"].get_object(**where)["Body"].read().decode()
        return text

    def row(self, seq: int) -> dict[str, Any]:
        """Return the row of a record."""
        key = {"pk": {"S": f"PARTY#{self.party}"}, "sk": {"S": f"EVENT#{seq:012d}"}}
        row: dict[str, Any] = self.clients["dynamodb"].get_item(TableName=self.outputs["ledgerTable"], Key=key)["Item"]
        return row

    def check(self) -> tuple[str | None, list[dict[str, Any]]]:
        """Let the check run as it is deployed; return its error, and the findings about this person.

        Without its cursor it begins, however young the last walk is.
        """
        cursor = {"pk": {"S": "CURSOR#chains-in-8"}, "sk": {"S": "CURSOR"}}
        self.clients["dynamodb"].delete_item(TableName=self.outputs["ledgerTable"], Key=cursor)
        name = self.outputs["functions"]["chain"]
        group = {"logGroupName": f"/aws/lambda/{name}"}
        seen = {event["eventId"] for event in self.clients["logs"].filter_log_events(**group)["events"]}
        answer = self.clients["lambda"].invoke(FunctionName=name, Qualifier="live")
        answer["Payload"].read()
        events = self.clients["logs"].filter_log_events(**group)["events"]
        new = [event["message"] for event in events if event["eventId"] not in seen]
        lines = [json.loads(message) for message in new if message.startswith("{")]
        found = [one for one in lines if one.get("event") == "chain-finding" and self.party.startswith(one["party"])]
        return answer.get("FunctionError"), found


@pytest.fixture(scope="module")
def evidence(stack: LocalStack) -> Evidence:
    """Give a person who consented and withdrew through the API, whose copies are made."""
    cloud, outputs = stack.start_cloud(), stack.workspace().outputs()
    conversation = Conversation(cloud, outputs)
    given = conversation.consent(NOA, "given")
    conversation.consent(NOA, "withdrawn")
    made = Evidence(verify.clients(cloud.aws_environment()), outputs, given.body["party"])
    for seq in (1, 2):
        made.copy(seq)
    return made


@contextmanager
def tampered_row(evidence: Evidence, seq: int) -> Iterator[None]:
    """Change a row behind the ledger's back, and put it back in the end."""
    row = evidence.row(seq)
    forged = {**row, "record": {"S": row["record"]["S"].replace('"given"', '"refused"')}}
    assert forged != row
    put, table = evidence.clients["dynamodb"].put_item, evidence.outputs["ledgerTable"]
    put(TableName=table, Item=forged)
    try:
        yield
    finally:
        put(TableName=table, Item=row)


@contextmanager
def tampered_copy(evidence: Evidence, seq: int) -> Iterator[None]:
    """Write over a copy as the bucket's policy allows it, and take the new version away in the end."""
    s3, where = evidence.clients["s3"], {"Bucket": evidence.outputs["evidenceBucket"], "Key": evidence.key(seq)}
    version = s3.put_object(
        **where, Body=b"{}", ServerSideEncryption="aws:kms", SSEKMSKeyId=evidence.outputs["evidenceKeyArn"]
    )["VersionId"]
    try:
        yield
    finally:
        s3.delete_object(**where, VersionId=version)


class TestCopies:
    """What the stream makes of a consent."""

    def test_consent_shows_up_in_the_bucket(self, evidence: Evidence) -> None:
        """A consent given through the API lies in the evidence bucket, word by word, under the evidence key."""
        assert [evidence.copy(seq) for seq in (1, 2)] == [evidence.row(seq)["record"]["S"] for seq in (1, 2)]
        held = evidence.clients["s3"].head_object(Bucket=evidence.outputs["evidenceBucket"], Key=evidence.key(1))
        assert (held["ServerSideEncryption"], held["SSEKMSKeyId"]) == ("aws:kms", evidence.outputs["evidenceKeyArn"])

    def test_no_number_and_nothing_else_is_in_the_bucket(self, evidence: Evidence) -> None:
        """Below the prefix there are records only, and nowhere the number of the person."""
        pages = evidence.clients["s3"].get_paginator("list_objects_v2")
        listed = pages.paginate(Bucket=evidence.outputs["evidenceBucket"], Prefix=f"consent-evidence/{evidence.party}/")
        assert [entry["Key"] for page in listed for entry in page["Contents"]] == [evidence.key(1), evidence.key(2)]
        assert NOA.removeprefix("+") not in evidence.copy(1)

    @pytest.mark.parametrize("wrong", [{"SSEKMSKeyId": "contentKeyArn"}, {"Key": "elsewhere/x.json"}])
    def test_bucket_takes_no_other_key_and_no_other_place(self, evidence: Evidence, wrong: dict[str, str]) -> None:
        """An object under another KMS key, or outside of a declared class, is refused whoever writes it."""
        good = {
            "Bucket": evidence.outputs["evidenceBucket"],
            "Key": f"{evidence.key(1)}.forged",
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": evidence.outputs["evidenceKeyArn"],
        }
        with pytest.raises(ClientError, match="AccessDenied"):
            evidence.clients["s3"].put_object(**good | {k: evidence.outputs.get(v, v) for k, v in wrong.items()})


class TestCheck:
    """The scheduled check, run by the local cloud under the role of its function."""

    def test_untouched_chain_is_no_finding(self, evidence: Evidence) -> None:
        """Nothing is found about a chain that nobody touched, and the function ends without an error."""
        assert evidence.check() == (None, [])

    def test_tampered_row_is_found(self, evidence: Evidence) -> None:
        """A row that was changed is found where it is, and put back it is found no more."""
        with tampered_row(evidence, 1):
            error, found = evidence.check()
        assert error == "Unhandled"
        assert [(one["seq"], one["fault"]) for one in found] == [(1, "chain-broken"), (1, "copy-differs")]
        assert evidence.check() == (None, [])

    def test_tampered_copy_is_found(self, evidence: Evidence) -> None:
        """A copy that was written over is found, with the way out and without the whole of the party key."""
        with tampered_copy(evidence, 2):
            error, found = evidence.check()
        assert error == "Unhandled"
        assert [(one["seq"], one["fault"]) for one in found] == [(2, "copy-differs")]
        assert "versions" in found[0]["fix"]
        assert len(found[0]["party"]) == 12
        assert evidence.check() == (None, [])
