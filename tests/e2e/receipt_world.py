"""A whole platform with its own push service, and hands to send with and to look."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.patience import PATIENCE_S
from tests.e2e.platform_processes import Processes, platform_processes
from tests.e2e.ports import free_port


@dataclass(kw_only=True)
class ReceiptWorld:
    """A running platform.

    Attributes:
        http: of an admin.
        vapid: the public key that subscriptions are made with.
        push_port: of the push service, on loopback.
    """

    processes: Processes
    http: httpx.AsyncClient
    vapid: str
    push_port: int

    async def register(self, person: str, endpoint: str, keys: Mapping[str, str]) -> int:
        """A subscription becomes a person's device; its number."""
        row = {"network": "webpush", "token": endpoint, "keys": keys, "external_id": person}
        return int((await self._post("/v1/devices", row))["id"])

    async def send(self, *people: str, **more: object) -> str:
        """A message's id, once every recipient has an outcome."""
        asked = {"to": {"users": people}, "title": "Parcel", "body": "Locker 12", **more}
        message = str((await self._post("/v1/messages", asked))["id"])
        async with asyncio.timeout(PATIENCE_S):
            while (await self._get(f"/v1/messages/{message}"))["state"] != "finished":  # noqa: ASYNC110  another process
                await asyncio.sleep(0.05)
        return message

    async def trace(self, message: str, person: str) -> dict[str, Any]:
        """One person's part."""
        return await self._get(f"/v1/messages/{message}/recipients/{person}")

    async def told(self, message: str, person: str) -> Sequence[tuple[int, str]]:
        """What came back from a person's devices, once something has: device and what."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = (await self.trace(message, person))["signals"]
                if found:
                    return [(one["device"], one["what"]) for one in found]
                await asyncio.sleep(0.05)

    async def received(self, message: str) -> int:
        """How many people a segment of those who received a message has."""
        segment = {"engagement": "received", "message": message}
        asked = await self._asked("POST", "/v1/segments/count", {"segment": segment})
        return int(asked["people"])

    async def received_by(self, message: str, people: int) -> None:
        """Wait until that segment has so many people."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.received(message) != people:  # noqa: ASYNC110  another process
                await asyncio.sleep(0.05)

    async def healthy(self) -> None:
        """Wait until the push service answers, and the API with all that it needs."""
        async with asyncio.timeout(PATIENCE_S):
            for url in (f"http://127.0.0.1:{self.push_port}/health", "/readyz"):
                while not await self._answers(url):  # noqa: ASYNC110  another process
                    await asyncio.sleep(0.05)

    async def _answers(self, url: str) -> bool:
        try:
            return (await self.http.get(url)).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False  # it does not listen yet

    async def _post(self, path: str, body: object) -> dict[str, Any]:
        answer = await self.http.post(path, json=body)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def _get(self, path: str) -> dict[str, Any]:
        return await self._asked("GET", path)

    async def _asked(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The answer to a question: 503 as long as the facts are too far behind to know it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self.http.request(method, path, json=body)
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    break
                await asyncio.sleep(0.05)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def receipt_world(folder: Path, database_url: str) -> AsyncIterator[ReceiptWorld]:
    """The platform as `clarion serve` starts it, on a database that is there."""
    api, push = free_port(), free_port()
    environment = {
        "CLARION_DATA_DIR": str(folder / "data"),
        "CLARION_DATABASE_URL": database_url,
        "CLARION_SERVER_PORT": str(api),
        "CLARION_PUSH_PORT": str(push),
        "CLARION_WORKERS_SENDERS": "1",
    }
    async with platform_processes(folder, environment) as processes:
        headers = {"authorization": f"Bearer {processes.key}"}
        url = f"http://127.0.0.1:{api}"
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_S) as http:
            made = await http.post(
                "/v1/credentials/webpush:generate", json={"subject": "mailto:a@example.com"}
            )
            vapid = made.json()["public"]["public_key"]
            world = ReceiptWorld(processes=processes, http=http, vapid=vapid, push_port=push)
            await world.healthy()
            yield world
