"""TransactWriteItems with a ClientRequestToken, done once.

"Idempotency" in the API reference: within ten minutes the same token with the same request is answered as done without
being done again; with another request it is an IdempotentParameterMismatchException. moto ignores the token.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.dynamodb.exceptions import DynamodbException
from moto.dynamodb.models.utilities import DynamoJsonEncoder
from moto.dynamodb.responses import DynamoHandler

if TYPE_CHECKING:
    from local.aws.mends import Mends
    from local.clock import Clock

TOKEN_SECONDS = 600.0


class ParameterMismatchError(DynamodbException):
    """DynamoDB's answer to a token that was used for another request."""

    def __init__(self) -> None:
        super().__init__(
            "com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException",
            "This request attempts to reuse a client request token for another request",
        )


def install(mends: Mends, clock: Clock) -> None:
    """Remember the tokens of successful transactions for ten minutes of the cloud's clock."""
    done: dict[str, tuple[float, str, Any]] = {}

    def transact_write_items(original: Any, handler: DynamoHandler) -> Any:
        token = handler.body.get("ClientRequestToken")
        if not token:
            return original(handler)
        now = clock.now()
        for expired in [name for name, (at, _, _) in done.items() if now - at > TOKEN_SECONDS]:
            del done[expired]
        # Copied before the call: moto writes into the request while it carries it out.
        text = json.dumps(handler.body, sort_keys=True, cls=DynamoJsonEncoder)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()
        if token in done:
            _, known, answer = done[token]
            if known != fingerprint:
                raise ParameterMismatchError
            return ActionResult(answer)
        result = original(handler)
        done[token] = (now, fingerprint, result.result)
        return result

    mends.wrap(DynamoHandler, "transact_write_items", transact_write_items)
