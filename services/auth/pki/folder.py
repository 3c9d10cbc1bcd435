"""Files of the authority: written in one step, keys 0600, the folder locked while somebody changes it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from automesh.core.errors import AutomationError, Kind
from automesh.mesh.certificates import Issuer, key_to_pem, to_pem


class PkiError(AutomationError):
    """The authority's files are missing, damaged, or cannot be written; the message says how to mend it."""

    kind = Kind.PRECONDITION
    reason = "PKI"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder (0700) and keeps other processes out of it."""
    make_private(folder)
    try:
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise PkiError(f"cannot write in {folder}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def make_private(folder: Path) -> None:
    """Makes the folder, and those above it, for their owner alone. Raises PkiError."""
    try:
        for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)  # `parents=True` would leave those above open to others
    except OSError as error:
        raise PkiError(f"cannot make {folder}: {error.strerror}") from error


def write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replaces the file in one step. Raises PkiError."""
    make_private(path.parent)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise PkiError(f"cannot write {path}: {error.strerror}") from error


def read_chain(path: Path) -> list[x509.Certificate]:
    """The certificates in a file, none when there is no such file. Raises PkiError for anything else."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise PkiError(f"{path} cannot be read as certificates: {error}") from error


def read_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    """The key in a file; None when there is no such file. Raises PkiError for anything else."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise PkiError(f"{path} cannot be read as a private key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{path} holds a key that is not of an elliptic curve")
    return key


def read_issuer(certificate: Path, key: Path) -> Issuer | None:
    """The issuer in a pair of files; None when one of them is absent, or they do not belong together.

    A self-signed one is a root, which has no place in the chains it signs.
    """
    chain, private = read_chain(certificate), read_key(key)
    if not chain or private is None or chain[0].public_key() != private.public_key():
        return None
    is_root = chain[0].issuer == chain[0].subject
    return Issuer(chain[0], private, () if is_root else tuple(chain))


def write_issuer(certificate: Path, key: Path, issuer: Issuer) -> None:
    """The key first: a certificate without its key would look like an authority taken offline."""
    write(key, key_to_pem(issuer.key))
    write(certificate, to_pem([issuer.certificate]), mode=0o644)
