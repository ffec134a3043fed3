"""Run the plugin: the Pulumi engine starts `pulumi-resource-aws`, which comes here."""

from infra.provider import serve
from local.aws.provider.plugin import Aws

serve(Aws())
