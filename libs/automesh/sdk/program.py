"""Makes a program of an agent: settings from the environment, logging, signals, exit code."""

from __future__ import annotations

import asyncio
import signal
import sys

import structlog

from automesh.core.errors import AutomationError
from automesh.mesh.settings import EXIT_REFUSED, read_settings
from automesh.sdk.agent import Agent
from automesh.sdk.connect import connect
from automesh.sdk.settings import SdkSettings
from automesh.telemetry.logs import configure_logging

log = structlog.get_logger("automesh.sdk")

EXIT_INTERRUPTED = 130  # as a shell says it of Ctrl-C


def run(agent: Agent) -> None:
    """Runs the agent until SIGTERM or Ctrl-C, then finishes what it holds; asked twice, it leaves at once.

    Exits 78 when it cannot start as it is told."""
    settings = read_settings(SdkSettings)
    configure_logging(agent.name, settings.log_level, context=structlog.contextvars.get_contextvars)
    try:
        asyncio.run(_work(agent, settings))
    except asyncio.CancelledError:
        sys.exit(EXIT_INTERRUPTED)
    except AutomationError as error:
        log.error("cannot go on", reason=error.reason, error=error.message)
        sys.exit(EXIT_REFUSED)


async def _work(agent: Agent, settings: SdkSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    working = asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set() and working is not None:
            working.cancel()  # asked twice: leave now
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    async with connect(settings) as connection:
        await agent.run(connection, stop=stop)
