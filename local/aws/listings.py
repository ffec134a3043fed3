"""Listing versions without their bytes: moto copies every object of a bucket, content and all, for each page of a list.

What a list answers of a version (name, size, ETag, dates) is in the copy's attributes; its bytes stay the object's own.
"""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from moto.s3 import models

if TYPE_CHECKING:
    from local.aws.mends import Mends


class _Listed(models.FakeKey):
    """A version in a list: moto marks it as the latest one or not, which must not reach the object."""

    def __init__(self, version: models.FakeKey) -> None:
        self.__dict__.update(version.__dict__)

    def dispose(self, garbage: bool = False) -> None:
        """Leave the bytes to the object whose they are."""


def install(mends: Mends) -> None:
    """Let moto's models of S3 copy versions as a list needs them."""
    mends.replace(models, "copy", SimpleNamespace(copy=copy.copy, deepcopy=_copies))


def _copies(value: Any) -> Any:
    if not isinstance(value, list):
        return copy.deepcopy(value)
    return [_Listed(each) if isinstance(each, models.FakeKey) else copy.copy(each) for each in value]
