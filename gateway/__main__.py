"""`python -m gateway`: one gateway process."""

from __future__ import annotations

import atexit
import os
import sys
import traceback
from typing import NoReturn

from automesh.mesh.process import run
from automesh.mesh.settings import read_settings
from gateway.app import build
from gateway.settings import Settings


def main() -> None:
    """Serves until told to stop; exits 78 for settings that cannot be used."""
    settings = read_settings(Settings)
    try:
        run(settings, build)
    except SystemExit as stop:
        leave(stop.code if isinstance(stop.code, int) else 1)
    except BaseException:
        traceback.print_exc()
        leave(1)
    leave(0)


def leave(code: int) -> NoReturn:
    """Ends the process without tearing down the interpreter, while all else that runs at exit still does.

    A thread of granian may be closing a connection still; if it touches Python during the tearing down, it aborts.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
