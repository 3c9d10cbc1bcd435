"""Queries with their answers, derived from what documents say of themselves; only slips of the pen are made up.

Kinds: title, heading, index (of a book), xref (what other pages call it), typo (one slip in one of those), paraphrase
(asked as a question with other words), words (a few words of a sentence).
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from bench._docs_search_corpus import Corpus, Page

KINDS = ("title", "heading", "index", "xref", "typo", "paraphrase", "words")
_HEADING = re.compile(r"^#{2,5} +(.+)$", re.MULTILINE)
_NUMBER = re.compile(r"^\s*(?:[A-Z]?\d*(?:\.\d+)*\.?|Chapter \d+\.?|Appendix [A-Z]\.?)\s+|¶")
_GENERIC_WORDS = """
also appendix author authors background bugfixes bugs compatibility configuration contents description details
environment example examples features figure git here history home index introduction name next note notes
options overview page parameters prev reference section see summary synopsis table this top up usage
"""
_STOP_WORDS = """
a an and are as at be by for from how in is it of on or that the this to was with what when your you can
"""
_GENERIC, _STOP = frozenset(_GENERIC_WORDS.split()), frozenset(_STOP_WORDS.split())
_ASKED = (
    "how to {}",
    "how do I {}",
    "{} explained",
    "what is {}",
    "{} documentation",
    "where can I read about {}",
    "{}",
)
_OTHER_WORDS = """
delete:remove create:make creating:making change:modify changing:altering show:display list:enumerate get:fetch
run:execute running:executing start:launch stop:halt error:failure errors:failures folder:directory use:employ
setting:configuring configuration:settings install:set-up installing:setting-up functions:routines
function:routine argument:parameter arguments:parameters users:accounts faster:quicker performance:speed
begin:start search:find writing:authoring build:compile building:compiling upgrade:update
"""
_PAIRS = [tuple(pair.replace("-", " ").split(":")) for pair in _OTHER_WORDS.split()]
_OTHER = {**{second: first for first, second in _PAIRS}, **dict(_PAIRS)}


@dataclass(frozen=True, slots=True)
class Query:
    """`answers` are (space, path): the pages that would help."""

    kind: str
    text: str
    answers: frozenset[tuple[str, str]]
    space: str


def derive(corpus: Corpus, per_kind: int, seed: int = 20261126) -> Sequence[Query]:
    """At most so many of each kind, spread over the packages; the same seed gives the same."""
    chance = random.Random(seed)
    known = {(page.space, page.path): page for page in corpus.pages}
    plain = {
        "title": _unique((_clean(page.title), page) for page in corpus.pages),
        "heading": _unique(
            (_clean(text), page) for page in corpus.pages for text in _HEADING.findall(page.content)[1:]
        ),
        "index": _index(corpus, known),
        "xref": _references(corpus, known),
    }
    made = {kind: _spread(kind, found, per_kind, chance) for kind, found in plain.items()}
    made["words"] = _sentences(corpus.pages, per_kind, chance)
    everything = [query for kind in ("title", "heading", "index", "xref") for query in made[kind]]
    made["typo"] = _some(filter(None, (_mistyped(query, chance) for query in _shuffled(everything, chance))), per_kind)
    made["paraphrase"] = _some(
        filter(None, (_asked(query, chance) for query in _shuffled(everything, chance))), per_kind
    )
    return [query for kind in KINDS for query in made[kind]]


def _clean(text: str) -> str:
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", lambda match: match.group(1) or "", text)
    return " ".join(_NUMBER.sub("", text).replace("¶", "").split())


def _unique(pairs: Iterable[tuple[str, Page]]) -> Mapping[str, frozenset[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for text, page in pairs:
        if _fits(text):
            found[text].add((page.space, page.path))
    return {text: frozenset(pages) for text, pages in found.items() if len(pages) <= 2}


def _fits(text: str) -> bool:
    words = re.findall(r"\w+", text.lower())
    return 1 <= len(words) <= 9 and len(text) >= 4 and not set(words) <= _GENERIC | _STOP and not text[:1].isdigit()


def _index(corpus: Corpus, known: Mapping[tuple[str, str], Page]) -> Mapping[str, frozenset[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for space, term, paths in corpus.index:
        found[_clean(term)] |= {(space, path) for path in paths if (space, path) in known}
    return {term: frozenset(pages) for term, pages in found.items() if 1 <= len(pages) <= 3 and _fits(term)}


def _references(corpus: Corpus, known: Mapping[tuple[str, str], Page]) -> Mapping[str, frozenset[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for page in corpus.pages:
        for text, path, _ in page.links:
            if (page.space, path) in known and path != page.path:
                found[_clean(text)].add((page.space, path))
    return {
        text: frozenset(pages)
        for text, pages in found.items()
        if len(pages) == 1 and _fits(text) and len(text.split()) > 1
    }


def _spread(
    kind: str, found: Mapping[str, frozenset[tuple[str, str]]], per_kind: int, chance: random.Random
) -> list[Query]:
    """As many of each package, as far as it has them."""
    spaces: dict[str, list[Query]] = defaultdict(list)
    for text, pages in sorted(found.items(), key=lambda item: item[0]):
        space = min(pages)[0]
        spaces[space].append(Query(kind, text, pages, space))
    for queries in spaces.values():
        chance.shuffle(queries)
    turns = [query for turn in zip_longest(*spaces.values()) for query in turn if query]
    return turns[:per_kind]


def _sentences(pages: Sequence[Page], per_kind: int, chance: random.Random) -> list[Query]:
    """Three to five words of one sentence, as somebody remembers it."""
    made: list[Query] = []
    for page in chance.choices(pages, k=per_kind * 4):
        sentences = [
            each for each in re.split(r"(?<=[.!?])\s+", page.content) if 60 < len(each) < 300 and "](" not in each
        ]
        if not sentences:
            continue
        words = [
            each
            for each in re.findall(r"[A-Za-z][A-Za-z_.]{3,}\b", chance.choice(sentences))
            if each.lower() not in _STOP
        ]
        if len(set(words)) >= 5:
            picked = sorted(chance.sample(range(len(words)), min(len(words), chance.randint(4, 6))))
            text = " ".join(words[at].rstrip(".") for at in picked)
            made.append(Query("words", text, frozenset({(page.space, page.path)}), page.space))
        if len(made) == per_kind:
            break
    return made


def _mistyped(query: Query, chance: random.Random) -> Query | None:
    words = [match for match in re.finditer(r"[A-Za-z]{5,}", query.text) if match.group().lower() not in _GENERIC]
    if not words:
        return None
    match = chance.choice(words)
    word, at = match.group(), chance.randrange(1, len(match.group()) - 1)
    slips = (
        word[:at] + word[at + 1 :],
        word[:at] + chance.choice("etaoinsr") + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        word[:at] + word[at] + word[at:],
    )
    slip = chance.choice(slips)
    if slip == word:
        return None
    return Query("typo", f"{query.text[: match.start()]}{slip}{query.text[match.end() :]}", query.answers, query.space)


def _asked(query: Query, chance: random.Random) -> Query | None:
    words = query.text.split()
    if len(words) < 2:
        return None
    other = [_OTHER.get(word.lower(), word) for word in words]
    changed = other != words
    if len(other) > 3 and chance.random() < 0.4:
        other.pop(chance.randrange(len(other)))
        changed = True
    elif chance.random() < 0.4:
        chance.shuffle(other)
        changed = True
    if not changed:
        return None
    return Query("paraphrase", chance.choice(_ASKED).format(" ".join(other)), query.answers, query.space)


def _shuffled(queries: Sequence[Query], chance: random.Random) -> Sequence[Query]:
    return chance.sample(queries, len(queries))


def _some(queries: Iterable[Query | None], count: int) -> list[Query]:
    return [query for query, _ in zip(queries, range(count), strict=False) if query is not None]
