"""Rows as pieces, and which backups stay."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.doc.domain.backups.backup import (
    SCHEDULE,
    Backup,
    Bodies,
    Manifest,
    Piece,
    SpacePart,
    SpaceSummary,
    TablePart,
)
from services.doc.domain.backups.errors import BackupDamaged
from services.doc.domain.backups.pieces import RowCutter, pack_bodies, rows_of, unpack_bodies
from services.doc.domain.backups.retention import surplus, wants_full
from services.doc.domain.backups.tables import TABLES, Row

HEAD = next(table for table in TABLES if table.name == "head")
TEXT = st.text(max_size=20)


def cut(rows: list[Row]) -> list[bytes]:
    cutter = RowCutter(HEAD)
    pieces = [piece for row in rows if (piece := cutter.add(row)) is not None]
    rest = cutter.rest()
    return [*pieces, rest] if rest is not None else pieces


@given(st.lists(st.fixed_dictionaries({"document_id": TEXT, "branch": TEXT, "path": TEXT}), max_size=50))
def test_rows_come_out_of_pieces_as_they_went_in(rows: list[Row]) -> None:
    assert [row for piece in cut(rows) for row in rows_of(piece)] == rows


def test_a_new_row_changes_one_piece() -> None:
    rows: list[Row] = [{"document_id": f"doc_{at:06}", "branch": "main"} for at in range(5000)]
    before = set(cut(rows))
    assert len(before) > 8
    for at in (0, 2500, 5000):
        more = [*rows[:at], {"document_id": f"doc_{at:06}x", "branch": "main"}, *rows[at:]]
        assert len(set(cut(more)) - before) <= 2


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_texts_are_held_against_their_hashes(bodies: list[bytes]) -> None:
    import hashlib

    named = [(hashlib.sha256(body).hexdigest(), body) for body in bodies]
    packed = pack_bodies(named)
    assert unpack_bodies(packed) == dict(named)
    if any(bodies):
        broken = bytearray(packed)
        broken[-1] ^= 1
        with pytest.raises(BackupDamaged):
            unpack_bodies(bytes(broken))


def test_a_manifest_comes_back_as_it_was() -> None:
    piece = Piece("backup_1", "a" * 64, 7)
    summary = SpaceSummary(space="s", documents=1, revisions=2, attachments=0, digest="d")
    manifest = Manifest(
        spaces=[SpacePart(summary=summary, tables={"head": TablePart(1, "x", [piece])})],
        bodies=[Bodies(piece, ["b" * 64])],
        files={"c" * 64: [piece, piece]},
    )
    assert Manifest.of_json(manifest.to_json()) == manifest


def chain(*bases: str, by: str = SCHEDULE) -> list[Backup]:
    """The newest first; each builds on what is named, by number."""
    made = [
        Backup(
            backup_id=f"b{at}", base=f"b{base}" if base else "", bases=[f"b{base}"] if base else [],
            created_at=datetime(2026, 1, 1, tzinfo=UTC), created_by=by, spaces=[], size=0, digest="", manifest="",
        )
        for at, base in enumerate(bases)
    ]  # fmt: skip
    return made[::-1]


def test_old_backups_go_only_when_nothing_builds_on_them() -> None:
    assert surplus(chain("", "0", "1", "2"), keep=2) == []
    assert surplus(chain("", "0", "", "2"), keep=2) == ["b1", "b0"]
    assert surplus(chain("", "", "", by="ann"), keep=1) == []


def test_a_chain_does_not_grow_for_ever() -> None:
    assert not wants_full([], 3)
    assert not wants_full(chain("", "0"), 3)
    assert wants_full(chain("", "0", "1"), 3)
    assert not wants_full(chain("", "0", "1", ""), 3)


def test_tables_come_back_after_what_they_refer_to() -> None:
    names = [table.name for table in TABLES]
    for table in TABLES:
        if table.through:
            assert names.index(table.through) < names.index(table.name)
    assert all(one != other for one, other in pairwise(names))
