"""What each kind of process does, from start to drain.

Each role's module is imported by its own processes only: a sender carries no web server and no
columnar engine.
"""

import asyncio
import gc
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from importlib import import_module

from clarion.adapters.processor import yield_to_others
from clarion.app.settings import Settings
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent

_log = logging.getLogger(__name__)

CONNECTIONS = {"api": 12, "planner": 3, "sender": 4, "facts": 2, "push": 6}
"""Roles, and the connections to the state store that each process of one may hold."""

LIGHT = frozenset({"push"})
"""Roles that stand on the foundation alone, without the adapters that work in columns."""

GARBAGE_THRESHOLDS = (20_000, 20, 50)
"""Objects made before a look at the young ones, and how many such looks before older ones."""

PROMPT = frozenset({"api", "push"})
"""Roles that somebody waits for."""

BACKGROUND_NICENESS = 15
"""Bulk work yields the processor to the process that answers people: at this distance it gets what
that leaves over, and all of an idle machine."""

NICEST = 19
"""The lowest priority that there is."""


async def run_role(settings: Settings, role: str, owner: str, stop: asyncio.Event) -> None:
    """Run one role until told to stop, then drain.

    Raises:
        KeyError: there is no such role.
    """
    connections = CONNECTIONS[role]
    module = import_module(f"clarion.app.role_{role}")
    run: Callable[[object, str, asyncio.Event], Awaitable[None]] = getattr(module, f"run_{role}")
    async with _opened(settings, role, connections) as parts:
        log(_log, logging.INFO, LogEvent.ROLE_STARTED, role=role, owner=owner, pid=os.getpid())
        with settled_garbage():
            await run(parts, owner, stop)
    log(_log, logging.INFO, LogEvent.ROLE_STOPPED, role=role, owner=owner)


def _opened(settings: Settings, role: str, connections: int) -> AbstractAsyncContextManager[object]:
    part = "foundation" if role in LIGHT else "container"
    opening: Callable[..., AbstractAsyncContextManager[object]] = getattr(
        import_module(f"clarion.app.{part}"), f"open_{part}"
    )
    return opening(settings, connections=connections)


@contextmanager
def settled_garbage() -> Iterator[None]:
    """Spare the collector what is here to stay, and let it look less often.

    Everything imported lives as long as the process; batches are columns, so that cycles are few.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def yield_processor(role: str) -> None:
    """Lower this process's priority, unless people or their devices wait for it."""
    if role not in PROMPT:
        yield_to_others(os.getpid(), min(NICEST, os.nice(0) + BACKGROUND_NICENESS))
