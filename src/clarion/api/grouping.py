"""Single registrations that arrive together are judged and stored together.

Judging and storing columns costs nearly the same for one row as for a hundred. Nobody waits for a
group to fill: a group is whatever arrived while those before it were being stored.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from clarion.api.dependencies import ApiDependencies
from clarion.api.registration_rows import Row, frame
from clarion.domain.attributes import FieldProblem
from clarion.domain.ids import AppId
from clarion.ports.store import StoreUnavailableError
from clarion.stages.intake.register import Registration, register

MAX_ROWS: Final = 500
GROUPS_AT_ONCE: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class RowDone:
    """What became of one row."""

    device: int
    user: int
    created: bool
    problems: Sequence[FieldProblem]


Waiting = tuple[Row, "asyncio.Future[RowDone]"]


class Registrar:
    """Groups rows by app; one for each process."""

    def __init__(self, deps: ApiDependencies) -> None:
        self._deps = deps
        self._waiting: dict[AppId, deque[Waiting]] = {}
        self._groups: dict[AppId, set[asyncio.Task[None]]] = {}

    async def register(self, app: AppId, row: Row) -> RowDone:
        """Judge and store one row; returns after the commit. Raises what storing raises."""
        done: asyncio.Future[RowDone] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(app, deque()).append((row, done))
        self._start(app)
        return await done

    def _start(self, app: AppId) -> None:
        waiting, groups = self._waiting[app], self._groups.setdefault(app, set())
        if waiting and len(groups) < GROUPS_AT_ONCE:
            group = [waiting.popleft() for _ in range(min(len(waiting), MAX_ROWS))]
            task = asyncio.get_running_loop().create_task(self._store(app, group))
            groups.add(task)
            task.add_done_callback(lambda ended: self._ended(app, ended))

    def _ended(self, app: AppId, task: asyncio.Task[None]) -> None:
        self._groups[app].discard(task)
        self._start(app)

    async def _store(self, app: AppId, group: Sequence[Waiting]) -> None:
        try:
            done = await store_rows(self._deps, app, [row for row, _ in group])
        except StoreUnavailableError as error:
            _fail(group, error)
        except Exception as error:  # noqa: BLE001  whoever waits for a row raises it
            if len(group) == 1:
                _fail(group, error)
                return
            for one in group:  # a bug that one row meets is not the others'
                await self._store(app, [one])
        else:
            _settle(group, done)


async def store_rows(deps: ApiDependencies, app: AppId, rows: Sequence[Row]) -> Registration:
    """Judge and store rows in one unit of work."""
    return await register(deps.devices, app, frame(rows), rules=deps.rules, now=deps.clock.now())


def _settle(group: Sequence[Waiting], done: Registration) -> None:
    problems: dict[int, list[FieldProblem]] = {}
    for found in done.problems:
        problems.setdefault(found.row, []).append(found.problem)
    columns = zip(group, done.device.tolist(), done.user.tolist(), done.created, strict=True)
    for index, ((_, waits), device, user, created) in enumerate(columns):
        if not waits.done():
            waits.set_result(
                RowDone(device=device, user=user, created=created, problems=problems.get(index, ()))
            )


def _fail(group: Sequence[Waiting], error: Exception) -> None:
    for _, waits in group:
        if not waits.done():
            waits.set_exception(error)
