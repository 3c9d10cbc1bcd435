"""What a run in the sandbox cannot see, reach or be."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from services.agent.clients.sandbox.sandbox import Sandbox
from services.agent.domain.sandbox import Ending, Limits, Outcome, SandboxUnavailable

LIMITS = Limits(wall_s=20, cpu_s=10, memory_bytes=256 * 1024 * 1024)


async def python(sandbox: Sandbox, scratch: Path, code: str, **options: Any) -> Outcome:
    return await sandbox.run([sys.executable, "-c", code], scratch=scratch, limits=LIMITS, **options)


async def test_the_exit_code_and_both_outputs_come_back(sandbox: Sandbox, scratch: Path) -> None:
    outcome = await python(sandbox, scratch, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")

    assert (outcome.ending, outcome.exit_code, outcome.signal) == (Ending.FAILED, 7, None)
    assert (outcome.stdout, outcome.stderr) == (b"out\n", b"err\n")
    assert (await python(sandbox, scratch, "")).ok


async def test_a_run_that_kills_itself_is_told_from_one_that_exits(sandbox: Sandbox, scratch: Path) -> None:
    outcome = await python(sandbox, scratch, "import os; os.kill(os.getpid(), 11)")

    assert (outcome.ending, outcome.exit_code, outcome.signal) == (Ending.FAILED, None, 11)


async def test_the_network_cannot_be_reached(sandbox: Sandbox, scratch: Path) -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"

    outcome = await python(sandbox, scratch, code)

    assert b"Network is unreachable" in outcome.stderr


async def test_services_of_this_machine_cannot_be_reached(sandbox: Sandbox, scratch: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), timeout=5)"
        outcome = await python(sandbox, scratch, code)

    assert b"ConnectionRefusedError" in outcome.stderr


@pytest.mark.parametrize("place", ["/", "/usr", "/etc", "/root", "/dev", "/home", "/var", str(Path(__file__).parent)])
async def test_nothing_can_be_written_outside_the_scratch_folder(sandbox: Sandbox, scratch: Path, place: str) -> None:
    outcome = await python(sandbox, scratch, f"open({place!r} + '/automesh-was-here', 'w')")

    assert outcome.exit_code == 1
    assert b"Read-only file system" in outcome.stderr or b"No such file" in outcome.stderr
    assert not (Path(place) / "automesh-was-here").exists()


async def test_the_scratch_folder_can_be_written_and_keeps_what_is_written(sandbox: Sandbox, scratch: Path) -> None:
    outcome = await python(
        sandbox, scratch, "open('kept.txt', 'w').write('here'); open('/tmp/automesh-gone', 'w').write('x')"
    )

    assert outcome.ok
    assert (scratch / "kept.txt").read_text() == "here"
    assert "automesh-gone" not in os.listdir("/tmp")  # noqa: S108 - the machine's, not the run's


@pytest.mark.parametrize("file", ["/etc/shadow", "/etc/passwd", "/root/.bashrc", "/root/.profile", __file__])
async def test_files_of_the_machine_cannot_be_read(sandbox: Sandbox, scratch: Path, file: str) -> None:
    outcome = await python(sandbox, scratch, f"print(open({file!r}, 'rb').read())")

    assert outcome.exit_code == 1
    assert outcome.stdout == b""


async def test_a_folder_that_is_shown_is_read_only(sandbox: Sandbox, scratch: Path, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "file").write_text("content")

    read = await python(sandbox, scratch, f"print(open('{shown}/file').read())", read_only=[shown])
    write = await python(sandbox, scratch, f"open('{shown}/file', 'a')", read_only=[shown])

    assert read.stdout == b"content\n"
    assert b"Read-only file system" in write.stderr or b"Permission denied" in write.stderr


async def test_the_state_folder_is_hidden_also_inside_a_folder_that_is_shown(tmp_path: Path) -> None:
    state = tmp_path / "project" / ".automesh"
    scratch = state / "scratch"
    scratch.mkdir(parents=True)
    state.chmod(0o700)
    (state / "secret").write_text("the admin's password")
    (tmp_path / "project" / "code").write_text("public")
    sandbox = Sandbox(hidden=[state])
    if reason := await sandbox.probe():
        pytest.skip(reason)
    code = f"import os; print(os.listdir('{state}'), open('{state.parent}/code').read()); open('{scratch}/x', 'w')"

    outcome = await python(sandbox, scratch, code, read_only=[state.parent])

    assert outcome.ok, outcome.stderr
    assert outcome.stdout == b"['scratch'] public\n"
    assert (scratch / "x").exists()


async def test_the_environment_is_clean(sandbox: Sandbox, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMESH_SECRET", "hush")

    outcome = await python(sandbox, scratch, "import os; print(dict(os.environ))", env={"WANTED": "yes"})

    assert b"hush" not in outcome.stdout
    assert b"'WANTED': 'yes'" in outcome.stdout
    assert f"'HOME': '{scratch}'".encode() in outcome.stdout


async def test_a_run_is_nobody_of_note(sandbox: Sandbox, scratch: Path) -> None:
    code = """if True:
        import json, os
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        pids = [name for name in os.listdir("/proc") if name.isdigit()]
        kept = [status[name].strip() for name in ("CapEff", "NoNewPrivs")]
        print(json.dumps([os.getuid(), *kept, len(pids), os.listdir("/proc/self/fd")]))
    """

    outcome = await python(sandbox, scratch, code)

    uid, capabilities, no_new_privileges, processes, descriptors = json.loads(outcome.stdout)
    assert uid != 0
    assert int(capabilities, 16) == 0
    assert no_new_privileges == "1"
    assert processes <= 3
    assert set(descriptors) <= {"0", "1", "2", "3"}  # 3 is the listing itself


@pytest.mark.root
async def test_what_root_runs_belongs_to_somebody_else_outside(sandbox: Sandbox, scratch: Path) -> None:
    await python(sandbox, scratch, "open('mine', 'w')")

    assert (scratch / "mine").stat().st_uid != 0


async def test_a_run_cannot_make_namespaces_of_its_own(sandbox: Sandbox, scratch: Path) -> None:
    code = "import ctypes; print(ctypes.CDLL(None, use_errno=True).unshare(0x10000000), ctypes.get_errno())"

    outcome = await python(sandbox, scratch, code)

    assert outcome.stdout.startswith(b"-1 ")


async def test_a_program_that_is_not_there_is_a_failed_run(sandbox: Sandbox, scratch: Path) -> None:
    outcome = await sandbox.run(["/usr/bin/no-such-program"], scratch=scratch, limits=LIMITS)

    assert outcome.ending is Ending.FAILED
    assert b"cannot run /usr/bin/no-such-program" in outcome.stderr


async def test_a_sandbox_that_cannot_be_set_up_says_so_and_runs_nothing(sandbox: Sandbox, scratch: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="--unsafe-sandbox"):
        await python(sandbox, scratch, "open('ran', 'w')", read_only=[Path("/no/such/folder")])

    assert os.listdir(scratch) == []


async def test_an_unsafe_sandbox_has_limits_and_no_walls(scratch: Path) -> None:
    sandbox = Sandbox(unsafe=True)

    seen = await python(
        sandbox, scratch, f"open('{scratch.parent}/outside', 'w'); print(open({__file__!r}).read()[:3])"
    )
    ended = await sandbox.run([sys.executable, "-c", "while True: pass"], scratch=scratch, limits=Limits(wall_s=0.5))

    assert await sandbox.probe() is None
    assert seen.stdout == b'"""\n'
    assert (scratch.parent / "outside").exists()
    assert ended.ending is Ending.TIMED_OUT
