"""The whole stack of one machine: seconds to ready, memory when idle, and a no-op task from POST to COMPLETED."""

from __future__ import annotations

import asyncio
import json
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil

RATE = 50
SECONDS = 20
WARM_UP = 100
PORT, CONTROL_PORT = 18843, 17843
IDLE_S = 5
MIN_MS = 0.05


def main() -> None:
    """Starts a stack in a folder of its own (once cold, once warm), measures, and stops it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "stack"
        for name in ("first start", "second start"):
            began = time.monotonic()
            _automesh(folder, "up", "--detach", "--port", str(PORT), "--control-port", str(CONTROL_PORT))
            print(f"{name}: ready in {time.monotonic() - began:.1f} s  (target <= 12)", flush=True)
            if name == "first start":
                _automesh(folder, "down")
        try:
            _memory(folder)
            asyncio.run(_latency(folder))
        finally:
            _automesh(folder, "down")


def _memory(folder: Path) -> None:
    time.sleep(IDLE_S)
    processes = _processes(folder)
    unique = sum(process.memory_full_info().uss for process in processes)
    resident = sum(process.memory_info().rss for process in processes)
    print(
        f"idle: {len(processes)} processes, {unique / 2**20:.0f} MiB of their own, "
        f"{resident / 2**20:.0f} MiB resident with shared pages counted in each  (target <= 900)",
        flush=True,
    )


async def _latency(folder: Path) -> None:
    """Open loop: a task every 1/RATE s, whatever became of those before."""
    token = _automesh(folder, "token").strip()
    trust = ssl.create_default_context(cafile=str(folder / "web" / "ca.pem"))
    headers = {"authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(
        f"https://localhost:{PORT}", headers=headers, connector=aiohttp.TCPConnector(ssl=trust, limit=200)
    ) as http:
        for _ in range(WARM_UP):
            await _noop(http)
        before = _spent(folder)
        loop = asyncio.get_running_loop()
        began, tasks = loop.time(), []
        for number in range(RATE * SECONDS):
            await asyncio.sleep(max(0.0, began + number / RATE - loop.time()))
            tasks.append(asyncio.create_task(_noop(http)))
        times = sorted(await asyncio.gather(*tasks))
    spent = {name: (after - before.get(name, 0.0)) / len(times) * 1000 for name, after in _spent(folder).items()}
    print(f"no-op task, POST to COMPLETED seen on the watch stream, {RATE}/s for {SECONDS} s:")
    print(f"  p50 {_quantile(times, 0.5):.1f} ms (target <= 30)   p99 {_quantile(times, 0.99):.1f} ms (target <= 100)")
    shares = sorted(spent.items(), key=lambda item: -item[1])
    parts = ", ".join(f"{name} {ms:.1f}" for name, ms in shares if ms >= MIN_MS)
    print(f"  mean {statistics.mean(times) * 1000:.1f} ms; CPU a task {sum(spent.values()):.1f} ms ({parts})")


async def _noop(http: aiohttp.ClientSession) -> float:
    began = time.perf_counter()
    async with http.post("/api/v1/tasks", json={"type": "noop", "input": {}}) as created:
        created.raise_for_status()
        task_id = (await created.json())["taskId"]
    async with http.get(f"/api/v1/tasks/{task_id}:watch") as stream:
        async for line in stream.content:
            message: dict[str, Any] = json.loads(line)
            if message["result"]["task"]["status"] == "TASK_STATUS_COMPLETED":
                return time.perf_counter() - began
    raise SystemExit(f"bench: {task_id} did not complete")


def _quantile(times: list[float], quantile: float) -> float:
    return times[min(int(len(times) * quantile), len(times) - 1)] * 1000


def _processes(folder: Path) -> list[psutil.Process]:
    supervisor = psutil.Process(json.loads((folder / "stack.json").read_text())["pid"])
    return [supervisor, *supervisor.children(recursive=True)]


def _spent(folder: Path) -> dict[str, float]:
    """CPU seconds so far, by process of the stack; children count with their parent."""
    stack = json.loads((folder / "stack.json").read_text())
    named = {name: each["pid"] for name, each in stack["processes"].items()}
    return {name: sum(map(_cpu, _family(pid))) for name, pid in named.items() if pid}


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _automesh(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "automesh.cli", "--state-dir", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: automesh {' '.join(arguments)} failed: {done.stdout}{done.stderr}")
    return done.stdout
