"""The system's permission on devices, and the prompt funnel, in the state store."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import asyncpg

from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId, DeviceId
from clarion.domain.permission import (
    PROMPT_TABLE,
    Permission,
    PromptInput,
    PromptState,
    permission_of,
)
from clarion.ports.consent import (
    MOST_COUNTS,
    VISITORS_KEPT,
    DayCount,
    Funnel,
    PromptCount,
    PromptPlace,
    PromptRefusedError,
    PromptStep,
)

_NUMBERS: Final = {
    PromptState.NOT_SHOWN: 0,
    PromptState.PRIMER_SHOWN: 1,
    PromptState.PRIMER_ACCEPTED: 2,
    PromptState.PRIMER_DECLINED: 3,
    PromptState.PROMPT_SHOWN: 4,
    PromptState.PROVISIONAL: 5,
    PromptState.GRANTED: 6,
    PromptState.DENIED: 7,
    PromptState.BLOCKED: 8,
}
"""What is stored: never reuse a number."""
_STATES: Final = {number: state for state, number in _NUMBERS.items()}

_SAID: Final = {
    Permission.DENIED: PromptState.DENIED,
    Permission.PROVISIONAL: PromptState.PROVISIONAL,
    Permission.GRANTED: PromptState.GRANTED,
    Permission.BLOCKED: PromptState.BLOCKED,
}
"""Where the funnel stands once the system has said so, whatever was reported before."""


class PostgresPermissions:
    """`ports.consent.Permissions` over the tables device and prompt_event."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sql = statements("permissions")

    async def place(self, app: AppId, device: DeviceId) -> PromptPlace | None:
        """See `ports.consent.Permissions.place`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["place"], app, device)
        return None if row is None else _place(row)

    async def step(
        self, app: AppId, device: DeviceId, step: PromptStep, now: datetime
    ) -> PromptPlace | None:
        """See `ports.consent.Permissions.step`."""
        what, at = step.what, step.at

        async def work(connection: asyncpg.Connection) -> PromptPlace | None:
            row = await connection.fetchrow(self._sql["lock"], app, device)
            if row is None:
                return None
            if step.key and await connection.fetchval(self._sql["known"], app, step.key):
                return _place(row)
            here = _stands(row)
            state = PROMPT_TABLE.get((here, what))
            if state is None:
                raise PromptRefusedError(here, what)
            # While the person is asked again, what was allowed before still holds.
            settled = state in _SAID.values() or what is PromptInput.RESET
            permission = permission_of(state) if settled else Permission(row["permission"])
            if permission is Permission.UNKNOWN:
                permission = Permission.NOT_ASKED
            written = await connection.fetchrow(
                self._sql["write"], app, device, permission, _NUMBERS[state], at, now
            )
            told = (what.value, state.value, at, step.version, step.key)
            await connection.execute(self._sql["note"], app, device, *told)
            return _place(written)

        return await unit_of_work(self._pool, work)

    async def report(
        self, app: AppId, device: DeviceId, permission: Permission, now: datetime
    ) -> PromptPlace | None:
        """See `ports.consent.Permissions.report`."""

        async def work(connection: asyncpg.Connection) -> PromptPlace | None:
            row = await connection.fetchrow(self._sql["lock"], app, device)
            if row is None:
                return None
            state = _SAID.get(permission, _STATES[row["prompt"]])
            written = await connection.fetchrow(
                self._sql["write"], app, device, permission, _NUMBERS[state], now, now
            )
            return _place(written)

        return await unit_of_work(self._pool, work)

    async def visitors(self, app: AppId, steps: Mapping[str, PromptStep], now: datetime) -> None:
        """See `ports.consent.Permissions.visitors`."""
        columns = (
            list(steps),
            [step.what.value for step in steps.values()],
            [step.at for step in steps.values()],
            [step.version for step in steps.values()],
        )

        async def work(connection: asyncpg.Connection) -> None:
            await connection.execute(self._sql["note_visitors"], app, *columns)
            await connection.execute(self._sql["forget_visitors"], app, now - VISITORS_KEPT)

        await unit_of_work(self._pool, work)

    async def funnel(self, app: AppId, since: datetime, until: datetime) -> Funnel:
        """See `ports.consent.Permissions.funnel`."""
        async with reading(self._pool) as connection:
            steps = await connection.fetch(self._sql["funnel"], app, since, until)
            versions = await connection.fetch(self._sql["versions"], app, since, until)
            days = await connection.fetch(self._sql["days"], app, since, until, MOST_COUNTS + 1)
            permissions = await connection.fetch(self._sql["permissions"], app)
        counted = {row["what"]: (row["times"], row["devices"]) for row in steps}
        return Funnel(
            steps=[
                PromptCount(what=what, times=times, devices=devices)
                for what in PromptInput
                for times, devices in [counted.get(what.value, (0, 0))]
            ],
            versions={(row["version"], PromptInput(row["what"])): row["times"] for row in versions},
            days=sorted(map(_day_count, days[:MOST_COUNTS]), key=lambda one: one.key),
            cut=len(days) > MOST_COUNTS,
            permissions={Permission(row["permission"]): row["devices"] for row in permissions},
        )


def _day_count(row: asyncpg.Record) -> DayCount:
    return DayCount(
        key=(row["day"], row["language"], row["version"]),
        what=PromptInput(row["what"]),
        times=row["times"],
    )


def _stands(row: asyncpg.Record) -> PromptState:
    """Where the funnel stands: a registration may have said more than the steps did."""
    state = _STATES[row["prompt"]]
    if state is PromptState.NOT_SHOWN:
        return _SAID.get(Permission(row["permission"]), state)
    return state


def _place(row: asyncpg.Record) -> PromptPlace:
    return PromptPlace(
        state=_stands(row),
        permission=Permission(row["permission"]),
        permission_at=row["permission_at"],
    )
