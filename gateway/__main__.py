"""`python -m gateway`: one gateway process."""

from __future__ import annotations

import sys

import pydantic

from automesh.mesh.process import EXIT_REFUSED, run
from gateway.app import build
from gateway.settings import Settings


def main() -> None:
    """Serves until told to stop; exits 78 for settings that cannot be used."""
    try:
        settings = Settings()
    except pydantic.ValidationError as error:
        for each in error.errors():
            name = "".join(f"AUTOMESH_{part}: ".upper() for part in each["loc"][:1])
            sys.stderr.write(f"gateway: {name}{each['msg'].removeprefix('Value error, ')}\n")
        sys.exit(EXIT_REFUSED)
    run(settings, build)


if __name__ == "__main__":
    main()
