"""A body of several JSON values, one after the other or a line each, cut into values as it arrives."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.codec import BadValue
from gateway.refusals import BodyTooLarge

_STRUCTURE = re.compile(rb'["\\{}\[\]]')
_IN_STRING = re.compile(rb'["\\]')
_SCALAR_END = re.compile(rb"[ \t\r\n]")
_BLANK = b" \t\r\n"


class JsonSplitter:
    """Feed it chunks; it gives back whole values. Holds at most one unfinished value of `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._at = 0  # everything before is scanned
        self._depth = 0
        self._in_string = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The values that are complete now. Raises BodyTooLarge for a value over the limit."""
        self._buffer += chunk
        while (value := self._next()) is not None:
            yield value
        if len(self._buffer) > self._limit:
            raise BodyTooLarge(f"a message of the stream is over the limit of {self._limit} bytes", limit=self._limit)

    def finish(self) -> bytes | None:
        """The last value, when nothing but the end of the body ends it."""
        rest = bytes(self._buffer).strip(_BLANK)
        if rest and (self._depth or self._in_string):
            raise BadValue("the body ends in the middle of a JSON value")
        self._buffer.clear()
        return rest or None

    def _next(self) -> bytes | None:
        if self._at == 0:
            self._skip_blanks()
        if not self._buffer:
            return None
        end = self._end() if self._depth or self._buffer[0] in b'{["' else self._scalar_end()
        if end < 0:
            return None
        value = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._at = 0
        return value

    def _skip_blanks(self) -> None:
        skipped = len(self._buffer) - len(self._buffer.lstrip(_BLANK))
        del self._buffer[:skipped]

    def _scalar_end(self) -> int:
        match = _SCALAR_END.search(self._buffer)
        return match.start() if match else -1

    def _end(self) -> int:
        """Index behind the object, list or string that the buffer begins with; -1 when it is not whole yet."""
        while True:
            match = (_IN_STRING if self._in_string else _STRUCTURE).search(self._buffer, self._at)
            if match is None:
                self._at = len(self._buffer)
                return -1
            self._at = match.end()
            if match[0] == b"\\":
                if self._at == len(self._buffer):
                    self._at -= 1  # what is escaped has not come yet
                    return -1
                self._at += 1
            elif self._step(match[0]):
                return self._at

    def _step(self, char: bytes) -> bool:
        """Whether the value ends with this character."""
        if char == b'"':
            self._in_string = not self._in_string
            return not self._in_string and self._depth == 0
        self._depth += 1 if char in b"{[" else -1
        return self._depth <= 0
