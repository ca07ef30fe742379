"""For how long a request waits for a store that is silent."""

from collections.abc import Iterator
from contextlib import contextmanager

from clarion.ports.store import PATIENCE, Patience


@contextmanager
def waiting(patience: Patience | None) -> Iterator[None]:
    """What is asked of the store within is waited for so long; None: as long as it takes."""
    before = PATIENCE.set(patience)
    try:
        yield
    finally:
        PATIENCE.reset(before)
