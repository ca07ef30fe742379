"""Single registrations that arrive together are judged and stored together.

Storing rows costs nearly the same for one row as for ten. Nobody waits for a
group to fill: a group is whatever arrived while those before it were being stored. Rows of one
device or person are stored one after another: within a group, the last word on a device would stand
for all.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from clarion.api.dependencies import ApiDependencies
from clarion.api.registration_rows import frame
from clarion.domain.attributes import FieldProblem
from clarion.domain.conditions import Row
from clarion.domain.ids import AppId
from clarion.ports.store import StoreUnavailableError
from clarion.stages.intake.register import FEW, Registration, register

MAX_ROWS: Final = 500
GROUPS_AT_ONCE: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class RowDone:
    """What became of one row."""

    device: int
    user: int
    created: bool
    problems: Sequence[FieldProblem]


Store = Callable[[AppId, Sequence[Row]], Awaitable[Registration]]
"""Judges and stores rows in one unit of work."""
Name = tuple[str, object, object]
"""What a row is about: a device or a person."""


@dataclass(frozen=True, eq=False, slots=True)
class Waiting:
    """A row, and who waits for it."""

    row: Row
    names: frozenset[Name]
    done: "asyncio.Future[RowDone]"


class Registrar:
    """Groups rows by app; one for each process."""

    def __init__(self, store: Store) -> None:
        self._store_rows = store
        self._waiting: dict[AppId, deque[Waiting]] = {}
        self._groups: dict[AppId, dict[asyncio.Task[None], frozenset[Name]]] = {}
        """What is being stored, and about whom."""

    async def register(self, app: AppId, row: Row) -> RowDone:
        """Judge and store one row; returns after the commit. Raises what storing raises."""
        done: asyncio.Future[RowDone] = asyncio.get_running_loop().create_future()
        waiting = Waiting(row, frozenset(_names(row)), done)
        self._waiting.setdefault(app, deque()).append(waiting)
        self._start(app)
        return await done

    def _start(self, app: AppId) -> None:
        groups = self._groups.setdefault(app, {})
        if not self._waiting[app] or len(groups) >= GROUPS_AT_ONCE:
            return
        group = _next_group(self._waiting[app], frozenset().union(*groups.values()))
        if group:
            task = asyncio.get_running_loop().create_task(self._store(app, group))
            groups[task] = frozenset().union(*(one.names for one in group))
            task.add_done_callback(lambda ended: self._ended(app, ended))

    def _ended(self, app: AppId, task: asyncio.Task[None]) -> None:
        del self._groups[app][task]
        self._start(app)
        self._start(app)  # what waited for this group's devices may be two groups by now

    async def _store(self, app: AppId, group: Sequence[Waiting]) -> None:
        try:
            done = await self._store_rows(app, [one.row for one in group])
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


def _names(row: Row) -> Iterator[Name]:
    """Tokens and networks are compared as the rules will spell them."""
    if row.get("token") is not None:
        yield "device", str(row.get("network")).lower(), str(row["token"]).lower()
    for name in ("external_id", "user"):
        if row.get(name) is not None:
            yield name, row[name], None


def _next_group(waiting: deque[Waiting], busy: frozenset[Name]) -> list[Waiting]:
    """Takes rows that can be stored now: none is of whom `busy`, or a row before it, is about."""
    chosen: list[Waiting] = []
    left: list[Waiting] = []
    taken = set(busy)
    while waiting and len(chosen) < MAX_ROWS and len(left) < MAX_ROWS:
        one = waiting.popleft()
        (left if one.names & taken else chosen).append(one)
        taken |= one.names  # also of those left: whoever comes after them stays after them
    waiting.extendleft(reversed(left))
    return chosen


async def store_rows(deps: ApiDependencies, app: AppId, rows: Sequence[Row]) -> Registration:
    """Judge and store rows in one unit of work."""
    given = rows if len(rows) <= FEW else frame(rows)
    return await register(deps.devices, app, given, rules=deps.rules, now=deps.clock.now())


def _settle(group: Sequence[Waiting], done: Registration) -> None:
    problems: dict[int, list[FieldProblem]] = {}
    for found in done.problems:
        problems.setdefault(found.row, []).append(found.problem)
    columns = zip(group, done.device.tolist(), done.user.tolist(), done.created, strict=True)
    for index, (one, device, user, created) in enumerate(columns):
        if not one.done.done():  # whoever was canceled no longer waits
            one.done.set_result(
                RowDone(device=device, user=user, created=created, problems=problems.get(index, ()))
            )


def _fail(group: Sequence[Waiting], error: Exception) -> None:
    for one in group:
        if not one.done.done():
            one.done.set_exception(error)
