"""Runs what reads untrusted bytes: whatever goes wrong inside becomes one clear error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import polars as pl
from polars.exceptions import PanicException

from automesh.core.errors import AutomationError
from services.data.processor.faults import DataTooLarge, DataUnreadable, DataUnsuitable

MAX_QUOTED = 300


@contextlib.contextmanager
def reading(where: str) -> Iterator[None]:
    """Inside, errors of the reader, and panics of its Rust code, become DataUnreadable."""
    try:
        yield
    except AutomationError:
        raise
    except MemoryError as error:
        raise DataTooLarge(f"{where} needs more memory than there is: send less at once") from error
    except (pl.exceptions.PolarsError, PanicException, OSError, ValueError, OverflowError, RecursionError) as error:
        raise DataUnreadable(f"{where} is damaged or not what it is said to be: {_quoted(error)}") from error


@contextlib.contextmanager
def computing(where: str) -> Iterator[None]:
    """Inside, what rows and steps do to each other that nobody foresaw becomes DataUnsuitable."""
    try:
        yield
    except (pl.exceptions.PolarsError, PanicException) as error:
        raise DataUnsuitable(f"{where}: the rows cannot be computed: {_quoted(error)}") from error


def _quoted(error: BaseException) -> str:
    return " ".join(str(error).split())[:MAX_QUOTED] or type(error).__name__
