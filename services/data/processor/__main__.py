"""`python -m services.data.processor FOLDER`: does the job in FOLDER/job.json."""

from __future__ import annotations

import sys
from pathlib import Path

from services.data.processor.supervisor import supervise
from services.data.processor.work import work


def main(arguments: list[str]) -> int:
    """The exit status: 0 once the last line is said."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: python -m services.data.processor FOLDER\n")
        return 2
    folder = Path(arguments[0]).resolve()
    return supervise(lambda: work(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
