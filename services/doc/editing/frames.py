"""Requests and answers between the service and its editing program: a head in JSON, then bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LENGTH_BYTES = 4
MAX_HEAD = 1024**2


@dataclass(frozen=True, slots=True)
class Frame:
    """`head`: small values; `parts`: what is large, or is bytes."""

    head: Mapping[str, Any]
    parts: Sequence[bytes] = field(default_factory=tuple)

    def encoded(self) -> bytes:
        """As it travels."""
        head = json.dumps({**self.head, "sizes": [len(part) for part in self.parts]}).encode()
        return b"".join((len(head).to_bytes(LENGTH_BYTES, "big"), head, *self.parts))


def head_size(prefix: bytes) -> int:
    """Bytes of the head, after its length."""
    size = int.from_bytes(prefix, "big")
    if len(prefix) != LENGTH_BYTES or size > MAX_HEAD:
        raise ValueError("no frame")
    return size


def divided(head: Mapping[str, Any], body: bytes) -> Frame:
    """The frame of a head and all its bytes."""
    parts, at = [], 0
    for size in head["sizes"]:
        parts.append(body[at : at + size])
        at += size
    return Frame(head, parts)
