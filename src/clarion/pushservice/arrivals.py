"""Devices that come back, many at once after a restart: looked up in groups.

How many may be under way is bounded where connections are taken (`limits.arriving`): the rest wait
in the kernel's queue.
"""

import asyncio
from typing import Final

from clarion.ports.pushservice import Attached, NodeNumber, PushDevices
from clarion.ports.store import StoreUnavailableError
from clarion.ports.system import Clock

AT_ONCE: Final = 250
EVERY_S: Final = 0.005


class Arrivals:
    """Devices whose names are being looked up."""

    def __init__(self, devices: PushDevices, clock: Clock, node: NodeNumber) -> None:
        self._devices = devices
        self._clock = clock
        self._node = node
        self._queue: list[tuple[bytes, asyncio.Future[Attached | None]]] = []
        self._some = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many are not looked up yet."""
        return len(self._queue)

    def attach(self, name: bytes) -> "asyncio.Future[Attached | None]":
        """Look a device up and take it over; None for one that nobody knows.

        The future fails with `StoreUnavailableError` where nothing is known: the device must then
        come again, and must not be told that it is new.
        """
        future: asyncio.Future[Attached | None] = asyncio.get_running_loop().create_future()
        self._queue.append((name, future))
        self._some.set()
        return future

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._some.wait()
            await self._clock.sleep(EVERY_S)
            group = self._queue[:AT_ONCE]
            del self._queue[:AT_ONCE]
            if not self._queue:
                self._some.clear()
            names = list({name for name, future in group if not future.done()})
            try:
                found = await self._devices.attach(names, self._node, self._clock.now())
            except StoreUnavailableError as error:
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                continue
            for name, future in group:
                if not future.done():
                    future.set_result(found.get(name))
