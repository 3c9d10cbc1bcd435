"""A line with a job comes in, a line with its answer goes out (see render.py); each job has a process of its own.

That process is forked from this one, which has everything loaded: it begins within a millisecond, and what a template
does to it is gone with it. It may not open anything, and is killed when its time is up. The program ends when its input
does, or with whoever started it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from services.doc.templating.render import Answer, answer

MIB = 1024**2
CHUNK = 256 * 1024
OVERHEAD = 64 * 1024
"""Bytes of an answer beside its texts."""
ESCAPED = 6
"""Bytes of a letter in JSON at most."""
_PR_SET_PDEATHSIG = 1
_WARM_UP = {
    "op": "render",
    "parts": {"body": "{{ 'é\\n' | slug | pprint }}{{ d | date('%B') }}{{ nobody }}"},
    "values": {"d": "2026-11-26"},
    "limits": {"output": MIB},
}


def serve() -> int:
    """Until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is meant for whoever started us
    _die_with(os.getppid())
    answer(_WARM_UP)  # what is imported late is imported now
    base = _address_space()
    gc.collect()
    gc.freeze()
    jobs, answers = sys.stdin.buffer, sys.stdout.buffer
    for line in iter(jobs.readline, b""):
        _say(answers, _done(json.loads(line), base))
    return 0


def _say(answers: BinaryIO, said: bytes) -> None:
    answers.write(said + b"\n")
    answers.flush()


def _done(job: Mapping[str, Any], base: int) -> bytes:
    """Raises nothing: a job that ends badly is answered so."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _become(job, write, base)
    os.close(write)
    limits = job["limits"]
    try:
        said = _heard(read, float(limits["wall_s"]), int(limits["output"]) * ESCAPED + OVERHEAD)
    finally:
        os.close(read)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if said and code == 0 and b"\n" not in said:
        return said
    return _encoded(_why(code, float(limits["wall_s"])))


def _heard(pipe: int, wall_s: float, most: int) -> bytes:
    """What the child says to its end; nothing when its time is up or when it says too much."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN | select.POLLHUP)
    deadline = time.monotonic() + wall_s
    pieces: list[bytes] = []
    size = 0
    while size <= most:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not poll.poll(left_s * 1000):
            return b""
        piece = os.read(pipe, CHUNK)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
    return b""


def _why(code: int, wall_s: float) -> Answer:
    if code in (-signal.SIGKILL, -signal.SIGXCPU):
        message = f"it takes longer than {wall_s:g} s"
    elif code in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT):
        message = "it is nested too deeply, or takes more memory than a template may have"
    else:
        message = "it takes more memory than a template may have"
    return {"state": "costly", "part": "", "line": 0, "message": message}


def _become(job: Mapping[str, Any], pipe: int, base: int) -> None:
    """The child: never returns."""
    code = 1
    try:
        _die_with(os.getppid())
        for descriptor in (0, 1):
            os.close(descriptor)
        _bound(job["limits"], base)
        said = _encoded(answer(job))
        while said:
            said = said[os.write(pipe, said) :]
        code = 0
    finally:
        os._exit(code)


def _bound(limits: Mapping[str, Any], base: int) -> None:
    memory, cpu_s = base + int(limits["memory"]), int(limits["cpu_s"])
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _encoded(said: Answer) -> bytes:
    return json.dumps(said).encode()


def _address_space() -> int:
    """Bytes of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
