"""`init`: everything that must be there before the first process of the mesh starts. Safe to repeat at any time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from automesh.storage.keyring import Keyring, KeyringError
from services.auth.pki import folder
from services.auth.pki.creation import ensure_authority
from services.auth.pki.identities import ensure_identity
from services.auth.pki.layout import Plan
from services.auth.pki.web import ensure_web


def initialise(plan: Plan, now: datetime) -> None:
    """Authority, sealing keys, first identities, web certificate. Raises PkiError, KeyringError: what to mend."""
    layout = plan.layout
    with folder.locked(layout.pki):
        # The keyring first: where there is an authority, there was one, and what it sealed may be there still.
        _ensure_keyring(plan.keyring or layout.keyring, new=not layout.issuer[0].exists())
        issuer = ensure_authority(plan, now)
        for service in plan.services:
            ensure_identity(plan, service, issuer, now)
        ensure_web(plan, now)


def _ensure_keyring(path: Path, *, new: bool) -> None:
    """Nothing mends a lost keyring, so what is there is checked, and only one that never was is made."""
    if not new and not path.exists():
        raise KeyringError(
            f"{path} is missing, though this state folder was set up before. Put it back from a backup: what it sealed "
            "can be read with nothing else. To start anew without any of it, move the whole state folder away",
            path=path,
        )
    folder.make_private(path.parent)
    Keyring.from_file(path, create=True)
