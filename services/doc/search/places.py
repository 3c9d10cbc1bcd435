"""Folders of indexes: whose they are, and one that takes the place of another. Everything here blocks."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import BinaryIO

from services.doc.domain.search.errors import IndexDamaged, IndexNotReady
from services.doc.search.folder import TenantFolder

NEW, OLD = ".new", ".old"
MAX_PROCESSES = 32


def own_folder(root: Path) -> tuple[Path, BinaryIO]:
    """The first that no living process has, and what shows that it is this one's as long as it is open.

    Raises IndexNotReady where nothing can be kept.
    """
    try:
        return _first_free(root)
    except OSError as error:
        raise IndexNotReady(
            f"no search index can be kept below {root} ({error.strerror}): make the folder writable, or do without"
            " files with doc_search_engine=postgres"
        ) from error


def _first_free(root: Path) -> tuple[Path, BinaryIO]:
    for number in range(MAX_PROCESSES):
        folder = root / str(number)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (root / f"{number}.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
        else:
            return folder, lock
    raise IndexNotReady(f"{MAX_PROCESSES} processes keep a search index below {root} already")


def moved(fresh: Path, place: Path) -> TenantFolder:
    """It is where the other was. Raises IndexDamaged."""
    old = place.with_name(place.name + OLD)
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)
    return TenantFolder.open(place)


def closed(folder: TenantFolder) -> None:
    """Whatever has become of it."""
    try:
        folder.close()
    except IndexDamaged:  # there is nothing to wait for
        return
