"""The texts of this replica, in a program of their own that is started when it is needed and ended when it hangs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from services.doc.domain.editing.errors import TextsLost, TextsOverrun, UpdateMalformed, began_anew
from services.doc.domain.editing.ports import Standing, Verdict
from services.doc.editing.frames import LENGTH_BYTES, Frame, divided, head_size
from services.doc.editing.worker import UNKNOWN

log = structlog.get_logger(__name__)

CALL_LIMIT_S, LOAD_LIMIT_S, START_LIMIT_S = 2.0, 20.0, 30.0
"""Of what people send; of what was taken already, or is our own; of the start with its imports."""
PROGRAM = "services.doc.editing.worker"


class TextsProcess:
    """A services.doc.domain.editing.ports.SharedTexts."""

    def __init__(self, *, call_limit_s: float = CALL_LIMIT_S) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._call_limit_s = call_limit_s

    @classmethod
    @asynccontextmanager
    async def open(cls, *, call_limit_s: float = CALL_LIMIT_S) -> AsyncGenerator[TextsProcess]:
        """Ends the program at the end."""
        texts = cls(call_limit_s=call_limit_s)
        try:
            yield texts
        finally:
            await texts._stop()

    async def begin(self, content: str, founder: int) -> bytes:
        return (await self._call("begin", [content.encode()], founder=founder)).parts[0]

    async def load(self, room_id: str, updates: Sequence[bytes]) -> None:
        await self._call("load", updates, room=room_id, limit_s=LOAD_LIMIT_S)

    async def take(self, room_id: str, updates: Sequence[bytes]) -> None:
        await self._call("take", updates, room=room_id, limit_s=LOAD_LIMIT_S)

    async def judge(self, room_id: str, updates: Sequence[bytes], *, max_bytes: int) -> Sequence[Verdict]:
        answer = await self._call("judge", updates, room=room_id, max_bytes=max_bytes)
        return [Verdict(each) for each in answer.head["verdicts"]]

    async def standing(self, room_id: str, state_vector: bytes, founder: int) -> Standing:
        answer = await self._call("standing", [state_vector], room=room_id, founder=founder)
        return Standing(*answer.parts)

    async def text(self, room_id: str) -> str:
        return (await self._call("text", room=room_id)).parts[0].decode()

    async def rewrite(self, room_id: str, content: str) -> bytes:
        return (await self._call("rewrite", [content.encode()], room=room_id, limit_s=LOAD_LIMIT_S)).parts[0]

    async def snapshot(self, room_id: str) -> bytes:
        return (await self._call("snapshot", room=room_id)).parts[0]

    async def drop(self, room_id: str) -> None:
        if self._process is not None:
            await self._call("drop", room=room_id)

    async def _call(self, do: str, parts: Sequence[bytes] = (), *, limit_s: float = 0, **head: Any) -> Frame:
        request = Frame({"do": do, **head}, parts)
        # An exchange that was begun is carried on to its end, or nobody would know whose answer comes next.
        exchange = asyncio.ensure_future(self._exchanged(request, limit_s or self._call_limit_s))
        exchange.add_done_callback(_looked_at)
        answer = await asyncio.shield(exchange)
        error = answer.head.get("error", "")
        if error == UNKNOWN:
            raise TextsLost("the text is not loaded")
        if error == UpdateMalformed.reason:
            raise UpdateMalformed(answer.head["message"], field="join.state_vector")
        if error:
            raise began_anew()
        return answer

    async def _exchanged(self, request: Frame, limit_s: float) -> Frame:
        async with self._turn:
            process = await self._running()
            try:
                async with asyncio.timeout(limit_s):
                    return await _exchange(process, request)
            except TimeoutError:
                log.warning("the editing program took too long and is ended", asked=request.head["do"], limit_s=limit_s)
            except (OSError, EOFError, ValueError) as error:
                log.warning("the editing program has ended", asked=request.head["do"], error=str(error))
            except BaseException:
                await self._stop()
                raise
            await self._stop()
            raise TextsOverrun("the program that holds the texts has ended")

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-X", "utf8", "-m", PROGRAM,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env={}, start_new_session=True,
            )  # fmt: skip
            async with asyncio.timeout(START_LIMIT_S):  # the first answer includes the imports
                await _exchange(self._process, Frame({"do": "drop", "room": ""}))
        return self._process

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


def _looked_at(exchange: asyncio.Future[Frame]) -> None:
    """Whoever waited for it may be gone."""
    if not exchange.cancelled():
        exchange.exception()


async def _exchange(process: asyncio.subprocess.Process, request: Frame) -> Frame:
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101 - PIPE
    process.stdin.write(request.encoded())
    await process.stdin.drain()
    size = head_size(await process.stdout.readexactly(LENGTH_BYTES))
    head = json.loads(await process.stdout.readexactly(size))
    return divided(head, await process.stdout.readexactly(sum(head["sizes"])))
