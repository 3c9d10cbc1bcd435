"""Page tokens of lists by time: an instant, and a key that tells those of one instant apart."""

from __future__ import annotations

from datetime import datetime

from automesh.core import paging


def before(token: str, *, filters: object) -> tuple[datetime, str] | None:
    """Where such a list goes on; None: at its beginning. Raises ValidationError."""
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
