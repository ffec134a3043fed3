"""AWS mocked for boto3 alone, and for `requests` where a test needs that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from moto import mock_aws
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.core.models import MockAWS, botocore_stubber


class mock_boto3(MockAWS):  # noqa: N801 - used as moto's own `mock_aws` is
    """As `mock_aws`, but that answers for the package `requests`, too, which takes longer than many a test does."""

    def _enable_patching(self, reset: bool = True) -> None:
        botocore_stubber.enabled = True
        if reset:
            BackendDict.reset()

    def _disable_patching(self, remove_data: bool) -> None:
        botocore_stubber.enabled = False
        if remove_data:
            BackendDict.reset()
            reset_model_data()


@contextmanager
def requests_too() -> Iterator[None]:
    """Within `mock_boto3`: let what is mocked answer the package `requests` as well, for the length of a block."""
    whole = mock_aws()
    whole.start(reset=False)
    try:
        yield
    finally:
        whole.stop(remove_data=False)
        botocore_stubber.enabled = True  # it switches boto3's off with its own
