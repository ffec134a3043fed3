"""The functions of `pulumi_aws` that the stand-in answers."""

from __future__ import annotations

from infra.provider import Properties
from local.aws.provider.cloud import Cloud
from local.aws.provider.kind import speaking


def caller_identity(cloud: Cloud, _args: Properties) -> Properties:
    """Return who the credentials belong to."""
    with speaking(of_others=True):
        answer = cloud.client("sts").call("get_caller_identity")
    account = answer["Account"]
    return {"accountId": account, "arn": answer["Arn"], "id": account, "userId": answer["UserId"]}


def region(cloud: Cloud, args: Properties) -> Properties:
    """Return a region, by default the provider's."""
    name = args.get("region") or args.get("name") or cloud.region
    return {
        "id": name,
        "name": name,
        "region": name,
        "description": name,
        "endpoint": f"ec2.{name}.amazonaws.com",
    }


def partition(_cloud: Cloud, _args: Properties) -> Properties:
    """Return the partition, the same for every local region."""
    return {"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}


INVOKES = {
    "aws:index/getCallerIdentity:getCallerIdentity": caller_identity,
    "aws:index/getRegion:getRegion": region,
    "aws:index/getPartition:getPartition": partition,
}
