"""S3: buckets and what is set on them, each setting a resource of its own."""

# ruff: noqa: RUF012, ARG002 - tables that nothing changes; arguments that the base class gives to all

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from infra.provider import UNKNOWN, CheckFailure, Properties
from local.aws.provider.cloud import Client, code, gone
from local.aws.provider.documents import ATTACHED, as_json
from local.aws.provider.kind import Kind, Name, Tagging
from local.aws.provider.shapes import request, to_aws

ACTIONS = (
    "expiration",
    "transitions",
    "noncurrentVersionExpiration",
    "noncurrentVersionTransitions",
    "abortIncompleteMultipartUpload",
)
PERIODS = {
    "expiration": "days",
    "noncurrentVersionExpiration": "noncurrentDays",
    "abortIncompleteMultipartUpload": "daysAfterInitiation",
}


def locked(c: Client, bucket: str) -> bool:
    """Tell whether the bucket has Object Lock."""
    try:
        lock = c.call("get_object_lock_configuration", Bucket=bucket)["ObjectLockConfiguration"]
    except (ClientError, KeyError):
        return False
    return bool(lock.get("ObjectLockEnabled") == "Enabled")


class Bucket(Kind):
    """A bucket, without its settings: each of those has a resource type of its own."""

    token, service, form = "aws:s3/bucket:Bucket", "s3", "{bucket}"
    creates, deletes = "create_bucket", "delete_bucket"
    name = Name("bucket", 63, lower=True)
    replaces = frozenset({"bucket", "objectLockEnabled"})
    own = frozenset({"objectLockEnabled"})
    defaults = {"objectLockEnabled": False}
    local = frozenset({"forceDestroy"})
    tagging = Tagging("put_bucket_tagging", "delete_bucket_tagging", "get_bucket_tagging", "Bucket", "bucket")
    instead = {
        "accelerationStatus": "leave it out",
        "acl": "use aws.s3.BucketOwnershipControls",
        "bucketNamespace": "leave it out",
        "corsRules": "leave it out",
        "grants": "use aws.s3.BucketPolicy",
        "lifecycleRules": "use aws.s3.BucketLifecycleConfiguration",
        "logging": "use aws.s3.BucketLogging",
        "objectLockConfiguration": "use aws.s3.BucketObjectLockConfiguration",
        "policy": "use aws.s3.BucketPolicy",
        "replicationConfiguration": "leave it out",
        "requestPayer": "leave it out",
        "serverSideEncryptionConfiguration": "use aws.s3.BucketServerSideEncryptionConfiguration",
        "versioning": "use aws.s3.BucketVersioning",
        "website": "leave it out",
    }

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield names that S3 refuses (the bucket naming rules of the S3 user guide)."""
        name = p.get("bucket")
        legal = r"(?!xn--|sthree-)(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?<!-s3alias)"
        if isinstance(name, str) and not re.fullmatch(legal, name):
            yield CheckFailure(
                "bucket", f"{name!r} is no bucket name: 3 to 63 lower-case letters, digits, dots and hyphens"
            )

    def make(self, c: Client, p: Properties) -> str:
        """Create the bucket in the client's region."""
        where = {} if c.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": c.region}}
        lock = p.get("objectLockEnabled", False)
        c.call("create_bucket", Bucket=p["bucket"], ObjectLockEnabledForBucket=lock, **where)
        return str(p["bucket"])

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read what belongs to the bucket itself."""
        c.call("head_bucket", Bucket=id_)
        return {
            "bucket": id_,
            "arn": f"arn:aws:s3:::{id_}",
            "bucketDomainName": f"{id_}.s3.amazonaws.com",
            "bucketRegion": c.region,
            "bucketRegionalDomainName": f"{id_}.s3.{c.region}.amazonaws.com",
            "hostedZoneId": "Z3AQBSTGFYJSTF",
            "objectLockEnabled": locked(c, id_),
        }

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Delete the bucket, with `forceDestroy` its objects and their versions before it."""
        for member in ("Versions", "DeleteMarkers") if state.get("forceDestroy") else ():
            for item in c.pages("list_object_versions", member, Bucket=id_):
                version = {"Key": item["Key"], "VersionId": item["VersionId"]}
                c.call("delete_object", Bucket=id_, BypassGovernanceRetention=True, **version)
        c.call("delete_bucket", Bucket=id_)

    def put_tags(self, c: Client, state: Properties, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        """Put all tags at once, as S3 takes them."""
        if new:
            shape = request("s3", "put_bucket_tagging")["Tagging"]
            c.call("put_bucket_tagging", Bucket=state["bucket"], Tagging=to_aws(shape, {"tagSet": dict(new)}, {}))
        elif old:
            c.call("delete_bucket_tagging", Bucket=state["bucket"])

    def get_tags(self, c: Client, state: Properties) -> dict[str, str]:
        """Return the tags; S3 calls none of them an error."""
        try:
            tags = c.call("get_bucket_tagging", Bucket=state["bucket"])["TagSet"]
        except ClientError as error:
            if code(error) != "NoSuchTagSet":
                raise
            return {}
        return {tag["Key"]: tag["Value"] for tag in tags}


class Setting(Kind):
    """One setting of a bucket, put, read and deleted as a whole. `stem` is what its operations are called after."""

    service, form = "s3", "{bucket}"
    replaces = frozenset({"bucket", "expectedBucketOwner"})
    unread = frozenset({"expectedBucketOwner"})
    stem: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.creates = cls.updates = f"put_{cls.stem}"
        cls.reads, cls.deletes = f"get_{cls.stem}", vars(cls).get("deletes", f"delete_{cls.stem}")


class Versioning(Setting):
    """Versioning; deleting the resource suspends it, but for a bucket with Object Lock, where it cannot be."""

    token, stem = "aws:s3/bucketVersioning:BucketVersioning", "bucket_versioning"
    unread = Setting.unread | {"mfa"}

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the state, which is none for a bucket that never had versions."""
        answer = c.call("get_bucket_versioning", Bucket=id_)
        if not answer.get("Status"):
            return None
        return {"bucket": id_, **self.state({"VersioningConfiguration": answer})}

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Suspend versioning where S3 allows it."""
        if not locked(c, id_):
            c.call("put_bucket_versioning", Bucket=id_, VersioningConfiguration={"Status": "Suspended"})


class Encryption(Setting):
    """Encryption by default."""

    token = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"  # noqa: S105
    stem, nest = "bucket_encryption", "ServerSideEncryptionConfiguration"

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield a key beside an algorithm that takes none."""
        for index, rule in enumerate(p.get("rules") or []):
            default = rule.get("applyServerSideEncryptionByDefault") or {}
            if default.get("sseAlgorithm") == "AES256" and default.get("kmsMasterKeyId"):
                path = f"rules[{index}].applyServerSideEncryptionByDefault.kmsMasterKeyId"
                yield CheckFailure(path, "goes with sseAlgorithm aws:kms only: leave one of the two out")


class Lifecycle(Setting):
    """All lifecycle rules of a bucket."""

    token, stem = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "bucket_lifecycle_configuration"
    nest, deletes = "LifecycleConfiguration", "delete_bucket_lifecycle"
    local = frozenset({"timeouts"})
    needs = frozenset({"rules"})

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield what S3 refuses in rules (S3 user guide, lifecycle configuration elements)."""
        rules = p.get("rules") or []
        for id_, count in Counter(rule.get("id") for rule in rules if rule.get("id") is not UNKNOWN).items():
            if count > 1:
                yield CheckFailure("rules", f"{count} rules have the id {id_!r}: give each its own")
        for index, rule in enumerate(rules):
            yield from self._rule_faults(f"rules[{index}]", rule)

    def _rule_faults(self, at: str, rule: Properties) -> Iterator[CheckFailure]:
        if not any(rule.get(action) for action in ACTIONS):
            yield CheckFailure(at, f"has no action: give it one of {', '.join(ACTIONS)}")
        for action, name in PERIODS.items():
            days = (rule.get(action) or {}).get(name)
            if isinstance(days, int) and days < 1:
                yield CheckFailure(f"{at}.{action}.{name}", f"must be at least 1, got {days}")
        expiration = rule.get("expiration") or {}
        given = [name for name in ("date", "days", "expiredObjectDeleteMarker") if expiration.get(name)]
        if len(given) > 1:
            yield CheckFailure(f"{at}.expiration", f"has {' and '.join(given)}: S3 takes one of them a rule")
        condition = rule.get("filter") or {}
        if len(condition) > 1:
            path = f"{at}.filter"
            yield CheckFailure(path, f"has {' and '.join(sorted(condition))}: put several conditions inside of `and`")
        if "and" in condition and len(condition["and"] or {}) == 1 and not condition["and"].get("tags"):
            yield CheckFailure(f"{at}.filter.and", "has one condition: put it outside of `and`")
        for number, transition in enumerate(rule.get("transitions") or []):
            days, tier = transition.get("days"), transition.get("storageClass")
            if isinstance(days, int) and days < 30 and tier in {"STANDARD_IA", "ONEZONE_IA"}:
                yield CheckFailure(f"{at}.transitions[{number}].days", f"must be at least 30 for {tier}, got {days}")


class PublicAccessBlock(Setting):
    """What of public access is blocked."""

    token, stem = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "public_access_block"
    nest = "PublicAccessBlockConfiguration"
    local = frozenset({"skipDestroy"})

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Delete it, unless it is to stay."""
        if not state.get("skipDestroy"):
            super().remove(c, id_, state)


class OwnershipControls(Setting):
    """Who owns the objects."""

    token, stem = "aws:s3/bucketOwnershipControls:BucketOwnershipControls", "bucket_ownership_controls"
    nest = "OwnershipControls"
    renames = {"rule": "Rules"}


class Policy(Setting):
    """The bucket's policy."""

    token, stem = "aws:s3/bucketPolicy:BucketPolicy", "bucket_policy"
    documents = {"policy": ATTACHED}

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield statements about other buckets: S3 refuses them as malformed."""
        bucket, document = p.get("bucket"), as_json(p.get("policy"))
        if not isinstance(bucket, str) or not isinstance(document, dict):
            return
        arn = f"arn:aws:s3:::{bucket}"
        statements = document["Statement"]
        for index, statement in enumerate([statements] if isinstance(statements, dict) else statements):
            named = statement.get("Resource") or statement.get("NotResource") or []
            for resource in [named] if isinstance(named, str) else named:
                if resource != arn and not resource.startswith(f"{arn}/"):
                    yield CheckFailure(
                        "policy", f"Statement[{index}] is about {resource!r}: this bucket is {arn} and {arn}/*"
                    )


class ObjectLock(Setting):
    """The default retention of a bucket with Object Lock; deleting it takes the default away, not the lock."""

    token, stem = "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration", "object_lock_configuration"
    nest = "ObjectLockConfiguration"
    defaults = {"objectLockEnabled": "Enabled"}
    unread = Setting.unread | {"token"}

    def faults(self, p: Properties) -> Iterator[CheckFailure]:
        """Yield periods that S3 refuses."""
        default = (p.get("rule") or {}).get("defaultRetention") or {}
        periods = [name for name in ("days", "years") if default.get(name) is not None]
        at = "rule.defaultRetention"
        if default and len(periods) != 1:
            yield CheckFailure(at, "needs either days or years")
        for name in periods:
            if isinstance(default[name], int) and default[name] < 1:
                yield CheckFailure(f"{at}.{name}", f"must be at least 1, got {default[name]}")

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the configuration; moto tells the unit that was not given as 0."""
        found = super().look(c, id_, was)
        if found and "rule" in found:
            default = found["rule"]["defaultRetention"]
            found["rule"] = {"defaultRetention": {name: value for name, value in default.items() if value}}
        return found

    def make(self, c: Client, p: Properties) -> str:
        """Put the configuration, which says again that the bucket has Object Lock."""
        return super().make(c, {**self.defaults, **p})

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Put the configuration again."""
        super().change(c, id_, old, {**self.defaults, **new}, changed)

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Take the default retention away."""
        c.call(self.creates, Bucket=id_, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})


class Logging(Setting):
    """Where the bucket's server access logs go."""

    token, stem = "aws:s3/bucketLogging:BucketLogging", "bucket_logging"
    own = frozenset({"targetBucket", "targetPrefix", "targetObjectKeyFormat"})
    instead = {"targetGrants": "buckets that enforce their owner refuse grants; use aws.s3.BucketPolicy"}

    def _status(self, p: Properties) -> dict[str, Any]:
        shape = request("s3", "put_bucket_logging")["BucketLoggingStatus"]
        enabled = {name: p[name] for name in sorted(self.own & p.keys())}
        return {"BucketLoggingStatus": to_aws(shape, {"loggingEnabled": enabled}, {})}

    def make(self, c: Client, p: Properties) -> str:
        """Switch logging on."""
        c.call("put_bucket_logging", Bucket=p["bucket"], **self._status(p))
        return str(p["bucket"])

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read the target; none means that logging is off."""
        enabled = c.call("get_bucket_logging", Bucket=id_).get("LoggingEnabled")
        return {"targetPrefix": "", **self.state(enabled), "bucket": id_} if enabled else None

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Put the target again."""
        c.call("put_bucket_logging", Bucket=id_, **self._status(new))

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Switch logging off."""
        try:
            c.call("put_bucket_logging", Bucket=id_, BucketLoggingStatus={})
        except ClientError as error:
            if not gone(error):
                raise


class Object(Kind):
    """An object of the program's own, such as a document: replaced as a whole, with a new version each time."""

    token, service, form = "aws:s3/bucketObjectv2:BucketObjectv2", "s3", "{bucket}/{key}"
    creates = updates = "put_object"
    replaces = frozenset({"bucket", "key"})
    renames = {"kmsKeyId": "SSEKMSKeyId"}
    own = frozenset({"content"})
    local = frozenset({"forceDestroy"})
    unread = frozenset({"content"})
    needs = frozenset({"key", "content"})
    instead = {
        "contentBase64": "use content",
        "etag": "leave it out",
        "overrideProvider": "leave it out",
        "source": "use content",
        "sourceHash": "leave it out",
    }
    volatile = frozenset({"etag", "versionId"})

    def make(self, c: Client, p: Properties) -> str:
        """Write the object."""
        c.call(self.creates, **self.arguments(self.creates, p), Body=p["content"].encode())
        return self.form.format(**p)

    def look(self, c: Client, id_: str, was: Properties) -> Properties | None:
        """Read what S3 says of its newest version; a delete marker is none."""
        keys = self.keys(id_, was)
        answer = c.call("head_object", Bucket=keys["bucket"], Key=keys["key"])
        return {
            **self.state({name: value for name, value in answer.items() if name != "Metadata" or value}),
            **keys,
            "arn": f"arn:aws:s3:::{id_}",
            "etag": answer["ETag"].strip('"'),
            "storageClass": answer.get("StorageClass", "STANDARD"),
            "versionId": answer.get("VersionId", ""),
        }

    def change(self, c: Client, id_: str, old: Properties, new: Properties, changed: Set[str]) -> None:
        """Write a new version."""
        self.make(c, new)

    def remove(self, c: Client, id_: str, state: Properties) -> None:
        """Delete every version, as the official plugin does; governance locks with `forceDestroy` only."""
        keys = self.keys(id_, state)
        bypass = {"BypassGovernanceRetention": True} if state.get("forceDestroy") else {}
        for member in ("Versions", "DeleteMarkers"):
            for item in c.pages("list_object_versions", member, Bucket=keys["bucket"], Prefix=keys["key"]):
                if item["Key"] == keys["key"]:
                    version = {"Key": item["Key"], "VersionId": item["VersionId"]}
                    c.call("delete_object", Bucket=keys["bucket"], **version, **bypass)
