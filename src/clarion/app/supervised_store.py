"""The state store of `clarion serve`: its embedded server, kept alive, and its schema."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from clarion.adapters.state.embedded import EmbeddedPostgres, EmbeddedSettings, running
from clarion.adapters.state.pg_errors import EmbeddedPostgresError
from clarion.adapters.system import SystemClock
from clarion.app.foundation import Paths
from clarion.app.settings import Settings
from clarion.ports.store import NotMigratedError
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent

_log = logging.getLogger(__name__)

RESTART_FIRST_S = 0.2
RESTART_LONGEST_S = 10.0
STORE_LOOK_S = 0.1
STEADY_S = 30.0
"""A child that lived this long starts with a clean slate."""


@asynccontextmanager
async def state_store(settings: Settings, paths: Paths) -> AsyncIterator[str]:
    """The address of the configured server, or of the embedded one, kept alive for the block.

    Raises:
        EmbeddedPostgresError: the embedded server can't run here; the sentence says what to do.
    """
    if settings.database.url is not None:
        yield settings.database.url.reveal()
        return
    embedded = EmbeddedSettings(shared_buffers_mib=settings.database.shared_buffers_mib)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()
    keeping = asyncio.create_task(_keep_store(paths.postgres, embedded, address, over))
    either: list[asyncio.Future[Any]] = [address, keeping]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            await keeping  # the first start failed: raises
        yield address.result()
    finally:
        over.set()
        await keeping


async def _keep_store(
    folder: Path,
    embedded: EmbeddedSettings,
    address: asyncio.Future[str],
    over: asyncio.Event,
) -> None:
    """Run the embedded server until it is over, and start it again when it dies.

    Its address stays the same, so that the roles find it again by themselves. Only the first
    start may fail: later the reason (a full disk, say) may pass.
    """
    clock = SystemClock()
    wait = RESTART_FIRST_S
    while not over.is_set():
        born = clock.monotonic()
        try:
            async with running(folder, settings=embedded) as server:
                log(_log, logging.INFO, LogEvent.STORE_STARTED, pid=server.pid)
                if not address.done():
                    address.set_result(server.dsn)
                status = await _ended(server, over)
        except EmbeddedPostgresError as error:
            if not address.done():
                raise
            log(_log, logging.ERROR, LogEvent.STORE_UNAVAILABLE, cause=str(error))
            status = None
        if over.is_set():
            break
        if status is not None:
            log(_log, logging.ERROR, LogEvent.ROLE_DIED, role="postgres", status=status)
        if clock.monotonic() - born > STEADY_S:
            wait = RESTART_FIRST_S
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await over.wait()
        wait = min(2 * wait, RESTART_LONGEST_S)
    log(_log, logging.INFO, LogEvent.STORE_STOPPED)


async def _ended(server: EmbeddedPostgres, over: asyncio.Event) -> int | None:
    """Wait until the server has died (its exit status) or is no longer wanted (None)."""
    while not over.is_set():
        status = server.exit_status()
        if status is not None:
            return status
        with suppress(TimeoutError):
            async with asyncio.timeout(STORE_LOOK_S):
                await over.wait()
    return None


async def bring_up_to_date(environment: Mapping[str, str]) -> None:
    """Bring the schema up to date, in a process of its own: its tools go away with it.

    Raises:
        NotMigratedError: the server can't be reached, or has the schema of a newer version.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clarion.cli", "migrate", "--json"),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        text = said.decode(errors="replace").strip().removeprefix("error: ")
        raise NotMigratedError(text or f"the migration ended with status {process.returncode}")
