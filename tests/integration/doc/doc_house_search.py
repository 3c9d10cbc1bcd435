"""Searching in the house of the doc service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from automesh.doc.v1 import search_service_pb2 as pb
from automesh.doc.v1 import search_service_pb2_grpc as rpc
from tests.integration.doc.doc_house import Served

LIMIT_S = 20.0


async def search_stub(doc: Served, user: str = "ann", *permissions: str) -> rpc.SearchServiceAsyncStub:
    return rpc.SearchServiceStub(await doc.channel(user, *permissions))


async def search(doc: Served, query: str, *, user: str = "ann", **fields: Any) -> pb.SearchDocumentsResponse:
    request = pb.SearchDocumentsRequest(query=query, **fields)
    return await (await search_stub(doc, user)).SearchDocuments(request)


async def paths(doc: Served, query: str, *, user: str = "ann", **fields: Any) -> list[str]:
    """Of what is found, best first."""
    return [result.path for result in (await search(doc, query, user=user, **fields)).results]


async def status(doc: Served, user: str = "ann") -> pb.GetIndexStatusResponse:
    return await (await search_stub(doc, user)).GetIndexStatus(pb.GetIndexStatusRequest())


async def until(asked: Callable[[], Awaitable[bool]]) -> None:
    """Asks again until it is so; fails when that takes too long."""
    async with asyncio.timeout(LIMIT_S):
        while not await asked():  # noqa: ASYNC110 # the other side is a loop of the service: nobody tells
            await asyncio.sleep(0.01)


async def caught_up(doc: Served) -> None:
    """Everything that was written can be found."""

    async def there() -> bool:
        at = await status(doc)
        return at.sequence >= at.latest_sequence and not at.rebuilding

    await until(there)
