"""A whole platform on a real database, and what the browser tests look at in it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from playwright.async_api import Page
from tests.conftest import database_named
from tests.e2e.browser_world import key_of
from tests.e2e.patience import PATIENCE_S
from tests.e2e.platform_processes import Processes, platform_processes, wait_until_ready
from tests.e2e.ports import free_port

VOUCHED = "vouched"
"""The name of an app whose server vouches for people."""
VOUCHING = "what that app's server signs with"
CONFIG = f"""[identity]
secrets = {{ {VOUCHED} = "{VOUCHING}" }}
"""

START = """async ([url, key, vapid, more]) => {
  window.heard = [];
  window.clarion = await Clarion.init({ api: url, key, vapid, ...more });
  for (const name of ["push", "click", "state"])
    clarion.on(name, (event) => heard.push([name, event]));
}"""


@dataclass(kw_only=True)
class Platform:
    """A running platform, its keys, and a look into its database."""

    url: str
    push: str
    """Origin of its push service."""
    keys: Mapping[str, str]
    vapid: str
    database: asyncpg.Connection
    processes: Processes

    async def events(self, message: str | None = None) -> list[tuple[str, str | None]]:
        """Names and actions of the recorded events about a message, or about none."""
        rows = await self.database.fetch(
            "select name, properties::text as more from event "
            "where message_id is not distinct from $1::uuid order by at, name",
            message,
        )
        found = []
        for row in rows:
            properties = json.loads(row["more"] or "{}")
            found.append((row["name"].removeprefix("clarion."), properties.get("action")))
        return found

    async def until(self, message: str | None, *wanted: str) -> list[tuple[str, str | None]]:
        """The same, once they have all these names."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.events(message)
                if {name for name, _ in found} >= set(wanted):
                    return found
                await asyncio.sleep(0.05)

    async def devices(self) -> list[asyncpg.Record]:
        """Living browsers with their people, oldest first; without the addresses of inboxes."""
        found: list[asyncpg.Record] = await self.database.fetch(
            "select d.token, p.external_id, d.permission, d.attributes::text as tags "
            "from device d join users p on p.id = d.user_id "
            "where d.model is distinct from 'inbox' order by d.id"
        )
        return found

    async def known(self) -> None:
        """Wait until the platform has the browser."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await self.devices():
                    return
                await asyncio.sleep(0.05)

    async def start(self, page: Page, **more: object) -> None:
        """Start the SDK in a page."""
        await page.evaluate(START, [self.url, self.keys["device"], self.vapid, more])

    @asynccontextmanager
    async def client(self, key: str = "admin") -> AsyncIterator[httpx.AsyncClient]:
        """The API with one of the keys."""
        headers = {"authorization": f"Bearer {self.keys[key]}"}
        async with httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=PATIENCE_S
        ) as http:
            yield http

    async def send(self, who: str, **content: object) -> str:
        """A message to a person's browsers, through the whole line; its id."""
        async with self.client() as http:
            said = {"to": {"users": [who], "networks": ["webpush"]}, **content}
            answer = await http.post("/v1/messages", json=said)
            assert answer.status_code in {200, 201, 202}, answer.text
            return str(answer.json()["id"])

    async def funnel(self) -> Mapping[tuple[str, str], int]:
        """(text, step of asking) -> how often."""
        async with self.client() as http:
            found: Any = (await http.get("/v1/prompts")).json()
        return {(one["version"], one["what"]): one["times"] for one in found["versions"]}

    async def counted(self, table: str, wanted: int) -> None:
        """Wait until a table has so many rows."""
        found = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while found != wanted:
                    found = await self.database.fetchval(f"select count(*) from {table}")  # noqa: S608
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{table} has {found} rows, not {wanted}") from None

    async def emptied(self) -> None:
        """What earlier tests left is gone."""
        tables = ["event", "prompt_event", "device", "push_message", "push_subscription"]
        while tables:
            try:
                await self.database.execute(f"delete from {tables[0]}")  # noqa: S608  named above
            except asyncpg.DeadlockDetectedError:  # with what a browser that left still asked for
                continue
            del tables[0]


@asynccontextmanager
async def web_platform(
    server_dsn: str, template: str, name: str, folder: Path
) -> AsyncIterator[Platform]:
    """A platform on a database of its own, copied from the template."""
    dsn = database_named(server_dsn, name)
    owner = await asyncpg.connect(server_dsn)
    await owner.execute(f"drop database if exists {name} with (force)")
    await owner.execute(f"create database {name} template {template} strategy file_copy")
    url, push = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    config = folder / "clarion.toml"
    config.write_text(CONFIG)
    config.chmod(0o600)
    environment = {
        "CLARION_CONFIG": str(config),
        "CLARION_DATA_DIR": str(folder / "data"),
        "CLARION_DATABASE_URL": dsn,
        "CLARION_SERVER_PORT": url.rpartition(":")[2],
        "CLARION_PUSH_PORT": push.rpartition(":")[2],
        "CLARION_WORKERS_SENDERS": "1",
    }
    async with platform_processes(folder, environment) as processes:
        await asyncio.to_thread(wait_until_ready, url)
        headers = {"authorization": f"Bearer {processes.key}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_S) as http:
            made = await http.post(
                "/v1/credentials/webpush:generate", json={"subject": "mailto:a@example.com"}
            )
            keys = {"admin": processes.key, "device": await key_of(http, "device")}
        vapid = made.json()["public"]["public_key"]
        database = await asyncpg.connect(dsn)
        yield Platform(
            url=url, push=push, keys=keys, vapid=vapid, database=database, processes=processes
        )
        await database.close()
    await owner.execute(f"drop database {name} with (force)")
    await owner.close()
