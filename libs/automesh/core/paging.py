"""Keyset paging (AIP-158): page sizes, and opaque page tokens bound to the filters they were made with."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

from automesh.core.errors import ValidationError

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000


def page_size(asked: int) -> int:
    """0 means the default, more than the maximum means the maximum, negative is an error."""
    if asked < 0:
        raise ValidationError(f"page_size {asked} is negative", field="page_size", pageSize=asked)
    return min(asked or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def encode_token(after: str, *, filters: object = None) -> str:
    """A token that continues after the key `after` in the list made with `filters` (any JSON value)."""
    body = json.dumps([after, _digest(filters)], separators=(",", ":"))
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def decode_token(token: str, *, filters: object = None) -> str | None:
    """The key to continue after; None for the empty token. Refuses a token of another filter."""
    if not token:
        return None
    try:
        padded = token + "=" * (-len(token) % 4)
        after, digest = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise strange_token() from error
    if not isinstance(after, str) or digest != _digest(filters):
        raise _bad("page_token belongs to a list with other filters: keep the filters, or leave it empty to start over")
    if "\x00" in after:
        raise strange_token()  # no database could look for it
    return after


def strange_token() -> ValidationError:
    """For a token whose key is none of the list's."""
    return _bad("page_token is not one this service gave out: leave it empty to start over")


def _digest(filters: object) -> str:
    return hashlib.sha256(json.dumps(filters, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _bad(message: str) -> ValidationError:
    return ValidationError(message, field="page_token")
