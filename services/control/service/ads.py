"""AggregatedDiscoveryService (xDS v3, state of the world): every client is told of every change, soon and once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceServicer
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from automesh.core.errors import Exhausted
from services.control.domain.topology import Topology
from services.control.resources.bundle import BundleMaker
from services.control.service.ads_stream import AdsStream

log = structlog.get_logger(__name__)

MAX_STREAMS = 10_000


class AdsServicer(AggregatedDiscoveryServiceServicer):  # type: ignore[misc] # xds-protos has no types
    """One stream per client process; each holds what it was sent, and nothing waits in a queue."""

    def __init__(self, topology: Topology, *, repeatable: Sequence[str] = (), max_streams: int = MAX_STREAMS) -> None:
        self._topology = topology
        self._maker = BundleMaker(topology.spiffe_id, repeatable=repeatable)
        self._max_streams = max_streams
        self._streams = 0
        self._epoch = f"{time.time_ns() // 1_000_000:x}"  # tells the versions of one run of control from the next

    async def StreamAggregatedResources(
        self, request_iterator: AsyncIterator[DiscoveryRequest], context: Any
    ) -> AsyncGenerator[DiscoveryResponse]:
        """Sends what was asked for, then each change, until the client goes or control stops."""
        with self._admitted(), self._topology.listening() as news:
            stream = AdsStream(self._epoch)
            reader = asyncio.create_task(_read(request_iterator, stream, news))
            try:
                while not self._topology.closed and not reader.done():
                    await news.wait()
                    news.clear()
                    if self._topology.ready:
                        for response in stream.due(self._maker.bundle(self._topology.snapshot)):
                            yield response
            finally:
                reader.cancel()
                reader.add_done_callback(_seen)
            if reader.done():
                reader.result()  # raises what the client did wrong

    @contextmanager
    def _admitted(self) -> Generator[None]:
        if self._streams >= self._max_streams:
            raise Exhausted(f"control already serves {self._max_streams} xDS clients", limit=self._max_streams)
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1


def _seen(reader: asyncio.Task[None]) -> None:
    """A call that is cancelled leaves a read behind whose error nobody will ask for."""
    if not reader.cancelled():
        reader.exception()


async def _read(requests: AsyncIterator[DiscoveryRequest], stream: AdsStream, news: asyncio.Event) -> None:
    node = ""
    try:
        async for request in requests:
            node = request.node.id or node
            nack = stream.take(request)
            if nack:
                log.error(
                    "xds client refused its configuration and keeps the last good one",
                    node=node,
                    type_url=nack.type_url,
                    version=nack.version,
                    error=nack.message,
                )
            news.set()
    finally:
        news.set()  # so that the writer sees the end
