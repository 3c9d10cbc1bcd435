"""Anchors of headings, as GitHub makes them: what links behind "#" lead to. One rule for all who make such links."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def anchor_of(text: str) -> str:
    """Of a heading: lower case, letters, digits, "-" and "_" only, spaces become "-"."""
    kept = (
        char
        for char in text.lower()
        if char in " -" or unicodedata.category(char)[0] in "LMN" or unicodedata.category(char) == "Pc"
    )
    return "".join(kept).replace(" ", "-")


def anchors_of(texts: Iterable[str]) -> list[str]:
    """Of headings that stand in a document in this order."""
    used: dict[str, int] = {}
    return [unique_anchor(text, used) for text in texts]


def unique_anchor(text: str, used: dict[str, int]) -> str:
    """Of the next heading of a document; the second of the same gets "-1", the third "-2". `used` is kept for it."""
    anchor = candidate = anchor_of(text)
    number = 0
    while candidate in used:
        number = used[anchor] = used[anchor] + 1
        candidate = f"{anchor}-{number}"
    used[candidate] = 0
    return candidate
