"""Sending speed: a budget per credential that all senders share, taken in blocks."""

from dataclasses import dataclass, field

from clarion.domain.ids import CredentialId
from clarion.domain.network import Network
from clarion.ports.line import SendLine
from clarion.ports.system import Clock

BLOCK = 500
ASK_AGAIN_S = 30.0


@dataclass(kw_only=True, slots=True)
class _Budget:
    left: int = 0
    unpaced_until: float = 0.0


@dataclass(kw_only=True, slots=True)
class Pacer:
    """Keeps this process within the shared budgets."""

    line: SendLine
    clock: Clock
    _budgets: dict[CredentialId, _Budget] = field(default_factory=dict)

    async def take(self, credential: CredentialId, network: Network, wanted: int) -> None:
        """Return when `wanted` sends may go out.

        A block is taken from the store at a time, so that the store is asked once per some
        hundred sends; a credential without a budget is asked about again twice a minute.
        """
        budget = self._budgets.setdefault(credential, _Budget())
        if budget.unpaced_until > self.clock.monotonic():
            return
        if budget.left < wanted:
            block = max(BLOCK, wanted - budget.left)
            wait = await self.line.pace(credential, network, block, self.clock.now())
            if wait is None:
                budget.unpaced_until = self.clock.monotonic() + ASK_AGAIN_S
                return
            budget.left += block
            if wait > 0:
                await self.clock.sleep(wait)
        budget.left -= wanted
