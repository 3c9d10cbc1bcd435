"""A command that is run to its end before something else may start."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from automesh.local.logfile import LogFile
from automesh.local.program import StackError
from automesh.local.reason import ending, last_words, start_line


async def run_once(
    name: str, argv: Sequence[str], env: Mapping[str, str], log_file: LogFile, *, limit_s: float
) -> None:
    """Raises StackError with its last words when it fails or takes longer than `limit_s`."""
    with log_file.open() as output:
        output.write(start_line(name))
        child = await asyncio.create_subprocess_exec(
            *argv,
            env=dict(env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(limit_s):
            code = await child.wait()
    except TimeoutError:
        raise StackError(f"{name} did not end within {limit_s:g} s: see {log_file.path}") from None
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    if code != 0:
        raise StackError(f"{name} {ending(code)}: {last_words(log_file)}\nIts log: {log_file.path}")
