"""A store that hangs: whoever asks is told soon, and nothing is said to be done."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest
from tests.api.conftest import World
from tests.api.test_edge import refused

from clarion.adapters.state.pool import connect
from clarion.api import ApiLimits, create_app


@asynccontextmanager
async def hanging(url: str) -> AsyncIterator[None]:
    """Every process of the server that somebody is connected to hangs."""
    own = await connect(url)
    rows = await own.fetch(
        """select pid from pg_stat_activity where datname = current_database()
           and backend_type = 'client backend' and pid <> pg_backend_pid()"""
    )
    for row in rows:
        os.kill(row["pid"], signal.SIGSTOP)
    try:
        yield
    finally:
        for row in rows:
            os.kill(row["pid"], signal.SIGCONT)
        await own.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/users/ann", None),
        ("PUT", "/v1/users/ann", {}),
        ("POST", "/v1/messages", {"to": {"all": True}, "title": "Hi"}),
        ("POST", "/v1/events", {"events": [{"external_id": "ann", "name": "buy"}]}),
    ],
)
async def test_a_request_of_a_store_that_hangs_is_answered(
    world: World, database_url: str, method: str, path: str, body: object
) -> None:
    """503 with the time to try again, long before the connection itself gives up; then it works."""
    app = create_app(replace(world.deps, limits=ApiLimits(store_silence_s=150)))
    transport = httpx.ASGITransport(app=cast("Any", app))
    headers = {"authorization": f"Bearer {world.keys['admin']}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://clarion.test", headers=headers
    ) as client:
        assert (await client.get("/v1/app")).status_code == httpx.codes.OK  # the key is known
        patience = app._api.patience
        patience.silence_s = 0.2
        async with hanging(database_url):
            answer = await client.request(method, path, json=body)
        refused(answer, "store_unavailable")
        assert answer.headers["retry-after"] == "1"
        patience.silence_s = 150
        again = await client.request(method, path, json=body)
        assert again.status_code in {
            httpx.codes.OK, httpx.codes.CREATED, httpx.codes.ACCEPTED, httpx.codes.NOT_FOUND
        }  # fmt: skip
