"""`python -m automesh.local OPTIONS`: the supervisor without a terminal. `automesh up --detach` starts it."""

from __future__ import annotations

import asyncio
import sys

import structlog

from automesh.core.errors import AutomationError
from automesh.local.options import StackOptions
from automesh.local.record import StackRecord
from automesh.local.settings import LocalSettings, environment
from automesh.local.stack import CANNOT_GO_ON, EXIT_ALREADY_RUNS, SUPERVISOR, AlreadyRuns, Stack
from automesh.local.supervise import supervise
from automesh.mesh.settings import read_settings
from automesh.telemetry.logs import configure_logging

log = structlog.get_logger(__name__)


class Silence:
    """A View that only logs: whoever waits reads stack.json."""

    def changed(self, record: StackRecord) -> None:
        """See View."""

    def ready(self, record: StackRecord) -> None:
        """See View."""

    def note(self, text: str) -> None:
        """See View."""
        log.info(text)


def main(arguments: list[str]) -> int:
    """0 after a clean stop, 1 when the stack could not start, EXIT_ALREADY_RUNS when another supervisor was first."""
    settings = read_settings(LocalSettings)
    configure_logging(SUPERVISOR, settings.log_level)
    try:
        asyncio.run(supervise(Stack(StackOptions.from_json(arguments[0]), settings, environment(), Silence())))
    except AlreadyRuns as error:
        log.warning("not needed", error=error.message)
        return EXIT_ALREADY_RUNS
    except AutomationError as error:
        log.error(CANNOT_GO_ON, reason=error.reason, error=error.message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
