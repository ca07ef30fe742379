"""Spreads batches under the rates of their campaigns and of the app."""

from datetime import datetime

import asyncpg

from clarion.adapters.state.statements import statements
from clarion.domain.batch_pacing import Waiting, spread
from clarion.domain.ids import AppId
from clarion.domain.send_time import instant_us

_SQL = statements("throttle")


async def spread_batches(connection: asyncpg.Connection, app: AppId, now: datetime) -> None:
    """Give every waiting batch of an app its instant, within the caller's transaction."""
    rate: int | None = await connection.fetchval(_SQL["hold_app"], app)
    waiting = [Waiting(**dict(row)) for row in await connection.fetch(_SQL["waiting"], app, now)]
    taken = await connection.fetch(_SQL["taken"], app, now, rate)
    run = spread(
        waiting,
        per_minute=rate,
        taken_us=max((row["app_us"] or 0 for row in taken), default=0),
        campaigns_us={row["campaign"]: row["own_us"] for row in taken if row["own_us"]},
        now_us=instant_us(now),
    )
    if run:
        await connection.execute(_SQL["move"], list(run), list(run.values()))
