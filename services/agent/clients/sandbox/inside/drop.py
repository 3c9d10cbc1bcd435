"""Gives up root for good and becomes the program: argv is UID, PROGRAM..."""

import os
import sys


def main(uid: int, program: list[str]) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execv(program[0], program)  # noqa: S606 - becoming the program is the point


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
