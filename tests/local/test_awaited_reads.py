"""The reads that a webhook waits for, against the services: answered without boto3, and as boto3 answers them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from parley.adapters.awaited import Client
from parley.adapters.signed import TARGETS, signed

from tests.local.cloud_fixture import Cloud, cloud

__all__ = ["cloud"]


@pytest.fixture
def environment(cloud: Cloud) -> dict[str, str]:
    """Give the variables of an execution environment on this machine."""
    keys = cloud.running.credentials
    return {
        "AWS_ACCESS_KEY_ID": keys.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": keys.aws_secret_access_key,
        "AWS_REGION": cloud.client("kms").meta.region_name,
        "AWS_ENDPOINT_URL": cloud.running.aws_endpoint,
    }


def arguments(cloud: Cloud, operation: str) -> dict[str, Any]:
    """Make what an operation reads; return its arguments."""
    kms = cloud.client("kms")
    if operation == "generate_mac":
        key = kms.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")["KeyMetadata"]["Arn"]
        return {"KeyId": key, "Message": b"\x00+12125550101\xff", "MacAlgorithm": "HMAC_SHA_256"}
    if operation == "decrypt":
        context, key = {"purpose": "line", "session": "KC1"}, kms.create_key()["KeyMetadata"]["Arn"]
        sealed = kms.encrypt(KeyId=key, Plaintext=b"+12125550101", EncryptionContext=context)["CiphertextBlob"]
        return {"KeyId": key, "CiphertextBlob": sealed, "EncryptionContext": context}
    if operation == "get_secret_value":
        made = cloud.client("secretsmanager").create_secret(Name="awaited", SecretString=json.dumps({"api_key": "k"}))
        return {"SecretId": made["ARN"]}
    dynamodb, key = cloud.client("dynamodb"), {"pk": {"S": "LINE#1"}}
    dynamodb.create_table(
        TableName="awaited",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(TableName="awaited", Item={**key, "seen": {"SS": ["SM1"]}, "idle": {"N": "60"}})
    return {"TableName": "awaited", "Key": key, "ConsistentRead": True}


@pytest.mark.parametrize("operation", TARGETS)
def test_answer_is_boto3s(cloud: Cloud, environment: dict[str, str], operation: str) -> None:
    """Each operation answers what boto3's client answers, and boto3 is not made for it."""
    service = TARGETS[operation][0]
    client = Client(service, signed(service, environment), lambda: pytest.fail("boto3 was made"))
    given = arguments(cloud, operation)
    try:
        ours = getattr(client, operation)(**given)
    finally:
        client.close()
    theirs = getattr(cloud.client(service), operation)(**given)
    for name in {"Mac", "Plaintext", "SecretString", "Item"} & theirs.keys():
        assert ours[name] == theirs[name]
    assert {"Mac", "Plaintext", "SecretString", "Item"} & ours.keys()
