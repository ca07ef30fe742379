"""The push service as the platform starts it: a role of its own, on its own port."""

import asyncio
from contextlib import closing
from pathlib import Path
from socket import socket

import httpx
import pytest
from tests.e2e.platform_processes import platform_processes
from tests.e2e.push_world import Browser, open_socket


@pytest.mark.timeout(240)
async def test_platform_serves_pushes_on_its_own_port(short_dir: Path) -> None:
    """A browser subscribes with `clarion serve`, and a push reaches it."""
    with closing(socket()) as free, closing(socket()) as other:
        free.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, api = free.getsockname()[1], other.getsockname()[1]
    environment = {
        "CLARION_DATA_DIR": str(short_dir / "data"),
        "CLARION_SERVER_PORT": str(api),
        "CLARION_PUSH_PORT": str(port),
        "CLARION_WORKERS_SENDERS": "1",
    }
    async with platform_processes(short_dir, environment), httpx.AsyncClient() as client:
        async with asyncio.timeout(60):
            for url in (f"http://127.0.0.1:{port}/health", f"http://127.0.0.1:{api}/readyz"):
                while not await _answers(client, url):  # noqa: ASYNC110  another process
                    await asyncio.sleep(0.05)
        ready = await client.get(f"http://127.0.0.1:{api}/readyz")
        assert ready.json()["parts"]["push"] is True
        browser = Browser(await open_socket(port, "/", "push-notification"))
        browser.say({"messageType": "hello", "use_webpush": True})
        await browser.hear()
        endpoint = await browser.register()
        assert endpoint.startswith(f"http://127.0.0.1:{port}/wpush/v1/")
        pushing = asyncio.create_task(client.post(endpoint, headers={"TTL": "60"}))
        browser.ack(await browser.hear())
        assert (await pushing).status_code == 201
        await browser.line.end()


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False
