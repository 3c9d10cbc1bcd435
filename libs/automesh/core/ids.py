"""Ids that sort by creation time: a prefix, 48 bits of milliseconds, 64 random bits."""

from __future__ import annotations

import re
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: no i, l, o, u
_TIME_DIGITS = 10  # 50 bits, of which 48 are used
_RANDOM_DIGITS = 13  # 65 bits, of which 64 are used
_SHAPE = re.compile(r"[a-z]+_[0-9a-hjkmnp-tv-z]{23}")


def new_id(prefix: str) -> str:
    """A new id such as `task_01jd5x0v9k7q2m4n6p8r0t1v3`; ids of one prefix sort by time."""
    moment = _encode(time.time_ns() // 1_000_000, _TIME_DIGITS)
    return f"{prefix}_{moment}{_encode(secrets.randbits(64), _RANDOM_DIGITS)}"


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` has the shape of an id made by `new_id(prefix)`."""
    return text.startswith(f"{prefix}_") and _SHAPE.fullmatch(text) is not None


def _encode(number: int, digits: int) -> str:
    out = []
    for _ in range(digits):
        number, digit = divmod(number, 32)
        out.append(_ALPHABET[digit])
    return "".join(reversed(out))
