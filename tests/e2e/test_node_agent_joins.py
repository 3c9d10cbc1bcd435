"""An agent in JavaScript joins the whole stack with nothing but a certificate, a key, and what the CLI prints."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from automesh.testing.live import LIMIT_S, LiveStack, until
from automesh.testing.people import Person
from tests.polyglot.conftest import javascript, node_modules

__all__ = ["javascript", "node_modules"]

pytestmark = pytest.mark.node

ROOT = Path(__file__).resolve().parents[2]


def test_an_agent_in_javascript_joins_and_its_tasks_complete(
    live: LiveStack, developer: Person, javascript: Path, node_binary: Path, tmp_path: Path
) -> None:
    identity = tmp_path / "identity"
    live.command("cert", "issue", "--client", "capitals", "--out", str(identity))
    key = live.command("key", "create", "capitals", "--permission", "work.lease").split()[-1]
    environment = live.environment(
        AUTOMESH_API_KEY=key,
        AUTOMESH_URL=live.url,
        NODE_EXTRA_CA_CERTS=str(live.state.web_ca),
        AUTOMESH_ORCHESTRATOR=live.command("mesh", "address", "orchestrator").strip(),
        AUTOMESH_IDENTITY_DIR=str(identity),
        AUTOMESH_PROTO=str(ROOT / "proto"),
    )
    program = shutil.copy(ROOT / "docs" / "examples" / "agent.mjs", javascript)
    log = tmp_path / "agent.log"
    with log.open("wb") as output:
        agent = subprocess.Popen([node_binary, program], env=environment, stdout=output, stderr=output)
    try:
        until(lambda: knows(developer, "capitals") or agent.poll() is not None, "the agent to join")
        assert agent.poll() is None, log.read_text()
        task = developer.finished(developer.submit("capitals", {"text": "hello from node"})["taskId"])
        assert task["result"] == {"text": "HELLO FROM NODE", "words": 3}, log.read_text()
        agent.terminate()
        assert agent.wait(LIMIT_S) == 0
    finally:
        agent.kill()
        agent.wait()


def knows(developer: Person, task_type: str) -> bool:
    """Whether a connected agent can do such tasks."""
    agents = developer.done("GET", "/agents").get("agents", [])
    return any(agent["connected"] and task_type in [each["type"] for each in agent["capabilities"]] for agent in agents)
