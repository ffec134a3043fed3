"""Policy documents as the local cloud reads them, and the door that holds each AWS call against them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.policy import Principal, Question, UnknownConditionError, conditions_hold, verdict
from tests.local.cloud_fixture import ACCOUNT, Cloud, cloud, policy

__all__ = ["cloud"]

ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"
READER = Principal(ACCOUNT, f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/one", role_arn=ROLE)


def refused(call: Any, **arguments: Any) -> str:
    """Call AWS and return the code of the error."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.parametrize(
    ("conditions", "context", "holds"),
    [
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:securetransport": ("true",)}, False),
        ({"StringEquals": {"aws:PrincipalArn": ["a", "b"]}}, {"aws:principalarn": ("b",)}, True),
        ({"StringEquals": {"aws:PrincipalArn": "a"}}, {}, False),
        ({"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}, {}, True),
        ({"StringEqualsIfExists": {"s3:x-amz-server-side-encryption": "aws:kms"}}, {}, True),
        ({"Null": {"s3:x-amz-server-side-encryption": "true"}}, {}, True),
        ({"Null": {"s3:x-amz-server-side-encryption": "false"}}, {}, False),
        ({"StringLike": {"s3:prefix": "messages/*"}}, {"s3:prefix": ("messages/7",)}, True),
        ({"NumericLessThan": {"s3:max-keys": "10"}}, {"s3:max-keys": ("9",)}, True),
        ({"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}, {"aws:currenttime": ("0",)}, False),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, {"aws:sourceip": ("127.0.0.1",)}, True),
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws:sourceip": ("127.0.0.1",)}, True),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:*:api/*"}}, {"aws:sourcearn": ("arn:aws:x:api/y",)}, True),
        ({"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "P#*"}}, {"dynamodb:leadingkeys": ("P#1", "Q#1")}, False),
        ({"ForAnyValue:StringLike": {"dynamodb:LeadingKeys": "P#*"}}, {"dynamodb:leadingkeys": ("P#1", "Q#1")}, True),
        (
            {"StringEquals": {"kms:EncryptionContext:party": "${aws:PrincipalAccount}"}},
            {"kms:encryptioncontext:party": (ACCOUNT,), "aws:principalaccount": (ACCOUNT,)},
            True,
        ),
    ],
)
def test_a_condition_holds_as_the_iam_guide_says(
    conditions: dict[str, Any], context: dict[str, tuple[str, ...]], *, holds: bool
) -> None:
    """Each operator, absent keys, IfExists, Null, set operators and variables give what AWS's guide says."""
    assert conditions_hold(conditions, context) is holds


@pytest.mark.parametrize(
    "conditions", [{"StringSortOf": {"aws:SourceIp": "x"}}, {"StringEquals": {"aws:Moon": "full"}}]
)
def test_an_unknown_condition_is_an_error(conditions: dict[str, Any]) -> None:
    """An operator or a key that the evaluator does not know is never passed over."""
    with pytest.raises(UnknownConditionError, match="does not know"):
        conditions_hold(conditions, {})


@pytest.mark.parametrize(("effect", "outcome"), [("Allow", (None, False)), ("Deny", ("policy/Odd", False))])
def test_a_statement_with_an_unknown_condition_counts_against_the_caller(
    effect: str, outcome: tuple[str | None, bool], caplog: pytest.LogCaptureFixture
) -> None:
    """Such a grant grants nothing, such a denial denies, and the log says so loudly."""
    statement = {"Sid": "Odd", "Effect": effect, "Action": "*", "Resource": "*", "Condition": {"Odd": {"a": "b"}}}
    with caplog.at_level(logging.ERROR):
        said = verdict(policy(statement), Question(READER, "s3:GetObject", "arn:aws:s3:::b/k"))
    assert (said.denied_by, said.allowed) == outcome
    assert "taken against the caller" in caplog.text


def test_a_grant_to_the_account_leaves_the_decision_to_the_callers_own_policies() -> None:
    """A resource policy that names the account's root is not a grant to each of its roles."""
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    said = verdict(policy(root), Question(READER, "kms:Decrypt", "arn:aws:kms:us-east-1:1:key/k"))
    assert (said.allowed, said.account_allowed) == (False, True)


def test_not_principal_not_action_and_not_resource_turn_the_match_round() -> None:
    """A denial for all but one role, for all but one action, on all but one resource, spares just those."""
    statement = {
        "Effect": "Deny",
        "NotPrincipal": {"AWS": ROLE},
        "NotAction": "s3:GetObject",
        "NotResource": "arn:aws:s3:::b/open/*",
    }
    stranger = Principal(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
    ask = {"document": policy(statement)}
    assert verdict(**ask, question=Question(stranger, "s3:PutObject", "arn:aws:s3:::b/k")).denied_by
    assert not verdict(**ask, question=Question(READER, "s3:PutObject", "arn:aws:s3:::b/k")).denied_by
    assert not verdict(**ask, question=Question(stranger, "s3:GetObject", "arn:aws:s3:::b/k")).denied_by
    assert not verdict(**ask, question=Question(stranger, "s3:PutObject", "arn:aws:s3:::b/open/k")).denied_by


def test_a_tls_only_bucket_lets_tls_pass_and_nothing_else(cloud: Cloud) -> None:
    """A denial without TLS does not touch a request that stands for TLS, and refuses one that says it came without."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="tls-only")
    resources = ["arn:aws:s3:::tls-only", "arn:aws:s3:::tls-only/*"]
    s3.put_bucket_policy(
        Bucket="tls-only",
        Policy=policy(
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": resources,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ),
    )
    s3.put_object(Bucket="tls-only", Key="k", Body=b"v")
    assert s3.get_object(Bucket="tls-only", Key="k")["Body"].read() == b"v"
    url = f"{cloud.running.aws_endpoint}/tls-only/k"
    headers = cloud.signed("GET", url, service="s3")
    assert cloud.http.request("GET", url, headers=headers).status == 200
    plain = cloud.http.request("GET", url, headers={**headers, "X-Forwarded-Proto": "http"})
    assert plain.status == 403
    assert b"TlsOnly" in plain.data


def test_a_bucket_that_wants_its_key_refuses_other_encryption(cloud: Cloud) -> None:
    """Denials of a missing or another encryption header are met by just the right header."""
    s3, key = cloud.client("s3"), cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3.create_bucket(Bucket="right-key")

    def deny(sid: str, condition: dict[str, Any]) -> dict[str, Any]:
        on = "arn:aws:s3:::right-key/*"
        return {
            "Sid": sid,
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": on,
            "Condition": condition,
        }

    header = "s3:x-amz-server-side-encryption"
    s3.put_bucket_policy(
        Bucket="right-key",
        Policy=policy(
            deny("Named", {"Null": {header: "true"}}),
            deny("Kms", {"StringNotEquals": {header: "aws:kms"}}),
            deny("Ours", {"StringNotEquals": {f"{header}-aws-kms-key-id": key}}),
        ),
    )
    put = {"Bucket": "right-key", "Key": "k", "Body": b""}
    assert refused(s3.put_object, **put) == "AccessDenied"
    assert refused(s3.put_object, **put, ServerSideEncryption="AES256") == "AccessDenied"
    s3.put_object(**put, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    s3.delete_bucket_policy(Bucket="right-key")


def test_a_role_may_do_what_its_policy_says_and_no_more(cloud: Cloud) -> None:
    """A session is held to action and resource: another table, bucket, secret, queue or log group is refused."""
    d, s3, sqs = cloud.client("dynamodb"), cloud.client("s3"), cloud.client("sqs")
    for name in ("mine", "other"):
        d.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        s3.create_bucket(Bucket=f"bucket-{name}")
        sqs.create_queue(QueueName=name)
        cloud.client("secretsmanager").create_secret(Name=name, SecretString="s")
        cloud.client("logs").create_log_group(logGroupName=name)
    role = cloud.role(
        "narrow",
        {
            "Effect": "Allow",
            "Action": ["dynamodb:PutItem", "dynamodb:ConditionCheckItem"],
            "Resource": "arn:aws:dynamodb:*:*:table/mine",
        },
        {"Effect": "Allow", "Action": "s3:*Object", "Resource": "arn:aws:s3:::bucket-mine/*"},
        {"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"},
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:aws:sqs:*:*:mine"},
        {
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": "arn:aws:secretsmanager:*:*:secret:mine-??????",
        },
        {"Effect": "Allow", "Action": ["logs:CreateLogStream"], "Resource": "arn:aws:logs:*:*:log-group:mine:*"},
    )
    keys = cloud.session(role)
    d, s3, sqs = cloud.client("dynamodb", keys), cloud.client("s3", keys), cloud.client("sqs", keys)
    item = {"pk": {"S": "1"}}
    d.put_item(TableName="mine", Item=item)
    assert refused(d.put_item, TableName="other", Item=item) == "AccessDeniedException"
    assert refused(d.get_item, TableName="mine", Key=item) == "AccessDeniedException"
    put = {"Put": {"TableName": "mine", "Item": item}}
    d.transact_write_items(TransactItems=[put])
    delete = {"Delete": {"TableName": "mine", "Key": item}}
    assert refused(d.transact_write_items, TransactItems=[delete]) == "AccessDeniedException"
    s3.put_object(Bucket="bucket-mine", Key="k", Body=b"")
    assert refused(s3.put_object, Bucket="bucket-other", Key="k", Body=b"") == "AccessDenied"
    assert refused(s3.delete_object, Bucket="bucket-mine", Key="k") == "AccessDenied"
    assert refused(s3.list_objects_v2, Bucket="bucket-mine") == "AccessDenied"
    many = {"Objects": [{"Key": "k"}]}
    assert refused(s3.delete_objects, Bucket="bucket-mine", Delete=many) == "AccessDenied"
    mine, other = (sqs.meta.endpoint_url + f"/{ACCOUNT}/{name}" for name in ("mine", "other"))
    sqs.send_message(QueueUrl=mine, MessageBody="m")
    assert refused(sqs.send_message, QueueUrl=other, MessageBody="m") == "AccessDeniedException"
    assert refused(sqs.receive_message, QueueUrl=mine) == "AccessDeniedException"
    secrets, logs = cloud.client("secretsmanager", keys), cloud.client("logs", keys)
    assert secrets.get_secret_value(SecretId="mine")["SecretString"] == "s"
    assert refused(secrets.get_secret_value, SecretId="other") == "AccessDeniedException"
    logs.create_log_stream(logGroupName="mine", logStreamName="s")
    assert refused(logs.create_log_stream, logGroupName="other", logStreamName="s") == "AccessDeniedException"


def test_leading_keys_hold_a_role_to_its_own_items(cloud: Cloud) -> None:
    """`dynamodb:LeadingKeys` compares the partition keys that a call names."""
    cloud.client("dynamodb").create_table(
        TableName="led",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    condition = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["party#*"]}}
    role = cloud.role("led", {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*", "Condition": condition})
    d = cloud.client("dynamodb", cloud.session(role))
    d.put_item(TableName="led", Item={"pk": {"S": "party#1"}})
    assert refused(d.put_item, TableName="led", Item={"pk": {"S": "session#1"}}) == "AccessDeniedException"


def test_a_permissions_boundary_limits_what_a_role_was_given(cloud: Cloud) -> None:
    """What the boundary does not allow is refused, whatever the role's own policy says."""
    iam = cloud.client("iam")
    boundary = policy({"Effect": "Allow", "Action": "sqs:*", "Resource": "*"})
    arn = iam.create_policy(PolicyName="boundary", PolicyDocument=boundary)["Policy"]["Arn"]
    role = cloud.role("bounded", {"Effect": "Allow", "Action": "*", "Resource": "*"})
    iam.put_role_permissions_boundary(RoleName="bounded", PermissionsBoundary=arn)
    keys = cloud.session(role)
    assert "QueueUrls" not in cloud.client("sqs", keys).list_queues(QueueNamePrefix="none")
    assert refused(cloud.client("s3", keys).list_buckets) == "AccessDenied"


def test_keys_of_no_session_and_unsigned_requests_are_refused(cloud: Cloud) -> None:
    """A temporary key that nobody has issued is invalid, and anonymous requests get nothing."""
    stale = {"aws_access_key_id": "ASIAAAAAAAAAAAAAAAAA", "aws_secret_access_key": "x", "aws_session_token": "x"}
    assert refused(cloud.client("dynamodb", stale).list_tables) == "InvalidClientTokenId"
    assert cloud.http.request("GET", f"{cloud.running.aws_endpoint}/any-bucket/key").status == 403


def test_a_key_policy_decides_who_may_use_a_key(cloud: Cloud) -> None:
    """A role needs the key policy's grant, direct or through its account, and its conditions hold or refuse."""
    kms = cloud.client("kms")
    role = cloud.role("decrypter")
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    grant = {
        "Effect": "Allow",
        "Principal": {"AWS": role},
        "Action": "kms:Decrypt",
        "Resource": "*",
        "Condition": {"StringEquals": {"kms:EncryptionContext:purpose": "evidence"}},
    }
    key = kms.create_key(Policy=policy(root, grant))["KeyMetadata"]["KeyId"]
    blobs = {
        purpose: kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"purpose": purpose})["CiphertextBlob"]
        for purpose in ("evidence", "other")
    }
    limited = cloud.client("kms", cloud.session(role))
    context = {"purpose": "evidence"}
    assert limited.decrypt(CiphertextBlob=blobs["evidence"], EncryptionContext=context)["Plaintext"] == b"x"
    other = {"CiphertextBlob": blobs["other"], "EncryptionContext": {"purpose": "other"}}
    assert refused(limited.decrypt, **other) == "AccessDeniedException"
    assert refused(limited.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"


def test_a_key_policy_that_names_only_the_service_serves_only_the_service(cloud: Cloud) -> None:
    """With `kms:ViaService` a role reads objects under the key but cannot use the key by itself."""
    kms, s3 = cloud.client("kms"), cloud.client("s3")
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    key = kms.create_key(Policy=policy(root))["KeyMetadata"]["Arn"]
    s3.create_bucket(Bucket="via-service")
    via = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    role = cloud.role(
        "via",
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
        {"Effect": "Allow", "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": key, "Condition": via},
    )
    keys = cloud.session(role)
    s3 = cloud.client("s3", keys)
    s3.put_object(Bucket="via-service", Key="k", Body=b"v", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    assert s3.get_object(Bucket="via-service", Key="k")["Body"].read() == b"v"
    assert refused(cloud.client("kms", keys).generate_data_key, KeyId=key, KeySpec="AES_256") == "AccessDeniedException"
    cloud.client("iam").delete_role_policy(RoleName="via", PolicyName="given")
    cloud.client("iam").put_role_policy(
        RoleName="via",
        PolicyName="given",
        PolicyDocument=policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}),
    )
    assert refused(s3.get_object, Bucket="via-service", Key="k") == "AccessDenied"


def test_a_log_group_needs_a_key_that_lets_cloudwatch_logs_use_it(cloud: Cloud) -> None:
    """A key whose policy does not name the Logs service is refused for a log group, as on AWS."""
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    service = {
        "Effect": "Allow",
        "Principal": {"Service": "logs.us-east-1.amazonaws.com"},
        "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:GenerateDataKey*"],
        "Resource": "*",
        "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:*:*:log-group:keyed*"}},
    }
    kms, logs = cloud.client("kms"), cloud.client("logs")
    closed = kms.create_key(Policy=policy(root))["KeyMetadata"]["Arn"]
    opened = kms.create_key(Policy=policy(root, service))["KeyMetadata"]["Arn"]
    assert refused(logs.create_log_group, logGroupName="keyed-a", kmsKeyId=closed) == "InvalidParameterException"
    logs.create_log_group(logGroupName="keyed-b", kmsKeyId=opened)
