"""Editors of documents: raw ones, as a page in a browser is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pycrdt import Doc, Text

from automesh.doc.v1 import editing_service_pb2 as pb
from automesh.doc.v1 import editing_service_pb2_grpc as rpc
from tests.integration.doc.doc_house import Served

LIMIT_S = 20.0


class RawEditor:
    """One stream with a document of Yjs of its own; everything that it is told is kept in `told`."""

    def __init__(self, doc: Doc[Text] | None = None) -> None:
        self.doc: Doc[Text] = doc or Doc()
        self.text = self.doc.get("content", type=Text)
        self.told: list[pb.EditDocumentResponse] = []
        self.number = 0
        self._changed = asyncio.Event()
        self._outgoing: asyncio.Queue[pb.EditDocumentRequest | None] = asyncio.Queue()
        self.ended: asyncio.Task[None] | None = None
        self.reading = asyncio.Event()
        self.reading.set()

    def __str__(self) -> str:
        return str(self.text)

    def change(self, do: Callable[[Text], Any]) -> bytes:
        """Changes the own document, without telling anybody."""
        before = self.doc.get_state()
        with self.doc.transaction():
            do(self.text)
        return self.doc.get_update(before)

    def send(self, update: bytes) -> int:
        """Its number."""
        self.number += 1
        self._outgoing.put_nowait(pb.EditDocumentRequest(update=pb.Update(number=self.number, update=update)))
        return self.number

    def insert(self, at: int, what: str) -> int:
        """In bytes of the text."""
        return self.send(self.change(lambda text: text.insert(at, what)))

    def say(self, **said: Any) -> None:
        self._outgoing.put_nowait(pb.EditDocumentRequest(**said))

    def stop(self) -> None:
        """Leaves in good order."""
        self._outgoing.put_nowait(None)

    async def until(self, check: Callable[[RawEditor], bool]) -> None:
        """Waits until it is so; fails when the stream ends before."""
        async with asyncio.timeout(LIMIT_S):
            while not check(self):
                self._changed.clear()
                waiting = asyncio.ensure_future(self._changed.wait())
                assert self.ended is not None
                await asyncio.wait({waiting, self.ended}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if self.ended.done() and not check(self):
                    await self.ended
                    raise AssertionError(f"the stream has ended: {self.told[-3:]}")

    async def acknowledged(self, number: int | None = None) -> None:
        await self.until(lambda each: any(said.acknowledged >= (number or self.number) for said in each.told))

    async def saved(self, count: int = 1) -> str:
        """The revision."""
        await self.until(lambda each: len(each.of("saved")) >= count)
        return str(self.of("saved")[-1].saved.revision_id)

    async def not_saved(self, reason: str) -> pb.NotSaved:
        def found(each: RawEditor) -> list[pb.EditDocumentResponse]:
            return [said for said in each.of("not_saved") if said.not_saved.reason == reason]

        await self.until(lambda each: bool(found(each)))
        return found(self)[-1].not_saved

    async def reads(self, text: str) -> None:
        await self.until(lambda each: str(each) == text)

    def of(self, kind: str) -> list[pb.EditDocumentResponse]:
        return [said for said in self.told if said.WhichOneof("said") == kind]

    async def run(self, stub: rpc.EditingServiceAsyncStub, document_id: str, branch: str, vector: bytes) -> None:
        async def requests() -> AsyncIterator[pb.EditDocumentRequest]:
            yield pb.EditDocumentRequest(join=pb.Join(document_id=document_id, branch=branch, state_vector=vector))
            while (request := await self._outgoing.get()) is not None:
                yield request

        async for said in stub.EditDocument(requests()):
            if said.WhichOneof("said") == "joined":
                self.doc.apply_update(said.joined.update)
            elif said.WhichOneof("said") == "update":
                self.doc.apply_update(said.update)
            self.told.append(said)
            self._changed.set()
            await self.reading.wait()


@asynccontextmanager
async def editing(
    served: Served, document_id: str, user: str = "ann", *, branch: str = "", doc: Doc[Text] | None = None
) -> AsyncIterator[RawEditor]:
    """Somebody in the room of a document."""
    editor = RawEditor(doc)
    stub = rpc.EditingServiceStub(await served.channel(user))
    vector = b"" if doc is None else doc.get_state()
    editor.ended = asyncio.create_task(editor.run(stub, document_id, branch, vector))
    try:
        await editor.until(lambda each: bool(each.told))
        yield editor
    finally:
        editor.ended.cancel()
        await asyncio.gather(editor.ended, return_exceptions=True)


class Line:
    """A line to a service that can be cut, and mended."""

    def __init__(self, target: int) -> None:
        self._target, self.port, self.whole = target, 0, True
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Every connection is gone, and none is made."""
        self.whole = False
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self.whole = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.whole:
            writer.transport.abort()
            return
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, there}
        await asyncio.gather(pipe(reader, there), pipe(there_reader, writer))
        self._writers -= {writer, there}


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def line_to(served: Served) -> AsyncIterator[Line]:
    """Channels that are made while it is open go over it."""
    line, own = Line(served.mesh.port), served.mesh.port
    listening = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    line.port = listening.sockets[0].getsockname()[1]
    served.mesh.port = line.port
    try:
        yield line
    finally:
        served.mesh.port = own
        line.cut()
        listening.close()
        await listening.wait_closed()
