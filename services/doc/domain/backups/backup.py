"""What a backup is: a small head by which it is known, and a manifest of all pieces that it shows.

A piece is named by the SHA-256 of what it holds, and lies with the backup that wrote it: later ones refer to it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

VERSION = 1
SCHEDULE = "(schedule)"
"""Who made a backup that came by itself."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`owner`: the backup that wrote it; `size` in bytes, before compression."""

    owner: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Bodies:
    """A piece with texts of documents, by their own hashes, in its order."""

    piece: Piece
    hashes: Sequence[str]


@dataclass(frozen=True, slots=True)
class TablePart:
    """The rows of a table that belong to one space. `digest`: of those that count for the space's; else empty."""

    rows: int
    digest: str
    pieces: Sequence[Piece]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceSummary:
    """A space as the head tells of it."""

    space: str
    documents: int
    revisions: int
    attachments: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpacePart:
    """A space in the manifest."""

    summary: SpaceSummary
    tables: Mapping[str, TablePart]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that a backup shows. `files`: pieces of attachments by the hashes of their contents."""

    spaces: Sequence[SpacePart]
    bodies: Sequence[Bodies]
    files: Mapping[str, Sequence[Piece]]

    def pieces(self) -> Iterator[tuple[Piece, str]]:
        """All, with what each holds."""
        for part in self.spaces:
            for name, table in part.tables.items():
                for piece in table.pieces:
                    yield piece, f"rows of {name!r} of the space {part.summary.space!r}"
        for bodies in self.bodies:
            yield bodies.piece, f"texts of {len(bodies.hashes)} revisions"
        for sha256, pieces in self.files.items():
            for piece in pieces:
                yield piece, f"the attachment {sha256[:12]}..."

    def to_json(self) -> bytes:
        """As it is stored."""
        value = {
            "version": VERSION,
            "spaces": [
                {
                    "summary": asdict(part.summary),
                    "tables": {
                        name: [table.rows, table.digest, _listed(table.pieces)] for name, table in part.tables.items()
                    },
                }
                for part in self.spaces
            ],
            "bodies": [[*_listed([each.piece])[0], list(each.hashes)] for each in self.bodies],
            "files": {sha256: _listed(pieces) for sha256, pieces in self.files.items()},
        }
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def of_json(cls, content: bytes) -> Manifest:
        """As it was stored. Raises ValueError, KeyError, TypeError for anything else."""
        value = json.loads(content)
        return cls(
            spaces=[
                SpacePart(
                    summary=SpaceSummary(**part["summary"]),
                    tables={
                        name: TablePart(rows, digest, _pieces(pieces))
                        for name, (rows, digest, pieces) in part["tables"].items()
                    },
                )
                for part in value["spaces"]
            ],
            bodies=[Bodies(Piece(owner, sha256, size), hashes) for owner, sha256, size, hashes in value["bodies"]],
            files={sha256: _pieces(pieces) for sha256, pieces in value["files"].items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """The head: it is written last, so that what was not finished is not there."""

    backup_id: str
    base: str
    bases: Sequence[str]
    """All whose pieces it shows."""
    created_at: datetime
    created_by: str
    spaces: Sequence[SpaceSummary]
    size: int
    """Bytes that it has written."""
    digest: str
    manifest: str
    """SHA-256 of its manifest."""

    def to_json(self) -> bytes:
        """As it is stored."""
        value = asdict(self) | {"created_at": self.created_at.isoformat(), "version": VERSION}
        return json.dumps(value, sort_keys=True).encode()

    @classmethod
    def of_json(cls, content: bytes) -> Backup:
        """As it was stored. Raises ValueError, KeyError, TypeError for anything else."""
        value: dict[str, Any] = json.loads(content)
        value.pop("version")
        value["created_at"] = datetime.fromisoformat(value["created_at"])
        value["spaces"] = [SpaceSummary(**each) for each in value["spaces"]]
        return cls(**value)


@dataclass(slots=True)
class Known:
    """What an earlier backup has already, for one that builds on it."""

    pieces: dict[str, Piece] = field(default_factory=dict)
    bodies: dict[str, Bodies] = field(default_factory=dict)
    files: dict[str, Sequence[Piece]] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> Known:
        """Of the backup that is built on."""
        known = cls(files=dict(manifest.files))
        for part in manifest.spaces:
            for table in part.tables.values():
                known.pieces |= {piece.sha256: piece for piece in table.pieces}
        for bodies in manifest.bodies:
            known.bodies |= dict.fromkeys(bodies.hashes, bodies)
        return known


def space_digest(tables: Mapping[str, TablePart]) -> str:
    """Over all tables that count."""
    digest = hashlib.sha256()
    for name, table in sorted(tables.items()):
        if table.digest:
            digest.update(f"{name}\0{table.digest}\n".encode())
    return digest.hexdigest()


def digest_of(spaces: Sequence[SpaceSummary]) -> str:
    """Over all that a backup shows."""
    digest = hashlib.sha256()
    for each in sorted(spaces, key=lambda each: each.space):
        digest.update(f"{each.space}\0{each.digest}\n".encode())
    return digest.hexdigest()


def _listed(pieces: Sequence[Piece]) -> list[list[Any]]:
    return [[each.owner, each.sha256, each.size] for each in pieces]


def _pieces(listed: Sequence[Sequence[Any]]) -> list[Piece]:
    return [Piece(owner, sha256, size) for owner, sha256, size in listed]
