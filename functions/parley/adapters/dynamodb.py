"""The ledger in one DynamoDB table.

| item | pk | sk | what it holds |
|---|---|---|---|
| consent record | `PARTY#<key>` | `EVENT#<seq, 12 digits>` | the record's canonical JSON; never written twice |
| chain head | `PARTY#<key>` | `HEAD` | the last sequence number and hash |
| standing | `PARTY#<key>` | `STATE#<scope>#<counterpart key or *>` | where the consent stands |
| contact | `PARTY#<key>` | `CONTACT` | the plain identifier, encrypted under a key that nobody here may decrypt with |
| source event | `PARTY#<key>` | `SOURCE#<sha256 of the id>` | what was answered, so that a repeat answers the same |
| session of a party | `PARTY#<key>` | `SESSION#<KC…>` | with whom, until when; `closed_at` once it is closed |
| intent | `SESSION#<si_…>` | `INTENT` | an attempt to open a session; `open_shard` while it is under way |
| decision | `SESSION#<si_…>` | `DECISION#<time and chance>` | what was decided about the session, and why |
| session | `SESSION#<KC…>` | `SESSION` | `open_shard` while it is open, `revocation` once consent is lost |
| interaction | `SESSION#<KC…>` | `INTERACTION#<KI…>#<inbound>#<outbound>` | one status of it |
| question | `PARTY#<key>` | `QUESTION` | the last question that was asked by text, until its time is over |
| told | `SESSION#<KC…, SM… or sms>` | `TOLD#<key>` | a party was told how a session or a question stands |
| cursor | `CURSOR#<name>` | `CURSOR` | where a scheduled task has come to |

Rows leave by their time to live (`expires_at`, epoch seconds); nothing is ever deleted. DynamoDB may take days to
remove an expired row, so what is read is held against the clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from parley.adapters.chains import ChainRows
from parley.adapters.consents import ConsentRows
from parley.adapters.questions import QuestionRows
from parley.adapters.sessions import SessionRows
from parley.adapters.table import Item
from parley.core.consent import RETENTION_CLASS, canonical_json


class DynamoLedger(ConsentRows, ChainRows, SessionRows, QuestionRows):
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
