"""Words as the database may know them: keyed hashes of tokens, sealed words as they are written."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from automesh.storage.postgres import Connection, Database
from automesh.storage.sealing import Sealer, place

KEY = "SELECT sealed FROM search_key WHERE tenant_id = $1"
NEW_KEY = "INSERT INTO search_key (tenant_id, sealed) VALUES ($1, $2) ON CONFLICT (tenant_id) DO NOTHING"
WORDS = "SELECT number, space, sealed FROM search_word WHERE tenant_id = $1 AND number > $2 ORDER BY number LIMIT $3"
NEWEST = "SELECT coalesce(max(number), 0) FROM search_word WHERE tenant_id = $1"
KNOWN = "SELECT hash FROM search_word WHERE tenant_id = $1 AND space = $2 AND hash = ANY($3)"
NEW_WORDS = """
INSERT INTO search_word (tenant_id, space, hash, sealed) SELECT $1, $2, * FROM unnest($3::text[], $4::bytea[])
ON CONFLICT (tenant_id, space, hash) DO NOTHING
"""
PAGE, OVERLAP = 20_000, 2_000
MAX_TENANTS = 32
MAX_LEXEMES = 40_000
"""Different words of a tsvector, which has room for a megabyte."""
_LAST_POSITION = 16_383
_PLAIN = re.compile(r"\S+")

Hash = Callable[[str], str]


@dataclass(slots=True)
class _Tenant:
    """What this process knows of the words of a tenant: by space, and the last row that was read."""

    hash: Hash
    words: dict[str, set[str]] = field(default_factory=dict)
    last: int = 0
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class SearchWords:
    """Keys and words of all tenants."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer
        self._tenants: dict[str, _Tenant] = {}

    async def hashing(self, tenant_id: str) -> Hash:
        """How tokens of a tenant are told to the database."""
        return (await self._tenant(tenant_id)).hash

    async def counted(self, tenant_id: str, spaces: Sequence[str]) -> Mapping[str, int]:
        """Words as they are written, with the number of the spaces that have them."""
        tenant = await self._read(tenant_id)
        return Counter(word for space in spaces for word in tenant.words.get(space, ()))

    async def add(self, tx: Connection, tenant_id: str, space: str, words: Iterable[str]) -> None:
        """Those that are not there yet."""
        tenant = await self._tenant(tenant_id)
        hashes = {tenant.hash(word): word for word in words}
        rows = await tx.fetch(KNOWN, tenant_id, space, list(hashes))
        new = sorted(
            hashes.keys() - {row["hash"] for row in rows}
        )  # in one order, so that writers cannot block each other
        if new:
            sealed = await asyncio.to_thread(self._sealed, tenant_id, [hashes[each] for each in new])
            await tx.execute(NEW_WORDS, tenant_id, space, new, sealed)

    async def _tenant(self, tenant_id: str) -> _Tenant:
        known = self._tenants.get(tenant_id)
        if known is None:
            key = await self._key(tenant_id)
            while len(self._tenants) >= MAX_TENANTS:
                self._tenants.pop(next(iter(self._tenants)))
            known = self._tenants[tenant_id] = _Tenant(_hashing(key))
        return known

    async def _key(self, tenant_id: str) -> bytes:
        where = place("doc", tenant_id, "search-key")
        fresh = self._sealer.seal(secrets.token_bytes(32), where)
        sealed = await self._database.fetchval(KEY, tenant_id, tenant=tenant_id)
        if sealed is None:
            await self._database.execute(NEW_KEY, tenant_id, fresh, tenant=tenant_id)
            sealed = await self._database.fetchval(KEY, tenant_id, tenant=tenant_id)
        return self._sealer.unseal(sealed, where)

    async def _read(self, tenant_id: str) -> _Tenant:
        """The words that were added since, and some before: a smaller number may have come later."""
        tenant = await self._tenant(tenant_id)
        async with tenant.reading:
            newest = await self._database.fetchval(NEWEST, tenant_id, tenant=tenant_id)
            if newest == tenant.last:
                return tenant
            tenant.last = max(0, tenant.last - OVERLAP)
            while True:
                rows = await self._database.fetch(WORDS, tenant_id, tenant.last, PAGE, tenant=tenant_id)
                sealed = [row["sealed"] for row in rows]
                words = await asyncio.to_thread(self._unsealed, tenant_id, sealed)
                for row, word in zip(rows, words, strict=True):
                    tenant.words.setdefault(row["space"], set()).add(word)
                    tenant.last = row["number"]
                if len(rows) < PAGE:
                    return tenant

    def _sealed(self, tenant_id: str, words: Sequence[str]) -> list[bytes]:
        where = place("doc", tenant_id, "search-word")
        return [self._sealer.seal(word.encode(), where) for word in words]

    def _unsealed(self, tenant_id: str, sealed: Sequence[bytes]) -> list[str]:
        where = place("doc", tenant_id, "search-word")
        return [self._sealer.unseal(each, where).decode() for each in sealed]


def vector(bag: str, hashed: Hash) -> str:
    """A bag of tokens as the text of a tsvector."""
    positions: dict[str, list[str]] = {}
    for at, match in enumerate(_PLAIN.finditer(bag), start=1):
        token = match.group()
        found = positions.get(token)
        if found is not None:
            found.append(str(min(at, _LAST_POSITION)))
        elif len(positions) < MAX_LEXEMES:
            positions[token] = [str(min(at, _LAST_POSITION))]
    return " ".join(f"{hashed(token)}:{','.join(at[:255])}" for token, at in positions.items())


def _hashing(key: bytes) -> Hash:
    @lru_cache(maxsize=200_000)
    def hashed(token: str) -> str:
        digest = hashlib.blake2b(token.encode("utf-8", "surrogatepass"), key=key, digest_size=10).digest()
        return base64.b32encode(digest).decode().lower()

    return hashed
