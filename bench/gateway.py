"""CPU of the gateway per request, beside a naive bridge: same server and gRPC client, json_format, a list of regexes.

Backend, both bridges and the client are processes of their own; what is compared is each bridge's own CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import grpc
import psutil
from google.protobuf import json_format

from automesh.orchestrator.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc
from automesh.web.server import Listen, serving
from gateway.api_keys import ApiKeys, AuthExchange
from gateway.calls import Invoker
from gateway.descriptors import load_catalog, own_descriptors
from gateway.http import Gateway
from gateway.metadata import Deadlines
from gateway.rpc import GrpcUpstream
from gateway.site import build_site
from gateway.streaming import Streamer

ROUNDS = 5
REQUESTS = 2_000
CONNECTIONS = 16
WARM_UP = 300
START_S = 30
MIB = 1024 * 1024
TASK = {
    "type": "test_generation",
    "description": "d" * 200,
    "priority": 3,
    "input": {f"key{number}": "value" * 6 for number in range(20)},
}
HEADERS = "Host: bench\r\nAuthorization: Bearer abc\r\nContent-Type: application/json\r\n"


class Backend(task_service_pb2_grpc.TaskServiceServicer):
    """Answers at once."""

    async def GetTask(self, request: Any, context: Any) -> Any:
        """A small task."""
        return task_service_pb2.GetTaskResponse(task=task_pb2.Task(task_id=request.task_id, type="noop"))

    async def CreateTask(self, request: Any, context: Any) -> Any:
        """The task that came."""
        return task_service_pb2.CreateTaskResponse(task=request.task)


class Naive:
    """What is written first: regexes in a row, stubs, json_format."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        templates = [endpoint.rule for endpoint in build_site(load_catalog(own_descriptors())).endpoints]
        self._routes = [
            (rule.method, re.compile(re.sub(r"\{(\w+)[^}]*\}", r"(?P<\1>[^/]+)", rule.template) + "$"), rule.template)
            for rule in templates
        ]
        self._calls: dict[tuple[str, str], Callable[..., Awaitable[Any]]] = {
            ("GET", "/api/v1/tasks/{task_id}"): stub.GetTask,
            ("POST", "/api/v1/tasks"): stub.CreateTask,
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves one request."""
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        reply = await self._answer(scope["method"], scope["path"], body, dict(scope["headers"]))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": reply})

    def _route(self, method: str, path: str) -> tuple[str, re.Match[str]]:
        for want, pattern, template in self._routes:
            match = pattern.match(path)
            if want == method and match is not None:
                return template, match
        raise LookupError(path)

    async def _answer(self, method: str, path: str, body: bytes, headers: dict[bytes, bytes]) -> bytes:
        template, match = self._route(method, path)
        if method == "POST":
            request: Any = task_service_pb2.CreateTaskRequest()
            json_format.Parse(body, request.task)
        else:
            request = task_service_pb2.GetTaskRequest(**match.groupdict())
        metadata = [("authorization", headers[b"authorization"].decode())]
        response = await self._calls[method, template](request, metadata=metadata, timeout=30)
        return json_format.MessageToJson(response.task, indent=None, always_print_fields_with_no_presence=True).encode()


def main() -> None:
    """Starts the processes, measures the bridges in turns, prints the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", choices=["backend", "ours", "naive"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--backend", type=int, default=0)
    known, _ = parser.parse_known_args()
    if known.serve:
        asyncio.run(serve(known.serve, known.port, known.backend))
    else:
        asyncio.run(compare())


async def serve(what: str, port: int, backend: int) -> None:
    """One process of the comparison."""
    if what == "backend":
        server = grpc.aio.server()
        task_service_pb2_grpc.add_TaskServiceServicer_to_server(Backend(), server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await server.wait_for_termination()
        return
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{backend}")
    app: Any = Naive(channel) if what == "naive" else ours(channel)
    async with serving(app, Listen("127.0.0.1", port)) as ended:
        await ended.wait()


def ours(channel: grpc.aio.Channel) -> Gateway:
    """The gateway as it is, with another channel."""
    invoker = Invoker(
        GrpcUpstream(lambda _: channel),
        ApiKeys(AuthExchange(lambda _: channel)),
        Deadlines(30, 3600, 600),
        max_body=8 * MIB,
        trust_forwarded=False,
    )
    streamer = Streamer(invoker, asyncio.Event(), keep_alive_s=15)
    return Gateway(build_site(load_catalog(own_descriptors())), invoker, streamer, max_headers=32 * 1024, slow_s=10)


async def compare() -> None:
    """Interleaved rounds; the medians count."""
    ports = {name: free_port() for name in ("backend", "ours", "naive")}
    body = json.dumps(TASK)
    requests = {
        "GET": f"GET /api/v1/tasks/task_1 HTTP/1.1\r\n{HEADERS}\r\n".encode(),
        "POST": f"POST /api/v1/tasks HTTP/1.1\r\n{HEADERS}Content-Length: {len(body)}\r\n\r\n{body}".encode(),
    }
    with ExitStack() as stack:
        processes = {name: start(stack, name, port, ports["backend"]) for name, port in ports.items()}
        for port in ports.values():
            await answering(port)
        for kind, request in requests.items():
            figures: dict[str, list[tuple[float, float]]] = {"ours": [], "naive": []}
            for name in figures:
                await drive(ports[name], request, WARM_UP)
            for _ in range(ROUNDS):
                for name, rounds in figures.items():
                    rounds.append(await measure(processes[name], ports[name], request))
            report(kind, len(body), figures)


def start(stack: ExitStack, name: str, port: int, backend: int) -> psutil.Process:
    """A process of the comparison, ended with the stack."""
    command = [sys.executable, "-m", "bench.gateway", "--serve", name, "--port", str(port), "--backend", str(backend)]
    process = stack.enter_context(subprocess.Popen(command))
    stack.callback(process.kill)
    return psutil.Process(process.pid)


async def answering(port: int) -> None:
    """Returns once somebody listens."""
    async with asyncio.timeout(START_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


async def measure(process: psutil.Process, port: int, request: bytes) -> tuple[float, float]:
    """Microseconds of CPU per request, and requests per second."""
    before, began = process.cpu_times(), time.perf_counter()
    await drive(port, request, REQUESTS)
    took, after = time.perf_counter() - began, process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    return cpu / REQUESTS * 1e6, REQUESTS / took


async def drive(port: int, request: bytes, count: int) -> None:
    """Sends the request `count` times over CONNECTIONS connections."""
    await asyncio.gather(*(client(port, request, count // CONNECTIONS) for _ in range(CONNECTIONS)))


async def client(port: int, request: bytes, count: int) -> None:
    """One connection, one request after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = re.search(rb"content-length: (\d+)", head)
        if length is not None:
            await reader.readexactly(int(length[1]))
        else:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
    writer.close()


def report(kind: str, size: int, figures: dict[str, list[tuple[float, float]]]) -> None:
    """A line for each bridge, and the ratio."""
    medians = {}
    for name, rounds in figures.items():
        cpu, rate = statistics.median(each[0] for each in rounds), statistics.median(each[1] for each in rounds)
        medians[name] = cpu
        print(f"{kind:5} {name:6} {cpu:7.0f} us CPU a request   {rate:6.0f} requests/s")
    what = f" ({size} bytes of JSON)" if kind == "POST" else ""
    print(f"{kind:5} ours / naive = {medians['ours'] / medians['naive']:.2f}{what}")


def free_port() -> int:
    """A port nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
