"""The provider `aws`, as a stand-in on loopback endpoints."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from infra import provider
from infra.provider import CheckFailure, Diff, Naming, Properties, ProviderError, Resource
from local.aws.provider.cloud import Cloud, structured
from local.aws.provider.invokes import INVOKES
from local.aws.provider.kind import Kind, speaking
from local.aws.provider.kinds import apigateway, dynamodb, iam, kms, lambda_, monitoring, s3, scheduler, secrets, sqs
from local.aws.provider.schema import coerce, members, problems

KINDS: tuple[Kind, ...] = (
    kms.Key(),
    kms.Alias(),
    s3.Bucket(),
    s3.Versioning(),
    s3.Encryption(),
    s3.Lifecycle(),
    s3.PublicAccessBlock(),
    s3.OwnershipControls(),
    s3.Policy(),
    s3.ObjectLock(),
    s3.Logging(),
    s3.Object(),
    dynamodb.Table(),
    iam.Role(),
    iam.RolePolicy(),
    lambda_.Function(),
    lambda_.Alias(),
    lambda_.Permission(),
    lambda_.EventSourceMapping(),
    monitoring.LogGroup(),
    monitoring.MetricAlarm(),
    monitoring.Topic(),
    monitoring.TopicPolicy(),
    monitoring.TopicSubscription(),
    sqs.Queue(),
    sqs.QueuePolicy(),
    apigateway.Api(),
    apigateway.Stage(),
    apigateway.Integration(),
    apigateway.Route(),
    scheduler.Schedule(),
    scheduler.ScheduleGroup(),
    secrets.Secret(),
    secrets.SecretVersion(),
    secrets.SecretPolicy(),
)
TYPES = frozenset(kind.token for kind in KINDS)
"""Type tokens that the stand-in carries out, such as `aws:kms/key:Key`."""

SETTINGS = frozenset(
    {
        "accessKey",
        "allowedAccountIds",
        "defaultTags",
        "endpoints",
        "forbiddenAccountIds",
        "region",
        "secretKey",
    }
)
"""Configuration that is carried out."""
NEEDLESS = frozenset(
    {
        "insecure",
        "maxRetries",
        "s3UsePathStyle",
        "s3UsEast1RegionalEndpoint",
        "skipCredentialsValidation",
        "skipMetadataApiCheck",
        "skipRegionValidation",
        "skipRequestingAccountId",
        "version",
    }
)
"""Configuration that changes nothing on this machine."""


class Aws(provider.Provider):
    """The stand-in. Its resources' context is a `Cloud`."""

    name = "aws"
    version = metadata.version("pulumi-aws")
    resources = provider.table(*KINDS)
    invokes = INVOKES

    def resource(self, token: str) -> Resource[Any]:
        """Return a resource type; the official provider has more of them."""
        if token not in self.resources:
            raise ProviderError(
                f"the local stand-in for the AWS provider does not carry out {token}: add it to local/aws/provider, "
                f"or deploy to an AWS account with the official provider"
            )
        return self.resources[token]

    def check_config(self, config: Properties, old: Properties) -> tuple[Properties, list[CheckFailure]]:
        """Check the configuration against the installed `pulumi_aws`; refuse what is not carried out."""
        del old
        from pulumi_aws.provider import ProviderArgs  # noqa: PLC0415 - half a second that a plain start can do without

        given = {name: structured(value) for name, value in config.items() if name != "version"}
        if isinstance(given.get("defaultTags"), list):
            given["defaultTags"] = given["defaultTags"][0]
        failures = list(problems(coerce(given, ProviderArgs), ProviderArgs))
        idle = (given.keys() & members(ProviderArgs).keys()) - SETTINGS - NEEDLESS
        reason = "the local stand-in does not carry this out: leave it out here"
        return config, failures + [CheckFailure(f"aws:{name}", reason) for name in sorted(idle)]

    def diff_config(self, old: Properties, new: Properties) -> Diff:
        """Compare two configurations; another region means other objects."""
        return provider.compare(old, new, {"region"})

    def configure(self, config: Properties) -> Cloud:
        """Make the clients' source; asks AWS for the account only where the configuration restricts it."""
        cloud = Cloud(config)
        allowed, forbidden = (structured(config.get(n)) for n in ("allowedAccountIds", "forbiddenAccountIds"))
        if allowed or forbidden:
            with speaking(of_others=True):
                account = cloud.account
            if account in (forbidden or ()) or account not in (allowed or [account]):
                raise ProviderError(f"aws:allowedAccountIds: the credentials belong to account {account}, not allowed")
        return cloud

    def check(
        self, resource: Resource[Any], inputs: Properties, old_inputs: Properties, naming: Naming
    ) -> tuple[Properties, list[CheckFailure]]:
        """Check and name one resource."""
        assert isinstance(resource, Kind)  # noqa: S101 - the table holds nothing else
        return resource.checked(inputs, old_inputs, naming)
