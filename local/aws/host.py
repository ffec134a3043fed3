"""moto in this process: the AWS API of the local cloud, with what moto lacks put right (see the modules beside this).

The API is a WSGI application: the door (authorization), then one lock a service, since moto's conditional writes are
not atomic between threads, then moto's own dispatcher.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from moto.iam.access_control import PermissionResult
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import FakeBucket

from local.aws import (
    access_logs,
    callers,
    dynamodb_answers,
    dynamodb_query,
    dynamodb_rollback,
    dynamodb_tokens,
    kms_keys,
    listings,
    moto_time,
    multipart,
    object_lock,
    presigned,
    queues,
    snapshot,
)
from local.aws.authorization import Door, Refusal, log_group_key_refusal, render
from local.aws.calls import read_call
from local.aws.mends import Mends
from local.serving import OnePacketHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from local.clock import Clock

log = logging.getLogger(__name__)

#: Services whose calls run one at a time. Not lambda and sqs, whose calls may wait for a function or a message.
_SERIAL = ("dynamodb", "s3", "kms", "secretsmanager", "iam", "sts", "logs", "scheduler", "apigateway", "monitoring")


class MotoHandler(OnePacketHandler, MotoRequestHandler):
    """Keeps moto's own reading of headers (S3 metadata keys may have underscores)."""


class Moto:
    """moto's backends and API for as long as one local cloud runs; `arrived` hears of each queue with a message.

    `administrator` are the cloud's own keys.
    """

    def __init__(self, clock: Clock, arrived: Callable[[str], None], administrator: callers.SessionKeys) -> None:
        self._door = Door(clock)
        self._keys = partial(callers.secret_of, administrator=administrator)
        self._mends = Mends()
        self._locks = {service: threading.RLock() for service in _SERIAL}
        self._dispatcher = DomainDispatcherApplication(create_backend_app)
        moto_time.install(self._mends, clock)
        callers.install(self._mends)
        kms_keys.install(self._mends)
        object_lock.install(self._mends)
        multipart.install(self._mends)
        listings.install(self._mends)
        access_logs.install(self._mends)
        dynamodb_tokens.install(self._mends, clock)
        dynamodb_answers.install(self._mends)
        dynamodb_rollback.install(self._mends)
        dynamodb_query.install(self._mends)
        queues.install(self._mends, arrived)
        # The door reads bucket policies; moto's own reading would refuse whatever has an unmet condition.
        self._mends.replace(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)

    @property
    def mends(self) -> Mends:
        """Where others register what they replace in moto for as long as it runs."""
        return self._mends

    def lock(self, service: str) -> contextlib.AbstractContextManager[Any]:
        """Return the lock of a service's calls, for those who read or write its backend beside the API."""
        return self._locks.get(service) or contextlib.nullcontext()

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one AWS API request."""
        if str(environ.get("PATH_INFO", "")).startswith("/moto-api"):
            return self._dispatcher(environ, start_response)  # type: ignore[no-any-return]
        call = read_call(environ)
        service = call.service if call else "s3"
        with self.lock(service):
            if call is None:
                refusal: Refusal | None = Refusal(
                    "AccessDenied", "Anonymous requests are refused: sign with the keys of cloud.json."
                )
            else:
                secure = str(environ.get("HTTP_X_FORWARDED_PROTO", "https")) == "https"
                forged = presigned.problem(environ, self._keys)
                refusal = Refusal(*forged) if forged else self._door.refusal(call, secure=secure)
                refusal = refusal or log_group_key_refusal(call)
            if refusal is not None:
                status, headers, body = render(refusal, call)
                log.info("refused %s %s: %s", service, call.operation if call else "anonymous", refusal.message)
                start_response(status, headers)
                return [body]
            return list(self._dispatcher(environ, start_response))

    def save(self) -> bytes:
        """Return the whole state of moto."""
        with contextlib.ExitStack() as stack:
            for lock in self._locks.values():
                stack.enter_context(lock)
            return snapshot.save()

    def load(self, state: bytes) -> None:
        """Put a saved state in place of what there is. Raises snapshot.UnreadableError."""
        snapshot.load(state)

    def close(self) -> None:
        """Forget everything and put moto back as it was."""
        snapshot.reset()
        self._mends.undo()
