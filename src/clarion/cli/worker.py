"""`clarion worker`: one role of the platform in this process."""

import os
import socket
from typing import Annotated, Literal

from cyclopts import Parameter

from clarion.app.roles import run_role, yield_processor
from clarion.app.settings import Settings
from clarion.cli.exits import Exit
from clarion.cli.options import ConfigFile
from clarion.cli.reading_settings import read_settings
from clarion.cli.running import ends_with_parent, engine_failures, run_loop, stop_on_signals
from clarion.telemetry.logs import start_logging

Role = Literal["api", "planner", "sender", "facts", "push"]


def worker(
    *,
    role: Role,
    config: ConfigFile = None,
    owner: Annotated[str | None, Parameter(negative=())] = None,
    parent: Annotated[int | None, Parameter(negative=(), show=False)] = None,
) -> int:
    """Run one role of the platform in this process; SIGTERM drains and ends it.

    `clarion serve` starts all of them. On several hosts, start them with your own supervisor and
    name the shared database in `database.url`.

    Args:
        role: What this process does.
        config: Settings file.
        owner: Name under which it leases work; `clarion serve` gives one, and a process that got
            one ends when its parent is gone.
        parent: Process id of the parent, which may be gone before this process can look.
    """
    settings = read_settings(config)
    start_logging(settings.log.level, settings.log.format)
    yield_processor(role)
    with engine_failures():
        run_loop(_work(settings, role, owner, parent))
    return Exit.OK


async def _work(settings: Settings, role: Role, owner: str | None, parent: int | None) -> None:
    stop = stop_on_signals()
    name = owner or f"{role}-{socket.gethostname()}-{os.getpid()}"
    async with ends_with_parent(stop, wanted=owner is not None, parent=parent):
        await run_role(settings, role, name, stop)
