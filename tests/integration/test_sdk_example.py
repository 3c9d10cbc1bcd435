"""docs/examples/echo_agent.py, as a reader would run it."""

import asyncio
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.json_format import MessageToDict

from automesh.testing.orchestrator import LIMIT_S, FakeOrchestrator

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "echo_agent.py"


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("echo_agent", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_example_echoes_with_progress_log_and_an_artifact(example: ModuleType) -> None:
    stop = asyncio.Event()
    async with FakeOrchestrator() as fake:
        running = asyncio.create_task(example.agent.run(fake.connection, stop=stop))
        token = fake.lease("echo", {"text": "hello big mesh"})
        done = await fake.done(token)
        nothing = await fake.done(fake.lease("echo", {}))
        stop.set()
        async with asyncio.timeout(LIMIT_S):
            await running

    assert MessageToDict(done.result) == {"text": "hello big mesh", "words": 3.0, "attempt": 1.0}
    assert [line for message in fake.of("log", token) for line in message.lines] == ["hello", "big", "mesh"]
    assert fake.of("progress", token)[-1].message == "said 3 of 3 words"
    assert fake.artifacts == {"echo.txt": b"hello big mesh"}
    assert (nothing.failure.reason, nothing.failure.retryable) == ("TEXT_MISSING", False)
    assert fake.registered[0].capabilities[0].type == "echo"


def test_the_example_says_what_it_lacks_when_started_without_a_platform(tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("AUTOMESH_")}
    done = subprocess.run(
        [sys.executable, EXAMPLE], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 78
    assert "automesh cert issue --client NAME" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_example_stays_short() -> None:
    code = [line for line in EXAMPLE.read_text().splitlines() if line.strip() and not line.startswith(("#", '"""'))]
    assert len(code) <= 30
