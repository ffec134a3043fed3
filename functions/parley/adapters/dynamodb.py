"""The ledger in one DynamoDB table.

| item | pk | sk | what it holds |
|---|---|---|---|
| consent record | `PARTY#<key>` | `EVENT#<seq, 12 digits>` | the record's canonical JSON; never written twice |
| chain head | `PARTY#<key>` | `HEAD` | the last sequence number and hash |
| standing | `PARTY#<key>` | `STATE#<scope>#<counterpart key or *>` | where the consent stands |
| contact | `PARTY#<key>` | `CONTACT` | the plain identifier, encrypted under a key that nobody here may decrypt with |
| source event | `PARTY#<key>` | `SOURCE#<sha256 of the id>` | what was answered, so that a repeat answers the same |
| session of a party | `PARTY#<key>` | `SESSION#<KC…>` | with whom, until when; `closed_at` once it is closed |
| line of a party | `PARTY#<key>` | `LINE#<masked number>` | the session that it leads to (`direct`) |
| intent | `SESSION#<si_…>` | `INTENT` | an attempt to open a session; `open_shard` while it is under way |
| decision | `SESSION#<si_…>` | `DECISION#<time and chance>` | what was decided about the session, and why |
| session | `SESSION#<KC…>` | `SESSION` | `open_shard` while it is open, `revocation` once consent is lost |
| interaction | `SESSION#<KC…>` | `INTERACTION#<KI…>#<inbound>#<outbound>` | one status of it |
| question | `PARTY#<key>` | `QUESTION` | the last question that was asked by text, until its time is over |
| told | `SESSION#<KC…, SM… or sms>` | `TOLD#<key>` | a party was told how a session or a question stands |
| record | `RECORD#<RE…, SM…, ME…, RT… and so on>` | `RECORD` | what was captured: whose, by which consents, how far |
| record of a party, of a session | `PARTY#<key>`, `SESSION#<KC…>` | `RECORD#<SID>` | finds it |
| capture | `SESSION#<KC…>` | `CAPTURE#<CA…>` | how far a call's recording has come; `open_shard` while it goes on |
| capture of a call, of a party | `CALL#<CA…>`, `PARTY#<key>` | `CAPTURE`, `CAPTURE#<CA…>` | finds it |
| room | `SESSION#<RM…>` | `ROOM` | who is recorded in a video room; `open_shard` until it is over |
| room of a party | `PARTY#<key>` | `ROOM#<RM…>` | finds it while they may be in it |
| what a party was in | `PARTY#<key>` | `PAST#<KC…, RM…, CH… or si_…>` | finds it, as long as the log of it is kept |
| erasure | `ERASURE#<er_…>` | `ERASURE`, `ITEM#…` | what was asked for, and what became of each thing that was found |
| erasure that waits | `HELD-ERASURES` | `<er_…>` | finds it when a legal hold is released |
| suppression | `SUPPRESSED#<key>` | `SUPPRESSED` | that a person was erased, and where their chain ended; it stays |
| read of a record | `RECORD#<RE…, SM…, ME…>` | `READ#<time and chance>` | who was let read it, for which purpose |
| legal hold | `HOLDS` | `HOLD#<id>` | what is kept, why, by whose order; it stays until it is released |
| log of a hold | `HOLDS` | `CHANGE#<id>#<seq, 6 digits>` | what changed it, when, by whom |
| pending deletion | `DELETIONS#<0–3>` | `DELETION#<SID>` | what is to be deleted at Twilio, when and why not yet |
| limit | `SWEEP` | `LIMIT#<api or proxy>` | how many requests each sweeper may have in flight there |
| cursor | `CURSOR#<name>` | `CURSOR` | where a scheduled task has come to |

Rows leave by their time to live (`expires_at`, epoch seconds); only an erasure deletes any. DynamoDB may take days to
remove an expired row, so what is read is held against the clock. A row that a legal hold keeps has `held_expires_at`
instead: it stays, and permits nothing after that time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from parley.adapters.captures import CaptureRows
from parley.adapters.chains import ChainRows
from parley.adapters.consents import ConsentRows
from parley.adapters.deletions import DeletionRows
from parley.adapters.erasures import ErasureRows
from parley.adapters.holds import HoldRows
from parley.adapters.questions import QuestionRows
from parley.adapters.reads import ReadRows
from parley.adapters.records import RecordRows
from parley.adapters.room_rows import RoomRows
from parley.adapters.session_items import Item
from parley.adapters.sessions import SessionRows
from parley.core.consent import RETENTION_CLASS, canonical_json


class DynamoLedger(
    ConsentRows,
    ChainRows,
    CaptureRows,
    RoomRows,
    SessionRows,
    QuestionRows,
    RecordRows,
    ReadRows,
    HoldRows,
    DeletionRows,
    ErasureRows,
):
    """Implements `parley.ports.Ledger` over one table."""

    def load_cursor(self, name: str) -> dict[str, Any]:
        """Return what `save_cursor` kept under a name, or nothing."""
        item = self.get([_cursor_key(name)])[0]
        value: dict[str, Any] = json.loads(item["value"]["S"]) if item else {}
        return value

    def save_cursor(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep where a scheduled task has come to, as long as the evidence that it finds: it must not start anew."""
        item = {**_cursor_key(name), "value": {"S": canonical_json(value)}, **self.ttl(RETENTION_CLASS)}
        self.call("put_item", Item=item)


def _cursor_key(name: str) -> Item:
    return {"pk": {"S": f"CURSOR#{name}"}, "sk": {"S": "CURSOR"}}
