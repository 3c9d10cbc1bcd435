"""The state folder of a stack on one machine: what lies where, and whether it can be used at all."""

from __future__ import annotations

import errno
import os
import pwd
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from automesh.core.errors import AutomationError, Kind

NEED_BYTES = 200 * 1024 * 1024
"""Free space without which nothing is started."""

_MIB = 1024 * 1024
_OTHER = "choose another folder with --state-dir"


class StateError(AutomationError):
    """The state folder cannot be used; the message says what to do."""

    kind = Kind.PRECONDITION
    reason = "STATE_FOLDER"


class LocalState:
    """Paths below the state folder. `services.auth init` makes certificates and keys at the same places."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    def identities(self, service: str) -> Path:
        """The folder with a service's cert.pem, key.pem and bundle.pem."""
        return self.folder / "identities" / service

    @property
    def web_ca(self) -> Path:
        """The root that signed the gateway's certificate, for curl and browsers."""
        return self.folder / "web" / "ca.pem"

    @property
    def web_certificate(self) -> Path:
        """The gateway's certificate chain."""
        return self.folder / "web" / "cert.pem"

    @property
    def web_key(self) -> Path:
        """The gateway's private key."""
        return self.folder / "web" / "key.pem"

    @property
    def admin_password(self) -> Path:
        """The first admin's password, 0600; written by auth when it makes the admin."""
        return self.folder / "secrets" / "admin_password"

    @property
    def keyring(self) -> Path:
        """The keys that seal secrets in the database and in blobs."""
        return self.folder / "secrets" / "keyring.json"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.folder / "logs"

    @property
    def blobs(self) -> Path:
        """Artifacts, sealed."""
        return self.folder / "blobs"

    @property
    def run(self) -> Path:
        """Sockets and locks: means nothing once the stack is down."""
        return self.folder / "run"

    @property
    def lock_file(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.run / "stack.lock"

    @property
    def stack_file(self) -> Path:
        """What runs now; see automesh.local.record."""
        return self.folder / "stack.json"

    @property
    def session_file(self) -> Path:
        """The tokens of the command line, 0600."""
        return self.folder / "session.json"

    def log_of(self, process: str) -> Path:
        """The log file of one process."""
        return self.logs / f"{process}.log"

    def prepare(self, *, need_bytes: int = NEED_BYTES) -> None:
        """Makes the folder, for this user alone. Raises StateError that says what is in the way."""
        self._make()
        _check_owner(self.folder)
        _try_to_write(self.folder)
        _check_space(self.folder, need_bytes)
        for folder in (self.logs, self.run, self.blobs):
            _make_folder(folder)
        ignore = self.folder / ".gitignore"
        if not ignore.exists():  # keys and passwords must not end in a commit by accident
            ignore.write_text("*\n", encoding="utf-8")

    def _make(self) -> None:
        for folder in (self.folder, *self.folder.parents):
            if _is_file(folder):
                raise StateError(f"{folder} is a file, so it cannot hold state: move it away, or {_OTHER}", path=folder)
        _make_folder(self.folder)


def _is_file(path: Path) -> bool:
    try:
        return path.exists() and not path.is_dir()
    except PermissionError as error:
        raise _refused(path, error) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(folder, error) from error


def _check_owner(folder: Path) -> None:
    status = folder.stat()
    if status.st_uid != os.geteuid():
        owner = _user_name(status.st_uid)
        raise StateError(
            f"state folder {folder} belongs to {owner}, and this is {_user_name(os.geteuid())}: "
            f"run as {owner}, or {_OTHER}",
            path=folder,
            owner=owner,
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        with suppress(OSError):  # no more than a precaution on file systems without modes
            folder.chmod(0o700)


def _try_to_write(folder: Path) -> None:
    """Tried, not asked: root may everything, but not on a read-only or a full disk."""
    probe = folder / f".probe-{secrets.token_hex(4)}"
    try:
        probe.write_bytes(b"x" * 4096)
    except OSError as error:
        raise _refused(folder, error) from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _check_space(folder: Path, need_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise StateError(
            f"the disk of {folder} is nearly full: {free // _MIB} MiB free, at least {need_bytes // _MIB} MiB needed. "
            f"Make room, or {_OTHER}",
            path=folder,
            freeBytes=free,
        )


def _refused(folder: Path, error: OSError) -> StateError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StateError(f"the disk of {folder} is full: make room, or {_OTHER}", path=folder)
    if error.errno == errno.EROFS:
        return StateError(f"{folder} lies on a read-only disk: {_OTHER}", path=folder)
    if error.errno in (errno.EACCES, errno.EPERM):
        return StateError(f"{folder} is not writable for {_user_name(os.geteuid())}: {_OTHER}", path=folder)
    return StateError(f"cannot use {folder}: {error.strerror}; {_OTHER}", path=folder)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
