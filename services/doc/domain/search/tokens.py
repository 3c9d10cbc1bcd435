"""Words of a text as they are indexed and looked for: stems, and for identifiers the whole, its tails and its parts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import Stemmer

MAX_TOKEN = 64
"""Characters; longer runs are no words."""
_RUN = re.compile(r"[^\W_][\w]*(?:[._:/\-+#@$]+[\w]+)*[+#]*|_[\w]+(?:[._:\-]+[\w]+)*|--?[a-zA-Z][\w\-]*")
_PIECE = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
_stem = lru_cache(maxsize=200_000)(Stemmer.Stemmer("english", 0).stemWord)

STOP_WORDS = frozenset(
    "a an and are as at be but by can do does for from had has have how i if in into is it its me my no not of on or our "
    "so some such than that the their them then there these they this to was we were what when where which who why will "
    "with would you your".split()
)


def words(text: str) -> Iterator[str]:
    """All tokens of a text in their order, stemmed; identifiers give several."""
    for match in _RUN.finditer(fold(text)):
        yield from tokens_of(match.group())


def fold(text: str) -> str:
    """Compatible forms and accents are told apart by nobody who searches; case stays, it shows parts of identifiers."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", "".join(char for char in decomposed if not unicodedata.combining(char)))


def tokens_of(run: str) -> list[str]:
    """Of one run of letters, digits and what joins them."""
    if _CJK.search(run):
        return _pairs(run)
    if run.isalpha() and not _is_mixed(run):
        return [stem(run.lower())] if len(run) <= MAX_TOKEN else []
    return list(dict.fromkeys(token for token in _identifier(run) if 0 < len(token) <= MAX_TOKEN))


def stem(word: str) -> str:
    """Of a word in lower case (Snowball, English); short ones and those with digits are kept as they are."""
    return _stem(word) if len(word) > 3 and word.isalpha() else word


def is_identifier(run: str) -> bool:
    """Something people write in code: `a_b`, `a.b.C`, `CamelCase`, `--option`."""
    return not run.isalpha() or _is_mixed(run)


def _is_mixed(run: str) -> bool:
    return not run.islower() and not run.isupper() and not run[1:].islower()


def _identifier(run: str) -> Iterator[str]:
    whole = run.strip("-").lower().rstrip(".")
    yield whole
    pieces = _PIECE.findall(run)
    dotted = re.split(r"[.:/]+", whole)
    for start in range(1, len(dotted)):  # each tail: b.c and c of a.b.c
        yield ".".join(dotted[start:])
    for piece in pieces:
        lower = piece.lower()
        yield stem(lower)
        parts = _CAMEL.findall(piece)
        if len(parts) > 1:
            for part in parts:
                yield stem(part.lower())


def _pairs(run: str) -> list[str]:
    """Languages without spaces: every two characters in a row."""
    chars = [char.lower() for char in run if char.isalnum()]
    return ["".join(pair) for pair in zip(chars, chars[1:], strict=False)] or chars
