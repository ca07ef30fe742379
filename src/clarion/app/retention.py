"""What is over is deleted when it is old enough, in small pieces, beside everything else."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from clarion.adapters.state.journal import KEY_LIFETIME
from clarion.app import setting_retention
from clarion.ports.audience import Audience, AudienceUnavailableError
from clarion.ports.upkeep import Upkeep
from clarion.telemetry.logs import log
from clarion.telemetry.metrics import Metrics
from clarion.telemetry.names import LogEvent, Metric

_log = logging.getLogger(__name__)

AT_ONCE = 2000
"""Rows of one transaction: no lock is held for longer than some tens of milliseconds."""
ROUNDS = 50
"""Transactions of a turn, for each kind of row."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Deletes what the settings say is old."""

    upkeep: Upkeep
    audience: Audience
    settings: setting_retention.Retention
    metrics: Metrics

    async def drop_some(self, now: datetime) -> None:
        """One turn: at most `ROUNDS` times `AT_ONCE` rows of each kind.

        Raises:
            StoreUnavailableError: the rest waits for the next turn.
        """
        await self._rounds(
            "keys", lambda: self.upkeep.drop_keys(now - KEY_LIFETIME, at_once=AT_ONCE)
        )
        ended = now - timedelta(days=self.settings.messages_days)
        await self._rounds("messages", lambda: self.upkeep.drop_messages(ended, at_once=AT_ONCE))
        try:
            fed = await self.audience.version()
        except AudienceUnavailableError as error:
            # Nobody knows what the columns have: the marks stay until they answer.
            log(_log, logging.WARNING, LogEvent.FACTS_UNAVAILABLE, cause=str(error))
            return
        removed = now - timedelta(days=self.settings.removals_days)
        await self._rounds(
            "removals", lambda: self.upkeep.drop_removals(removed, fed, at_once=AT_ONCE)
        )

    async def _rounds(self, what: str, drop: Callable[[], Awaitable[int]]) -> None:
        for _ in range(ROUNDS):
            dropped = await drop()
            self.metrics.add(Metric.RETAINED_DROPPED, what, amount=dropped)
            if dropped < AT_ONCE:
                return
