"""The driver's exceptions stop here: what the store's failures are called outside."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from clarion.ports.messages import StoreUnavailableError

AWAY: Final = (
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.InsufficientResourcesError,  # class 53: disk full, too many connections
    asyncpg.OperatorInterventionError,  # class 57: shutting down, starting up, canceled
    asyncpg.PostgresSystemError,  # class 58: input/output error
    asyncpg.InternalServerError,  # class XX: corrupt data
    asyncpg.ReadOnlySQLTransactionError,  # a standby
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InterfaceError,  # the driver's own: connection closed, pool closing
    asyncpg.InternalClientError,  # ... and when the server's end comes while a statement begins
    OSError,  # TimeoutError and refused connections among them
)
"""What means that the server can't do its work now, whatever was asked of it."""


@contextmanager
def store_failures() -> Iterator[None]:
    """Turn the driver's failures into `StoreUnavailableError`.

    What says something about our statement (a constraint, a syntax error) passes through: it is
    mapped where the constraint has a meaning, or it is a bug.
    """
    try:
        yield
    except asyncpg.DataError:
        raise  # the driver's refusal of an argument is an InterfaceError too, and a bug of ours
    except AWAY as error:
        raise StoreUnavailableError(sentence(error)) from error


def sentence(error: BaseException) -> str:
    """What is told of a failure of the store."""
    return f"the state store is not available: {str(error) or type(error).__name__}"
