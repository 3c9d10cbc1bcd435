"""Turns PostgreSQL's failures into the error tree. What is the fault of the query itself is left as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import asyncpg

from automesh.core.errors import AutomationError, Kind, Unavailable, ValidationError

RETRY_AFTER = timedelta(seconds=1)


class DatabaseRefused(AutomationError):
    """The database is there but will not have us: wrong DSN, password, role or database name."""

    kind = Kind.PRECONDITION
    reason = "DATABASE_REFUSED"


class Contended(AutomationError):
    """Two transactions wanted the same rows and this one lost: read again, then retry."""

    kind = Kind.ABORTED
    reason = "DATABASE_CONTENDED"


class DatabaseSlow(AutomationError):
    """A statement took longer than the limit and was stopped; nothing of it remains."""

    kind = Kind.DEADLINE
    reason = "DATABASE_SLOW"


_REFUSALS = (
    asyncpg.InvalidAuthorizationSpecificationError,  # class 28, wrong passwords too
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
)
_LOST = (
    asyncpg.PostgresConnectionError,  # class 08: never made, or lost in the middle
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.InternalClientError,  # what asyncpg says between the server's last words and the end of the connection
    ConnectionError,
)
_NUL = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
"""The one character that PostgreSQL cannot hold, in text and in jsonb."""
_MESSAGES: tuple[tuple[type[Exception], str], ...] = (
    (
        asyncpg.TooManyConnectionsError,
        "the database has too many connections: raise max_connections or lower the pools",
    ),
    (asyncpg.DiskFullError, "the database's disk is full: free some space"),
    (asyncpg.InsufficientResourcesError, "the database is short of memory or another resource"),
    (asyncpg.CannotConnectNowError, "the database is starting or stopping"),
    (asyncpg.ReadOnlySQLTransactionError, "the database is read-only for the moment: is this a standby?"),
    (ConnectionRefusedError, "the database refuses connections: is it running?"),
    (FileNotFoundError, "the database's socket does not exist: is it running?"),
    (TimeoutError, "no connection to the database was free, or could be made, in time"),
    (OSError, "the database cannot be reached"),
)


def is_lost(error: BaseException | None) -> bool:
    """Whether the connection is gone, so that another one may do better."""
    if isinstance(error, asyncpg.InterfaceError):  # its only words for it: "is closed", "has been released back"
        return ("closed" in str(error) and "pool is" not in str(error)) or "released back" in str(error)
    return isinstance(error, _LOST)


@contextmanager
def while_connecting() -> Iterator[None]:
    """Translates failures of getting a connection, where even an OSError is the database's."""
    try:
        with while_working():
            yield
    except _REFUSALS as error:
        raise DatabaseRefused(f"the database refuses us: {error}") from error
    except OSError as error:  # TimeoutError is one too
        raise unavailable(_message(error)) from error


@contextmanager
def while_working() -> Iterator[None]:
    """Translates what the database reports in the middle of work; an OSError there may be the caller's own."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        translated = _translate(error)
        if translated is None:
            raise
        raise translated from error


def unavailable(message: str) -> Unavailable:
    """An Unavailable that asks to come again in a second."""
    return Unavailable(message, retry_after=RETRY_AFTER)


def _translate(error: Exception) -> AutomationError | None:
    if isinstance(error, asyncpg.QueryCanceledError):
        return DatabaseSlow("a statement took too long and was stopped", retry_after=RETRY_AFTER)
    if isinstance(error, asyncpg.TransactionRollbackError):  # class 40: serialization failure, deadlock
        return Contended("another change came first: read again and retry", retry_after=RETRY_AFTER)
    if isinstance(error, _NUL):
        return ValidationError("a text of the request holds a NUL character: leave it out")
    message = _message(error)
    return unavailable(message) if message else None


def _message(error: Exception) -> str:
    for kind, message in _MESSAGES:
        if isinstance(error, kind):
            return message
    return "the connection to the database was lost" if is_lost(error) else ""
