"""What the supervisor leaves on disk: the lock, stack.json, and processes that outlived it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from automesh.local.leftovers import end_all, find, start_time
from automesh.local.lock import StackLock
from automesh.local.options import StackOptions
from automesh.local.ports import PortRefused, claim, free_port, holder, listening_port
from automesh.local.record import ProcessRecord, StackRecord
from automesh.local.usage import usage_of

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        yield process
        process.kill()


def test_only_one_can_hold_the_lock(tmp_path: Path) -> None:
    first, second = StackLock(tmp_path / "lock"), StackLock(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire()
    assert second.held_by() == os.getpid()
    first.release()
    first.release()
    assert second.held_by() is None
    assert second.acquire()
    second.release()


def test_a_lock_that_never_was_is_held_by_nobody(tmp_path: Path) -> None:
    assert StackLock(tmp_path / "lock").held_by() is None


def test_the_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, time, pathlib; from automesh.local.lock import StackLock;"
        f"lock = StackLock(pathlib.Path({str(path)!r})); print(lock.acquire(), flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holding:
        assert holding.stdout is not None
        assert holding.stdout.readline() == b"True\n"
        assert StackLock(path).held_by() == holding.pid
        holding.kill()
    assert StackLock(path).held_by() is None


def test_a_record_survives_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    record = StackRecord(
        pid=7, started=1.5, ready=True, gateway_url="https://localhost:8443", processes={"a": ProcessRecord(pid=8)}
    )
    record.write(path)
    assert StackRecord.read(path) == record
    assert [entry.name for entry in tmp_path.iterdir()] == ["stack.json"]


def test_a_record_of_another_version_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    path.write_text('{"pid": 7, "invented": true, "processes": {"a": {"pid": 8, "port": 1, "colour": "red"}}}')
    record = StackRecord.read(path)
    assert record is not None
    assert record.processes["a"] == ProcessRecord(pid=8, port=1)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"processes": 3}', '{"processes": {}}', '{"pid": "x"'])
def test_a_damaged_record_counts_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "stack.json"
    path.write_text(content)
    assert StackRecord.read(path) is None


def test_options_survive_json(tmp_path: Path) -> None:
    options = StackOptions(state_dir=tmp_path, port=0, registry="embedded", agents=3, unsafe_sandbox=True)
    assert StackOptions.from_json(options.to_json()) == options


def test_a_process_is_found_by_its_id_and_start_together(sleeper: subprocess.Popen[bytes]) -> None:
    started = start_time(sleeper.pid)
    assert find(sleeper.pid, started) is not None
    assert find(sleeper.pid, started - 60) is None
    assert find(0, started) is None


def test_a_stranger_that_got_the_same_id_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    assert end_all([ProcessRecord(pid=sleeper.pid, started=start_time(sleeper.pid) - 60)]) == 0
    assert sleeper.poll() is None


def test_what_an_earlier_supervisor_left_is_ended(sleeper: subprocess.Popen[bytes]) -> None:
    assert end_all([ProcessRecord(pid=sleeper.pid, started=start_time(sleeper.pid)), ProcessRecord()]) == 1
    assert sleeper.wait(10) is not None


def test_who_does_not_listen_is_killed() -> None:
    command = [sys.executable, "-c", STUBBORN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        assert end_all([ProcessRecord(pid=stubborn.pid, started=start_time(stubborn.pid))], ask_limit_s=0.2) == 1
        assert stubborn.wait(10) is not None


def test_memory_and_age_of_a_living_process_are_told_and_of_a_gone_one_not(sleeper: subprocess.Popen[bytes]) -> None:
    record = ProcessRecord(pid=sleeper.pid, started=start_time(sleeper.pid))
    usage = usage_of(record)
    assert usage.alive
    assert usage.memory_bytes > 0
    sleeper.kill()
    sleeper.wait(10)
    assert not usage_of(record).alive


def test_a_taken_port_is_refused_with_its_holder_and_another_way() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            PortRefused, match=rf"port {port} for the gateway is taken by `python.*` \(process {os.getpid()}\)"
        ):
            claim(port, "the gateway", "--port")
        with pytest.raises(PortRefused, match=r"choose another with --port \(0 takes any free one\)"):
            claim(port, "the gateway", "--port")
        found = holder(port)
        assert found is not None
        assert found[0] == os.getpid()
        assert len(found[1]) <= 60


def test_a_free_port_is_given_and_zero_finds_one() -> None:
    port = free_port()
    assert claim(port, "the gateway", "--port") == port
    assert claim(0, "the gateway", "--port") > 1023
    assert holder(port) is None


def test_a_port_that_a_process_has_for_something_else_is_passed_over() -> None:
    code = (
        "import socket; a, b = (socket.create_server(('127.0.0.1', 0)) for _ in range(2));"
        "print(a.getsockname()[1], b.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        one, other = map(int, process.stdout.readline().split())
        assert listening_port(process.pid, besides=one) == other
        assert listening_port(process.pid, besides=other) == one
        with suppress(BrokenPipeError):
            process.kill()


def test_the_port_of_a_process_is_found_once_it_listens() -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert listening_port(process.pid) == port
        with suppress(BrokenPipeError):
            process.kill()
    assert listening_port(process.pid) is None
