"""Stock Firefox uses our push service: subscribe, receive, show, click, dismiss, leave."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.e2e.desktop import Desktop, desktop
from tests.e2e.desktop import missing as desktop_missing
from tests.e2e.firefox import Firefox, firefox, program
from tests.e2e.patience import PATIENCE_S
from tests.e2e.push_world import World, push_world
from tests.e2e.receipt_world import receipt_world
from tests.providers.webpush.local_service import make_credential, make_message, recipients_of

from clarion.adapters.net.transport import NetTransport, TransportSettings
from clarion.adapters.system import SystemChance, SystemClock
from clarion.domain.content import Content
from clarion.ports.provider import SendRequest
from clarion.providers.webpush.client import WebPushProvider, WebPushSettings
from clarion.wire.endpoint import AllowList
from clarion.wire.webpush import SubscriptionKeys

MISSING = "Firefox" if program() is None else desktop_missing()
pytestmark = [
    pytest.mark.skipif(
        MISSING is not None,
        reason=f"NOT RUN: {MISSING} is missing: apt-get install firefox-esr libnotify4 dbus-daemon",
    ),
    pytest.mark.timeout(600),
]

PAGE = b"<!doctype html><meta charset=utf-8><title>shop</title><p>shop</p>"
WORKER = b"""
const report = (what, more) =>
  fetch('/report', {method: 'POST', body: JSON.stringify({what, ...more}), keepalive: true});
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));
self.addEventListener('push', event => event.waitUntil((async () => {
  const data = event.data ? event.data.json().notification : {title: 'empty'};
  await self.registration.showNotification(data.title, {
    body: data.body, tag: data.title,
    actions: [{action: 'later', title: 'Later'}],
  });
  await report('push', {title: data.title});
})()));
self.addEventListener('notificationclick', event => event.waitUntil(
  report('click', {title: event.notification.title, action: event.action})));
self.addEventListener('notificationclose', event => event.waitUntil(
  report('close', {title: event.notification.title})));
"""
SUBSCRIBE = """
const registration = await navigator.serviceWorker.register('/sw.js');
await navigator.serviceWorker.ready;
await new Promise(go => setTimeout(go, 1000));
const subscription = await Promise.race([
  registration.pushManager.subscribe({userVisibleOnly: true, applicationServerKey: args[0]}),
  new Promise(go => setTimeout(go, 40000, null)),
]);
return subscription && subscription.toJSON();
"""


async def subscribed(browser: Firefox, page: str, key: str) -> Mapping[str, Any]:
    """A page's new subscription, as its site is told.

    Firefox leaves a page that subscribes as soon as it can without an answer, for good: such a page
    is opened anew.
    """
    for _ in range(5):
        await browser.command("WebDriver:Navigate", url=page)
        made: Mapping[str, Any] | None = await browser.run(SUBSCRIBE, key)
        if made is not None:
            return made
    pytest.fail("Firefox does not subscribe")


@dataclass
class Site:
    """A site with a page, a worker, and a place to report to."""

    port: int = 0
    reports: list[Mapping[str, Any]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def page(self) -> str:
        """The address of its page."""
        return f"http://127.0.0.1:{self.port}/"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = head.split(" ")[1]
        length = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        body = await reader.readexactly(int(length[0].split(":")[1])) if length else b""
        if target == "/report":
            self.reports.append(orjson.loads(body))
            self._news.set()
        kind = "text/javascript" if target == "/sw.js" else "text/html"
        said = WORKER if target == "/sw.js" else PAGE
        lead = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(said)}\r\n"
        writer.write(lead.encode() + b"Cache-Control: no-store\r\nConnection: close\r\n\r\n" + said)
        writer.close()

    async def told(self, **what: str) -> None:
        """Wait for a report."""
        async with asyncio.timeout(PATIENCE_S):
            while not any(what.items() <= one.items() for one in self.reports):
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def serving() -> AsyncIterator[Site]:
    """The site, on loopback."""
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    async with server:
        yield site


@asynccontextmanager
async def sending() -> AsyncIterator[WebPushProvider]:
    """Our own Web Push provider, which may reach loopback."""
    clock, chance = SystemClock(), SystemChance()
    allow = AllowList.parse(["127.0.0.1"])
    transport = NetTransport(
        TransportSettings(allow=allow, connect_s=60, request_s=60), clock, chance
    )
    provider = WebPushProvider(transport, clock, chance, WebPushSettings(allow=allow))
    try:
        yield provider
    finally:
        await provider.close()
        await transport.close()


@dataclass
class Stage:
    """Everything that the story needs."""

    world: World
    site: Site
    desktop: Desktop
    provider: WebPushProvider
    profile: Path

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Firefox]:
        """Firefox on the profile, on the site's page."""
        url = f"ws://127.0.0.1:{self.world.port}/"
        async with firefox(self.profile, url, self.desktop.address) as browser:
            await browser.command("WebDriver:Navigate", url=self.site.page)
            yield browser

    async def stored(self, table: str, wanted: int) -> None:
        """Wait until a table of the push service has so many rows."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.world.pool.fetchval(f"select count(*) from {table}") != wanted:  # noqa: ASYNC110, S608  the store tells nobody; named below
                await asyncio.sleep(0.02)

    async def send(self, subscription: Mapping[str, Any], title: str) -> int:
        """Send with our own provider, as the platform does; the status it was answered."""
        keys = SubscriptionKeys.parse(**subscription["keys"])
        answers = await self.provider.send(
            SendRequest(
                credential=make_credential(
                    public={"public_key": self.world.key.public, "subject": "mailto:a@example.com"},
                    secret={"private_key": self.world.key.to_pem()},
                ),
                messages=[make_message(content=Content(title=title, body="text"))],
                recipients=recipients_of([subscription["endpoint"]], [keys.p256dh + keys.auth]),
                urgent=True,
                now=datetime.now(UTC),
            )
        )
        return int(answers.status[0])


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    """A push service, a site, a desktop and an empty profile."""
    profile = Path(tempfile.mkdtemp(prefix="clarion-firefox-"))
    try:
        async with (
            push_world(database_url) as world,
            serving() as site,
            desktop() as screen,
            sending() as provider,
        ):
            yield Stage(world, site, screen, provider, profile)
    finally:
        shutil.rmtree(profile, ignore_errors=True)


async def test_firefox_lives_with_our_push_service(stage: Stage) -> None:
    """Subscribe, receive, show, click, press a button, dismiss; wait while closed; leave."""
    async with stage.browser() as browser:
        subscription = await subscribed(browser, stage.site.page, stage.world.key.public)
        assert subscription["endpoint"].startswith(f"{stage.world.origin}/wpush/v2/")
        assert await stage.send(subscription, "one") == 201
        shown = await stage.desktop.next("one")
        await stage.site.told(what="push", title="one")
        stage.desktop.press(shown)
        await stage.site.told(what="click", title="one", action="")
        assert await stage.send(subscription, "two") == 201
        stage.desktop.press(await stage.desktop.next("two"), "Later")
        await stage.site.told(what="click", title="two", action="later")
        assert await stage.send(subscription, "three") == 201
        stage.desktop.dismiss(await stage.desktop.next("three"))
        await stage.site.told(what="close", title="three")
        await stage.stored("push_message", 0)  # the browser has acknowledged all of them
    assert await stage.send(subscription, "while closed") == 201
    assert await stage.world.count() == 1
    asked = await stage.world.push(
        subscription["endpoint"],
        Prefer="respond-async",
        Authorization=stage.world.authorization(subscription["endpoint"]),
    )
    assert asked.status_code == 202
    async with stage.browser() as browser:
        await stage.desktop.next("while closed")
        await stage.site.told(what="push", title="empty")
        receipts = asked.headers["link"].partition(">")[0].removeprefix("<")
        await stage.stored("push_message", 0)
        page = await stage.world.client.get(receipts, headers={"Prefer": "wait=60"})
        (receipt,) = page.json()["receipts"]
        assert receipt["message"] == asked.headers["location"]
        assert receipt["status"] == 204
        gone = await browser.run(
            "const r = await navigator.serviceWorker.ready;"
            "return (await r.pushManager.getSubscription()).unsubscribe();"
        )
        assert gone is True
        await stage.stored("push_subscription", 0)  # Firefox tells the service after its page
        assert await stage.send(subscription, "after") == 410


async def test_what_firefox_acknowledges_is_a_fact(short_dir: Path, database_url: str) -> None:
    """Its receipt is what the trace of its person tells, and what a segment goes by."""
    async with (
        receipt_world(short_dir, database_url) as platform,
        serving() as site,
        desktop() as screen,
        firefox(
            short_dir / "profile", f"ws://127.0.0.1:{platform.push_port}/", screen.address
        ) as browser,
    ):
        made = await subscribed(browser, site.page, platform.vapid)
        device = await platform.register("ada", made["endpoint"], made["keys"])
        message = await platform.send("ada")
        await screen.next("Parcel")
        await site.told(what="push", title="Parcel")
        assert await platform.told(message, "ada") == [(device, "received")]
        await platform.received_by(message, 1)
