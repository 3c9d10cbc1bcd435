"""`python -m services.agent.reference FOLDER`: does the job in FOLDER/job.json; the pages end up in FOLDER/out."""

from __future__ import annotations

import sys
from pathlib import Path

from services.agent.reference import said
from services.agent.reference.work import Unfit, work


def main(arguments: list[str]) -> int:
    """The exit status: 0 once the last line is said."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: python -m services.agent.reference FOLDER\n")
        return 2
    try:
        said.done(work(Path(arguments[0]).resolve()))
    except Unfit as error:
        said.failed(error.reason, str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
