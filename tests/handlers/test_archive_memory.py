"""The memory of archiving does not depend on how long a recording is."""

from __future__ import annotations

from tests.bench.archive import peak_kilobytes


def test_memory_is_flat() -> None:
    """A process that archives a quarter of a gigabyte peaks within 16 MB of one that archives a megabyte."""
    small, large = peak_kilobytes(1_000_000), peak_kilobytes(256_000_044)
    assert abs(large - small) * 1024 < 16_000_000
