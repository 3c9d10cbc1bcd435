"""Search in PostgreSQL's full text: the same words, hashed, ranked by frequency and rarity, fused in the same way."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from automesh.storage.postgres import Database
from automesh.storage.sealing import Sealer, place
from services.doc.domain.search.errors import being_built
from services.doc.domain.search.fusion import POOL, Candidates, Ranked, SectionHit, fuse
from services.doc.domain.search.page import number_of
from services.doc.domain.search.plan import Filters, Hit, IndexStatus, Plan, Title
from services.doc.domain.search.spelling import Vocabulary
from services.doc.domain.search.tokens import known_tokens
from services.doc.store.search_following import FOLLOWER, PLACE, FollowingPostgres, signed
from services.doc.store.search_words import Hash

COUNTED_UP_TO = 1_000
"""Sections with a word: more of them only say that it is common."""
MATCHED_UP_TO = 1_500
"""Words are looked for from the rarest on until so many sections have them; the others only add to the score."""
MAX_COUNTED = 20_000
"""Counts that are remembered, as weights of words only: whether a word is there at all is asked every time."""
LIVE = """
  JOIN head h ON h.document_id = s.document_id AND h.branch = 'main' AND h.deleted_at IS NULL
 WHERE h.tenant_id = $1 AND h.space = ANY($2) AND ($3 = '' OR $3 = ANY(h.tags)) AND ($4 = '' OR h.updated_by = $4)
   AND ($5::timestamptz IS NULL OR h.updated_at >= $5) AND ($6::timestamptz IS NULL OR h.updated_at < $6)
"""
PHRASED = """
   AND NOT EXISTS (SELECT FROM unnest($11::tsquery[]) AS phrase WHERE NOT EXISTS (
       SELECT FROM search_section_words p WHERE p.document_id = s.document_id AND p.words @@ phrase))
"""
SCORE = (
    "(SELECT sum(t.weight * ts_rank(s.words, t.query, 1)) FROM unnest($8::tsquery[], $9::float8[]) AS t(query, weight))"
)
SECTIONS = f"""
SELECT s.document_id, s.ordinal, s.exact, {SCORE} AS score FROM search_section_words s {LIVE}
   AND s.words @@ $7::tsquery {PHRASED.replace("p.words @@ phrase", "p.ordinal = s.ordinal AND p.words @@ phrase")}
 ORDER BY score DESC, s.document_id, s.ordinal LIMIT $10
"""  # noqa: S608 # made of constants
PAGES = f"""
SELECT s.document_id, s.exact, {SCORE} AS score FROM search_page_words s {LIVE} AND s.words @@ $7::tsquery {PHRASED}
 ORDER BY score DESC, s.document_id LIMIT $10
"""  # noqa: S608 # made of constants
NEAREST = f"SELECT s.document_id FROM search_page s {LIVE} AND s.document_id = ANY($7)"  # noqa: S608 # made of constants
FREQUENCIES = """
SELECT t.token, (SELECT count(*) FROM (
           SELECT FROM search_section_words s JOIN head h ON h.document_id = s.document_id AND h.branch = 'main'
                                                   AND h.deleted_at IS NULL
            WHERE h.tenant_id = $1 AND s.words @@ t.query AND h.space = ANY($2) LIMIT $5) AS found) AS count
  FROM unnest($3::text[], $4::tsquery[]) AS t(token, query)
"""
BEST_SECTION = f"""
SELECT s.ordinal FROM (SELECT * FROM search_section_words WHERE document_id = $1) AS s
 ORDER BY {SCORE.replace("$8", "$2").replace("$9", "$3")} DESC, s.ordinal LIMIT 1
"""  # noqa: S608 # made of constants
SHOWN = """
SELECT h.document_id, h.space, h.path, h.title, h.tags, h.updated_at, s.shown
  FROM head h LEFT JOIN search_section s ON s.document_id = h.document_id AND s.ordinal = $2
 WHERE h.document_id = $1 AND h.branch = 'main' AND h.deleted_at IS NULL
"""
TITLES = r"""
SELECT title, document_id, space, path FROM head,
       regexp_replace(normalize(title, NFKD), '[\u0300-\u036f]', '', 'g') AS plain
 WHERE tenant_id = $1 AND space = ANY($2) AND branch = 'main' AND deleted_at IS NULL
   AND NOT EXISTS (SELECT FROM unnest($3::text[]) AS pattern WHERE plain !~* pattern)
 ORDER BY NOT starts_with(lower(plain), $4), length(title), title, path LIMIT $5
"""
COUNT = "SELECT count(*) FROM search_section WHERE tenant_id = $1"
COUNT_WITHIN = """
SELECT count(*) FROM search_section s
  JOIN head h ON h.document_id = s.document_id AND h.branch = 'main' AND h.deleted_at IS NULL
 WHERE h.tenant_id = $1 AND h.space = ANY($2)
"""
BUILDING = "SELECT EXISTS (SELECT FROM search_build WHERE tenant_id = $1)"
# Most of the documents are in it: one that is built anew has them from before.
READY = """
SELECT EXISTS (SELECT FROM follower WHERE name = $2)
   AND (NOT EXISTS (SELECT FROM search_build WHERE tenant_id = $1)
        OR 10 * (SELECT count(*) FROM search_page WHERE tenant_id = $1)
        >= 9 * (SELECT count(*) FROM head WHERE tenant_id = $1 AND branch = 'main' AND deleted_at IS NULL))
"""


class PostgresIndex(FollowingPostgres):
    """A services.doc.domain.search.ports.SearchIndex. What it shows of documents is read from their heads."""

    engine = "postgres"

    def __init__(self, database: Database, sealer: Sealer) -> None:
        super().__init__(database, sealer)
        self._counted: dict[tuple[str, str], int] = {}

    def edition(self, tenant_id: str) -> object | None:
        """Heads change without the index."""
        return None

    async def contents(self, tenant_id: str) -> str | None:
        """Nothing does, for the same reason."""
        return None

    async def search(self, tenant_id: str, plan: Plan, *, offset: int, limit: int) -> Sequence[Hit]:
        """See SearchIndex."""
        if not plan.terms:
            return []
        await self._check_ready(tenant_id)
        asked = await self._asked(tenant_id, plan)
        found = _Found(
            sections=await self._fetched(SECTIONS, tenant_id, asked, asked.some),
            some=await self._fetched(PAGES, tenant_id, asked, asked.some),
            every=await self._fetched(PAGES, tenant_id, asked, asked.every) if len(plan.terms) > 1 else [],
            near=await self._near(tenant_id, plan),
        )
        ids = found.ids()
        window = fuse(found.candidates(plan.exact))[offset : offset + limit]
        hits = [await self._hit(tenant_id, ids[each.page], each, asked) for each in window]
        return [hit for hit in hits if hit is not None]

    async def frequencies(self, tenant_id: str, spaces: Sequence[str], tokens: Sequence[str]) -> Mapping[str, int]:
        """Exact up to COUNTED_UP_TO."""
        if not tokens:
            return {}
        hashed = await self._words.hashing(tenant_id)
        found = await self._database.fetch(
            FREQUENCIES, tenant_id, list(spaces), list(tokens), [hashed(token) for token in tokens], COUNTED_UP_TO,
            tenant=tenant_id,
        )  # fmt: skip
        counts = {row["token"]: int(row["count"]) for row in found}
        if len(self._counted) > MAX_COUNTED:
            self._counted.clear()
        self._counted |= {(tenant_id, token): count for token, count in counts.items()}
        return counts

    async def vocabulary(self, tenant_id: str, spaces: Sequence[str]) -> Vocabulary:
        """See SearchIndex."""
        counted = await self._words.counted(tenant_id, spaces)
        return await asyncio.to_thread(Vocabulary, counted)

    async def titles(
        self, tenant_id: str, spaces: Sequence[str], words: Sequence[str], prefix: str, limit: int
    ) -> Sequence[Title]:
        """See SearchIndex."""
        await self._check_ready(tenant_id)
        patterns = [f"\\m{word}\\M" for word in words] + ([f"\\m{prefix}"] if prefix else [])
        typed = " ".join([*words, prefix]).strip()
        found = await self._database.fetch(TITLES, tenant_id, list(spaces), patterns, typed, limit, tenant=tenant_id)
        return [Title(row["title"], row["document_id"], row["space"], row["path"]) for row in found]

    async def completions(self, tenant_id: str, spaces: Sequence[str], prefix: str, limit: int) -> Sequence[str]:
        """See SearchIndex."""
        counted = await self._words.counted(tenant_id, spaces)
        words = sorted((word for word in counted if word.startswith(prefix)), key=lambda word: (len(word), word))[
            : 4 * limit
        ]
        tokens = {word: known_tokens(word)[0] for word in words if known_tokens(word)}
        counts = await self.frequencies(tenant_id, spaces, list(set(tokens.values())))
        there = [word for word in words if counts.get(tokens.get(word, ""), 0)]
        return sorted(there, key=lambda word: (-counts[tokens[word]], word))[:limit]

    async def status(self, tenant_id: str, spaces: Sequence[str]) -> IndexStatus:
        """See SearchIndex."""
        count = await self._database.fetchval(COUNT_WITHIN, tenant_id, list(spaces), tenant=tenant_id)
        building = await self._database.fetchval(BUILDING, tenant_id, tenant=tenant_id)
        at = await self.position()
        return IndexStatus(self.engine, at or 0, count, building or at is None)

    async def _check_ready(self, tenant_id: str) -> None:
        if not await self._database.fetchval(READY, tenant_id, FOLLOWER, tenant=tenant_id):
            raise being_built()

    async def _asked(self, tenant_id: str, plan: Plan) -> _Asked:
        hashed = await self._words.hashing(tenant_id)
        new = [term for term in plan.terms if (tenant_id, term) not in self._counted]
        counts = await self.frequencies(tenant_id, plan.filters.spaces, new)
        counts = {term: counts.get(term, self._counted.get((tenant_id, term), 0)) for term in plan.terms}
        return _Asked(plan, counts, hashed, await self._database.fetchval(COUNT, tenant_id, tenant=tenant_id))

    async def _fetched(self, query: str, tenant_id: str, asked: _Asked, match: str) -> Sequence[Any]:
        if not match:
            return []
        return await self._database.fetch(
            query, tenant_id, *_values(asked.plan.filters), match, asked.queries, asked.weights, POOL, asked.phrases,
            tenant=tenant_id,
        )  # fmt: skip

    async def _near(self, tenant_id: str, plan: Plan) -> Sequence[str]:
        if not plan.nearest:
            return []
        values = _values(plan.filters)
        found = await self._database.fetch(NEAREST, tenant_id, *values, list(plan.nearest), tenant=tenant_id)
        allowed = {row["document_id"] for row in found}
        return [each for each in plan.nearest if each in allowed]

    async def _hit(self, tenant_id: str, document_id: str, ranked: Ranked, asked: _Asked) -> Hit | None:
        ordinal = ranked.section
        if ordinal is None:
            ordinal = await self._database.fetchval(
                BEST_SECTION, document_id, asked.queries, asked.weights, tenant=tenant_id
            )
        row = await self._database.fetchrow(SHOWN, document_id, ordinal or 0, tenant=tenant_id)
        if row is None:  # it went a moment ago
            return None
        where = place("doc", tenant_id, PLACE, document_id)
        shown = row["shown"]
        heading, anchor, text = orjson.loads(self._sealer.unseal(shown, where)) if shown is not None else ("", "", "")
        return Hit(
            document_id=document_id,
            space=row["space"],
            path=row["path"],
            title=row["title"],
            tags=row["tags"],
            changed_at=row["updated_at"],
            heading=heading,
            anchor=anchor,
            text=text,
            score=ranked.score,
        )


class _Asked:
    """A plan in the words of PostgreSQL. Rare words weigh more, as in BM25."""

    def __init__(self, plan: Plan, counts: Mapping[str, int], hashed: Hash, sections: int) -> None:
        self.plan = plan
        self.queries = [hashed(term) for term in plan.terms]
        self.weights = [_rarity(counts.get(term, 0), sections) for term in plan.terms]
        self.phrases = [" <-> ".join(hashed(token) for token in phrase) for phrase in plan.phrases]
        self.every = " & ".join(self.queries)
        self.some = " | ".join(hashed(term) for term in _matched(plan.terms, counts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Rows of each ranking, best first: sections, pages with some of the words, pages with all; and what is near."""

    sections: Sequence[Any]
    some: Sequence[Any]
    every: Sequence[Any]
    near: Sequence[str]

    def ids(self) -> Mapping[int, str]:
        """Of all documents, by their numbers."""
        rows = (*self.sections, *self.some, *self.every)
        return {number_of(each): each for each in (*(row["document_id"] for row in rows), *self.near)}

    def candidates(self, exact: int) -> Candidates:
        """As they are fused."""
        wanted = signed(exact)
        return Candidates(
            sections=[
                SectionHit(number_of(row["document_id"]), row["ordinal"], row["score"], _is_exact(row, wanted))
                for row in self.sections
            ],
            all_words=[(number_of(row["document_id"]), row["score"]) for row in self.every],
            any_word=[(number_of(row["document_id"]), row["score"]) for row in self.some],
            exact_titles={number_of(row["document_id"]) for row in (*self.some, *self.every) if _is_exact(row, wanted)},
            nearest=[number_of(each) for each in self.near],
        )


def _is_exact(row: Any, wanted: int) -> bool:
    return bool(wanted) and row["exact"] == wanted


def _matched(terms: Sequence[str], counts: Mapping[str, int]) -> Sequence[str]:
    kept: list[str] = []
    total = 0
    for term in sorted(terms, key=lambda each: counts.get(each, 0)):
        total += counts.get(term, 0)
        if kept and total > MATCHED_UP_TO:
            break
        kept.append(term)
    return kept


def _rarity(count: int, sections: int) -> float:
    return math.log(1 + (max(sections, count) - count + 0.5) / (count + 0.5))


def _values(filters: Filters) -> tuple[object, ...]:
    return list(filters.spaces), filters.tag, filters.author, filters.since, filters.before
