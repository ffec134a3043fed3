"""What the tests of `parley consent` share: a ledger in memory with the command over it, and files to import."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from parley.adapters.dynamodb import DynamoLedger
from parley.adapters.identity import Contacts, Identities
from parley.core.consent import Method, Scope
from parley.env import ConsentPolicy, Environment, SessionPolicy
from parley.variables import Controller

from cli import consent
from cli import main as command
from cli.consent import Reach
from cli.consent_import import Plan
from tests.unit.memory import MemoryDynamo, MemoryKms, StillClock

NUMBER = "+12125550111"
KEEP_DAYS = {"consent-evidence": 1825, "session-map": 30}
SETTINGS: dict[str, Any] = {
    "environment": "local",
    "stack": "local",
    "ledger_table": "ledger",
    "identity_key": "arn:aws:kms:us-east-1:123456789012:key/identity",
    "twilio_secret": "secret",
    "twilio_account_sid": "AC" + "1" * 32,
    "proxy_service_sids": "KS" + "2" * 32,
    "public_url": "https://gate.example.com",
    "controller": Controller("Acme", "privacy@acme.example", "https://acme.example/p", "2026-02"),
    "session": SessionPolicy(3600, "voice-and-message"),
    "consent": ConsentPolicy(("contract", "admin_import"), 365),
    "channels": ("sms",),
    "keep_days": KEEP_DAYS,
    "evidence_key": "arn:aws:kms:us-east-1:123456789012:key/evidence",
    "purposes": {"session-map": ("safety",)},
}


class Desk:
    """A ledger in memory, and the command over it."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.dynamo, self.kms = MemoryDynamo(), MemoryKms()
        self.environment = Environment(**SETTINGS)
        self.ledger = DynamoLedger(self.dynamo, "ledger", KEEP_DAYS, StillClock(), region="us-east-1")
        self.identities = Identities(self.kms, self.environment.identity_key)
        self._patch, self._capsys = patch, capsys
        patch.setattr(command, "deployed", lambda _stack: ({}, None))
        contacts = Contacts(self.kms, str(self.environment.evidence_key))
        made = Reach(self.environment, self.ledger, self.identities, contacts, "arn:aws:iam::123456789012:user/ops")
        patch.setattr(consent, "reach", lambda *_: made)

    def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Run `parley consent`; return the exit code, what it printed, and what it said on stderr as one line."""
        self._patch.setattr("sys.argv", ["parley", "consent", *arguments])
        self._patch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as caught:
            command.main()
        printed = self._capsys.readouterr()
        return int(caught.value.code or 0), printed.out, " ".join(printed.err.split())


CONSTANTS = {
    "evidence.document_id": "terms",
    "evidence.document_version": "7",
    "evidence.document_sha256": "ab" * 32,
    "evidence.clause": "4.2",
    "notice_id": "manage",
    "notice_version": "1",
    "notice_language": "en",
    "notice_sha256": "cd" * 32,
}
"""What every signed contract of the files has in common."""

SIGNED = Plan(Method.CONTRACT, (Scope.MANAGE,), CONSTANTS, "import:test")


def person(number: int) -> str:
    """Return the identifier of one of many people: the fictional numbers of every area, then user ids."""
    area, line = divmod(number, 100)
    return f"+1{201 + area}55501{line:02d}" if area < 799 else f"user:rider-{number}"


def write_signed(path: Path, count: int) -> Path:
    """Write a file of so many signed contracts, each of another person."""
    with path.open("w", encoding="utf-8") as file:
        file.write("party,occurred_at,evidence.accepted_at\n")
        for number in range(count):
            at = f"2026-05-04T10:{number // 60 % 60:02d}:{number % 60:02d}Z"
            file.write(f"{person(number)},{at},{at}\n")
    return path
