"""KMS keys that refuse when AWS's would: disabled, waiting for deletion, deleted, or of another usage or spec.

moto 5.2 encrypts and decrypts under a disabled or pending key, so a test of crypto-shredding would pass for the wrong
reason. Errors follow the KMS API reference; the key states follow "Key states of KMS keys" of its developer guide.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from moto.core.exceptions import JsonRESTError
from moto.kms import models
from moto.kms.models import KmsBackend, kms_backends
from moto.kms.responses import KmsResponse
from moto.kms.utils import ECDSAPrivateKey, KeySpec, generate_private_key

from local.aws.calls import ACCOUNT

if TYPE_CHECKING:
    from local.aws.mends import Mends

#: The only MAC algorithm of each HMAC key spec.
_MAC_ALGORITHMS = {f"HMAC_{bits}": f"HMAC_SHA_{bits}" for bits in (224, 256, 384, 512)}


def private_key(key_spec: str) -> Any:
    """Return the private key of a new key: moto makes an RSA key (50 ms) for symmetric and HMAC keys too."""
    return generate_private_key(key_spec) if key_spec.startswith(("RSA", "ECC")) else _unused_private_key()


@functools.cache
def _unused_private_key() -> Any:
    return generate_private_key(KeySpec.RSA_2048)


def find_key(arn_or_id: str, region: str) -> Any | None:
    """Return moto's key of an ARN or id, or None."""
    return kms_backends[ACCOUNT][region].keys.get(arn_or_id.rpartition("/")[2])


def unusable(key: Any) -> tuple[str, str] | None:
    """Return KMS's error code and message for a key that is not enabled, or None."""
    if key.key_state == "PendingDeletion":
        return "KMSInvalidStateException", f"{key.arn} is pending deletion."
    if not key.enabled or key.key_state == "Disabled":
        return "DisabledException", f"{key.arn} is disabled."
    return None


def require(key: Any, usage: str) -> None:
    """Raise KMS's own error unless the key is enabled and made for `usage` (`ENCRYPT_DECRYPT`, …)."""
    if problem := unusable(key):
        raise JsonRESTError(*problem)
    # moto keeps None for a key that was made without a usage; AWS's default is ENCRYPT_DECRYPT.
    made_for = key.key_usage or "ENCRYPT_DECRYPT"
    if made_for != usage:
        raise JsonRESTError("InvalidKeyUsageException", f"{key.arn} key usage is {made_for}, not {usage}.")


def delete_due_keys(now: float) -> None:
    """Delete the keys whose waiting period has ended; what they encrypted can never be read again."""
    for backend in kms_backends[ACCOUNT].values():
        for key in list(backend.keys.values()):
            if key.deletion_date is not None and key.deletion_date.timestamp() <= now:
                backend.keys.pop(key.id, None)


def install(mends: Mends) -> None:
    """Make moto's KMS check a key before each use, and make key pairs only for keys that have one."""
    mends.replace(models, "generate_private_key", private_key)
    mends.wrap(KmsBackend, "encrypt", _encrypt)
    mends.wrap(KmsBackend, "generate_data_key", _encrypt)
    mends.wrap(KmsBackend, "decrypt", _decrypt)
    mends.wrap(KmsBackend, "sign", _sign)
    mends.wrap(KmsBackend, "verify", _sign)
    sign_digests(mends)
    mends.wrap(KmsBackend, "generate_mac", _mac)
    mends.wrap(KmsBackend, "verify_mac", _mac)
    for name in ("enable_key", "disable_key", "schedule_key_deletion"):
        mends.wrap(KmsBackend, name, _change)
    mends.wrap(KmsBackend, "cancel_key_deletion", _cancel_deletion)
    for name in ("enable_key_rotation", "disable_key_rotation"):
        mends.wrap(KmsBackend, name, _rotate)


def sign_digests(mends: Mends) -> None:
    """Make moto sign and verify a digest as the digest that it is (MessageType DIGEST), which it hashes once more."""
    mends.wrap(KmsResponse, "sign", _with_type)
    mends.wrap(KmsResponse, "verify", _with_type)
    mends.wrap(ECDSAPrivateKey, _HASH, _hash_of)


_HASH = "_ECDSAPrivateKey__hash_algorithm"
_MESSAGE = ContextVar("_MESSAGE", default="RAW")


def _with_type(original: Any, response: KmsResponse, *args: Any) -> Any:
    before = _MESSAGE.set(str(response._get_param("MessageType") or "RAW"))  # noqa: SLF001 - moto has no other way
    try:
        return original(response, *args)
    finally:
        _MESSAGE.reset(before)


def _hash_of(original: Any, key: ECDSAPrivateKey, *args: Any) -> Any:
    algorithm = original(key, *args)
    return Prehashed(algorithm) if _MESSAGE.get() == "DIGEST" else algorithm


def _named(backend: KmsBackend, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the key that a backend call names, as its first or its `key_id` argument."""
    return backend.keys[backend.any_id_to_key_id(kwargs["key_id"] if "key_id" in kwargs else args[0])]


def _encrypt(original: Any, backend: KmsBackend, *args: Any, **kwargs: Any) -> Any:
    require(_named(backend, args, kwargs), "ENCRYPT_DECRYPT")
    return original(backend, *args, **kwargs)


def _sign(original: Any, backend: KmsBackend, *args: Any, **kwargs: Any) -> Any:
    require(_named(backend, args, kwargs), "SIGN_VERIFY")
    return original(backend, *args, **kwargs)


def _decrypt(original: Any, backend: KmsBackend, *args: Any, **kwargs: Any) -> Any:
    plaintext, arn = original(backend, *args, **kwargs)
    require(find_key(arn, backend.region_name), "ENCRYPT_DECRYPT")
    return plaintext, arn


def _mac(original: Any, backend: KmsBackend, *args: Any, **kwargs: Any) -> Any:
    key = _named(backend, args, kwargs)
    require(key, "GENERATE_VERIFY_MAC")
    if kwargs["mac_algorithm"] != _MAC_ALGORITHMS.get(key.key_spec):
        raise JsonRESTError(
            "InvalidKeyUsageException", f"{key.arn} of spec {key.key_spec} cannot do {kwargs['mac_algorithm']}."
        )
    return original(backend, *args, **kwargs)


def _change(original: Any, backend: KmsBackend, key_id: str, *args: Any) -> Any:
    key = _named(backend, (key_id,), {})
    if key.key_state == "PendingDeletion":
        raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
    # By id: with an ARN, which AWS takes as well, moto fails.
    return original(backend, key.id, *args)


def _cancel_deletion(original: Any, backend: KmsBackend, key_id: str) -> Any:
    key = _named(backend, (key_id,), {})
    if key.key_state != "PendingDeletion":
        raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is not pending deletion.")
    return original(backend, key.id)


def _rotate(original: Any, backend: KmsBackend, key_id: str) -> Any:
    key = _named(backend, (key_id,), {})
    if key.key_spec in KeySpec.hmac_key_specs():
        raise JsonRESTError("UnsupportedOperationException", f"{key.arn} of spec {key.key_spec} cannot be rotated.")
    return _change(original, backend, key.id)
