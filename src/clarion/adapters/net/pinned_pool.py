"""An HTTP/2 pool that finds the addresses of its host anew for each connection."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from typing_extensions import override

from clarion.adapters.net.link import OPENING_ERRORS
from clarion.adapters.net.pool import HostConfig, Http2Pool, _Lane
from clarion.adapters.net.tls import Http2NotOfferedError
from clarion.ports.system import Chance, Clock
from clarion.ports.transport import EgressForbiddenError


class OriginForbiddenError(Http2NotOfferedError):
    """The egress guard refused the host; what waited is told, and nothing of it was sent."""


class PinnedPool(Http2Pool):
    """Like `Http2Pool`; `find` names the addresses that a new connection may go to."""

    def __init__(
        self,
        config: HostConfig,
        clock: Clock,
        chance: Chance,
        find: Callable[[], Awaitable[tuple[str, ...]]],
    ) -> None:
        super().__init__(
            replace(config, server_name=config.server_name or config.host), clock, chance
        )
        self._find = find

    @override
    async def _connect(self, lane: _Lane) -> None:
        """Try each address; TLS still asks for the host's name."""
        try:
            addresses = await self._find()
        except EgressForbiddenError as error:
            raise OriginForbiddenError(str(error)) from error
        patience_s = self._config.connect_s / len(addresses)
        for address in addresses:
            # Read by the next line before anything else can run.
            self._config = replace(self._config, host=address)
            try:
                async with asyncio.timeout(patience_s):
                    await super()._connect(lane)
            except (TimeoutError, *OPENING_ERRORS):
                if address == addresses[-1]:
                    raise
            else:
                return
