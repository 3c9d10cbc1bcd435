"""Bodies of documents: by their SHA-256, compressed with the body before as dictionary, sealed."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg
import zstandard

from automesh.core.errors import AutomationError
from automesh.storage.postgres import ENGINE, Connection, Database
from automesh.storage.sealing import Sealer, place
from services.doc.domain.documents.document import sha256_of

MAX_DEPTH = 16
"""Bodies that must be read to read one."""
INLINE_BYTES = 32 * 1024
"""Bodies up to this are packed where they are: a thread takes longer to begin."""
CACHE_BYTES = 32 * 1024 * 1024
_MAX_BODY = 64 * 1024 * 1024  # a damaged frame must not ask for more

CHAIN = """
WITH RECURSIVE chain AS (
    SELECT sha256 AS wanted, sha256, base, bytes, 0 AS step FROM content WHERE tenant_id = $1 AND sha256 = ANY($2)
    UNION ALL
    SELECT chain.wanted, c.sha256, c.base, c.bytes, chain.step + 1
      FROM chain JOIN content c ON c.tenant_id = $1 AND c.sha256 = chain.base
     WHERE chain.step < 20
)
SELECT DISTINCT ON (sha256) sha256, base, bytes FROM chain
"""
BEFORE = """
SELECT r.path, r.sha256, c.depth FROM revision r JOIN content c ON c.tenant_id = r.tenant_id AND c.sha256 = r.sha256
 WHERE r.tenant_id = $1 AND r.revision_id = $2 AND r.document_id = $3
"""
INSERT = """
INSERT INTO content (tenant_id, sha256, base, depth, size, bytes) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, sha256) DO NOTHING
"""

LOOSE = "SELECT tenant_id, sha256 FROM loose_content ORDER BY tenant_id, sha256 LIMIT $1 FOR UPDATE SKIP LOCKED"
FORGET = """
DELETE FROM content c USING unnest($1::text[], $2::text[]) l (tenant_id, sha256)
 WHERE c.tenant_id = l.tenant_id AND c.sha256 = l.sha256
   AND NOT EXISTS (SELECT FROM revision r WHERE r.tenant_id = c.tenant_id AND r.sha256 = c.sha256)
   AND NOT EXISTS (SELECT FROM content d WHERE d.tenant_id = c.tenant_id AND d.base = c.sha256)
RETURNING c.tenant_id, c.base
"""
SETTLED = """
DELETE FROM loose_content l USING unnest($1::text[], $2::text[]) s (tenant_id, sha256)
 WHERE l.tenant_id = s.tenant_id AND l.sha256 = s.sha256
"""


class ContentDamaged(AutomationError):
    """A stored body is not what its hash says. Never retried: restore it from a backup."""

    reason = "CONTENT_DAMAGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """A revision that a new one is made of, and the body that the new one is packed against."""

    path: str
    sha256: str
    depth: int
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A body as it is stored. `size` is that of the body, in bytes."""

    sha256: str
    base: str | None
    depth: int
    size: int
    bytes: bytes


@dataclass(frozen=True, slots=True)
class _Row:
    sha256: str
    base: str | None
    bytes: bytes


class SqlContents:
    """Reads are verified; the bodies read last are kept in memory."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer
        self._cache: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._cached = 0

    async def read(self, tenant_id: str, hashes: Sequence[str]) -> Mapping[str, str]:
        """Bodies by their hashes. Raises ContentDamaged."""
        known = {each: body for each in hashes if (body := self._remembered(tenant_id, each)) is not None}
        missing = sorted(set(hashes) - known.keys())
        if missing:
            rows = await self._database.fetch(CHAIN, tenant_id, missing, tenant=tenant_id)
            found = {row["sha256"]: _Row(row["sha256"], row["base"], row["bytes"]) for row in rows}
            known |= await asyncio.to_thread(self._unpacked, tenant_id, found, missing)
            for each in missing:
                self._remember(tenant_id, each, known[each])
        return {each: known[each].decode() for each in hashes}

    async def before(self, tenant_id: str, document_id: str, revision_id: str) -> Before | None:
        """A revision that something is about to be written on; None when there is no such one."""
        row = await self._database.fetchrow(BEFORE, tenant_id, revision_id, document_id, tenant=tenant_id)
        if row is None:
            return None
        body = (await self.read(tenant_id, [row["sha256"]]))[row["sha256"]]
        return Before(path=row["path"], sha256=row["sha256"], depth=row["depth"], body=body)

    async def pack(self, tenant_id: str, content: str, before: Before | None) -> Packed:
        """Compressed, against the body before where that helps, and sealed. Nothing is stored."""
        body, digest = content.encode(), sha256_of(content)
        chained = before is not None and before.sha256 != digest and before.depth < MAX_DEPTH
        base = before if before is not None and chained and before.body else None
        dictionary = base.body.encode() if base else None
        if len(body) + len(dictionary or b"") <= INLINE_BYTES:
            packed = _packed(body, dictionary)
        else:
            packed = await asyncio.to_thread(_packed, body, dictionary)
        return Packed(
            sha256=digest,
            base=base.sha256 if base else None,
            depth=base.depth + 1 if base else 0,
            size=len(body),
            bytes=self._sealer.seal(packed, place("doc", tenant_id, digest)),
        )

    async def put(self, tx: Connection, tenant_id: str, content: str, before: Before | None = None) -> str:
        """Stores a body that may be there already; its hash."""
        packed = await self.pack(tenant_id, content, before)
        await tx.execute(
            INSERT, tenant_id, packed.sha256, packed.base, packed.depth, packed.size, packed.bytes
        )  # fmt: skip
        return packed.sha256

    def remember(self, tenant_id: str, digest: str, content: str) -> None:
        """A body that was stored a moment ago: it is what is read next, and what the next write is packed against."""
        self._remember(tenant_id, digest, content.encode())

    async def sweep(self, limit: int) -> int:
        """Forgets bodies that nothing refers to, of those that lost a reference; how many of these were looked at.

        A body that others are packed against stays; it is looked at again when the last of them goes.
        """
        try:
            async with self._database.transaction(ENGINE) as tx:
                loose = [(row["tenant_id"], row["sha256"]) for row in await tx.fetch(LOOSE, limit)]
                asked = loose
                while asked:
                    gone = await tx.fetch(FORGET, *_columns(asked))
                    asked = sorted({(row["tenant_id"], row["base"]) for row in gone if row["base"] is not None})
                await tx.execute(SETTLED, *_columns(loose))
        except asyncpg.ForeignKeyViolationError:  # a write took one of them up again at this moment: the next time
            return 0
        return len(loose)

    def _unpacked(self, tenant_id: str, rows: Mapping[str, _Row], wanted: Sequence[str]) -> dict[str, bytes]:
        made: dict[str, bytes] = {}
        for digest in wanted:
            chain, at = [], digest
            while at not in made:
                if at not in rows:
                    raise ContentDamaged(f"the body {at[:12]}... is not there: restore it from a backup", sha256=at)
                chain.append(rows[at])
                if rows[at].base is None:
                    break
                at = rows[at].base or ""
            for row in reversed(chain):
                made[row.sha256] = self._opened(tenant_id, row, made.get(row.base or ""))
        return made

    def _opened(self, tenant_id: str, row: _Row, base: bytes | None) -> bytes:
        packed = self._sealer.unseal(row.bytes, place("doc", tenant_id, row.sha256))
        try:
            body = zstandard.ZstdDecompressor(dict_data=_dictionary(base)).decompress(packed, max_output_size=_MAX_BODY)
        except zstandard.ZstdError as error:
            raise ContentDamaged(
                f"the body {row.sha256[:12]}... cannot be unpacked: {error}", sha256=row.sha256
            ) from error
        if hashlib.sha256(body).hexdigest() != row.sha256:
            raise ContentDamaged(f"the body {row.sha256[:12]}... is another than its hash says", sha256=row.sha256)
        return body

    def _remembered(self, tenant_id: str, digest: str) -> bytes | None:
        body = self._cache.get((tenant_id, digest))
        if body is not None:
            self._cache.move_to_end((tenant_id, digest))
        return body

    def _remember(self, tenant_id: str, digest: str, body: bytes) -> None:
        if (tenant_id, digest) in self._cache or len(body) > CACHE_BYTES // 8:
            return
        self._cache[(tenant_id, digest)] = body
        self._cached += len(body)
        while self._cached > CACHE_BYTES:
            _, gone = self._cache.popitem(last=False)
            self._cached -= len(gone)


def _columns(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [one for one, _ in pairs], [other for _, other in pairs]


def _packed(body: bytes, base: bytes | None) -> bytes:
    return zstandard.ZstdCompressor(level=_level(len(body)), dict_data=_dictionary(base)).compress(body)


def _level(size: int) -> int:
    """What takes some ten milliseconds at most."""
    return 9 if size <= 256 * 1024 else 3


def _dictionary(base: bytes | None) -> zstandard.ZstdCompressionDict | None:
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if base else None
