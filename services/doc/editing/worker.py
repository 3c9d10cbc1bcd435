"""The program that holds the texts of one replica: `python -m services.doc.editing.worker`, spoken to over its pipes.

It is a program of its own because an update of some kilobytes can keep Yjs busy for minutes: it can be ended.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO

from automesh.core.errors import AutomationError
from services.doc.editing.frames import LENGTH_BYTES, Frame, divided, head_size
from services.doc.editing.shared_text import SharedText, begin

MEMORY_BYTES = 3 * 1024**3
UNKNOWN = "unknown room"


class Texts:
    """The texts by their rooms."""

    def __init__(self) -> None:
        self._texts: dict[str, SharedText] = {}

    def answer(self, request: Frame) -> Frame:
        """Of one request; errors are answers too."""
        head = request.head
        do: Callable[[Frame], Frame] = getattr(self, f"_{head['do']}")
        if head["do"] not in {"begin", "load", "drop"} and head["room"] not in self._texts:
            return Frame({"error": UNKNOWN})
        try:
            return do(request)
        except AutomationError as error:
            return Frame({"error": error.reason, "message": error.message})
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # a panic of Rust is no Exception: this text is not to be trusted, the others are
            self._drop(request)
            return Frame({"error": UNKNOWN})

    def _begin(self, request: Frame) -> Frame:
        return Frame({}, [begin(request.parts[0].decode(), request.head["founder"])])

    def _load(self, request: Frame) -> Frame:
        self._texts[request.head["room"]] = SharedText(request.parts)
        return Frame({})

    def _take(self, request: Frame) -> Frame:
        for update in request.parts:
            self._of(request).take(update)
        return Frame({})

    def _judge(self, request: Frame) -> Frame:
        return Frame({"verdicts": self._of(request).judge_all(request.parts, max_bytes=request.head["max_bytes"])})

    def _standing(self, request: Frame) -> Frame:
        found = self._of(request).standing(request.parts[0], request.head["founder"])
        return Frame({}, [found.update, found.state_vector])

    def _text(self, request: Frame) -> Frame:
        return Frame({}, [str(self._of(request)).encode()])

    def _rewrite(self, request: Frame) -> Frame:
        return Frame({}, [self._of(request).rewrite(request.parts[0].decode())])

    def _snapshot(self, request: Frame) -> Frame:
        return Frame({}, [self._of(request).snapshot()])

    def _drop(self, request: Frame) -> Frame:
        self._texts.pop(request.head["room"], None)
        return Frame({})

    def _of(self, request: Frame) -> SharedText:
        return self._texts[request.head["room"]]


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """To the end of the requests."""
    texts = Texts()
    while prefix := requests.read(LENGTH_BYTES):
        head = json.loads(requests.read(head_size(prefix)))
        answers.write(texts.answer(divided(head, requests.read(sum(head["sizes"])))).encoded())
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the service, whose pipes it reads
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    serve(sys.stdin.buffer, sys.stdout.buffer)
