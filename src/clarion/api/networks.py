"""Which networks an app can send over, remembered for a few seconds for the hot path."""

from typing import Final

from clarion.domain.ids import AppId
from clarion.domain.network import Network
from clarion.ports.credentials import Credentials
from clarion.ports.system import Clock

REMEMBERED_S: Final = 5.0


class ConfiguredNetworks:
    """The networks of an app's credentials, read again when the memory is `REMEMBERED_S` old."""

    def __init__(self, credentials: Credentials, clock: Clock) -> None:
        self._credentials = credentials
        self._clock = clock
        self._known: dict[AppId, tuple[float, frozenset[Network]]] = {}

    async def of(self, app: AppId) -> frozenset[Network]:
        """Networks that the app has a credential for."""
        now = self._clock.monotonic()
        known = self._known.get(app)
        if known is not None and now - known[0] < REMEMBERED_S:
            return known[1]
        networks = frozenset(record.network for record in await self._credentials.all(app))
        self._known[app] = (now, networks)
        return networks

    def forget(self, app: AppId) -> None:
        """The app's credentials were changed by this process."""
        self._known.pop(app, None)
