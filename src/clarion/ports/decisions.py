"""The decisions that were recorded of a message, to be looked at again."""

from collections.abc import AsyncIterator
from typing import Protocol

from clarion.domain.decided import Decided
from clarion.domain.ids import AppId, MessageId


class RecordedDecisions(Protocol):
    """Reads recorded decisions; asked over a local socket of their owner."""

    def decided(
        self, app: AppId, message: MessageId, *, at_least_xid: int
    ) -> AsyncIterator[Decided]:
        """Every decision about a message, in pieces of at most some 65,536 rows.

        All rows of a piece were decided at one instant, by one policy. A person's rows may be in
        several pieces.

        Args:
            app: whose message.
            message: which.
            at_least_xid: wait until everything below this transaction is in.

        Raises:
            FactsUnavailableError: the owner can't be reached in time.
        """
        ...
