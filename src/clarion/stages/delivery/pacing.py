"""Sending speed: a budget per credential that all senders share, taken in blocks."""

from dataclasses import dataclass, field

from clarion.domain.ids import CredentialId
from clarion.domain.network import Network
from clarion.ports.line import SendLine
from clarion.ports.system import Clock

BLOCK = 500
ASK_AGAIN_S = 30.0
LONGEST_WAIT_S = 0.5
"""Whoever would wait longer gives the batch back: a lease, a slot and a look at who may still be
sent to do not keep while a small budget fills."""


class PacedOutError(Exception):
    """The budget allows the sends only later; they are kept for this process until then."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"the sending budget allows this in {wait_s:.1f} s")
        self.wait_s = wait_s


@dataclass(kw_only=True, slots=True)
class _Budget:
    left: int = 0
    """Taken from the store and not used yet..."""
    ready_at: float = 0.0
    """...and not to be used before (monotonic)."""
    block: int = 0
    """How much to take next; grows while the budget is larger than what is sent."""
    unpaced_until: float = 0.0


@dataclass(kw_only=True, slots=True)
class Pacer:
    """Keeps this process within the shared budgets."""

    line: SendLine
    clock: Clock
    _budgets: dict[CredentialId, _Budget] = field(default_factory=dict)

    async def take(self, credential: CredentialId, network: Network, wanted: int) -> None:
        """Return when `wanted` sends may go out, soon.

        A block is taken from the store at a time, so that the store is asked once per some
        hundred sends; a credential without a budget is asked about again twice a minute.

        Raises:
            PacedOutError: that would take longer than `LONGEST_WAIT_S`.
        """
        budget = self._budgets.setdefault(credential, _Budget())
        if budget.unpaced_until > self.clock.monotonic():
            return
        if budget.left < wanted:
            block = max(budget.block, wanted - budget.left)
            wait = await self.line.pace(credential, network, block, self.clock.now())
            if wait is None:
                budget.unpaced_until = self.clock.monotonic() + ASK_AGAIN_S
                return
            budget.left += block
            budget.block = 0 if wait > 0 else min(BLOCK, 2 * block)
            budget.ready_at = max(budget.ready_at, self.clock.monotonic() + wait)
        wait = budget.ready_at - self.clock.monotonic()
        if wait > LONGEST_WAIT_S:
            raise PacedOutError(wait)
        budget.left -= wanted
        if wait > 0:
            await self.clock.sleep(wait)
