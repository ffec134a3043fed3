"""One person's chain held against its copies, as the scheduled check and the command do it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from parley.adapters.copies import EvidenceCopies
from parley.core.chains import Finding, compare, worth_reading
from parley.ports import Ledger

READS = 3
"""How often a person is read before a finding counts: rows and copies are read one after the other, while others
write."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What came of one person: how many records there are, and what is wrong with them."""

    records: int
    findings: tuple[Finding, ...]


def audit(ledger: Ledger, copies: EvidenceCopies, party: str, now: datetime) -> Audit:
    """Verify the chain of `party`, a party key, and compare it with its copies. Raises LedgerError, CopyError."""
    for _ in range(READS):
        chain = ledger.chain(party)
        read = {seq: copies.read(party, seq) for seq in worth_reading(chain.rows, copies.places(party))}
        findings = compare(chain, {seq: copy for seq, copy in read.items() if copy is not None}, now)
        if not findings:
            break
    return Audit(len(chain.rows), tuple(findings))
