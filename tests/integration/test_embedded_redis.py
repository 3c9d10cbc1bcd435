"""The embedded Redis: a socket, nothing on disk, bounded memory, and no trouble after a crash."""

import os
import shutil
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import redis.asyncio

from automesh.local.embedded import EmbeddedError
from automesh.local.redis import EmbeddedRedis, find_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "redis", tmp_path / "run")
    yield server
    await server.stop()


@pytest.fixture
async def client(server: EmbeddedRedis) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(await server.start()) as client:
        yield client


async def test_it_answers_on_a_private_socket_only(server: EmbeddedRedis, client: redis.asyncio.Redis) -> None:
    assert await client.ping()
    assert await server.answers()
    assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o700
    assert psutil.Process(server.pid).net_connections("inet") == []


async def test_nothing_reaches_the_disk(server: EmbeddedRedis, client: redis.asyncio.Redis, tmp_path: Path) -> None:
    await client.set("key", "value")
    await server.stop()
    assert {path.name for path in (tmp_path / "redis").iterdir()} <= {"redis.conf", "redis.log", "redis.pid"}
    await server.start()
    assert await client.get("key") is None


async def test_when_its_memory_is_full_old_keys_go(client: redis.asyncio.Redis) -> None:
    for number in range(90):
        await client.set(f"key{number}", bytes(1024 * 1024))
    assert await client.exists("key89")
    assert await client.dbsize() < 70
    memory = await client.info("memory")
    assert memory["used_memory"] <= 65 * 1024 * 1024


async def test_after_kill_9_it_starts_again_over_what_was_left(server: EmbeddedRedis) -> None:
    await server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.stop()
    assert server.socket_path.exists()
    await server.start()
    assert await server.answers()


async def test_a_second_server_in_the_same_folder_is_refused(server: EmbeddedRedis, tmp_path: Path) -> None:
    await server.start()
    with pytest.raises(EmbeddedError, match=f"already runs .* process id {server.pid}"):
        await EmbeddedRedis(tmp_path / "redis", tmp_path / "run").start()
    assert await server.answers()


async def test_the_id_of_another_process_in_its_file_is_not_it(server: EmbeddedRedis, tmp_path: Path) -> None:
    server.prepare()
    (tmp_path / "redis" / "redis.pid").write_text(str(os.getpid()))
    assert not server.is_running
    await server.start()


async def test_a_server_that_is_down_does_not_answer(server: EmbeddedRedis) -> None:
    assert not await server.answers()
    assert not server.is_running


async def test_a_server_that_cannot_start_says_why(server: EmbeddedRedis, tmp_path: Path) -> None:
    server.prepare()
    (tmp_path / "redis" / "redis.conf").write_text("nonsense yes\n")
    server.launch()
    with pytest.raises(EmbeddedError, match=r"(?s)Redis ended with 1: .*nonsense"):
        await server.ready()


async def test_a_socket_path_too_long_for_the_kernel_is_replaced_by_a_short_one(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis", tmp_path / ("d" * 60) / ("e" * 60))
    try:
        await server.start()
        assert await server.answers()
    finally:
        await server.stop()
        shutil.rmtree(server.socket_path.parent)


async def test_a_folder_name_with_spaces_and_quotes_works(tmp_path: Path) -> None:
    odd = tmp_path / 'it\'s a "odd" name \\ 100%'
    server = EmbeddedRedis(odd / "redis", odd / "run")
    try:
        async with redis.asyncio.Redis.from_url(await server.start()) as client:
            assert await client.ping()
    finally:
        await server.stop()


def test_without_a_wheel_the_error_says_what_to_install_and_what_else_to_set() -> None:
    with pytest.raises(EmbeddedError, match=r"pip install 'automesh\[local\]'.*AUTOMESH_REDIS_URL"):
        find_server("no_such_wheel")
    with pytest.raises(EmbeddedError, match="holds no redis-server"):
        find_server("pytest")
