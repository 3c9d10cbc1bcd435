"""A client of the mesh for tests, told on standard input what to call; one line of JSON in, one line of JSON out.

{"do": "call", "count": 10}                 -> {"ok": 10, "errors": {}, "by": {"echo-1": 5, "echo-2": 5}}
{"do": "until", "by": ["echo-1", "echo-2"]} -> calls until exactly these answer 30 calls without an error
{"do": "begin"} ... {"do": "end"}           -> calls all the time in between; the answer counts them
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any

import grpc

from automesh.auth.v1 import token_service_pb2 as pb
from automesh.auth.v1 import token_service_pb2_grpc as rpc
from automesh.mesh import bootstrap
from automesh.mesh.process import joined
from automesh.mesh.settings import MeshSettings

WINDOW = 30
LIMIT_S = 20.0


class Settings(MeshSettings):
    service: str = "gateway"
    target: str = "echo"
    local_socket: str = ""
    """Talks to control over this Unix socket, as clients do that cannot speak TLS to it."""


class Tally:
    """What came of some calls."""

    def __init__(self) -> None:
        self.ok, self.errors, self.by = 0, Counter[str](), Counter[str]()

    def report(self) -> dict[str, Any]:
        return {"ok": self.ok, "errors": dict(self.errors), "by": dict(self.by)}


class Client:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = rpc.TokenServiceStub(channel)
        self._load: asyncio.Task[Tally] | None = None
        self._stop = asyncio.Event()

    async def call(self, tally: Tally) -> None:
        try:
            reply = await self._stub.GetJwks(pb.GetJwksRequest(), timeout=5)
        except grpc.aio.AioRpcError as error:
            tally.errors[f"{error.code().name}: {error.details()}"] += 1
            await asyncio.sleep(0.01)
        else:
            tally.ok += 1
            tally.by[reply.keys[0].kid] += 1

    async def do(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["do"]:
            case "call":
                return await self._count(order["count"])
            case "until":
                return await asyncio.wait_for(self._until(set(order["by"])), order.get("limit_s", LIMIT_S))
            case "begin":
                self._stop.clear()
                self._load = asyncio.create_task(self._all_the_time())
                return {}
            case "end" if self._load:
                self._stop.set()
                return (await self._load).report()
        raise ValueError(order)

    async def _count(self, count: int) -> dict[str, Any]:
        tally = Tally()
        for _ in range(count):
            await self.call(tally)
        return tally.report()

    async def _until(self, by: set[str]) -> dict[str, Any]:
        while True:
            report = await self._count(WINDOW)
            if set(report["by"]) == by and not report["errors"]:
                return report
            await asyncio.sleep(0.05)

    async def _all_the_time(self) -> Tally:
        tally = Tally()
        while not self._stop.is_set():
            await asyncio.gather(*(self.call(tally) for _ in range(4)))
            await asyncio.sleep(0.005)
        return tally


async def main() -> None:
    settings = Settings()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with joined(settings) as mesh:
        if settings.local_socket:
            bootstrap.install(
                bootstrap.local_xds_bootstrap(
                    socket_path=settings.local_socket,
                    identity=mesh.files,
                    instance_id=settings.instance_id,
                    service=settings.service,
                )
            )
        client = Client(mesh.channel(settings.target))
        while line := await reader.readline():
            try:
                answer = await client.do(json.loads(line))
            except TimeoutError:
                answer = {"timeout": True}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
