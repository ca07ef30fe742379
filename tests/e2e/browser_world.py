"""Stock Chromium before a running platform, with a desk that sees its notifications."""

import asyncio
import base64
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.async_api import BrowserContext, CDPSession, Page, Playwright, Worker
from tests.e2e.notification_desk import Desk, desk
from tests.e2e.patience import PATIENCE_S, START_S

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]

needs_browser = pytest.mark.skipif(
    not Path(CHROMIUM).exists()
    or shutil.which("dbus-daemon") is None
    or find_spec("dbus_fast") is None,
    reason="BROWSER TESTS NOT RUN: they need the Debian packages chromium and dbus-daemon, and "
    "the Python package dbus-fast",
)

PUSH_SERVICE = """
(() => {
  // A push service stands in for Google's, which only Chromium with the internet reaches: what it
  // gives is an address and two keys; pushes come over DevTools.
  const made = SUBSCRIPTION;
  const name = "stand-in-subscription";
  const held = () => JSON.parse(localStorage.getItem(name) ?? "null");
  const shape = (kept) => kept && {
    endpoint: kept.endpoint,
    options: { applicationServerKey: Uint8Array.from(kept.key).buffer, userVisibleOnly: true },
    toJSON: () => ({ endpoint: kept.endpoint, keys: made.keys }),
    unsubscribe: async () => { localStorage.removeItem(name); return true; },
  };
  PushManager.prototype.getSubscription = async () => shape(held());
  PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
    if (!userVisibleOnly) throw new DOMException("userVisibleOnly", "NotAllowedError");
    if (Notification.permission !== "granted") throw new DOMException("no", "NotAllowedError");
    const key = [...new Uint8Array(applicationServerKey)];
    const kept = { endpoint: made.endpoint + Math.random().toString(36).slice(2), key };
    localStorage.setItem(name, JSON.stringify(kept));
    return shape(kept);
  };
})();
"""


SLOW_PERSON = """
  // The SDK calls a question quiet that is not answered within eight seconds.
  const { setTimeout } = window;
  window.setTimeout = (work, ms, ...more) => setTimeout(work, ms === 8000 ? 600000 : ms, ...more);
"""
"""Whoever answers may take long: the hand of the tests does, on a busy machine."""


def new_subscription() -> Mapping[str, Any]:
    """An address and keys as a browser's push service makes them."""
    public = (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    )
    return {
        "endpoint": f"https://push.example.net/{secrets.token_hex(8)}/",
        "keys": {"p256dh": b64(public), "auth": b64(secrets.token_bytes(16))},
    }


def b64(octets: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


@dataclass(kw_only=True)
class Browser:
    """A browser profile with the platform's origin allowed to show notifications."""

    context: BrowserContext
    desk: Desk
    url: str
    cdp: CDPSession
    registrations: dict[str, str]
    """Scope -> DevTools' id of the registration."""

    async def open(self, path: str) -> Page:
        """A new tab at a path of the platform."""
        page = await self.context.new_page()
        await page.goto(f"{self.url}{path}")
        return page

    async def push(self, payload: Mapping[str, Any] | str) -> None:
        """A push arrives, decrypted: DevTools hands it to the worker."""
        scope = f"{self.url}/"
        async with asyncio.timeout(PATIENCE_S):
            while scope not in self.registrations:  # noqa: ASYNC110  # told by an event of DevTools
                await asyncio.sleep(0.02)
        text = payload if isinstance(payload, str) else json.dumps(payload)
        await self.cdp.send(
            "ServiceWorker.deliverPushMessage",
            {"origin": self.url, "registrationId": self.registrations[scope], "data": text},
        )

    async def worker(self) -> Worker:
        """The service worker while it runs."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.context.service_workers:  # noqa: ASYNC110  # it starts when it wants
                await asyncio.sleep(0.02)
        return self.context.service_workers[0]


@asynccontextmanager
async def browser(driver: Playwright, url: str, *, allowed: bool = True) -> AsyncIterator[Browser]:
    """Chromium with a new profile and a desk of its own."""
    folder = Path(tempfile.mkdtemp(prefix="clarion-web-"))
    script = PUSH_SERVICE.replace("SUBSCRIPTION", json.dumps(new_subscription()))
    try:
        async with desk(folder) as sitting:
            context = await driver.chromium.launch_persistent_context(
                folder / "profile",
                executable_path=CHROMIUM,
                args=FLAGS,
                env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": sitting.address},
                locale="en-GB",
                timeout=START_S * 1000,
            )
            context.set_default_timeout(PATIENCE_S * 1000)
            if allowed:
                await context.grant_permissions(["notifications"], origin=url)
            await context.add_init_script(script)
            yield await _browser(context, sitting, url)
            await context.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _browser(context: BrowserContext, sitting: Desk, url: str) -> Browser:
    cdp = await context.new_cdp_session(context.pages[0])
    registrations: dict[str, str] = {}

    def updated(said: Mapping[str, Any]) -> None:
        for one in said["registrations"]:
            registrations[one["scopeURL"]] = one["registrationId"]

    cdp.on("ServiceWorker.workerRegistrationUpdated", updated)
    # The domain tells of the origin that its page shows.
    await context.pages[0].goto(f"{url}/healthz")
    await cdp.send("ServiceWorker.enable")
    return Browser(context=context, desk=sitting, url=url, cdp=cdp, registrations=registrations)


async def key_of(http: httpx.AsyncClient, scope: str, app: int | None = None) -> str:
    """A new API key."""
    body = {"scope": scope, "name": "browser tests", **({} if app is None else {"app": app})}
    answer = await http.post("/v1/keys", json=body)
    answer.raise_for_status()
    return str(answer.json()["key"])
