"""moto's state as bytes and back: moto itself forgets everything with its process.

The backends are pickled. What pickle cannot do gets a reducer: locks, conditions, weak dictionaries, private keys,
functions made inside functions, moto's own kinds of dict. Load only what this user's own cloud has written: a pickle
runs code.
"""

from __future__ import annotations

import io
import pickle
import threading
import types
import weakref
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import dill
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from moto.backends import get_backend

SERVICES = (
    *("iam", "sts", "kms", "s3", "dynamodb", "dynamodbstreams", "sqs", "sns", "logs", "cloudwatch", "secretsmanager"),
    *("scheduler", "events", "apigatewayv2", "lambda", "resourcegroupstaggingapi"),
)
_LOCK, _RLOCK = type(threading.Lock()), type(threading.RLock())


class UnreadableError(Exception):
    """A state that cannot be loaded, and why."""


def save() -> bytes:
    """Return the state of all services as bytes."""
    state = {service: {a: dict(regions) for a, regions in _accounts(service).items()} for service in SERVICES}
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(state)
    return buffer.getvalue()


def load(data: bytes) -> None:
    """Replace the state of all services by a saved one. Raises UnreadableError, with nothing loaded, if it is none."""
    # Before anything is read: moto's reset closes the buffer of every S3 object in this process.
    reset()
    try:
        state = pickle.loads(data)  # noqa: S301 - written by save() into the user's own state file
        for service, by_account in state.items():
            for account, by_region in by_account.items():
                for region, backend in by_region.items():
                    _accounts(service)[account][region] = backend
    except Exception as error:
        reset()
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def reset() -> None:
    """Forget the state of all services."""
    for service in SERVICES:
        _accounts(service).reset()


def _accounts(service: str) -> Any:
    return get_backend(service)  # type: ignore[call-overload]


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        for kind, reduce in _REDUCERS:
            if isinstance(value, kind):
                return reduce(value)
        return NotImplemented


def _weak_values(items: dict[Any, Any]) -> weakref.WeakValueDictionary[Any, Any]:
    return weakref.WeakValueDictionary(items)


def _private_key(der: bytes) -> Any:
    return serialization.load_der_private_key(der, None)


def _function(code: bytes) -> Callable[..., Any]:
    function: Callable[..., Any] = dill.loads(code)  # noqa: S301 - see load()
    return function


def _reduced_dict(value: dict[Any, Any]) -> Any:
    """Reduce moto's own kinds of dict by what they hold: pickle would go through their own `items` and `[]=`.

    S3's store of versions, for one, gives the latest version only and appends what is set.
    """
    kind = type(value)
    if not kind.__module__.startswith("moto.") or isinstance(value, defaultdict):
        return NotImplemented
    return _empty, (kind,), (list(dict.items(value)), dict(vars(value))), None, None, _fill


def _empty(kind: type[dict[Any, Any]]) -> dict[Any, Any]:
    return kind.__new__(kind)


def _fill(value: dict[Any, Any], state: tuple[list[tuple[Any, Any]], dict[str, Any]]) -> None:
    items, attributes = state
    vars(value).update(attributes)
    for key, item in items:
        dict.__setitem__(value, key, item)


def _reduced_function(value: types.FunctionType) -> Any:
    return (_function, (dill.dumps(value),)) if "<locals>" in value.__qualname__ else NotImplemented


def _reduced_key(value: Any) -> Any:
    encoding, form = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
    return _private_key, (value.private_bytes(encoding, form, serialization.NoEncryption()),)


_REDUCERS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (_LOCK, lambda _: (threading.Lock, ())),
    (_RLOCK, lambda _: (threading.RLock, ())),
    (threading.Condition, lambda _: (threading.Condition, ())),
    (weakref.WeakValueDictionary, lambda value: (_weak_values, (dict(value),))),
    ((rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey), _reduced_key),
    (types.FunctionType, _reduced_function),
    (dict, _reduced_dict),
)
