"""What a function of the gate does while Lambda makes its execution environment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from parley import runtime
from parley.adapters.awaited import Client


class Service:
    """A client that notes what is done with it."""

    def __init__(self, name: str, done: list[str], fails: bool) -> None:
        self._name, self._done, self._fails = name, done, fails

    def _note(self, what: str) -> None:
        self._done.append(f"{what} {self._name}")
        if self._fails:
            raise OSError("nothing answers")

    def connect(self) -> None:
        """Open the connection."""
        self._note("connect")

    def load(self) -> None:
        """Make the client."""
        self._note("load")

    def get_secret_value(self, **_: str) -> dict[str, str]:
        """Return the credentials."""
        self._note("fetch")
        return {"SecretString": '{"api_key": "SK", "api_secret": "s", "auth_tokens": ["t"]}'}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let nothing be made before or left after a test."""
    runtime.reset()
    monkeypatch.setenv("PARLEY_TWILIO_SECRET", "twilio")
    yield
    runtime.reset()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("on-demand", ["connect dynamodb", "connect kms", "fetch secretsmanager"]),
        ("provisioned-concurrency", ["connect dynamodb", "connect kms", "fetch secretsmanager"]),
        ("snap-start", ["load dynamodb", "load secretsmanager", "load kms"]),
        ("", []),
    ],
)
def test_what_is_prepared(monkeypatch: pytest.MonkeyPatch, kind: str, expected: list[str], fails: bool) -> None:
    """An environment opens its connections and has its secret; a snapshot holds neither; a failure stops nothing."""
    done: list[str] = []
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", kind)
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "_awaited_client", lambda service: Service(service, done, fails))
        runtime.prepare("kms")
    assert done == (expected[:1] if fails and kind in {"on-demand", "provisioned-concurrency"} else expected)


@pytest.mark.parametrize("kind", ["on-demand", "provisioned-concurrency", "snap-start", ""])
def test_what_goes_by_boto3_is_made_too(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """What else is named is made with the environment, one that fails hinders no other; elsewhere nothing is made."""
    made: list[str] = []
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", kind)
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "_awaited_client", lambda service: Service(service, [], fails=False))
        runtime.prepare(also=(lambda: 1 / 0, lambda: made.append("ledger")))
    assert made == (["ledger"] if kind else [])


def test_only_what_goes_by_boto3_is_loaded() -> None:
    """boto3's client is made beforehand where reads go by it, and nowhere else."""
    made: list[str] = []
    reads: object = object()
    for each in (None, reads):
        Client("dynamodb", each, lambda: made.append("boto3")).load()  # type: ignore[arg-type]
    assert made == ["boto3"]
