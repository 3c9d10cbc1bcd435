"""Encryption at rest: AES-256-GCM under a key of the keyring, bound to the place where the data belongs.

A sealed value is

    magic "AMS1" | length of key id (1) | key id | salt (16) | nonce (12) | ciphertext and tag

The key of one value is HMAC-SHA256(keyring key, salt), so random nonces never run out. All before the ciphertext is
authenticated, with the `aad`: the place. A value moved to another row does not unseal.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from automesh.core.errors import AutomationError
from automesh.storage.keyring import Keyring, KeyringError

__all__ = ["Keyring", "KeyringError", "SealBroken", "Sealer", "UnknownKey", "place"]

_MAGIC = b"AMS1"
_SALT_BYTES = 16
_NONCE_BYTES = 12
_TAG_BYTES = 16


class SealBroken(AutomationError):
    """Sealed data that was altered, cut, or sealed for another place. Never retried: it will not mend."""

    reason = "SEAL_BROKEN"


class UnknownKey(SealBroken):
    """Sealed data whose key is not in the keyring; with the right key file it can be read."""

    reason = "SEAL_KEY_UNKNOWN"


def place(*parts: str) -> bytes:
    """The aad of a place such as `place("task", "input", task_id)`; no two lists of parts give the same."""
    return b"".join(len(raw).to_bytes(4, "big") + raw for raw in (part.encode() for part in parts))


class Sealer:
    """Seals small values (whole in memory). For blobs see `automesh.storage.sealed_stream`."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    @property
    def active_key_id(self) -> str:
        """The key that new seals use."""
        return self._keyring.active

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Encrypts under the active key, bound to `aad`."""
        salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
        key_id = self._keyring.active.encode()
        header = _MAGIC + bytes([len(key_id)]) + key_id + salt + nonce
        cipher = AESGCM(self._value_key(self._keyring.active, salt))
        return header + cipher.encrypt(nonce, plaintext, header + aad)

    def unseal(self, sealed: bytes, aad: bytes) -> bytes:
        """Decrypts what `seal` made with the same `aad`. Raises SealBroken or UnknownKey."""
        parts = _split(sealed)
        cipher = AESGCM(self._value_key(parts.key_id, parts.salt))
        try:
            return cipher.decrypt(parts.nonce, parts.ciphertext, parts.header + aad)
        except InvalidTag:
            raise SealBroken("sealed data was altered or belongs to another place") from None

    def rewrap(self, sealed: bytes, aad: bytes) -> bytes:
        """The same value under the active key; `sealed` itself where it is so already."""
        if self.key_id(sealed) == self._keyring.active:
            return sealed
        return self.seal(self.unseal(sealed, aad), aad)

    @staticmethod
    def key_id(sealed: bytes) -> str:
        """The id of the key that `sealed` needs. Raises SealBroken when it is no sealed value."""
        return _split(sealed).key_id

    def _value_key(self, key_id: str, salt: bytes) -> bytes:
        key = self._keyring.key(key_id)
        if key is None:
            raise UnknownKey(
                f"sealed data needs key {key_id!r}, which is not in the key file: "
                "put back the one that AUTOMESH_KEYRING_FILE names from its backup",
                keyId=key_id,
            )
        return hmac.digest(key, salt, "sha256")


@dataclass(frozen=True, slots=True)
class _Parts:
    header: bytes
    key_id: str
    salt: bytes
    nonce: bytes
    ciphertext: bytes


def _split(sealed: bytes) -> _Parts:
    salt_at = len(_MAGIC) + 1 + (sealed[len(_MAGIC)] if len(sealed) > len(_MAGIC) else 0)
    nonce_at = salt_at + _SALT_BYTES
    end = nonce_at + _NONCE_BYTES
    if not sealed.startswith(_MAGIC) or len(sealed) < end + _TAG_BYTES:
        raise SealBroken("this is no sealed data, or it was cut")
    return _Parts(
        header=sealed[:end],
        key_id=sealed[len(_MAGIC) + 1 : salt_at].decode("ascii", "replace"),
        salt=sealed[salt_at:nonce_at],
        nonce=sealed[nonce_at:end],
        ciphertext=sealed[end:],
    )
