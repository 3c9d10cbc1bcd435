"""Rows and texts as pieces. Rows are cut where their own keys say so: a new row changes its own piece, no other."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.doc.domain.backups.errors import BackupDamaged
from services.doc.domain.backups.tables import BackedTable, Row

CUT_EVERY = 256
"""Rows in a piece, on average."""
PIECE_BYTES = 4 * 1024 * 1024


def line_of(row: Mapping[str, Any]) -> bytes:
    """A row, in one way only."""
    return (
        json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
        + b"\n"
    )


class RowCutter:
    """Gathers rows of one table and gives out pieces; counts and digests on the way."""

    def __init__(self, table: BackedTable) -> None:
        self._table = table
        self._lines: list[bytes] = []
        self._size = 0
        self.rows = 0

    def add(self, row: Row) -> bytes | None:
        """A piece that is full with this row, or None."""
        line = line_of(row)
        self._lines.append(line)
        self._size += len(line)
        self.rows += 1
        mark = zlib.crc32("\0".join(str(row.get(column)) for column in self._table.key).encode("utf-8", "replace"))
        if mark % CUT_EVERY == 0 or self._size >= PIECE_BYTES:
            return self.rest()
        return None

    def rest(self) -> bytes | None:
        """What is left, if anything."""
        piece, self._lines, self._size = b"".join(self._lines), [], 0
        return piece or None


def counted(table: BackedTable, row: Row) -> bytes:
    """What a row adds to the digest of its space."""
    return line_of({"": table.name, **{name: value for name, value in row.items() if name not in table.uncounted}})


def rows_of(piece: bytes) -> Iterator[Row]:
    """The rows of a piece."""
    for line in piece.split(b"\n")[:-1]:
        yield json.loads(line)


def pack_bodies(bodies: Sequence[tuple[str, bytes]]) -> bytes:
    """Texts by their hashes, as one piece."""
    head = json.dumps([[sha256, len(body)] for sha256, body in bodies], separators=(",", ":")).encode()
    return head + b"\n" + b"".join(body for _, body in bodies)


def unpack_bodies(piece: bytes) -> dict[str, bytes]:
    """The texts of a piece, each held against its hash. Raises BackupDamaged."""
    head, _, rest = piece.partition(b"\n")
    found: dict[str, bytes] = {}
    at = 0
    for sha256, size in json.loads(head):
        found[sha256] = rest[at : at + size]
        at += size
        if hashlib.sha256(found[sha256]).hexdigest() != sha256:
            raise BackupDamaged(f"the text {sha256[:12]}... is another than its hash says", sha256=sha256)
    return found
