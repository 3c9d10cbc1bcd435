"""Words of a text as they are indexed and looked for: stems, and for identifiers the whole, its tails and its parts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import Stemmer

MAX_TOKEN = 64
"""Characters; longer runs are no words."""
MAXRUN = 256
"""Characters of something joined by dots and the like; more is data, of which the first parts count."""
MAX_TAILS = 8
SHORTEST_STEMMED = 4
RUN = re.compile(r"[^\W_][\w]*(?:[._:/\-+#@$]+[\w]+)*[+#]*|_[\w]+(?:[._:\-]+[\w]+)*|--?[a-zA-Z][\w\-]*")
_PIECE = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_ACCENT = re.compile(r"[\u0300-\u036f]+")
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")
_NAME_AT_START = re.compile(
    r"^[ \t]*(?:[-*] )?((?:[^\W\d_]|_)\w*(?:[._:/\-]+\w+)+|\w+(?=\()|--?[a-z][\w-]+)", re.MULTILINE
)
_stem = lru_cache(maxsize=200_000)(Stemmer.Stemmer("english", 0).stemWord)

_STOPPED = """
a an and are as at be but by can do does for from had has have how i if in into is it its me my no
not of on or our so some such than that the their them then there these they this to was we were what
when where which who why will with would you your
"""
STOP_WORDS = frozenset(_STOPPED.split())


def bag(text: str) -> str:
    """All tokens of a text in their order, with spaces between: stems, and for identifiers several."""
    return bags(text)[0]


def bags(text: str) -> tuple[str, str]:
    """The bag of a text, and its words as they are written, in lower case."""
    found = runs(text)
    return " ".join(filter(None, map(_joined, found))), " ".join(found).lower()


def runs(text: str) -> list[str]:
    """Letters, digits and what joins them, as they stand in the text."""
    return RUN.findall(fold(text))


def names(text: str) -> list[str]:
    """Identifiers that begin a line: what the lines after them explain."""
    return list(dict.fromkeys(_NAME_AT_START.findall(text)))


def fold(text: str) -> str:
    """Compatible forms and accents are told apart by nobody who searches; case stays, it shows parts of identifiers."""
    return text if text.isascii() else _FOREIGN.sub(_folded, text)


def _folded(match: re.Match[str]) -> str:
    found = match.group()
    return _plain(found) if len(found) <= MAX_TOKEN else _plain.__wrapped__(found)


@lru_cache(maxsize=20_000)
def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", _ACCENT.sub("", decomposed))


def tokens_of(run: str) -> list[str]:
    """Of one run of letters, digits and what joins them."""
    if run.isalpha() and not _is_mixed(run) and not CJK.search(run):
        return [stem(run.lower())] if len(run) <= MAX_TOKEN else []
    if CJK.search(run):
        return _pairs(run)
    found = dict.fromkeys(_identifier(run[:MAXRUN]))
    return [token for token in found if 0 < len(token) <= MAX_TOKEN]


def known_tokens(run: str) -> list[str]:
    """The same as tokens_of, remembered."""
    return _joined(run).split()


def _joined(run: str) -> str:
    return _remembered(run) if len(run) <= MAX_TOKEN else " ".join(tokens_of(run))


@lru_cache(maxsize=200_000)
def _remembered(run: str) -> str:
    return " ".join(tokens_of(run))


def stem(word: str) -> str:
    """Of a word in lower case (Snowball, English); short ones and those with digits are kept as they are."""
    return _stem(word) if len(word) >= SHORTEST_STEMMED and word.isalpha() else word


def _is_mixed(run: str) -> bool:
    return not run.islower() and not run.isupper() and not run[1:].islower()


def _identifier(run: str) -> Iterator[str]:
    whole = run.strip("-").lower().rstrip(".")
    yield whole
    dotted = re.split(r"[.:/]+", whole)
    for start in range(max(1, len(dotted) - MAX_TAILS), len(dotted)):  # each tail: b.c and c of a.b.c
        yield ".".join(dotted[start:])
    for part in parts(run):
        yield stem(part)


def parts(run: str) -> list[str]:
    """Words in lower case that an identifier is made of; those in CamelCase whole and one by one."""
    return [part for whole, humps in pieces(run) for part in (whole, *humps)]


def pieces(run: str) -> list[tuple[str, list[str]]]:
    """The words of an identifier in lower case, those in CamelCase with what they are made of."""
    found: list[tuple[str, list[str]]] = []
    for piece in _PIECE.findall(run):
        humps = _CAMEL.findall(piece)
        found.append((piece.lower(), [hump.lower() for hump in humps] if len(humps) > 1 else []))
    return found


def _pairs(run: str) -> list[str]:
    """Languages without spaces: every two characters in a row, and words of other scripts between them."""
    found: list[str] = []
    at = 0
    for match in CJK.finditer(run):
        found += [token for other in RUN.findall(run[at : match.start()]) for token in tokens_of(other)]
        chars = match.group()
        found += ["".join(pair) for pair in pairwise(chars)] or [chars]
        at = match.end()
    return found + [token for other in RUN.findall(run[at:]) for token in tokens_of(other)]
