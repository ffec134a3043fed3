"""What moto lacks and the local cloud puts right: key states, object lock, transaction tokens, expiry, settings."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.expiry import due_at
from tests.local.cloud_fixture import LOGS, Cloud, cloud, package, policy

__all__ = ["cloud"]

DAY = 86400.0


def refused(call: Any, **arguments: Any) -> str:
    """Call AWS and return the code of the error."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def table(cloud: Cloud, name: str, **settings: Any) -> Any:
    """Make a table with the key `pk` and return a DynamoDB client."""
    d = cloud.client("dynamodb")
    d.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        **settings,
    )
    return d


# --- KMS ---


def test_a_disabled_key_refuses_and_an_enabled_one_works_again(cloud: Cloud) -> None:
    """A disabled key neither encrypts nor decrypts nor makes data keys; enabled again, all is readable."""
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    kms.disable_key(KeyId=key)
    assert refused(kms.encrypt, KeyId=key, Plaintext=b"x") == "DisabledException"
    assert refused(kms.decrypt, CiphertextBlob=blob) == "DisabledException"
    assert refused(kms.generate_data_key, KeyId=key, KeySpec="AES_256") == "DisabledException"
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"


def test_a_key_pending_deletion_refuses_until_that_is_cancelled_and_is_gone_in_the_end(cloud: Cloud) -> None:
    """Crypto-shredding: within its window a key refuses all use, and after it what it encrypted is lost for good."""
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert refused(kms.decrypt, CiphertextBlob=blob) == "KMSInvalidStateException"
    assert refused(kms.enable_key, KeyId=key) == "KMSInvalidStateException"
    kms.cancel_key_deletion(KeyId=key)
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    cloud.running.clock.advance(7 * DAY + 1)
    with pytest.raises(ClientError):
        kms.decrypt(CiphertextBlob=blob)
    assert refused(kms.describe_key, KeyId=key) == "NotFoundException"


def test_a_key_does_only_what_it_was_made_for(cloud: Cloud) -> None:
    """An HMAC key does not encrypt, an encryption key makes no MAC, and each HMAC spec has one algorithm."""
    kms = cloud.client("kms")
    mac = kms.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")["KeyMetadata"]["KeyId"]
    plain = kms.create_key()["KeyMetadata"]["KeyId"]
    made = kms.generate_mac(KeyId=mac, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]
    assert kms.verify_mac(KeyId=mac, Message=b"m", Mac=made, MacAlgorithm="HMAC_SHA_256")["MacValid"]
    assert refused(kms.encrypt, KeyId=mac, Plaintext=b"x") == "InvalidKeyUsageException"
    assert (
        refused(kms.generate_mac, KeyId=plain, Message=b"m", MacAlgorithm="HMAC_SHA_256") == "InvalidKeyUsageException"
    )
    assert refused(kms.generate_mac, KeyId=mac, Message=b"m", MacAlgorithm="HMAC_SHA_512") == "InvalidKeyUsageException"
    assert refused(kms.enable_key_rotation, KeyId=mac) == "UnsupportedOperationException"
    kms.disable_key(KeyId=mac)
    assert refused(kms.generate_mac, KeyId=mac, Message=b"m", MacAlgorithm="HMAC_SHA_256") == "DisabledException"


def test_what_lies_under_a_disabled_key_cannot_be_read(cloud: Cloud) -> None:
    """Objects, items, secrets and messages under a customer key are refused while the key is disabled."""
    kms, s3, sqs = cloud.client("kms"), cloud.client("s3"), cloud.client("sqs")
    secrets = cloud.client("secretsmanager")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    s3.create_bucket(Bucket="under-key")
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    s3.put_bucket_encryption(Bucket="under-key", ServerSideEncryptionConfiguration=rules)
    s3.put_object(Bucket="under-key", Key="k", Body=b"v")
    sse = {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key}
    d = table(cloud, "under-key", SSESpecification=sse)
    d.put_item(TableName="under-key", Item={"pk": {"S": "1"}})
    secrets.create_secret(Name="under-key", SecretString="s", KmsKeyId=key)
    url = sqs.create_queue(QueueName="under-key", Attributes={"KmsMasterKeyId": key})["QueueUrl"]
    kms.disable_key(KeyId=key)
    assert refused(s3.get_object, Bucket="under-key", Key="k") == "KMS.DisabledException"
    assert refused(s3.put_object, Bucket="under-key", Key="l", Body=b"") == "KMS.DisabledException"
    s3.put_object(Bucket="under-key", Key="plain", Body=b"", ServerSideEncryption="AES256")
    assert refused(d.get_item, TableName="under-key", Key={"pk": {"S": "1"}}) == "AccessDeniedException"
    assert d.describe_table(TableName="under-key")["Table"]["TableName"] == "under-key"
    assert refused(secrets.get_secret_value, SecretId="under-key") == "DecryptionFailure"
    assert "KmsDisabled" in refused(sqs.send_message, QueueUrl=url, MessageBody="m")
    kms.enable_key(KeyId=key)
    assert s3.get_object(Bucket="under-key", Key="k")["Body"].read() == b"v"


# --- S3 object lock ---


def locked_bucket(cloud: Cloud, name: str) -> Any:
    """Make a bucket under object lock and return an S3 client."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return s3


def test_a_lock_configuration_can_be_changed_with_objects_in_the_bucket(cloud: Cloud) -> None:
    """A default retention is put and taken away whatever the bucket holds; the lock itself and versioning stay."""
    s3 = locked_bucket(cloud, "lock-config")
    s3.put_object(Bucket="lock-config", Key="k", Body=b"v")
    default = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}
    s3.put_object_lock_configuration(
        Bucket="lock-config", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": default}
    )
    s3.put_object_lock_configuration(Bucket="lock-config", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    assert s3.get_object_lock_configuration(Bucket="lock-config")["ObjectLockConfiguration"]["ObjectLockEnabled"]
    suspended = {"Status": "Suspended"}
    assert (
        refused(s3.put_bucket_versioning, Bucket="lock-config", VersioningConfiguration=suspended)
        == "InvalidBucketState"
    )


def test_a_retention_is_read_back_lengthened_and_not_shortened(cloud: Cloud) -> None:
    """Compliance can only be prolonged; governance is shortened with the bypass header; no retention is a 404."""
    s3 = locked_bucket(cloud, "lock-retention")
    now = datetime.fromtimestamp(cloud.running.clock.now(), UTC).replace(microsecond=0)
    for name in ("plain", "governed", "kept"):
        s3.put_object(Bucket="lock-retention", Key=name, Body=b"v")
    where = {"Bucket": "lock-retention"}
    assert refused(s3.get_object_retention, **where, Key="plain") == "NoSuchObjectLockConfiguration"

    def retain(key: str, mode: str, days: int, **more: Any) -> None:
        until = now + timedelta(days=days)
        s3.put_object_retention(**where, Key=key, Retention={"Mode": mode, "RetainUntilDate": until}, **more)

    retain("kept", "COMPLIANCE", 5)
    retain("governed", "GOVERNANCE", 5)
    assert s3.get_object_retention(**where, Key="kept")["Retention"]["RetainUntilDate"] == now + timedelta(days=5)
    retain("kept", "COMPLIANCE", 6)
    for key, mode in (("kept", "COMPLIANCE"), ("kept", "GOVERNANCE"), ("governed", "GOVERNANCE")):
        with pytest.raises(ClientError, match="AccessDenied"):
            retain(key, mode, 1)
    retain("governed", "GOVERNANCE", 1, BypassGovernanceRetention=True)
    with pytest.raises(ClientError, match="AccessDenied"):
        retain("kept", "COMPLIANCE", 1, BypassGovernanceRetention=True)


def test_a_legal_hold_and_a_running_retention_keep_a_version(cloud: Cloud) -> None:
    """A version under hold or retention is not deleted; once released, or past on the movable clock, it is."""
    s3 = locked_bucket(cloud, "lock-hold")
    until = datetime.fromtimestamp(cloud.running.clock.now(), UTC) + timedelta(days=2)
    held = s3.put_object(Bucket="lock-hold", Key="held", Body=b"v")["VersionId"]
    kept = s3.put_object(
        Bucket="lock-hold", Key="kept", Body=b"v", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until
    )["VersionId"]
    s3.put_object_legal_hold(Bucket="lock-hold", Key="held", LegalHold={"Status": "ON"})
    assert s3.get_object_legal_hold(Bucket="lock-hold", Key="held")["LegalHold"]["Status"] == "ON"
    for key, version in (("held", held), ("kept", kept)):
        assert refused(s3.delete_object, Bucket="lock-hold", Key=key, VersionId=version) == "AccessDenied"
    s3.put_object_legal_hold(Bucket="lock-hold", Key="held", LegalHold={"Status": "OFF"})
    s3.delete_object(Bucket="lock-hold", Key="held", VersionId=held)
    cloud.running.clock.advance(2 * DAY + 1)
    s3.delete_object(Bucket="lock-hold", Key="kept", VersionId=kept)
    assert "Versions" not in s3.list_object_versions(Bucket="lock-hold")


# --- DynamoDB ---


def test_a_transaction_with_a_token_is_done_once(cloud: Cloud) -> None:
    """The same token and request within ten minutes changes nothing more; another request is refused; later it runs."""
    d = table(cloud, "tokens")

    def add(step: str = "1") -> dict[str, Any]:
        update = {
            "TableName": "tokens",
            "Key": {"pk": {"S": "n"}},
            "UpdateExpression": "ADD n :s",
            "ExpressionAttributeValues": {":s": {"N": step}},
        }
        return {"TransactItems": [{"Update": update}], "ClientRequestToken": "token"}

    d.transact_write_items(**add())
    d.transact_write_items(**add())
    assert d.get_item(TableName="tokens", Key={"pk": {"S": "n"}})["Item"]["n"] == {"N": "1"}
    assert refused(d.transact_write_items, **add("2")) == "IdempotentParameterMismatchException"
    cloud.running.clock.advance(601)
    d.transact_write_items(**add())
    assert d.get_item(TableName="tokens", Key={"pk": {"S": "n"}})["Item"]["n"] == {"N": "2"}


def test_a_cancelled_transaction_leaves_every_item_and_the_stream_as_they_were(cloud: Cloud) -> None:
    """What was put, changed and deleted before the failing condition is put back, and no stream record remains."""
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    d = table(cloud, "rollback", StreamSpecification=stream)
    for key in ("changed", "deleted", "condition"):
        d.put_item(TableName="rollback", Item={"pk": {"S": key}, "n": {"N": "1"}})
    records = len(stream_records(cloud, "rollback"))
    on = {"TableName": "rollback"}
    change = {
        **on,
        "Key": {"pk": {"S": "changed"}},
        "UpdateExpression": "ADD n :s",
        "ExpressionAttributeValues": {":s": {"N": "1"}},
    }
    check = {**on, "Key": {"pk": {"S": "condition"}}, "ConditionExpression": "attribute_not_exists(pk)"}
    items = [
        {"Put": {**on, "Item": {"pk": {"S": "new"}}}},
        {"Update": change},
        {"Delete": {**on, "Key": {"pk": {"S": "deleted"}}}},
        {"ConditionCheck": check},
    ]
    assert refused(d.transact_write_items, TransactItems=items) == "TransactionCanceledException"
    left = {item["pk"]["S"]: item["n"]["N"] for item in d.scan(**on)["Items"]}
    assert left == {"changed": "1", "deleted": "1", "condition": "1"}
    assert len(stream_records(cloud, "rollback")) == records
    d.transact_write_items(TransactItems=items[:3])
    assert {item["pk"]["S"] for item in d.scan(**on)["Items"]} == {"new", "changed", "condition"}
    assert len(stream_records(cloud, "rollback")) == records + 3


def stream_records(cloud: Cloud, name: str) -> list[Any]:
    """Return what the stream of a table holds."""
    streams = cloud.client("dynamodbstreams")
    arn = streams.list_streams(TableName=name)["Streams"][0]["StreamArn"]
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    start = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    return list(streams.get_records(ShardIterator=start["ShardIterator"])["Records"])


def test_of_many_conditional_writes_at_once_one_wins(cloud: Cloud) -> None:
    """A conditional put is atomic between threads."""
    d = table(cloud, "race")
    outcomes: list[str] = []

    def put() -> None:
        try:
            d.put_item(TableName="race", Item={"pk": {"S": "1"}}, ConditionExpression="attribute_not_exists(pk)")
            outcomes.append("won")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["ConditionalCheckFailedException"] * 7 + ["won"]


# --- expiry ---


@pytest.mark.parametrize(
    ("created", "days", "due"),
    [
        ("2014-01-15T10:30:00", 3, "2014-01-19T00:00:00"),
        ("2014-01-15T00:00:00", 3, "2014-01-18T00:00:00"),
        ("2026-02-28T23:59:59", 1, "2026-03-02T00:00:00"),
    ],
)
def test_an_age_is_rounded_up_to_the_next_midnight(created: str, days: int, due: str) -> None:
    """S3's own example: an object of 1/15/2014 10:30 with three days goes at 1/19/2014 00:00 UTC."""
    assert due_at(datetime.fromisoformat(created), days) == datetime.fromisoformat(due)


def test_lifecycle_rules_delete_current_noncurrent_markers_and_uploads(cloud: Cloud) -> None:
    """On a versioned bucket an old object gets a marker, then its version goes, then the lone marker; uploads abort."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="expiring")
    s3.put_bucket_versioning(Bucket="expiring", VersioningConfiguration={"Status": "Enabled"})
    rules = [
        {
            "ID": "messages",
            "Status": "Enabled",
            "Filter": {"Prefix": "messages/"},
            "Expiration": {"Days": 30},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        },
        {
            "ID": "markers",
            "Status": "Enabled",
            "Filter": {"Prefix": "messages/"},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
        },
        {"ID": "off", "Status": "Disabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}},
    ]
    s3.put_bucket_lifecycle_configuration(Bucket="expiring", LifecycleConfiguration={"Rules": rules})
    s3.put_object(Bucket="expiring", Key="messages/1", Body=b"old")
    s3.put_object(Bucket="expiring", Key="messages/1", Body=b"new")
    s3.put_object(Bucket="expiring", Key="other", Body=b"stays")
    s3.create_multipart_upload(Bucket="expiring", Key="messages/2")

    def found() -> tuple[int, int, int]:
        listed = s3.list_object_versions(Bucket="expiring", Prefix="messages/")
        uploads = s3.list_multipart_uploads(Bucket="expiring").get("Uploads", [])
        return len(listed.get("Versions", [])), len(listed.get("DeleteMarkers", [])), len(uploads)

    advance = cloud.running.clock.advance
    assert found() == (2, 0, 1)
    advance(2 * DAY)
    assert found() == (1, 0, 0)
    advance(27 * DAY)
    assert found() == (1, 0, 0)
    advance(2 * DAY)
    assert found() == (1, 1, 0)
    advance(2 * DAY)
    advance(1)
    assert found() == (0, 0, 0)
    assert s3.get_object(Bucket="expiring", Key="other")["Body"].read() == b"stays"


def test_one_long_move_ends_as_the_days_would_have(cloud: Cloud) -> None:
    """A leap of 40 days leaves of an object with 30 days what 40 single days leave: nothing."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="leap")
    s3.put_bucket_versioning(Bucket="leap", VersioningConfiguration={"Status": "Enabled"})
    body = {"Filter": {"Prefix": ""}, "Status": "Enabled"}
    rules = [
        {**body, "ID": "a", "Expiration": {"Days": 30}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
        {**body, "ID": "b", "Expiration": {"ExpiredObjectDeleteMarker": True}},
    ]
    s3.put_bucket_lifecycle_configuration(Bucket="leap", LifecycleConfiguration={"Rules": rules})
    s3.put_object(Bucket="leap", Key="k", Body=b"v")
    cloud.running.clock.advance(40 * DAY)
    listed = s3.list_object_versions(Bucket="leap")
    assert "Versions" not in listed
    assert "DeleteMarkers" not in listed


def test_expiry_spares_what_is_locked(cloud: Cloud) -> None:
    """A noncurrent version under legal hold outlives its rule, and goes once released."""
    s3 = locked_bucket(cloud, "expiring-locked")
    rule = {
        "ID": "all",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": 1},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    }
    s3.put_bucket_lifecycle_configuration(Bucket="expiring-locked", LifecycleConfiguration={"Rules": [rule]})
    version = s3.put_object(Bucket="expiring-locked", Key="k", Body=b"v")["VersionId"]
    s3.put_object_legal_hold(Bucket="expiring-locked", Key="k", LegalHold={"Status": "ON"})
    for _ in range(3):
        cloud.running.clock.advance(2 * DAY)
    assert [v["VersionId"] for v in s3.list_object_versions(Bucket="expiring-locked")["Versions"]] == [version]
    hold = {"Status": "OFF"}
    s3.put_object_legal_hold(Bucket="expiring-locked", Key="k", VersionId=version, LegalHold=hold)
    cloud.running.clock.advance(2 * DAY)
    assert "Versions" not in s3.list_object_versions(Bucket="expiring-locked")


def test_items_past_their_time_to_live_are_deleted(cloud: Cloud) -> None:
    """An item whose TTL attribute has passed goes; one without, one in the future and one not a number stay."""
    d = table(cloud, "ttl")
    d.update_time_to_live(TableName="ttl", TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"})
    now = cloud.running.clock.now()
    for key, attribute in {
        "soon": {"N": str(int(now + 60))},
        "late": {"N": str(int(now + 10 * DAY))},
        "text": {"S": str(int(now + 60))},
        "ancient": {"N": str(int(now - 6 * 365 * DAY))},
    }.items():
        d.put_item(TableName="ttl", Item={"pk": {"S": key}, "expires_at": attribute})
    d.put_item(TableName="ttl", Item={"pk": {"S": "none"}})
    cloud.running.clock.advance(61)
    left = {item["pk"]["S"] for item in d.scan(TableName="ttl")["Items"]}
    assert left == {"late", "text", "none", "ancient"}


def test_log_lines_and_messages_go_with_their_retention(cloud: Cloud) -> None:
    """A log group keeps its days of lines and a queue its seconds of messages, on the movable clock."""
    logs, sqs = cloud.client("logs"), cloud.client("sqs")
    logs.create_log_group(logGroupName="kept-a-day")
    logs.put_retention_policy(logGroupName="kept-a-day", retentionInDays=1)
    logs.create_log_stream(logGroupName="kept-a-day", logStreamName="s")
    url = sqs.create_queue(QueueName="kept-a-day", Attributes={"MessageRetentionPeriod": "86400"})["QueueUrl"]
    line = {"timestamp": int(cloud.running.clock.now() * 1000), "message": "m"}
    logs.put_log_events(logGroupName="kept-a-day", logStreamName="s", logEvents=[line])
    sqs.send_message(QueueUrl=url, MessageBody="m")

    def waiting() -> str:
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        return str(answer["Attributes"]["ApproximateNumberOfMessages"])

    cloud.running.clock.advance(DAY / 2)
    assert (len(cloud.log("kept-a-day")), waiting()) == (1, "1")
    cloud.running.clock.advance(DAY / 2 + 1)
    assert (len(cloud.log("kept-a-day")), waiting()) == (0, "0")


# --- Lambda's settings ---


def test_logging_and_dead_letter_settings_are_answered_back(cloud: Cloud) -> None:
    """LoggingConfig and DeadLetterConfig, which moto forgets, can be read and updated, so that drift shows."""
    queue = "arn:aws:sqs:us-east-1:123456789012:letters"
    cloud.client("logs").create_log_group(logGroupName="own-group")
    cloud.function(
        "settings",
        "def handle(event, context): print('said')",
        LoggingConfig={"LogGroup": "own-group", "LogFormat": "JSON"},
        DeadLetterConfig={"TargetArn": queue},
    )
    client = cloud.client("lambda")
    config = client.get_function_configuration(FunctionName="settings")
    assert config["LoggingConfig"] == {"LogGroup": "own-group", "LogFormat": "JSON"}
    assert config["DeadLetterConfig"] == {"TargetArn": queue}
    assert cloud.invoke("settings") == (None, None)
    assert any("said" in line for line in cloud.log("own-group"))
    client.update_function_configuration(FunctionName="settings", LoggingConfig={"LogFormat": "Text"})
    assert client.get_function_configuration(FunctionName="settings")["LoggingConfig"]["LogFormat"] == "Text"


def test_event_sources_other_than_queues_and_tables_are_refused(cloud: Cloud) -> None:
    """A mapping that the local cloud would not carry out is an error, not a silent nothing."""
    role = cloud.role("streams", LOGS)
    cloud.client("lambda").create_function(
        FunctionName="streams",
        Runtime="python3.13",
        Handler="main.handle",
        Role=role,
        Code={"ZipFile": package("def handle(e, c): ...")},
    )
    source = "arn:aws:kinesis:us-east-1:123456789012:stream/s"
    create = cloud.client("lambda").create_event_source_mapping
    code = refused(create, FunctionName="streams", EventSourceArn=source, StartingPosition="LATEST")
    assert code == "InvalidParameterValueException"


def test_the_default_key_policy_lets_the_account_decide(cloud: Cloud) -> None:
    """A key made without a policy has AWS's default, under which identity policies count."""
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    document = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    assert document["Statement"][0]["Principal"]["AWS"].endswith(":root")
    role = cloud.role("by-identity", {"Effect": "Allow", "Action": "kms:Encrypt", "Resource": "*"})
    limited = cloud.client("kms", cloud.session(role))
    assert limited.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.put_key_policy(
        KeyId=key,
        PolicyName="default",
        Policy=policy({"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"}),
    )
    assert refused(limited.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"
