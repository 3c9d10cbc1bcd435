"""Logging never ends what it tells of."""

import errno
import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from automesh.telemetry.logs import configure_logging


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


class FullDisk(io.StringIO):
    """A file on a disk without room."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_loses_lines_but_raises_nothing() -> None:
    stream = FullDisk()
    configure_logging("sample", stream=stream)
    structlog.get_logger("full").warning("loop step failed")
    logging.getLogger("full").warning("so did the library")
    with pytest.raises(OSError, match="No space left"):
        stream.write("it is full indeed")


def test_lines_are_json_with_the_service_and_without_secrets() -> None:
    stream = io.StringIO()
    configure_logging("sample", stream=stream)
    structlog.get_logger("lines").warning("signed in", password="p1", user="ann")
    logging.getLogger("lines").warning("from a library")
    first, second = stream.getvalue().splitlines()
    assert '"service":"sample"' in first
    assert '"user":"ann"' in first
    assert "p1" not in first
    assert '"event":"from a library"' in second
