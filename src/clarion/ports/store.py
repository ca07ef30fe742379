"""Why an engine may refuse to be used: it is away, from a newer version, or damaged."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class Patience:
    """How long requests wait for a store that is silent; all requests of a process share one.

    A store that is only slow goes on finishing what others asked of it, and is waited for.
    """

    silence_s: float
    heard: float = 0.0
    """When the store finished anything for any of them, by the event loop's clock."""


PATIENCE: Final[ContextVar[Patience | None]] = ContextVar("patience", default=None)
"""Of the present task. None: it waits as long as connections do, which is for long work."""


class StoreUnavailableError(Exception):
    """The state store can't be reached or did not commit; the sentence names the cause."""


class DatabaseNewerError(Exception):
    """The database was migrated by a newer Clarion; this one must not touch it."""


class NotMigratedError(Exception):
    """The state schema could not be brought up to date; the sentence says why."""


class FactsFileError(Exception):
    """The facts file can't be used; the sentence says what to do."""
