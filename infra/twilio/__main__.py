"""Run the plugin: the Pulumi engine starts `pulumi-resource-parley`, which comes here."""

from infra.provider import serve
from infra.twilio.plugin import Parley

serve(Parley())
