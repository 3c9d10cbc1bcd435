"""The stream between an editor and its room, with its errors as those of the one tree."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from automesh.core.errors import Unavailable
from automesh.doc.v1 import editing_service_pb2 as pb
from automesh.doc.v1 import editing_service_pb2_grpc as rpc
from automesh.mesh.errors import DETAILS_KEY, from_rpc_error
from automesh.sdk.connection import Connection


@asynccontextmanager
async def open_stream(
    connection: Connection, requests: AsyncIterator[pb.EditDocumentRequest]
) -> AsyncGenerator[AsyncIterable[pb.EditDocumentResponse]]:
    """What the room says. Raises the error that the service ends it with; Unavailable when it broke."""
    stub = rpc.EditingServiceStub(connection.channel("doc"))
    call = stub.EditDocument(requests, metadata=await connection.metadata())
    try:
        yield call
    except grpc.aio.AioRpcError as error:
        if any(key == DETAILS_KEY for key, _ in _pairs(error)):
            raise from_rpc_error(error) from error
        # Nobody of ours has said it: the connection broke, which gRPC calls by many names.
        raise Unavailable(error.details() or "the connection was lost") from error
    finally:
        call.cancel()


def _pairs(error: grpc.aio.AioRpcError) -> Sequence[tuple[str, object]]:
    trailing: Any = error.trailing_metadata() or ()  # the stubs do not say that its items are pairs
    return list(trailing)
