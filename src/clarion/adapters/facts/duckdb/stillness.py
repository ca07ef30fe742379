"""Keeps long looks at the audience and large commits apart.

DuckDB promises each transaction one version of its tables. Version 2.0.0 does not keep that promise
while a transaction that deleted and inserted a large part of a table commits: a scan under way may
then see old and new rows together, hence people twice. So a large commit waits for the scans under
way, for a while; those that last longer than that are told that they were overtaken, and begin
again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

PATIENCE_S: Final = 2.0
"""What a large commit waits for scans. They take some tenths of a second, unless their asker is
slow."""


class OvertakenError(Exception):
    """The columns were rewritten during a look at them: what was seen can't be relied on."""


class Stillness:
    """One for each columnar copy; for one event loop."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._turn = asyncio.Lock()
        self._scans = 0
        self._rewriting = False
        self._overtaken = 0

    @asynccontextmanager
    async def scanning(self) -> AsyncIterator[Callable[[], None]]:
        """Look at the columns for a while.

        Yields:
            What to call after the last row; it raises `OvertakenError` where they were rewritten.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: not self._rewriting)
            self._scans += 1
        began = self._overtaken

        def whole() -> None:
            if self._overtaken != began:
                raise OvertakenError(
                    "the audience columns were rewritten during this look at them; ask again"
                )

        try:
            yield whole
        finally:
            async with self._changed:
                self._scans -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def rewriting(self) -> AsyncIterator[None]:
        """Commit a large change; no scan begins meanwhile, and none that lasts is believed."""
        async with self._turn:
            self._rewriting = True
            try:
                async with self._changed:
                    try:
                        async with asyncio.timeout(PATIENCE_S):
                            await self._changed.wait_for(lambda: not self._scans)
                    except TimeoutError:
                        self._overtaken += 1
                yield
            finally:
                self._rewriting = False
                async with self._changed:
                    self._changed.notify_all()
