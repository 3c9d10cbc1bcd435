"""What a client is told of an upload that the server ends early."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from automesh.mesh.replies import reply_of

METHOD = "/test.Uploads/Upload"


class Uploads(grpc.GenericRpcHandler):
    """Refuses at the first message that says so, or counts the bytes."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.stream_unary_rpc_method_handler(self.upload)

    async def upload(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        count = 0
        async for request in requests:
            if request == b"refuse me":
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you", (("why-bin", b"\x00"),))
            count += len(request)
        return str(count).encode()


async def much(first: bytes) -> AsyncIterator[bytes]:
    yield first
    for _ in range(200):
        yield b"x" * 65_536


async def test_a_refusal_amid_the_writing_keeps_its_reason() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Uploads(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        upload = channel.stream_unary(METHOD)
        for _ in range(60):  # a race: grpc.aio alone loses the reason in some of them
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await reply_of(upload(much(b"refuse me")))
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.PERMISSION_DENIED, "not for you")
            assert ("why-bin", b"\x00") in tuple(caught.value.trailing_metadata() or ())
        assert await reply_of(upload(much(b"take me"))) == str(200 * 65_536 + 7).encode()
    await server.stop(None)
