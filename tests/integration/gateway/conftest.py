"""A real gRPC server that echoes, a real gateway in front of it, and clients for both kinds of HTTP."""

import asyncio
import base64
import contextlib
import hashlib
import importlib.resources
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_tools import protoc

from automesh.doc.v1 import document_pb2
from automesh.local.ports import free_port
from automesh.mesh.channel import OPTIONS
from gateway.app import http_gateway
from gateway.descriptors import Catalog, load_catalog
from gateway.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
SERVICE = "acme.echo.v1.EchoService"
LIMIT_S = 10.0


@pytest.fixture(scope="session")
def echo_descriptors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("protos") / "echo.binpb"
    code = protoc.main(
        [
            "protoc",
            f"-I{ROOT / 'tests' / 'fixtures' / 'protos'}",
            f"-I{ROOT / 'proto'}",
            f"-I{importlib.resources.files('grpc_tools') / '_proto'}",
            f"--descriptor_set_out={out}",
            "--include_imports",
            "acme/echo/v1/echo.proto",
        ]
    )
    assert code == 0
    return out


@pytest.fixture(scope="session")
def catalog(echo_descriptors: Path) -> Catalog:
    return load_catalog(echo_descriptors.read_bytes())


def stale_write() -> document_pb2.StaleWrite:
    """As large as the doc service makes them: 40 KB of a page that two people have changed."""
    text = "Zeile mit Umlauten: ÄÖÜ, und noch ein wenig mehr.\n" * 760
    return document_pb2.StaleWrite(
        document_id="doc_1",
        expected_head="rev_1",
        head="rev_2",
        author="ann",
        merge=document_pb2.Merge(
            base="rev_1",
            theirs="rev_2",
            content=text,
            conflicts=[document_pb2.Conflict(line=3, base="a\n", ours="b\n", theirs="c\n")],
        ),
    )


class Echo:
    """The servicer. `events` says what happened to calls: "started", "cancelled"."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.seen: asyncio.Queue[str] = asyncio.Queue()
        self.requests: list[Any] = []
        self.uploads: list[Any] = []
        self.go = asyncio.Event()
        self.sent = 0
        self.etag, self.text = "rev_1", "text"

    def make(self, name: str, /, **fields: Any) -> Any:
        return self.catalog.message_class(self.catalog.pool.FindMessageTypeByName(name))(**fields)

    async def same(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        await context.send_initial_metadata((("x-seen", "yes"), ("seen-bin", b"\x00\xff"), ("grpc-hidden", "no")))
        return request

    async def update(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        response = self.make("acme.echo.v1.UpdateResponse")
        response.ParseFromString(request.SerializeToString())
        return response

    async def fail(self, request: Any, context: Any) -> Any:
        await self.abort(context, request.code, request.message, request.details)

    async def abort(self, context: Any, number: int, message: str, details: str) -> None:
        status = status_pb2.Status(code=number, message=message)
        if details == "retry":
            retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=2, nanos=1))
            status.details.add().Pack(retry)
        elif details == "known":
            status.details.add().Pack(error_details_pb2.ErrorInfo(reason="WHY", domain="acme", metadata={"a": "b"}))
        elif details == "stale":
            status.details.add().Pack(stale_write())
        elif details == "foreign":
            status.details.append(any_pb2.Any(type_url="type.googleapis.com/no.Such", value=b"\x01\xff"))
        trailing = (("grpc-status-details-bin", status.SerializeToString()),) if details else ()
        code = next(each for each in grpc.StatusCode if each.value[0] == number)
        await context.abort(code, message, trailing)

    async def hang(self, request: Any, context: Any) -> Any:
        await self.wait_for_cancel()

    async def wait_for_cancel(self) -> None:
        self.seen.put_nowait("started")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.seen.put_nowait("cancelled")
            raise

    async def metadata(self, request: Any, context: Any) -> Any:
        shown = {
            key: base64.b64encode(value).decode() if isinstance(value, bytes) else value
            for key, value in context.invocation_metadata()
        }
        return self.make("acme.echo.v1.MetadataResponse", metadata=shown, timeout_s=context.time_remaining())

    async def count(self, request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            for number in range(int(request.cursor or 0) + 1, request.to + 1):
                self.sent = number
                yield self.make(
                    "acme.echo.v1.CountResponse", number=number, cursor=str(number), padding="x" * request.padding
                )
        except (asyncio.CancelledError, GeneratorExit):
            self.seen.put_nowait("count ended")
            raise
        if request.hang:
            await self.wait_for_cancel()
        if request.code:
            await self.abort(context, request.code, "counted enough", "")

    async def sum(self, requests: AsyncIterator[Any], context: Any) -> Any:
        total = 0
        try:
            async for request in requests:
                if request.code:
                    await self.abort(context, request.code, "no such number", "")
                total += request.to
                self.seen.put_nowait(f"got {request.to}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):  # a cancelled stream looks ended at first; the cancelling follows
                    await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.seen.put_nowait("cancelled")
            raise
        return self.make("acme.echo.v1.CountResponse", number=total)

    async def chat(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield self.make("acme.echo.v1.CountResponse", number=request.to)

    async def download(self, request: Any, context: Any) -> AsyncIterator[Any]:
        if request.hang:
            self.seen.put_nowait("started")
            await self.go.wait()
        for number in range(request.to):
            yield self.make("google.api.HttpBody", content_type="" if number else "text/x-test", data=b"%d\n" % number)
        if request.code:
            await self.abort(context, request.code, "cut off", "")

    async def upload(self, requests: AsyncIterator[Any], context: Any) -> Any:
        """The note says how to misbehave: "refuse" at the first message, "stall" there until `go` is set."""
        try:
            return await self._stored(requests, context)
        except asyncio.CancelledError:
            self.seen.put_nowait("cancelled")
            raise

    async def _stored(self, requests: AsyncIterator[Any], context: Any) -> Any:
        response, digest = self.make("acme.echo.v1.StoreResponse"), hashlib.sha256()
        async for request in requests:
            if request.name:
                self.seen.put_nowait("upload began")
            if request.note == "refuse":
                await self.abort(context, 7, "not for you", "")
            if request.note == "stall":
                await self.go.wait()
            self.uploads.append(request)
            response.name = response.name or request.name
            response.note = response.note or request.note
            response.content_type = response.content_type or request.file.content_type
            response.size += len(request.file.data)
            response.messages += 1
            digest.update(request.file.data)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):  # as in `sum`
                await asyncio.Event().wait()
        response.sha256 = digest.hexdigest()
        return response

    async def get_page(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        page = self.make("acme.echo.v1.Page", name=request.name, text=self.text, etag=self.etag)
        return self.make("acme.echo.v1.PageResponse", page=page)

    async def put_page(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.make("acme.echo.v1.PageResponse", page=request.page)

    async def delete_page(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        page = self.make("acme.echo.v1.Page", name=request.name, etag=request.expected_head)
        return self.make("acme.echo.v1.PageResponse", page=page)

    def handler(self) -> Any:
        methods = {
            "Get": (grpc.unary_unary_rpc_method_handler, self.same),
            "Create": (grpc.unary_unary_rpc_method_handler, self.same),
            "Update": (grpc.unary_unary_rpc_method_handler, self.update),
            "Fail": (grpc.unary_unary_rpc_method_handler, self.fail),
            "Hang": (grpc.unary_unary_rpc_method_handler, self.hang),
            "Metadata": (grpc.unary_unary_rpc_method_handler, self.metadata),
            "Count": (grpc.unary_stream_rpc_method_handler, self.count),
            "Sum": (grpc.stream_unary_rpc_method_handler, self.sum),
            "Chat": (grpc.stream_stream_rpc_method_handler, self.chat),
            "Download": (grpc.unary_stream_rpc_method_handler, self.download),
            "Mirror": (grpc.unary_unary_rpc_method_handler, self.same),
            "Store": (grpc.unary_unary_rpc_method_handler, self.same),
            "GetPage": (grpc.unary_unary_rpc_method_handler, self.get_page),
            "PutPage": (grpc.unary_unary_rpc_method_handler, self.put_page),
            "DeletePage": (grpc.unary_unary_rpc_method_handler, self.delete_page),
            "Upload": (grpc.stream_unary_rpc_method_handler, self.upload),
        }
        service = self.catalog.pool.FindServiceByName(SERVICE)
        handlers = {
            name: make(
                behaviour,
                request_deserializer=self.catalog.message_class(service.methods_by_name[name].input_type).FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
            for name, (make, behaviour) in methods.items()
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def next_event(self) -> str:
        return await asyncio.wait_for(self.seen.get(), LIMIT_S)


@dataclass
class Front:
    """A gateway that runs, its backend, and a client."""

    echo: Echo
    client: httpx.AsyncClient
    settings: Settings
    stopping: asyncio.Event
    channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.get(path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.post(path, **options)

    async def raw(self, request: bytes) -> bytes:
        """Sends bytes as they are and gives everything that comes back until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.settings.gateway_port)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), LIMIT_S)
        writer.close()
        return answer


@contextlib.asynccontextmanager
async def running_front(catalog: Catalog, descriptors: Path, **changes: Any) -> AsyncGenerator[Front]:
    echo = Echo(catalog)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((echo.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channels: dict[str, grpc.aio.Channel] = {}

    def channel(service: str) -> grpc.aio.Channel:
        address = f"127.0.0.1:{port}" if service == "echo" else "127.0.0.1:1"
        return channels.setdefault(service, grpc.aio.insecure_channel(address, options=OPTIONS))

    settings = Settings(
        gateway_port=free_port(),
        **{"gateway_tls": "off", "gateway_descriptor_files": (descriptors,), "drain_timeout_s": 2, **changes},
    )
    stopping = asyncio.Event()
    url = f"{'http' if settings.gateway_tls == 'off' else 'https'}://127.0.0.1:{settings.gateway_port}"
    try:
        async with http_gateway(settings, channel, stopping):
            async with httpx.AsyncClient(base_url=url, timeout=LIMIT_S) as client:
                yield Front(echo, client, settings, stopping, channels)
            stopping.set()
    finally:
        for each in channels.values():
            await each.close()
        await server.stop(None)


@pytest.fixture
async def front(catalog: Catalog, echo_descriptors: Path) -> AsyncGenerator[Front]:
    async with running_front(catalog, echo_descriptors) as running:
        yield running


@pytest.fixture
def start_front(
    catalog: Catalog, echo_descriptors: Path
) -> Callable[..., contextlib.AbstractAsyncContextManager[Front]]:
    """For tests that need other settings: `async with start_front(gateway_max_body=1024) as front`."""
    return lambda **changes: running_front(catalog, echo_descriptors, **changes)
