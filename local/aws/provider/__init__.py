"""A stand-in for the AWS provider plugin: on loopback endpoints, for the resource types that the kit declares."""

from local.aws.provider.plugin import TYPES, Aws

__all__ = ["TYPES", "Aws"]
