"""What an editor says to a room, and what of that has no answer yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from automesh.doc.v1 import editing_service_pb2 as pb


class Outbox:
    """Each stream begins with all that still matters; what has arrived already does no harm."""

    def __init__(self) -> None:
        self.number = 0
        """Of the last update."""
        self._pending: dict[int, bytes] = {}
        self._saves: list[pb.EditDocumentRequest] = []
        self._place: pb.EditDocumentRequest | None = None
        self._stream: asyncio.Queue[pb.EditDocumentRequest] | None = None

    def __bool__(self) -> bool:
        """Whether some update is not durable yet."""
        return bool(self._pending)

    @property
    def durable(self) -> int:
        """All updates up to this number are."""
        return min(self._pending, default=self.number + 1) - 1

    def write(self, update: bytes) -> None:
        """Said again until it is acknowledged."""
        self.number += 1
        self._pending[self.number] = update
        self._say(_numbered(self.number, update))

    def show(self, state: bytes) -> None:
        """Said again until there is something newer."""
        self._place = pb.EditDocumentRequest(presence=pb.Presence(state=state))
        self._say(self._place)

    @contextmanager
    def asking(self, message: str) -> Iterator[None]:
        """For a revision: said again while it is open."""
        save = pb.EditDocumentRequest(save=pb.Save(message=message))
        self._saves.append(save)
        self._say(save)
        try:
            yield
        finally:
            self._saves.remove(save)

    def acknowledged(self, number: int) -> None:
        """All updates up to it are durable."""
        self._pending = {each: update for each, update in self._pending.items() if each > number}

    def forget(self) -> None:
        """What is not durable yet is not said again."""
        self._pending.clear()

    def begin(self, join: pb.Join) -> AsyncIterator[pb.EditDocumentRequest]:
        """A new stream, in the place of the one before."""
        stream = self._stream = asyncio.Queue()
        self._say(pb.EditDocumentRequest(join=join))
        for number, update in self._pending.items():
            self._say(_numbered(number, update))
        for request in (*self._saves, *([self._place] if self._place else ())):
            self._say(request)
        return _said(stream)

    def end(self) -> None:
        """There is no stream at the moment."""
        self._stream = None

    def _say(self, request: pb.EditDocumentRequest) -> None:
        if self._stream is not None:
            self._stream.put_nowait(request)


def _numbered(number: int, update: bytes) -> pb.EditDocumentRequest:
    return pb.EditDocumentRequest(update=pb.Update(number=number, update=update))


async def _said(stream: asyncio.Queue[pb.EditDocumentRequest]) -> AsyncIterator[pb.EditDocumentRequest]:
    while True:
        yield await stream.get()
