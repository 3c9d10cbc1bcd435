"""The key file: key ids and 32-byte keys, one of them active. Readable by its owner only."""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import orjson

from automesh.core.errors import AutomationError, Kind

KEY_BYTES = 32
_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,32}")


class KeyringError(AutomationError):
    """The key file cannot be used as it is; the message says how to mend it."""

    kind = Kind.PRECONDITION
    reason = "KEYRING"


class Keyring:
    """Keys that wrap other keys. Old ones stay for reading, the active one is used for writing."""

    def __init__(self, keys: Mapping[str, bytes], active: str) -> None:
        for key_id, key in keys.items():
            if not _KEY_ID.fullmatch(key_id):
                raise KeyringError(f"key id {key_id!r} is not 1 to 32 letters, digits, dots, dashes or underscores")
            if len(key) != KEY_BYTES:
                raise KeyringError(f"key {key_id} has {len(key)} bytes instead of {KEY_BYTES}", keyId=key_id)
        if active not in keys:
            raise KeyringError(f"the active key {active!r} is not among the keys", keyId=active)
        self._keys = dict(keys)
        self.active = active

    def __repr__(self) -> str:
        return f"Keyring(active={self.active!r}, ids={sorted(self._keys)})"  # never the keys

    def key(self, key_id: str) -> bytes | None:
        """The key of that id, or None."""
        return self._keys.get(key_id)

    @classmethod
    def generate(cls) -> Self:
        """A keyring of one new random key, for a first start and for tests."""
        key_id = f"k{secrets.token_hex(4)}"
        return cls({key_id: secrets.token_bytes(KEY_BYTES)}, key_id)

    def rotated(self) -> Keyring:
        """This keyring with a new active key; the old ones still unseal."""
        fresh = Keyring.generate()
        return Keyring({**self._keys, **fresh._keys}, fresh.active)

    def without(self, key_id: str) -> Keyring:
        """This keyring without a key that nothing is sealed with any more."""
        return Keyring({known: key for known, key in self._keys.items() if known != key_id}, self.active)

    @classmethod
    def from_file(cls, path: Path, *, create: bool = False) -> Self:
        """Reads a key file; with `create` an absent one is made. Raises KeyringError saying what to mend."""
        if create and not path.exists():
            cls.generate().save(path, replace=False)
        try:
            with path.open("rb") as file:
                _check_private(path, os.fstat(file.fileno()))
                text = file.read()
        except FileNotFoundError:
            raise KeyringError(f"there is no key file {path}; without it sealed data cannot be read") from None
        except OSError as error:
            raise KeyringError(f"cannot read key file {path}: {error.strerror}") from error
        return cls._parse(text, path)

    def save(self, path: Path, *, replace: bool = True) -> None:
        """Writes the key file in one step, 0600. Without `replace` a file made meanwhile by somebody else stays."""
        encoded = {key_id: base64.b64encode(key).decode() for key_id, key in self._keys.items()}
        text = orjson.dumps({"active": self.active, "keys": encoded}, option=orjson.OPT_INDENT_2)
        try:
            _write_private(path, text, replace=replace)
        except OSError as error:
            raise KeyringError(f"cannot write key file {path}: {error.strerror}") from error

    @classmethod
    def _parse(cls, text: bytes, path: Path) -> Self:
        try:
            content: dict[str, Any] = orjson.loads(text)
            keys = {key_id: base64.b64decode(key, validate=True) for key_id, key in content["keys"].items()}
            return cls(keys, content["active"])
        except (orjson.JSONDecodeError, binascii.Error, KeyError, TypeError, AttributeError) as error:
            shape = '{"active": "<id>", "keys": {"<id>": "<base64 of 32 bytes>"}}'
            raise KeyringError(f"key file {path} is not of the shape {shape}") from error


def _check_private(path: Path, status: os.stat_result) -> None:
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KeyringError(f"others may read key file {path}: run `chmod 600 {path}`")


def _write_private(path: Path, text: bytes, *, replace: bool) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            Path(name).replace(path)
        else:
            with suppress(FileExistsError):
                path.hardlink_to(name)
    finally:
        Path(name).unlink(missing_ok=True)
