"""Which commit is deployed: told by git where there is one, and never a reason to fail."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.revision import DIRTY, UNKNOWN, revision


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it says."""
    identity = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.com", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give a checkout with one commit."""
    (tmp_path / ".gitignore").write_text("*.log\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "Begin")
    return tmp_path


class TestRevision:
    """The commit of a checkout."""

    def test_clean_checkout(self, checkout: Path) -> None:
        """A checkout without changes is its commit; what git ignores does not count."""
        (checkout / "run.log").touch()
        assert revision(checkout) == git(checkout, "rev-parse", "HEAD").strip()

    def test_edited_or_new_file_is_dirty(self, checkout: Path) -> None:
        """A file that is edited or new makes it another thing than the commit, and the text says so."""
        commit = git(checkout, "rev-parse", "HEAD").strip()
        (checkout / "new.py").touch()
        assert revision(checkout) == commit + DIRTY
        (checkout / "new.py").unlink()
        (checkout / ".gitignore").write_text("")
        assert revision(checkout) == commit + DIRTY

    def test_no_checkout(self, tmp_path: Path) -> None:
        """A folder that is no checkout, and a folder that is not there, have no known commit."""
        assert revision(tmp_path) == UNKNOWN
        assert revision(tmp_path / "gone") == UNKNOWN

    def test_checkout_without_a_commit(self, tmp_path: Path) -> None:
        """A repository in which nothing was committed yet has no known commit."""
        git(tmp_path, "init", "--quiet")
        assert revision(tmp_path) == UNKNOWN

    def test_no_git(self, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without git on the machine the commit is unknown, and nothing fails."""
        monkeypatch.setenv("PATH", str(checkout))
        assert revision(checkout) == UNKNOWN
