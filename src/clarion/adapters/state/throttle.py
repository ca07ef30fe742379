"""Keeps batches within the rates of their campaigns and of the app.

Turns are given ahead (`spread_batches`), and counted as batches are leased (`take_turn`): what
comes late, or once more, waits like everything else. Locks are taken in the order message, app,
batches.
"""

from datetime import datetime
from functools import partial
from typing import Final

import asyncpg

from clarion.adapters.state.pool import again
from clarion.adapters.state.statements import statements
from clarion.domain.batch_pacing import Rate, Waiting, spread, turn
from clarion.domain.ids import AppId
from clarion.domain.send_time import instant_us

_SQL = statements("throttle")
SPREAD_EVERY_US: Final = 60_000_000
"""A batch that comes when it is not its turn waits for the next one alone; all are given new turns
at most so often, for an app may have tens of thousands that wait."""


async def spread_batches(connection: asyncpg.Connection, app: AppId, now: datetime) -> None:
    """Give every waiting batch of an app its instant, within the caller's transaction."""
    row = await connection.fetchrow(_SQL["app_rate"], app)
    now_us = instant_us(now)
    rate = _rate(row)
    rows = await connection.fetch(_SQL["waiting"], app)
    campaigns = {row["campaign"]: row for row in rows}
    own = {name: _rate(row) for name, row in campaigns.items()}
    run = spread(
        [_waiting(row) for row in rows],
        per_minute=None if rate is None else rate.per_minute,
        taken_us=0 if rate is None else rate.free_us(now_us),
        campaigns_us={name: one.free_us(now_us) for name, one in own.items() if one is not None},
        now_us=now_us,
    )
    if run:
        await connection.execute(_SQL["move"], list(run), list(run.values()))
        await connection.execute(_SQL["spread_at"], app, now)


async def take_turn(connection: asyncpg.Connection, row: asyncpg.Record, now: datetime) -> bool:
    """Count a leased batch under its rates; or give it back, if it is not its turn.

    `row` is as `claim_batch` answers. A pause of another campaign writes to the same batches in
    another order: whoever loses begins anew, for a sender that fails leaves a chunk unrecorded.
    """
    return await again(connection, partial(_take_turn, connection, row, now))


async def _take_turn(connection: asyncpg.Connection, row: asyncpg.Record, now: datetime) -> bool:
    app, message, size = row["app_id"], row["message_ids"][0], row["size"] - row["cursor"]
    own = await connection.fetchrow(_SQL["message_rate"], message)
    whole = await connection.fetchrow(_SQL["app_rate"], app)
    rates = [_rate(own), _rate(whole)]
    now_us = instant_us(now)
    given = turn(
        [rate for rate in rates if rate is not None], now_us=now_us, again=row["attempt"] > 0
    )
    lease = (row["id"], row["fence"])
    if given.go:
        if rates[0] is not None:
            await connection.execute(_SQL["take_of_message"], message, given.at_us, size)
        if rates[1] is not None:
            await connection.execute(_SQL["take_of_app"], app, given.at_us, size)
        await connection.execute(_SQL["turned"], *lease)
        return True
    await connection.execute(_SQL["wait"], *lease, given.at_us, now)
    if now_us - (whole["spread_us"] or 0) >= SPREAD_EVERY_US:
        await spread_batches(connection, AppId(app), now)
    return False


def _rate(row: asyncpg.Record | None) -> Rate | None:
    if row is None or row["per_minute"] is None:
        return None
    return Rate(per_minute=row["per_minute"], at_us=row["at_us"], taken=row["taken"])


def _waiting(row: asyncpg.Record) -> Waiting:
    return Waiting(
        id=row["id"],
        campaign=row["campaign"],
        size=row["size"],
        due_us=row["due_us"],
        per_minute=row["per_minute"],
        again=row["again"],
    )
