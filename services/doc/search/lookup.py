"""A plan, asked of the indexes of a tenant. Everything here blocks: call it in a thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import tantivy
from tantivy import FieldType, Occur, Query

from services.doc.domain.search.fusion import (
    PAIR_BOOST,
    PAIR_SLOP,
    POOL,
    WRITTEN_BOOST,
    Candidates,
    Ranked,
    SectionHit,
    fuse,
)
from services.doc.domain.search.page import number_of
from services.doc.domain.search.plan import Filters, Hit, Plan, Title
from services.doc.domain.search.tokens import fold
from services.doc.search.folder import LINKS, PAGES, SECTIONS, View

TARGETS = 20
"""Pages that others call by the words; more of them are slower to find and make no order better."""
MAX_TITLES = 200

Clause = tuple[Occur, Query]


class Lookup:
    """One question to one view."""

    def __init__(self, view: View, plan: Plan) -> None:
        self._view, self._plan = view, plan
        self._sections = view.schemas[SECTIONS]
        self._pages = view.schemas[PAGES]
        self._addresses: dict[int, tantivy.DocAddress] = {}
        """Where pages are that were found already."""

    def hits(self, offset: int, limit: int) -> Sequence[Hit]:
        """A page of what fits, best first."""
        found, addresses = self._section_hits()
        all_words, exact_titles = self._pages_with_all()
        candidates = Candidates(
            sections=found,
            all_words=all_words if len(self._plan.terms) > 1 else (),
            any_word=self._numbered(self._page_query(Occur.Should), POOL),
            links=self._link_scores(),
            exact_titles=exact_titles,
            nearest=self._nearest(),
        )
        window = fuse(candidates)[offset : offset + limit]
        hits = (self._hit(ranked, addresses) for ranked in window)
        return [hit for hit in hits if hit is not None]

    def _section_hits(self) -> tuple[Sequence[SectionHit], Sequence[tantivy.DocAddress]]:
        scored = [(Occur.Should, _term(self._sections, "words", term)) for term in self._plan.terms]
        for word in self._plan.written:
            very_word = Query.term_query(self._sections, "written", word, index_option="freq")
            scored.append((Occur.Should, Query.boost_query(very_word, WRITTEN_BOOST)))
        for pair in self._plan.pairs:
            side_by_side = Query.phrase_query(self._sections, "words", list(pair), PAIR_SLOP)
            scored.append((Occur.Should, Query.boost_query(side_by_side, PAIR_BOOST)))
        query = self._within(self._sections, scored)
        found = self._view.sections.search(query, POOL, count=False).hits
        addresses = [address for _, address in found]
        if not addresses:
            return [], []
        pages = self._view.sections.fast_field_values("page", addresses)
        exacts = self._view.sections.fast_field_values("exact", addresses)
        wanted = self._plan.exact
        hits = [
            SectionHit(int(page or 0), at, score, exact=bool(wanted) and exact == wanted)
            for at, ((score, _), page, exact) in enumerate(zip(found, pages, exacts, strict=True))
        ]
        return hits, addresses

    def _page_query(self, occur: Occur) -> Query:
        return self._within(self._pages, [(occur, _term(self._pages, "words", term)) for term in self._plan.terms])

    def _pages_with_all(self) -> tuple[Sequence[tuple[int, float]], frozenset[int]]:
        """With their scores, and those of them whose title is just what was asked for."""
        found = self._view.pages.search(self._page_query(Occur.Must), POOL, count=False).hits
        addresses = [address for _, address in found]
        if not addresses:
            return [], frozenset()
        pages = self._numbers(addresses)
        exacts = self._view.pages.fast_field_values("exact", addresses)
        scored = [(page, score) for page, (score, _) in zip(pages, found, strict=True)]
        wanted = self._plan.exact
        return scored, frozenset(page for page, exact in zip(pages, exacts, strict=True) if wanted and exact == wanted)

    def _link_scores(self) -> Mapping[int, float]:
        """What the best text says that leads there; only pages that pass the filters."""
        schema = self._view.schemas[LINKS]
        terms = [(Occur.Should, _term(schema, "words", term)) for term in self._plan.terms]
        query = _required(terms, _spaces(schema, self._plan.filters, self._view))
        found = self._view.links.search(query, POOL, count=False).hits
        if not found:
            return {}
        targets = self._view.links.fast_field_values("target", [address for _, address in found])
        best: dict[int, float] = {}
        for (score, _), target in zip(found, targets, strict=True):
            best.setdefault(int(target or 0), score)
        wanted = list(best)[:TARGETS]
        query = self._within(self._pages, [(Occur.Should, Query.term_set_query(self._pages, "place", wanted))])
        hits = self._view.pages.search(query, TARGETS, count=False).hits
        addresses = [address for _, address in hits]
        if not addresses:
            return {}
        pages = self._view.pages.fast_field_values("page", addresses)
        places = self._view.pages.fast_field_values("place", addresses)
        return {int(page or 0): best[int(place or 0)] for page, place in zip(pages, places, strict=True)}

    def _nearest(self) -> Sequence[int]:
        """Those of them that pass the filters, in their order."""
        if not self._plan.nearest:
            return ()
        numbers = [number_of(each) for each in self._plan.nearest]
        query = self._within(self._pages, [(Occur.Should, Query.term_set_query(self._pages, "page", numbers))])
        allowed = {page for page, _ in self._numbered(query, len(numbers))}
        return [number for number in numbers if number in allowed]

    def _numbered(self, query: Query, limit: int) -> Sequence[tuple[int, float]]:
        found = self._view.pages.search(query, limit, count=False).hits
        pages = self._numbers([address for _, address in found])
        return [(page, score) for (score, _), page in zip(found, pages, strict=True)]

    def _numbers(self, addresses: list[tantivy.DocAddress]) -> Sequence[int]:
        if not addresses:
            return []
        pages = [int(page or 0) for page in self._view.pages.fast_field_values("page", addresses)]
        self._addresses.update(zip(pages, addresses, strict=True))
        return pages

    def _hit(self, ranked: Ranked, addresses: Sequence[tantivy.DocAddress]) -> Hit | None:
        address = self._addresses.get(ranked.page) or self._address(ranked.page)
        if address is None:  # it went a moment ago
            return None
        document_id, space, path, title, tags, changed = _shown(self._view.pages, address)
        heading, anchor, text = self._best_section(ranked, addresses)
        return Hit(
            document_id=document_id,
            space=space,
            path=path,
            title=title,
            tags=tags,
            changed_at=datetime.fromisoformat(changed),
            heading=heading,
            anchor=anchor,
            text=text,
            score=ranked.score,
        )

    def _address(self, page: int) -> tantivy.DocAddress | None:
        found = self._view.pages.search(Query.term_query(self._pages, "page", page), 1, count=False).hits
        return found[0][1] if found else None

    def _best_section(self, ranked: Ranked, addresses: Sequence[tantivy.DocAddress]) -> tuple[str, str, str]:
        if ranked.section is not None:
            heading, anchor, text = _shown(self._view.sections, addresses[ranked.section])
            return heading, anchor, text
        page: Clause = (Occur.Must, Query.const_score_query(Query.term_query(self._sections, "page", ranked.page), 0.0))
        terms = [(Occur.Should, _term(self._sections, "words", term)) for term in self._plan.terms]
        found = self._view.sections.search(Query.boolean_query([page, *terms]), 1, count=False).hits
        if not found:
            return "", "", ""
        heading, anchor, text = _shown(self._view.sections, found[0][1])
        return heading, anchor, text

    def _within(self, schema: tantivy.Schema, scored: list[Clause]) -> Query:
        """What is scored, within the filters and with all phrases."""
        clauses = [*_spaces(schema, self._plan.filters, self._view), *_filters(schema, self._plan.filters)]
        for phrase in self._plan.phrases:
            query = (
                Query.phrase_query(schema, "words", list(phrase))
                if len(phrase) > 1
                else _term(schema, "words", phrase[0])
            )
            clauses.append((Occur.Must, Query.const_score_query(query, 0.0)))
        return _required(scored, clauses)


def frequencies(view: View, spaces: frozenset[str], tokens: Iterable[str]) -> Mapping[str, int]:
    """See SearchIndex."""
    schema = view.schemas[SECTIONS]
    within = _spaces(schema, Filters(spaces=tuple(spaces)), view)
    found: dict[str, int] = {}
    for token in tokens:
        count = view.sections.doc_freq("words", token)
        if count:  # it may be of other spaces, or of documents that are gone
            query = _required([(Occur.Must, _term(schema, "words", token))], within)
            count = count if view.sections.search(query, 1, count=False).hits else 0
        found[token] = count
    return found


def sections(view: View, spaces: frozenset[str]) -> int:
    """How many there are."""
    if view.spaces <= spaces:
        return view.sections.num_docs
    counted = view.sections.terms_with_prefix("space", "", Query.all_query())  # without a query it counts deleted ones
    return sum(count for space, count in counted if space in spaces)


def titles(view: View, spaces: frozenset[str], words: Sequence[str], prefix: str, limit: int) -> Sequence[Title]:
    """Those that begin with what was typed first, then the short ones."""
    schema = view.schemas[PAGES]
    clauses = [(Occur.Must, _term(schema, "title_words", word)) for word in words]
    if prefix:  # of letters and digits only: nothing of it means anything to the automaton
        clauses.append((Occur.Must, Query.regex_query(schema, "title_words", f"{prefix}.*")))
    query = _required(clauses, _spaces(schema, Filters(spaces=tuple(spaces)), view))
    found = view.pages.search(query, MAX_TITLES, count=False).hits
    shown = [_shown(view.pages, address) for _, address in found]
    typed = " ".join([*words, prefix]).strip()
    made = [Title(title, document_id, space, path) for document_id, space, path, title, _, _ in shown]
    return sorted(
        made, key=lambda each: (not fold(each.text).lower().startswith(typed), len(each.text), each.text, each.path)
    )[:limit]


def completions(view: View, spaces: frozenset[str], prefix: str, limit: int) -> Sequence[str]:
    """See SearchIndex."""
    filtered = None
    if not view.spaces <= spaces:
        filtered = Query.term_set_query(view.schemas[PAGES], "space", sorted(spaces & view.spaces))
    return [word for word, count in view.pages.terms_with_prefix("surface", prefix, filtered, limit) if count]


def _term(schema: tantivy.Schema, field: str, value: str | int) -> Query:
    return Query.term_query(schema, field, value)


def _required(scored: list[Clause], clauses: Sequence[Clause]) -> Query:
    """Something of what is scored, and all of the clauses."""
    if not scored:
        return Query.empty_query()
    query = Query.boolean_query(scored)
    return Query.boolean_query([(Occur.Must, query), *clauses]) if clauses else query


def _spaces(schema: tantivy.Schema, filters: Filters, view: View) -> Sequence[Clause]:
    """Only those that the caller finds. Nothing to ask where nothing else is in the view."""
    if view.spaces <= set(filters.spaces):
        return []
    return [_must(Query.term_set_query(schema, "space", sorted(set(filters.spaces) & view.spaces)))]


def _filters(schema: tantivy.Schema, filters: Filters) -> Sequence[Clause]:
    clauses = []
    if filters.tag:
        clauses.append(_must(_term(schema, "tag", filters.tag)))
    if filters.author:
        clauses.append(_must(_term(schema, "author", filters.author)))
    if filters.since or filters.before:
        first = round(filters.since.timestamp() * 1_000_000) if filters.since else None
        last = round(filters.before.timestamp() * 1_000_000) if filters.before else None
        changed = Query.range_query(schema, "changed", FieldType.Integer, first, last, include_upper=last is None)
        clauses.append(_must(changed))
    return clauses


def _must(query: Query) -> Clause:
    return Occur.Must, Query.const_score_query(query, 0.0)


def _shown(searcher: tantivy.Searcher, address: tantivy.DocAddress) -> Any:
    return orjson.loads(searcher.doc(address).get_first("shown") or b"[]")
