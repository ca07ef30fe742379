"""The decisions that were recorded of a message, to be looked at again."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from clarion.domain.decided import Decided
from clarion.domain.decision_row import Action
from clarion.domain.ids import AppId, MessageId
from clarion.domain.network import Network
from clarion.domain.outcome import Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class DecidedCount:
    """How many recipients were decided about in one way."""

    action: Action
    reason: Reason
    network: Network | None
    """None for people who have no device."""
    hour: datetime | None
    """The hour in which it is due, of what is held."""
    count: int


class RecordedDecisions(Protocol):
    """Reads recorded decisions; asked over a local socket of their owner."""

    async def counted(
        self, app: AppId, message: MessageId, *, at_least_xid: int
    ) -> Sequence[DecidedCount]:
        """Decisions about a message by what was decided, once all below `at_least_xid` is in.

        Raises:
            FactsUnavailableError: the owner can't be reached in time.
        """
        ...

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
