"""Agents that die or fall silent in the middle of a task: it is done by another, and its end is recorded once."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from automesh.mesh.identity import IdentityFiles
from automesh.testing.live import LiveStack, until
from automesh.testing.people import Json, Person
from automesh.testing.witness import Witness

PROGRAM = Path(__file__).parent / "programs" / "stubborn_agent.py"
REGISTERED = re.compile(r'"agent_id":"(agent_\w+)","slots":\d+,"event":"agent registered"')


def agent_process(live: LiveStack, agent_id: str) -> str:
    """The process of the stack that has this agent id now."""
    for name in live.named("agent"):
        found = REGISTERED.findall(live.log_of(name))
        if found and found[-1] == agent_id:
            return name
    raise AssertionError(f"no process of the stack is {agent_id}")


def test_a_task_whose_agent_is_killed_is_completed_once_by_another(
    live: LiveStack, dora: Person, witness: Witness
) -> None:
    began = dora.began(dora.submit("noop", {"sleep_s": 8, "result": "done"})["taskId"])
    victim = agent_process(live, began["agentId"])
    pid = live.kill(victim)
    task = dora.finished(began["taskId"])

    assert (began["attempt"], task["attempt"]) == (1, 2)
    assert (task["status"], task["result"]["result"]) == ("TASK_STATUS_COMPLETED", "done")
    assert task["agentId"] != began["agentId"]
    assert witness.endings(task["taskId"]) == [("COMPLETED", 2)]
    live.until_replaced(victim, pid)


def test_a_killed_agent_takes_with_it_whatever_ran_in_its_sandbox(
    live: LiveStack, dora: Person, sleepers: Path
) -> None:
    given = {"module": "sleeper", "path": str(sleepers), "budget_s": 600}
    began = dora.began(dora.submit("test_generation", given)["taskId"])
    victim = agent_process(live, began["agentId"])
    work = live.state.folder / "work" / victim
    until(lambda: live.below(work), "the module to be imported in the sandbox")
    scratch = list(work.iterdir())
    pid = live.kill(victim)
    dora.done("POST", f"/tasks/{began['taskId']}:cancel", json={})

    until(lambda: not live.below(work), "the sandbox to be empty")
    live.until_replaced(victim, pid)
    until(lambda: not any(folder.exists() for folder in scratch), "the next agent to clear away the scratch folder")


class Stubborn:
    """An agent of a user's own, in a process of its own."""

    def __init__(self, live: LiveStack, name: str, key: str, files: IdentityFiles, folder: Path) -> None:
        env = live.environment(AUTOMESH_API_KEY=key, AUTOMESH_IDENTITY_DIR=str(files.folder))
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, PROGRAM, name], env=env, stdout=log, stderr=log)

    def log(self) -> str:
        return self._log.read_text()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def stubborn(live: LiveStack, admin: Person, tmp_path: Path) -> Iterator[dict[str, Stubborn]]:
    """Two of them, by name, both at work."""
    live.command("cert", "issue", "--client", "stubborn", "--out", str(tmp_path / "client"))
    key = json.loads(live.command("key", "create", "stubborn", "--json"))["secret"]
    files = IdentityFiles(tmp_path / "client")
    agents = {name: Stubborn(live, name, key, files, tmp_path) for name in ("left", "right")}
    try:
        until(lambda: agents.keys() <= {each["name"] for each in connected(admin)}, "both agents to join")
        yield agents
    finally:
        for agent in agents.values():
            agent.end()


def connected(person: Person) -> list[Json]:
    return [each for each in person.done("GET", "/agents")["agents"] if each["connected"]]


def test_the_late_answer_of_an_agent_that_was_stopped_past_its_lease_is_refused(
    live: LiveStack, admin: Person, stubborn: dict[str, Stubborn], witness: Witness
) -> None:
    began = admin.began(admin.submit("stubborn")["taskId"])
    names = {each["agentId"]: each["name"] for each in connected(admin)}
    stopped = stubborn[names[began["agentId"]]]
    os.kill(stopped.process.pid, signal.SIGSTOP)
    other = next(agent for agent in stubborn.values() if agent is not stopped)
    try:
        task = admin.finished(began["taskId"])
    finally:
        os.kill(stopped.process.pid, signal.SIGCONT)
    until(lambda: "result refused: the lease was lost" in stopped.log(), "the late answer to be refused")

    assert task["result"] == {"by": other.name, "attempt": 2}
    assert admin.task(task["taskId"]) == task
    assert witness.endings(task["taskId"]) == [("COMPLETED", 2)]
    assert f"finished attempt 1 of {task['taskId']}" in stopped.log()
