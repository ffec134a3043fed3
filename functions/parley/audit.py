"""One person's chain held against its copies, as the scheduled check and the command do it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from parley.adapters.copies import EvidenceCopies
from parley.adapters.proofs import Proofs
from parley.core.chains import Chain, Finding, compare, worth_reading
from parley.core.erasure import ProofError, read_proof
from parley.core.suppression import is_explained, is_proof_of
from parley.ports import Ledger

READS = 3
"""How often a person is read before a finding counts: rows and copies are read one after the other, while others
write."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What came of one person: how many records there are, and what is wrong with them."""

    records: int
    findings: tuple[Finding, ...]


def audit(ledger: Ledger, copies: EvidenceCopies, party: str, now: datetime, proofs: Proofs | None = None) -> Audit:
    """Verify the chain of `party`, a party key, and compare it with its copies. Raises LedgerError, CopyError.

    Where `proofs` has one that the person was erased, the copies that Object Lock keeps need no rows.
    """
    for _ in range(READS):
        chain = ledger.chain(party)
        erased = _erased_up_to(chain, proofs, now)
        left = {row.seq for row in chain.rows}
        if not left and chain.end is not None and chain.end.head.seq <= erased:
            chain = replace(chain, end=None)  # it goes last, and is next
        places = [seq for seq in copies.places(party) if seq > erased or seq in left]
        read = {seq: copies.read(party, seq) for seq in worth_reading(chain.rows, places)}
        findings = compare(chain, {seq: copy for seq, copy in read.items() if copy is not None}, now)
        if not findings:
            break
    return Audit(len(chain.rows), tuple(findings))


def _erased_up_to(chain: Chain, proofs: Proofs | None, now: datetime) -> int:
    """Return the last of a person's records that an erasure took away, as its proof says, or 0.

    The row that says so is not enough: whoever can write the table could write it. A proof that is not there yet is
    waited for as long as an erasure may take.
    """
    erased = chain.erased
    if erased is None:
        return 0
    holds = False
    text = proofs.read(erased.proof) if proofs is not None and erased.proof else None
    if text is not None and proofs is not None:
        try:
            signed, document = read_proof(text)
        except ProofError:
            return 0
        holds = is_proof_of(document, erased) and proofs.holds(signed)
    return erased.seq if is_explained(erased, now, proof_holds=holds) else 0
