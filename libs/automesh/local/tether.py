"""Becomes a program that ends when its parent does. Run as a script, standard library only.

    python -I -S tether.py --parent PID --signal N -- PROGRAM [ARGUMENT]...

Only Linux can send a signal at the parent's death; elsewhere the next start clears away what is left.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_CANNOT_EXECUTE = 126


def main(arguments: Sequence[str]) -> int:
    """Replaces this process; returns only when that fails."""
    _, parent, _, number, _, *program = arguments
    if sys.platform.startswith("linux"):
        tie(int(parent), int(number))
    try:
        os.execvp(program[0], program)  # noqa: S606 this is the very job
    except OSError as error:
        sys.stderr.write(f"cannot run {program[0]}: {error.strerror}\n")
        return _CANNOT_EXECUTE


def tie(parent: int, number: int) -> None:
    """Asks for signal `number` once `parent` is gone; it outlives exec."""
    import ctypes  # noqa: PLC0415 a third of the time this script takes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the supervisor ended before the process began")


def tethered(program: Sequence[str], number: int) -> list[str]:
    """The command line that runs `program` so; to be spawned by this very process, from its main thread."""
    script = [sys.executable, "-I", "-S", os.path.abspath(__file__)]
    return [*script, "--parent", str(os.getpid()), "--signal", str(int(number)), "--", *program]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
