"""How commands run: a loop, signals that end it, and failures of the engines as sentences."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, TypeVar

from clarion.adapters.state.pg_errors import EmbeddedPostgresError
from clarion.adapters.state.sealing import MasterKeyError
from clarion.app.settings import SettingsError
from clarion.cli.exits import CommandError, Exit
from clarion.ports.store import (
    DatabaseNewerError,
    FactsFileError,
    NotMigratedError,
    StoreUnavailableError,
)
from clarion.wire.endpoint import EndpointError

Result = TypeVar("Result")

PARENT_EVERY_S: Final = 0.5


def run_loop(main: Coroutine[None, None, Result]) -> Result:
    """Run a command's coroutine on uvloop, where there is one."""
    if sys.platform == "win32":
        return asyncio.run(main)
    else:  # noqa: RET505  (a checker for another system must not see what is below)
        import uvloop  # noqa: PLC0415  (there is none on Windows)

        return uvloop.run(main)


@contextmanager
def engine_failures() -> Iterator[None]:
    """What the engines raise, as errors of a command."""
    try:
        yield
    except StoreUnavailableError as error:
        raise CommandError(
            f"the database can't be used: {error}; check database.url, or run `clarion doctor`",
            Exit.UNREACHABLE,
        ) from error
    except (
        EmbeddedPostgresError,
        DatabaseNewerError,
        NotMigratedError,
        MasterKeyError,
        FactsFileError,
    ) as error:
        raise CommandError(str(error), Exit.UNREACHABLE) from error
    except SettingsError as error:
        raise CommandError("the settings can't be used", details=error.problems) from error
    except EndpointError as error:
        raise CommandError(f"egress.allow_hosts: {error}") from error


def stop_on_signals() -> asyncio.Event:
    """An event that the first SIGINT or SIGTERM sets; the second one kills as ever."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def heard() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heard)
    return stop


@asynccontextmanager
async def ends_with_parent(
    stop: asyncio.Event, *, wanted: bool, parent: int | None = None
) -> AsyncIterator[None]:
    """Where wanted, also stop when the process that started us is gone: nobody else would.

    Args:
        stop: what to set then.
        wanted: whether to look.
        parent: who started us, for it may be gone already; None: whoever is our parent now.
    """
    if not wanted:
        yield
        return
    watching = asyncio.create_task(_watch(parent or os.getppid(), stop))
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _watch(parent: int, stop: asyncio.Event) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110  (no portable event tells of a parent's end)
        await asyncio.sleep(PARENT_EVERY_S)
    stop.set()
