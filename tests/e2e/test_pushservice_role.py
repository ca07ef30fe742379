"""The push service as the platform starts it: a role of its own, on its own port."""

import asyncio
from pathlib import Path

import httpx
import pytest
from tests.e2e.patience import PATIENCE_S
from tests.e2e.platform_processes import platform_processes
from tests.e2e.ports import free_port
from tests.e2e.push_world import Browser, open_socket


@pytest.mark.timeout(600)
async def test_platform_serves_pushes_on_its_own_port(short_dir: Path) -> None:
    """A browser subscribes with `clarion serve`, and a push reaches it."""
    port, api = free_port(), free_port()
    environment = {
        "CLARION_DATA_DIR": str(short_dir / "data"),
        "CLARION_SERVER_PORT": str(api),
        "CLARION_PUSH_PORT": str(port),
        "CLARION_WORKERS_SENDERS": "1",
    }
    async with (
        platform_processes(short_dir, environment),
        httpx.AsyncClient(timeout=PATIENCE_S) as client,
    ):
        await _answer(client, f"http://127.0.0.1:{port}/health")
        ready = await _answer(client, f"http://127.0.0.1:{api}/readyz")
        assert ready.json()["parts"]["push"] is True
        browser = Browser(await open_socket(port, "/", "push-notification"))
        browser.say({"messageType": "hello", "use_webpush": True})
        await browser.hear()
        endpoint = await browser.register()
        assert endpoint.startswith(f"http://127.0.0.1:{port}/wpush/v1/")
        pushing = asyncio.create_task(client.post(endpoint, headers={"TTL": "86400"}))
        browser.ack(await browser.hear())
        assert (await pushing).status_code == 201
        await browser.line.end()


async def _answer(client: httpx.AsyncClient, url: str) -> httpx.Response:
    """The first answer that all is well."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                answer = await client.get(url)
            except httpx.TransportError:  # it does not listen yet
                answer = None
            if answer is not None and answer.status_code == 200:
                return answer
            await asyncio.sleep(0.05)
