"""The stack as a whole, with stand-ins for its processes: order, lock, stack.json, what a crash leaves."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from automesh.local.group import ProcessGroup
from automesh.local.leftovers import start_time
from automesh.local.options import StackOptions
from automesh.local.plan import INIT, Plan
from automesh.local.probes import SERVING
from automesh.local.processes import Pace
from automesh.local.program import Check, Health, Program, StackError, State
from automesh.local.record import ProcessRecord, StackRecord
from automesh.local.settings import LocalSettings
from automesh.local.stack import AlreadyRuns, Stack
from automesh.local.state import LocalState
from automesh.testing.changes import Changes

FAST = Pace(first_wait_s=0.01, most_wait_s=0.02, quick_deaths=3, gate_every_s=0.01, watch_every_s=0.01)
TRUE, SLEEP = ("true",), ("sleep", "600")


async def well(_pid: int) -> Health:
    return Health(True, 7)


async def never(_pid: int) -> Health:
    return Health(False, 0, "still thinking")


async def serves() -> Health:
    return Health(True, 7, SERVING)


def program(name: str, *needs: str, argv: tuple[str, ...] = SLEEP, check: Check = well) -> Program:
    return Program(name=name, argv=argv, check=check, env=dict(os.environ), needs=frozenset(needs))


def plan(*programs: Program, init: tuple[str, ...] = TRUE, serving: Callable[[], Awaitable[Health]] = serves) -> Plan:
    return Plan(
        programs=programs,
        init=init,
        init_env=dict(os.environ),
        serving=serving,
        gateway_port=8443,
        control_port=7400,
        registry="embedded",
        registry_hint="no Consul here",
    )


class Watcher:
    """A View that remembers."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.notes: list[str] = []
        self.readied: StackRecord | None = None

    def changed(self, record: StackRecord) -> None:
        self.changes()

    def ready(self, record: StackRecord) -> None:
        self.readied = record
        self.changes()

    def note(self, text: str) -> None:
        self.notes.append(text)


class Running:
    def __init__(self, stack: Stack, watcher: Watcher, stop: asyncio.Event) -> None:
        self.stack, self.watcher, self.stop = stack, watcher, stop

    @property
    def record(self) -> StackRecord:
        return self.stack.record()


def stack_of(folder: Path, made: Plan) -> tuple[Stack, Watcher]:
    watcher = Watcher()
    options = StackOptions(state_dir=folder / "state")
    return Stack(options, LocalSettings(), {}, watcher, pace=FAST, plan=lambda _state: made), watcher


@asynccontextmanager
async def running(folder: Path, made: Plan) -> AsyncIterator[Running]:
    stack, watcher = stack_of(folder, made)
    stop = asyncio.Event()
    async with stack.held():
        life = asyncio.create_task(stack.run(stop))
        ready = asyncio.create_task(watcher.changes.until(lambda: watcher.readied))
        await asyncio.wait({life, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        try:
            if life.done():
                life.result()
            yield Running(stack, watcher, stop)
        finally:
            stop.set()
            await life


async def test_everything_starts_after_what_it_needs_and_stops_before_it(tmp_path: Path) -> None:
    order: list[str] = []

    def noting(name: str) -> Check:
        async def check(_pid: int) -> Health:
            order.append(name)
            return Health(True)

        return check

    programs = [
        program("gateway", "control", check=noting("gateway")),
        program("control", "postgres", INIT, check=noting("control")),
        program("postgres", check=noting("postgres")),
    ]
    async with running(tmp_path, plan(*programs)) as held:
        first_seen = sorted(set(order), key=order.index)
        pids = {name: process.pid for name, process in held.record.processes.items()}
    assert first_seen == ["postgres", "control", "gateway"]
    assert all(pids.values())
    assert not any(start_time(pid) for pid in pids.values())


async def test_who_is_only_called_starts_at_once_and_is_stopped_last(tmp_path: Path) -> None:
    """The one who calls notes at its end whether the other still lived."""
    seen, called = tmp_path / "seen", tmp_path / "called"
    other = f"trap 'rm {called}; exit 0' TERM; touch {called}; while :; do sleep 0.01; done"
    caller = f"trap 'ls {called} > {seen}; exit 0' TERM; touch {seen}; while :; do sleep 0.01; done"

    def there(path: Path) -> Check:
        async def check(_pid: int) -> Health:
            return Health(await asyncio.to_thread(path.exists))

        return check

    control = Program(
        name="control",
        argv=("sh", "-c", caller),
        check=there(seen),
        env=dict(os.environ),
        uses=frozenset({"consul", "a-program-that-is-not-part-of-this"}),
    )
    async with running(tmp_path, plan(control, program("consul", argv=("sh", "-c", other), check=there(called)))):
        pass
    assert seen.read_text().strip() == str(called)
    assert not called.exists()


async def test_stack_json_names_every_process_while_they_run_and_is_gone_after(tmp_path: Path) -> None:
    async with running(tmp_path, plan(program("control"))) as held:
        path = held.stack.state.stack_file
        document = json.loads(path.read_text())
        assert document["gateway_url"] == "https://localhost:8443"
        assert document["control_address"] == "localhost:7400"
        assert document["registry"] == "embedded"
        assert document["pid"] == os.getpid()
        assert document["processes"]["control"]["pid"] == held.record.processes["control"].pid
        assert document["processes"]["control"]["log"] == str(held.stack.state.log_of("control"))
    assert not path.exists()


async def test_the_record_on_disk_follows_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, plan(program("control"))) as held:
        os.kill(held.record.processes["control"].pid, signal.SIGKILL)
        await held.watcher.changes.until(lambda: held.record.processes["control"].restarts == 1)
        await held.watcher.changes.until(lambda: held.record.processes["control"].state == State.UP)
        now = held.record.processes["control"].pid
        path = held.stack.state.stack_file
        async with asyncio.timeout(20):
            while (record := StackRecord.read(path)) is None or record.processes["control"].pid != now:  # noqa: ASYNC110 a file tells nobody that it changed
                await asyncio.sleep(0.01)


async def test_a_second_stack_in_the_same_folder_is_refused_and_breaks_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, plan(program("control"))) as held:
        pid = held.record.processes["control"].pid
        second, _ = stack_of(tmp_path, plan(program("control")))
        with pytest.raises(AlreadyRuns, match="already runs"):
            async with second.held():
                pytest.fail("the folder was given to a second supervisor")
        assert start_time(pid)
        assert held.stack.state.stack_file.exists()


async def test_what_a_killed_supervisor_left_is_ended_before_the_next_start(tmp_path: Path) -> None:
    state = LocalState(tmp_path / "state")
    state.prepare()
    orphan = await asyncio.create_subprocess_exec(*SLEEP, start_new_session=True)
    left = ProcessRecord(pid=orphan.pid, started=start_time(orphan.pid))
    StackRecord(pid=1, processes={"control": left}).write(state.stack_file)
    async with running(tmp_path, plan(program("control"))) as held:
        assert held.watcher.notes == ["ended 1 processes that a killed supervisor had left behind"]
        assert not start_time(orphan.pid)
    await orphan.wait()


@pytest.mark.parametrize("content", ["", "{", '{"pid": 1, "processes": {"control": {"pid": 1, "started": 1}}}'])
async def test_an_old_or_damaged_stack_json_is_no_obstacle(tmp_path: Path, content: str) -> None:
    state = LocalState(tmp_path / "state")
    state.prepare()
    state.stack_file.write_text(content)
    async with running(tmp_path, plan(program("control"))) as held:
        assert held.record.ready


async def test_a_failing_first_step_stops_everything_and_is_told(tmp_path: Path) -> None:
    made = plan(program("postgres"), program("control", INIT), init=("sh", "-c", "echo keyring unreadable; exit 78"))
    stack, _ = stack_of(tmp_path, made)
    with pytest.raises(StackError, match="init ended with code 78: keyring unreadable"):
        async with stack.held():
            await stack.run(asyncio.Event())
    assert not any(start_time(process.pid) for process in stack.record().processes.values() if process.pid)


async def test_a_process_that_cannot_start_stops_the_others(tmp_path: Path) -> None:
    broken = program("control", argv=("sh", "-c", "echo what now; exit 78"), check=never)
    stack, _ = stack_of(tmp_path, plan(program("postgres"), broken))
    with pytest.raises(StackError, match="control cannot start as it is told: what now"):
        async with stack.held():
            await stack.run(asyncio.Event())
    assert {process.state for process in stack.record().processes.values()} == {State.STOPPED, State.FAILED}


async def test_a_process_that_is_given_up_later_leaves_the_others_running(tmp_path: Path) -> None:
    once = tmp_path / "once"
    flaky = ("sh", "-c", f"[ -e {once} ] && exit 78; touch {once}; exec sleep 600")
    async with running(tmp_path, plan(program("agent", argv=flaky), program("control"))) as held:
        os.kill(held.record.processes["agent"].pid, signal.SIGKILL)
        await held.watcher.changes.until(lambda: held.record.processes["agent"].state == State.FAILED)
        assert held.record.processes["control"].state == State.UP


async def test_a_start_that_takes_too_long_names_who_is_missing(tmp_path: Path) -> None:
    group = ProcessGroup(
        [program("control", check=never), program("gateway", "control")], tmp_path, pace=FAST, changed=Changes()
    )
    with pytest.raises(StackError, match=r"control is starting \(still thinking\); gateway is waiting"):
        await group.start(0.3)
    await group.stop()


async def test_the_stack_is_ready_only_when_a_stranger_hears_that_it_serves(tmp_path: Path) -> None:
    told = iter(["HEALTH_STATUS_NOT_SERVING", "HEALTH_STATUS_DEGRADED", SERVING])
    heard: list[str] = []

    async def serving() -> Health:
        heard.append(next(told))
        return Health(True, 7, heard[-1])

    async with running(tmp_path, plan(program("gateway"), serving=serving)) as held:
        assert heard[-1] == SERVING
        assert held.watcher.readied is not None
        assert held.watcher.readied.hint == "no Consul here"


async def test_a_stop_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    stack, watcher = stack_of(tmp_path, plan(program("control", check=never)))
    stop = asyncio.Event()
    async with stack.held():
        life = asyncio.create_task(stack.run(stop))
        await watcher.changes.until(lambda: any(process.pid for process in stack.record().processes.values()))
        pid = stack.record().processes["control"].pid
        stop.set()
        await life
    assert not start_time(pid)
    assert not stack.state.stack_file.exists()


async def test_killing_does_not_wait_for_anybody(tmp_path: Path) -> None:
    async with running(tmp_path, plan(program("control"))) as held:
        held.stack.kill()
        await held.watcher.changes.until(lambda: held.record.processes["control"].restarts)


def test_a_supervisor_alone_is_stopped_by_a_signal_and_says_what_went_wrong(tmp_path: Path) -> None:
    """`python -m automesh.local` as `up --detach` starts it: bad options end it with a message and no traceback."""
    (tmp_path / "file").write_text("in the way")
    options = StackOptions(state_dir=tmp_path / "file")
    done = subprocess.run(
        [sys.executable, "-m", "automesh.local", options.to_json()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is a file, so it cannot hold state" in json.loads(done.stderr)["error"]
