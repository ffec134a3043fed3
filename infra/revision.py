"""Which commit of the kit is deployed, so that a reviewer reads the code that runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

UNKNOWN = "unknown"
DIRTY = "-dirty"
PROJECT = Path(__file__).resolve().parent.parent
_SECONDS = 10


def revision(project: Path = PROJECT) -> str:
    """Return the commit of a checkout, with `-dirty` behind it when the folder holds anything that is not committed.

    Without git, or outside a checkout, it is unknown: a deployment does not fail for that.
    """
    commit = _git(project, "rev-parse", "HEAD")
    if not commit:
        return UNKNOWN
    # What git cannot tell apart from the commit is not claimed to be it.
    changed = _git(project, "status", "--porcelain", "--", ".") != ""
    return commit + DIRTY * changed


def _git(project: Path, *arguments: str) -> str | None:
    """Return what git says, or None when it cannot say it."""
    try:
        # No lock of the index is taken: somebody may be committing at the same time.
        command = ["git", "--no-optional-locks", *arguments]
        answer = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
