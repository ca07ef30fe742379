"""The driver's exceptions stop here: what the store's failures are called outside."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from clarion.ports.store import StoreUnavailableError

AWAY: Final = (
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.InsufficientResourcesError,  # class 53: disk full, too many connections
    asyncpg.OperatorInterventionError,  # class 57: shutting down, starting up, canceled
    asyncpg.PostgresSystemError,  # class 58: input/output error
    asyncpg.InternalServerError,  # class XX: corrupt data
    asyncpg.ReadOnlySQLTransactionError,  # a standby
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,  # an address that names no server
    asyncpg.InternalClientError,  # the driver's own, when the server ends as a statement begins
    OSError,  # TimeoutError and refused connections among them
)
"""What means that the server can't do its work now, whatever was asked of it."""

GONE: Final = (
    "is closed",  # a connection's end, seen by the next statement; a pool's
    "pool is closing",
    "has been released back to the pool",  # ... the pool took it back when its end came
    "authentication",  # of a way that this driver does not know
)
"""What the driver says where the way to the server is gone. It has one exception for that and for
every misuse of itself (too few arguments, two statements at once), told apart by the words only;
a test asks the driver for them."""


@contextmanager
def store_failures() -> Iterator[None]:
    """Turn the driver's failures into `StoreUnavailableError`.

    What says something about our statement (a constraint, a syntax error, a wrong number of
    arguments) passes through: it is mapped where the constraint has a meaning, or it is a bug.
    """
    try:
        yield
    except (*AWAY, asyncpg.InterfaceError) as error:
        if not is_away(error):
            raise
        raise StoreUnavailableError(sentence(error)) from error


def is_away(error: BaseException | None) -> bool:
    """Whether a failure means that the server can't be reached, or can't work now."""
    if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, AWAY):
        return any(words in str(error) for words in GONE)
    return isinstance(error, AWAY)


def sentence(error: BaseException) -> str:
    """What is told of a failure of the store."""
    return f"the state store is not available: {str(error) or type(error).__name__}"
