"""The networks' simulators in a thread, for tests that are synchronous or not."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from clarion.adapters.system import SystemClock
from clarion.app.simulate import Listen, RunningSimulator, Watched, simulating
from clarion.ports.simulator import Simulator
from clarion.providers.apns.simulator import ApnsFaults, ApnsSimulator
from clarion.providers.fcm.simulator import FcmFaults, FcmSimulator
from clarion.providers.webpush.simulator import Subscription, WebPushFaults, WebPushSimulator

START_S: Final = 30.0
RECORDED_ENDPOINTS: Final = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """A simulated network that can be reached over TLS."""

    url: str
    ca_file: Path
    """The authority to trust (`egress.ca_file`)."""
    settings: Mapping[str, str]
    """Variables that make a platform use it."""
    accepted: Callable[[], Mapping[str, int]]
    """Token, or path of an endpoint -> how many messages it accepted."""
    subscribe: Callable[[int], Sequence[Subscription]] = field(default=lambda _: ())
    """Web Push only: the next so many subscriptions."""


@contextmanager
def simulate_apns(faults: ApnsFaults | None = None, *, port: int = 0) -> Iterator[Network]:
    """Apple's service until the block ends; takes every well-formed token and signature."""
    judge = ApnsSimulator(any_key=True, any_token=True, faults=faults, record=True)
    with _serving(judge, port) as running:
        record = judge.record
        yield Network(
            url=running.url,
            ca_file=_authority(running),
            settings=_trust(running)
            | {
                "CLARION_APNS_PRODUCTION_URL": running.url,
                "CLARION_APNS_SANDBOX_URL": running.url,
            },
            accepted=lambda: dict(record.deliveries) if record else {},
        )


@contextmanager
def simulate_fcm(faults: FcmFaults | None = None, *, port: int = 0) -> Iterator[Network]:
    """FCM and Google's token service until the block ends; takes every token and assertion."""
    judge = FcmSimulator(any_key=True, any_token=True, faults=faults, record=True)
    with _serving(judge, port) as running:
        record = judge.record
        yield Network(
            url=running.url,
            ca_file=_authority(running),
            settings=_trust(running)
            | {
                "CLARION_FCM_BASE_URL": running.url,
                "CLARION_FCM_TOKEN_URL": f"{running.url}/token",
            },
            accepted=lambda: dict(record.deliveries) if record else {},
        )


@contextmanager
def simulate_webpush(
    faults: WebPushFaults | None = None, *, port: int = 0, seed: int = 0
) -> Iterator[Network]:
    """A push service until the block ends; decrypts every message, and takes every VAPID key."""
    judge = WebPushSimulator(faults=faults, decrypt=True, record=RECORDED_ENDPOINTS, seed=seed)
    with _serving(judge, port) as running:
        record = judge.record
        yield Network(
            url=running.url,
            ca_file=_authority(running),
            settings=_trust(running) | {"CLARION_EGRESS_ALLOW_HOSTS": "127.0.0.1"},
            accepted=lambda: dict(record.accepted) if record else {},
            subscribe=lambda count: judge.subscribe(count, running.url),
        )


@contextmanager
def _serving(judge: Simulator, port: int) -> Iterator[RunningSimulator]:
    """Run the simulator's event loop in a thread of its own."""
    thread = _Thread(Watched(judge), Listen(port=port))
    thread.start()
    try:
        yield thread.wait()
    finally:
        thread.stop()


class _Thread:
    def __init__(self, judge: Watched, listen: Listen) -> None:
        self._thread = threading.Thread(target=self._run, name="clarion-simulator", daemon=True)
        self._judge, self._listen = judge, listen
        self._ready = threading.Event()
        self._running: RunningSimulator | None = None
        self._error: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001  (raised where the simulator was asked for)
            self._error = error
            self._ready.set()

    def wait(self) -> RunningSimulator:
        self._ready.wait(START_S)
        if self._running is None:
            raise RuntimeError("the simulator did not start") from self._error
        return self._running

    def stop(self) -> None:
        if self._loop is not None and self._running is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with simulating(self._judge, self._listen, SystemClock()) as running:
            self._running = running
            self._ready.set()
            await self._stop.wait()


def _authority(running: RunningSimulator) -> Path:
    if running.ca_file is None:
        raise RuntimeError("the simulator speaks no TLS")
    return running.ca_file


def _trust(running: RunningSimulator) -> dict[str, str]:
    return {"CLARION_EGRESS_CA_FILE": str(_authority(running))}
