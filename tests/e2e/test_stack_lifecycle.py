"""`automesh up`, `status`, `logs`, `down` as a person uses them: what they say, and that nothing is left behind."""

import json
import os
import pty
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from automesh.local.program import State
from automesh.local.record import StackRecord
from automesh.testing.live import LiveStack, until

FREE_PORTS = ("--port", "0", "--control-port", "0")
EMBEDDED = (*FREE_PORTS, "--registry", "embedded")
SERVICES = {"control", "auth", "orchestrator", "data", "doc", "model", "agent", "gateway"}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LiveStack]:
    """A folder for a stack; whatever runs there at the end is stopped."""
    stack = LiveStack(tmp_path / "state")
    yield stack
    stack.command("down")


class Terminal:
    """`automesh` in a terminal of its own: what it shows is read all the time, as a terminal does."""

    def __init__(self, stack: LiveStack, *words: str) -> None:
        ours, theirs = pty.openpty()
        self._ours = ours
        self.process = subprocess.Popen(
            [sys.executable, "-m", "automesh.cli", "--state-dir", str(stack.state.folder), *words],
            env=stack.environment(TERM="xterm-256color", COLUMNS="160", LINES="50"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def shown(self) -> str:
        """All that was shown up to now."""
        return self._shown.decode(errors="replace")

    def until_shown(self, text: str) -> None:
        until(lambda: text in self.shown or None, f"{text!r} on the terminal, which shows {self.shown[-2000:]}", 180)

    def end(self, number: signal.Signals) -> int:
        """Sends a signal to the command alone; its exit status."""
        self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join(10)
        os.close(self._ours)
        return code

    def _read(self) -> None:
        with suppress(OSError):  # how a terminal says that nobody is there any more
            while piece := os.read(self._ours, 4096):
                self._shown += piece


def overall(stack: LiveStack) -> str:
    trust = ssl.create_default_context(cafile=str(stack.state.web_ca))
    answer = httpx.get(f"{stack.url}/api/v1/health", verify=trust, timeout=10)
    return str(answer.json()["status"])


def pids(stack: LiveStack) -> list[int]:
    return [process.pid for process in stack.record.processes.values()]


def living(processes: list[int]) -> list[int]:
    """Those that still run; a zombie of somebody else's does not."""
    found = []
    for pid in processes:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def assert_nothing_left(stack: LiveStack, processes: list[int]) -> None:
    """No process, no socket, no stack.json."""
    assert not living(processes)
    assert not stack.below(stack.state.folder)
    assert not [path for path in stack.state.folder.rglob("*") if path.is_socket()]
    assert not stack.state.stack_file.exists()


def test_a_stack_starts_serves_is_looked_at_and_goes_without_a_trace(stack: LiveStack) -> None:
    started = stack.command("up", "--detach", *EMBEDDED)
    password = stack.state.admin_password.read_text().strip()
    status = json.loads(stack.command("status", "--json"))
    second = stack.command("up", *EMBEDDED)

    assert stack.url in started
    assert f"password {password}" in started
    assert "registry: embedded" in started
    assert overall(stack) == "HEALTH_STATUS_SERVING"
    assert status["ready"] is True
    assert status["health"] == "SERVING"
    assert {process["name"] for process in status["processes"]} == SERVICES | {"postgres", "redis", "supervisor"}
    assert {process["state"] for process in status["processes"]} == {"up"}
    assert all(process["memory_bytes"] and process["pid"] for process in status["processes"])
    assert all(process["port"] for process in status["processes"] if process["name"] in SERVICES)
    assert f"already runs (process {status['pid']}, {stack.url})" in second
    assert json.loads(stack.command("status", "--json"))["pid"] == status["pid"]
    assert "registered" in stack.command("logs", "gateway", "-n", "100")

    before = stack.kill("orchestrator")
    stack.until_replaced("orchestrator", before)
    until(lambda: overall(stack) == "HEALTH_STATUS_SERVING" or None, "the stack to serve again")
    assert stack.process("orchestrator").restarts == 1

    processes = pids(stack)
    assert len(living(processes)) == len(SERVICES) + 2
    assert "is down" in stack.command("down")
    assert_nothing_left(stack, processes)
    assert "No stack runs" in stack.command("down")


@pytest.mark.slow
def test_in_a_terminal_a_live_table_is_shown_and_ctrl_c_leaves_nothing(stack: LiveStack) -> None:
    terminal = Terminal(stack, "up", *EMBEDDED)
    terminal.until_shown("automesh is up")
    terminal.until_shown("MiB in all")
    assert "orchestrator" in terminal.shown
    processes = pids(stack)
    assert terminal.end(signal.SIGINT) == 0
    assert_nothing_left(stack, processes)


@pytest.mark.chaos
def test_a_supervisor_killed_with_9_leaves_no_orphan_and_the_next_start_is_a_clean_one(stack: LiveStack) -> None:
    first = Terminal(stack, "up", *EMBEDDED)
    first.until_shown("automesh is up")
    processes = pids(stack)
    first.end(signal.SIGKILL)
    until(lambda: not living(processes) or None, "the orphans to end", 30)
    assert stack.state.stack_file.exists()

    again = stack.command("up", "--detach", *EMBEDDED)
    assert "password in" in again  # it is shown only once
    assert overall(stack) == "HEALTH_STATUS_SERVING"


@pytest.mark.chaos
def test_orphans_that_will_not_go_are_ended_by_the_next_start(stack: LiveStack) -> None:
    """SIGSTOP keeps them from hearing that the supervisor died."""
    first = Terminal(stack, "up", *EMBEDDED)
    first.until_shown("automesh is up")
    stopped = [stack.send(name, signal.SIGSTOP) for name in ("agent", "auth")]
    first.end(signal.SIGKILL)
    assert living(stopped) == stopped

    stack.command("up", "--detach", *EMBEDDED)
    assert not living(stopped)
    assert overall(stack) == "HEALTH_STATUS_SERVING"


@pytest.mark.slow
def test_of_two_that_start_at_once_one_serves_and_the_other_says_so(stack: LiveStack) -> None:
    both = [Terminal(stack, "up", "--detach", *EMBEDDED) for _ in range(2)]
    assert [terminal.process.wait(180) for terminal in both] == [0, 0]
    until(lambda: StackRecord.read(stack.state.stack_file) is not None or None, "stack.json")
    until(lambda: stack.record.ready or None, "the stack to be ready", 180)
    assert {process.state for process in stack.record.processes.values()} == {State.UP}
    for terminal in both:
        terminal.end(signal.SIGTERM)


def test_a_taken_port_ends_the_start_with_its_holder_and_the_way_to_another(stack: LiveStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(AssertionError, match=rf"(?s)port {port} for the gateway is taken by .*{os.getpid()}"):
            stack.command("up", "--port", str(port), "--control-port", "0")
        with pytest.raises(AssertionError, match=r"choose\s+another\s+with\s+--control-port"):
            stack.command("up", "--detach", "--port", "0", "--control-port", str(port))
    assert_nothing_left(stack, [])


@pytest.mark.consul
def test_with_consul_the_registry_is_a_real_one_and_keeps_its_data(stack: LiveStack, consul_binary: Path) -> None:
    path = f"{consul_binary.parent}{os.pathsep}{os.environ['PATH']}"
    for _ in range(2):
        stack.command("up", "--detach", *FREE_PORTS, "--registry", "consul", env={"PATH": path})
        assert "registry: consul" in stack.command("mesh", "services")
        assert overall(stack) == "HEALTH_STATUS_SERVING"
        consul = stack.process("consul").port
        services = httpx.get(f"http://127.0.0.1:{consul}/v1/catalog/services", timeout=10).json()
        assert services.keys() >= SERVICES
        processes = pids(stack)
        stack.command("down")
        assert_nothing_left(stack, processes)
