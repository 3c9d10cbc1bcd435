"""Structured logs: one JSON object a line on standard error, with the ids of the request being served."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import orjson
import structlog

Context = Callable[[], Mapping[str, str]]
"""Returns the fields of the request being served; empty outside of one."""

REDACTED = "***"
_SECRET = re.compile(r"password|secret|token$|api_key|authorization|private", re.IGNORECASE)


def configure_logging(
    service: str, level: str = "info", *, context: Context = dict, stream: TextIO | None = None
) -> None:
    """Once a process, before anything is logged. The standard library's loggers end in the same stream.

    `stream` None is standard error.
    """
    output = _Steady(stream or sys.stderr)
    number = getattr(logging, level.upper())
    shared: list[structlog.typing.Processor] = [
        _adding({"service": service}, context),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
        # Without the values of local variables: they hold keys, passwords and whole inputs.
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
    ]
    render = structlog.processors.JSONRenderer(serializer=_dumps)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, output)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(cast(TextIO, output))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[_without_internals, render], foreign_pre_chain=shared)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))


class _Steady:
    """Loses lines rather than raise: a full disk, or a reader that has gone, must not end what wanted to tell of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As of a text stream."""
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As of a text stream."""
        with suppress(OSError):
            self._stream.flush()


def _adding(fixed: Mapping[str, str], context: Context) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for source in (fixed, context()):
            for key, value in source.items():
                if value:
                    event.setdefault(key, value)
        return event

    return add


def _redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in event:
        if _SECRET.search(key):
            event[key] = REDACTED
    return event


def _without_internals(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("_record", None)
    event.pop("_from_structlog", None)
    return event


def _dumps(event: Any, **_options: object) -> str:
    return orjson.dumps(event, default=str).decode()
