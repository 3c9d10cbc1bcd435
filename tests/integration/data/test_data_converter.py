"""Conversions by the real program: bounded in number and time, and nothing is left behind."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import polars
import psutil
import pytest

from services.data.clients.converter import ProgramConverter
from services.data.domain.errors import ConversionFailed

LIMIT_S = 60.0


def parquet() -> bytes:
    out = io.BytesIO()
    polars.DataFrame({"a": [1, 2], "b": ["x", None]}).write_parquet(out)
    return out.getvalue()


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def converted(converter: ProgramConverter, content: bytes, file_format: str) -> bytes:
    async with converter.convert(once(content), file_format) as chunks:
        return b"".join([chunk async for chunk in chunks])


def program(folder: Path, text: str) -> str:
    """A stand-in for Python that runs `text` in the shell whatever it is told."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


async def test_parquet_becomes_csv_and_nothing_is_left(tmp_path: Path) -> None:
    converter = ProgramConverter(tmp_path / "scratch", at_once=1, limit_s=LIMIT_S)
    assert await converted(converter, parquet(), "FILE_FORMAT_CSV") == b"a,b\n1,x\n2,\n"
    with pytest.raises(ConversionFailed):
        await converted(converter, b"no parquet at all", "FILE_FORMAT_JSONL")
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_a_conversion_that_takes_too_long_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    slow = program(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 600 & wait")
    converter = ProgramConverter(tmp_path / "scratch", at_once=1, limit_s=0.5, python=slow)
    with pytest.raises(ConversionFailed, match=r"more than 0\.5 s"):
        await converted(converter, b"x", "FILE_FORMAT_CSV")
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_a_reader_who_leaves_stops_the_program(tmp_path: Path) -> None:
    slow = program(tmp_path, f"mkfifo {tmp_path}/fifo; echo $$ > {tmp_path}/fifo; exec sleep 600")
    converter = ProgramConverter(tmp_path / "scratch", at_once=1, limit_s=LIMIT_S, python=slow)
    reading = asyncio.create_task(converted(converter, b"x", "FILE_FORMAT_CSV"))
    pid = await asyncio.wait_for(asyncio.to_thread(_heard, tmp_path / "fifo"), LIMIT_S)
    reading.cancel()
    await asyncio.wait([reading])
    assert not psutil.pid_exists(int(pid))
    assert list((tmp_path / "scratch").iterdir()) == []
    fine = ProgramConverter(tmp_path / "scratch", at_once=1, limit_s=LIMIT_S, python=program(tmp_path, "exit 3"))
    with pytest.raises(ConversionFailed, match="died"):
        await converted(fine, b"x", "FILE_FORMAT_CSV")


def _heard(fifo: Path) -> str:
    while not fifo.exists():
        pass
    return fifo.read_text(encoding="ascii").strip()
