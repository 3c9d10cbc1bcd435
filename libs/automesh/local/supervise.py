"""Runs a stack in this process: signals stop it, a second one kills it, its own log goes beside the others."""

from __future__ import annotations

import asyncio
import io
import signal

from automesh.local.logfile import LogFile
from automesh.local.stack import SUPERVISOR, Stack
from automesh.local.state import LocalState
from automesh.telemetry.logs import configure_logging

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def supervise(stack: Stack) -> None:
    """Until a signal comes. Raises what kept the stack from starting; then nothing of it is left."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            stack.kill()
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, asked)
    try:
        async with stack.held():
            await stack.run(stop)
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def log_beside(state: LocalState, level: str) -> None:
    """From now on this process logs JSON lines like everybody's, beside theirs. The state folder must be prepared."""
    raw = LogFile(state.log_of(SUPERVISOR)).open()
    configure_logging(SUPERVISOR, level, stream=io.TextIOWrapper(raw, encoding="utf-8", write_through=True))
