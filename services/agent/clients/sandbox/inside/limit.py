"""Sets this process's limits, says that it starts, and becomes the program: argv is FD, LIMITS as JSON, PROGRAM...

The limits are set here and not around bubblewrap, so that they bind what is run and not its isolation.
"""

import json
import os
import resource
import signal
import sys

CPU_GRACE_S = 2  # between the signal that can be told from others and the end for certain


def _apply(name: str, value: int) -> None:
    number = getattr(resource, name)
    _, hard = resource.getrlimit(number)
    ceiling = value + CPU_GRACE_S if name == "RLIMIT_CPU" else value
    if hard != resource.RLIM_INFINITY:
        ceiling = min(ceiling, hard)
    resource.setrlimit(number, (min(value, ceiling), ceiling))


def main(started_fd: int, limits: dict[str, int], niceness: int, program: list[str]) -> None:
    os.nice(niceness)
    os.set_inheritable(started_fd, False)
    for name, value in limits.items():
        _apply(name, value)
    for each in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(each, signal.SIG_DFL)  # Python ignores them, and what is ignored is inherited
    os.write(started_fd, b"1")
    try:
        os.execvp(program[0], program)  # noqa: S606 - becoming the program is the point
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
