"""CPU per unary call: xds address + mutual TLS + token + our guard and metadata, beside a bare grpc.aio pair.

Client and server are processes of their own; what is compared is their CPU time together, over interleaved rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil

from automesh.mesh.process import Mesh, joined, run
from automesh.mesh.server import Bound
from automesh.mesh.settings import MeshSettings
from automesh.orchestrator.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc
from automesh.testing.ca import ThrowawayCa
from automesh.testing.tokens import TokenMint

ROUNDS = 7
CALLS = 3_000
CONCURRENCY = 16
WARM_UP = 500
START_S = 30


class Settings(MeshSettings):
    """A sample service."""

    service: str = "orchestrator"
    key_file: Path = Path()


class Sample(task_service_pb2_grpc.TaskServiceServicer):
    """Answers with a task of ordinary size, as a look-up by id would."""

    async def GetTask(self, request: Any, context: Any) -> task_service_pb2.GetTaskResponse:
        """One task, about 700 bytes."""
        task = task_pb2.Task(task_id=request.task_id, type="test_generation", description="d" * 200, attempt=1)
        task.input.update({f"key{number}": "value" * 4 for number in range(10)})
        return task_service_pb2.GetTaskResponse(task=task)


DESCRIPTOR = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"]
ADD = task_service_pb2_grpc.add_TaskServiceServicer_to_server


def main() -> None:
    """Starts both pairs, measures them in turns, prints the ratio."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        ca, mint = ThrowawayCa(folder), TokenMint()
        (folder / "key.json").write_text(json.dumps(mint.key.as_dict(private=False)))
        port = _free_port()
        common = {"AUTOMESH_CONTROL_ADDRESS": f"localhost:{port}", "AUTOMESH_STATE_DIR": scratch}
        _start(stack, ["-m", "services.control"], {**common, **_as(ca, "control"), "AUTOMESH_LISTEN_PORT": str(port)})
        me = ["-m", "bench.mesh_channel"]
        key = {"AUTOMESH_KEY_FILE": str(folder / "key.json")}
        servers = {
            "bare": _start(stack, [*me, "serve-bare", "--address", str(folder / "bare.txt")], {}),
            "mesh": _start(stack, [*me, "serve-mesh"], {**common, **_as(ca, "orchestrator"), **key}),
        }
        bare = _wait_for(folder / "bare.txt")
        token = mint.mint(["task.read"], exp=int(time.time()) + 3600)
        clients = {
            "bare": _start(stack, [*me, "call", "--target", bare], {}, talks=True),
            "mesh": _start(stack, [*me, "call", "--token", token], {**common, **_as(ca, "gateway")}, talks=True),
        }
        _report(_measure(clients, servers))


def _measure(clients: dict[str, Any], servers: dict[str, Any]) -> dict[str, list[tuple[float, float, float]]]:
    measured: dict[str, list[tuple[float, float, float]]] = {"bare": [], "mesh": []}
    for number in range(ROUNDS + 1):
        for name, client in clients.items():
            before = _cpu(servers[name])
            client.stdin.write(f"{WARM_UP if number == 0 else CALLS}\n")
            client.stdin.flush()
            answer = json.loads(client.stdout.readline())
            if number > 0:  # the first round warms up
                server = (_cpu(servers[name]) - before) / CALLS
                measured[name].append((answer["cpu"] / CALLS, server, answer["wall"] / CALLS))
    return measured


def _report(measured: dict[str, list[tuple[float, float, float]]]) -> None:
    print(f"{CALLS} calls a round, {CONCURRENCY} at a time, {ROUNDS} rounds each, median; CPU in microseconds per call")
    print(f"{'':6}{'client':>9}{'server':>9}{'both':>9}{'calls/s':>10}")
    total: dict[str, float] = {}
    for name, rounds in measured.items():
        client, server, wall = (statistics.median(column) for column in zip(*rounds, strict=True))
        total[name] = statistics.median(each[0] + each[1] for each in rounds)
        print(f"{name:6}{client * 1e6:9.0f}{server * 1e6:9.0f}{total[name] * 1e6:9.0f}{1 / wall:10.0f}")
    print(f"mesh / bare, CPU of both ends: {total['mesh'] / total['bare']:.2f}  (target <= 1.25)")


async def _call(target: str, token: str) -> None:
    metadata = [("authorization", f"Bearer {token}")] if token else []
    if target:
        async with grpc.aio.insecure_channel(target) as channel:
            await _rounds(task_service_pb2_grpc.TaskServiceStub(channel), metadata)
        return
    async with joined(Settings(service="gateway")) as mesh:
        await _rounds(task_service_pb2_grpc.TaskServiceStub(mesh.channel("orchestrator")), metadata)


async def _rounds(stub: Any, metadata: Sequence[tuple[str, str]]) -> None:
    """Makes as many calls as each line of standard input says, and answers with what they cost."""
    request = task_service_pb2.GetTaskRequest(task_id="task_0123456789abcdefghjkmnp")
    await stub.GetTask(request, metadata=metadata, wait_for_ready=True, timeout=START_S)

    async def some(count: int) -> None:
        for _ in range(count):
            await stub.GetTask(request, metadata=metadata)

    while line := await asyncio.to_thread(sys.stdin.readline):
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(some(int(line) // CONCURRENCY) for _ in range(CONCURRENCY)))
        print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}), flush=True)


async def _serve_bare(address: Path) -> None:
    server = grpc.aio.server()
    ADD(Sample(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    address.write_text(f"127.0.0.1:{port}")
    await server.wait_for_termination()


@asynccontextmanager
async def _build(settings: Settings, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
    async def keys() -> Sequence[dict[str, str]]:
        return [json.loads(settings.key_file.read_text())]

    async def drop(_events: object) -> None:
        return None

    mesh.jwks_source, mesh.audit_sink = keys, drop
    yield [Bound(DESCRIPTOR, ADD, Sample())]


def _start(stack: ExitStack, arguments: list[str], environment: dict[str, str], *, talks: bool = False) -> Any:
    import os

    pipe = subprocess.PIPE if talks else None
    child = subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, **environment, "AUTOMESH_LOG_LEVEL": "error"},
        stdin=pipe,
        stdout=pipe,
        text=True,
    )
    stack.callback(child.wait, 10)
    stack.callback(child.terminate)
    return child


def _as(ca: ThrowawayCa, service: str) -> dict[str, str]:
    return {"AUTOMESH_IDENTITY_DIR": str(ca.service(service).folder)}


def _cpu(process: Any) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def _wait_for(file: Path) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if file.exists() and (text := file.read_text()):
            return text
        time.sleep(0.05)
    raise SystemExit("bench: the bare server did not start")


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["serve-bare", "serve-mesh", "call"])
    parser.add_argument("--address", type=Path)
    parser.add_argument("--target", default="")
    parser.add_argument("--token", default="")
    options = parser.parse_args()
    if options.role == "serve-bare":
        asyncio.run(_serve_bare(options.address))
    elif options.role == "serve-mesh":
        run(Settings(), _build)
    else:
        asyncio.run(_call(options.target, options.token))
