"""What happens, before it is counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

MAX_QUERY = 200
Event = TypeVar("Event")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchDone:
    """A search, without who searched. `space` is empty for one of all spaces."""

    tenant_id: str
    search_id: str
    space: str
    query: str
    results: int
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSeen:
    """A page of a published site that was sent. `visitor` tells visitors of one day apart; it is never stored."""

    tenant_id: str
    space: str
    path: str
    visitor: str
    robot: bool


class Waiting(Generic[Event]):
    """Events that are to be written, at most so many: when it is full, new ones are lost and counted."""

    def __init__(self, most: int) -> None:
        self._events: deque[Event] = deque()
        self._most = most
        self.lost = 0

    def add(self, event: Event) -> None:
        """Takes no time and never fails."""
        if len(self._events) >= self._most:
            self.lost += 1
        else:
            self._events.append(event)

    def take(self, limit: int) -> Sequence[Event]:
        """The oldest ones."""
        return [self._events.popleft() for _ in range(min(limit, len(self._events)))]

    def put_back(self, events: Sequence[Event]) -> None:
        """They could not be written: they are first again, as far as there is room."""
        room = max(0, self._most - len(self._events))
        self.lost += max(0, len(events) - room)
        self._events.extendleft(reversed(events[:room]))

    def __len__(self) -> int:
        return len(self._events)


def plain_query(query: str) -> str:
    """In lower case, with single spaces, without control characters, cut; empty for one without words."""
    words = "".join(char if char.isprintable() else " " for char in query.lower()).split()
    return " ".join(words)[:MAX_QUERY].strip()
