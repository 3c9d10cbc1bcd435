"""Page tokens whose key is more than a text: an instant or a number, and what tells those of one apart."""

from __future__ import annotations

from datetime import datetime

from automesh.core import paging

MAX_DIGITS = 18
"""Of a bigint, whatever they are."""


def before(token: str, *, filters: object) -> tuple[datetime, str] | None:
    """Where a list by time goes on; None: at its beginning. Raises ValidationError."""
    after = paging.decode_token(token, filters=filters)
    if after is None:
        return None
    moment, _, key = after.partition(" ")
    try:
        return datetime.fromisoformat(moment), key
    except ValueError as error:
        raise paging.strange_token() from error


def before_token(moment: datetime, key: str, *, filters: object) -> str:
    """The other way round."""
    return paging.encode_token(f"{moment.isoformat()} {key}", filters=filters)


def count(token: str, *, filters: object) -> tuple[int, str] | None:
    """Where a list by number goes on; None: at its beginning. Raises ValidationError."""
    after = paging.decode_token(token, filters=filters)
    if after is None:
        return None
    number, _, key = after.partition(" ")
    if not (number.isascii() and number.isdecimal() and len(number) <= MAX_DIGITS):
        raise paging.strange_token()
    return int(number), key


def count_token(number: int, key: str = "", *, filters: object) -> str:
    """The other way round."""
    return paging.encode_token(f"{number} {key}", filters=filters)
