"""Receipts of our own messages, from the tables of our own push service. Implements `Receipts`."""

from collections.abc import Callable, Sequence
from typing import Final

import asyncpg
import polars as pl

from clarion.adapters.state.pool import reading
from clarion.adapters.state.push_rows import octets_of
from clarion.adapters.state.statements import statements
from clarion.ports.pushservice import DeviceNumber, ReceiptStatus, SubscriptionNumber
from clarion.ports.receipts import COLUMNS, ReceiptPage

EndpointOf = Callable[[DeviceNumber, SubscriptionNumber, bytes, bytes | None], str]
"""The endpoint of a device, a subscription, a channel (16 octets) and the hash of its key."""

_SQL: Final = statements("push")


class PostgresPushFeedback:
    """Reads receipts in the order of their transactions, so that none is overtaken."""

    def __init__(self, pool: asyncpg.Pool, endpoint_of: EndpointOf) -> None:
        self._pool = pool
        self._endpoint_of = endpoint_of

    async def unread(self, *, at_most: int) -> ReceiptPage:
        """See the port."""
        async with reading(self._pool) as connection:
            found = await connection.fetch(_SQL["receipts_of_ours"], at_most)
        ours = [row for row in found if row["message"] is not None]
        told = [row for row in ours if row["channel"] is not None]
        return ReceiptPage(
            rows=self._rows(told),
            cursor=(found[-1]["xid"], found[-1]["id"]) if found else (0, 0),
            numbers=[row["id"] for row in ours],
            looked_at=len(found),
        )

    async def read(self, page: ReceiptPage) -> None:
        """See the port."""
        xid, number = page.cursor
        async with reading(self._pool) as connection:
            await connection.execute(_SQL["receipts_read"], str(xid), number, page.numbers)

    def _rows(self, told: Sequence[asyncpg.Record]) -> pl.DataFrame:
        columns = {
            "app": [row["app_id"] for row in told],
            "message": [row["message"] for row in told],
            "token": [
                self._endpoint_of(
                    DeviceNumber(row["device"]),
                    SubscriptionNumber(row["subscription"]),
                    octets_of(row["channel"]),
                    row["key_hash"],
                )
                for row in told
            ],
            "delivered": [row["status"] == ReceiptStatus.ACKNOWLEDGED for row in told],
            "at_us": [row["at_us"] for row in told],
        }
        return pl.DataFrame(columns, schema=COLUMNS)
