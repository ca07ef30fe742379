"""Small registrations gathered into batches: what arrives while one is stored makes up the next.

One registration alone waits for nothing. Under load, the cost of judging columns and of a commit
is shared by all that arrived meanwhile, so a process takes in many times as many.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from clarion.domain.ids import AppId
from clarion.domain.registration import RowProblem
from clarion.ports.registry import Devices
from clarion.stages.intake.register import Registration, Rules, register

MOST_ROWS: Final = 2_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    raw: pl.DataFrame
    now: datetime
    keys: frozenset[tuple[str, object, object]]
    answer: asyncio.Future[Registration]


class Gatherer:
    """Registers like `register.register`, together with whoever else does at the moment."""

    def __init__(self, devices: Devices, rules: Rules) -> None:
        self._devices = devices
        self._rules = rules
        self._waiting: dict[AppId, list[_Waiting]] = {}
        self._working: dict[AppId, asyncio.Task[None]] = {}

    async def register(self, app: AppId, raw: pl.DataFrame, now: datetime) -> Registration:
        """Judge and store the rows; returns after the commit.

        Raises:
            StoreUnavailableError: nothing of these rows was stored.
        """
        answer: asyncio.Future[Registration] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(app, []).append(_Waiting(raw, now, _keys(raw), answer))
        if app not in self._working:
            self._working[app] = asyncio.create_task(self._work(app))
        return await answer

    async def _work(self, app: AppId) -> None:
        batch: list[_Waiting] = []
        try:
            while batch := _next_batch(self._waiting[app]):
                await self._store(app, batch)
        finally:
            del self._working[app]
            for one in [*batch, *self._waiting.pop(app)]:
                one.answer.cancel()  # only where this process is being stopped

    async def _store(self, app: AppId, batch: list[_Waiting]) -> None:
        try:
            raw = batch[0].raw
            if len(batch) > 1:
                raw = pl.concat([one.raw for one in batch], how="diagonal")
            now = max(one.now for one in batch)
            done = await register(self._devices, app, raw, rules=self._rules, now=now)
        except Exception as error:  # noqa: BLE001  each caller gets it, and raises it
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        low = 0
        for one in batch:
            high = low + one.raw.height
            if not one.answer.done():  # whoever was canceled no longer waits
                one.answer.set_result(_part(done, low, high))
            low = high


def _next_batch(waiting: list[_Waiting]) -> list[_Waiting]:
    """Takes those who can go together: no device or person is in two of them.

    Within a batch the last row of a device stands for all; two callers must both be heard.
    """
    chosen: list[_Waiting] = []
    left: list[_Waiting] = []
    taken: set[tuple[str, object, object]] = set()
    rows = 0
    for one in waiting:
        if chosen and (one.keys & taken or rows + one.raw.height > MOST_ROWS):
            left.append(one)
        else:
            chosen.append(one)
            rows += one.raw.height
        taken |= one.keys  # also of those left: whoever comes after them must stay after them
    waiting[:] = left
    return chosen


def _keys(raw: pl.DataFrame) -> frozenset[tuple[str, object, object]]:
    columns = {
        name: raw[name].to_list() if name in raw.columns else [None] * raw.height
        for name in ("network", "token", "external_id")
    }
    # Tokens and networks are compared as the rules will spell them.
    devices = zip(columns["network"], columns["token"], strict=True)
    return frozenset(
        ("device", str(network).lower(), str(token).lower())
        for network, token in devices
        if token is not None
    ) | frozenset(("person", "", person) for person in columns["external_id"] if person is not None)


def _part(done: Registration, low: int, high: int) -> Registration:
    """What became of the rows `low` <= row < `high`, counted anew."""
    problems = [
        RowProblem(row=problem.row - low, problem=problem.problem)
        for problem in done.problems
        if low <= problem.row < high
    ]
    device, user = done.device[low:high], done.user[low:high]
    return Registration(
        device=device,
        user=user,
        created=done.created[low:high],
        problems=problems,
        stored=int(np.count_nonzero((device != 0) | (user != 0))),
        xid=done.xid,
    )
