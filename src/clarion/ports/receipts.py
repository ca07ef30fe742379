"""What became of our own messages once a network had taken them, as the network's receipts say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import polars as pl

COLUMNS: Final[Mapping[str, pl.DataType]] = {
    "app": pl.Int32(),
    "message": pl.String(),
    "token": pl.String(),
    "delivered": pl.Boolean(),
    "at_us": pl.Int64(),
}
"""One row a receipt: the message's id, the device's token, whether the device has the message or
never will, and when, in microseconds since 1970."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptPage:
    """Some receipts."""

    rows: pl.DataFrame
    """`COLUMNS`; without those of other senders."""
    cursor: tuple[int, int]
    """The last one that was looked at."""
    numbers: list[int]
    """Of `rows`, for the adapter."""
    looked_at: int
    """Rows of every sender: fewer than were asked for means that there are no more."""


class Receipts(Protocol):
    """Receipts that were not read yet. What is read twice has the same values both times."""

    async def unread(self, *, at_most: int) -> ReceiptPage:
        """The oldest ones.

        Raises:
            StoreUnavailableError: nothing is known.
        """
        ...

    async def read(self, page: ReceiptPage) -> None:
        """What a page holds is recorded: it is not given again.

        Raises:
            StoreUnavailableError: it may be given again.
        """
        ...
