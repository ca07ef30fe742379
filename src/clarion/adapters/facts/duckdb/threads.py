"""DuckDB's work, off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

Result = TypeVar("Result")

THREADS: Final = 4


class Threads:
    """A few threads; whoever is cancelled still waits until the work that was begun is over."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "facts")

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises. Nothing runs on behind the back of who has gone on."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    def close(self) -> None:
        """Wait for what is running, and end."""
        self._pool.shutdown()
