"""Signed identities in stock Chromium: tokens run out, pages stay open, and nothing gets lost."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Error, Page, Playwright
from tests.e2e.browser_world import Browser, browser, key_of, needs_browser
from tests.e2e.web_platform import VOUCHED, VOUCHING, Platform

pytestmark = [
    needs_browser,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]
HOUR_S = 3600
START = """async ([api, key, vapid]) => {
  window.clarion = await Clarion.init({ api, key, vapid, onTokenExpired: (id) => sign(id) });
}"""
ANOTHER_KEY = """() => {
  const kept = JSON.parse(localStorage.getItem("stand-in-subscription"));
  kept.key[5] ^= 1;
  localStorage.setItem("stand-in-subscription", JSON.stringify(kept));
}"""
SUBSCRIPTION = 'JSON.parse(localStorage.getItem("stand-in-subscription")).endpoint'
RENEWED = """() => {
  const kept = JSON.parse(localStorage.getItem("stand-in-subscription"));
  kept.endpoint = "https://push.example.net/renewed";
  localStorage.setItem("stand-in-subscription", JSON.stringify(kept));
}"""
GIVEN_UP = """async () => {
  PushManager.prototype.getSubscription = async () => null;
  PushManager.prototype.subscribe = async () => ({
    endpoint: "https://push.example.net/renewed", toJSON: () => ({ keys: KEYS }),
  });
  const event = new ExtendableEvent("pushsubscriptionchange");
  await new Promise((done) => {
    event.waitUntil = (work) => work.then(done, done);
    self.dispatchEvent(event);
  });
}"""


def token(who: str, *, expires_in_s: float = HOUR_S) -> str:
    """What the app's server signs."""

    def part(value: object) -> str:
        return _base64(json.dumps(value).encode())

    claims = {"sub": who, "exp": int(time.time() + expires_in_s)}
    text = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    return f"{text}.{_base64(hmac.new(VOUCHING.encode(), text.encode(), hashlib.sha256).digest())}"


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


EXPIRED = token("ada", expires_in_s=-HOUR_S)


@dataclass(kw_only=True)
class Shop:
    """A tab of an app whose server vouches for people, and that server."""

    platform: Platform
    chromium: Browser
    page: Page
    key: str
    asked: list[str] = field(default_factory=list)
    """For whom the page's server was asked to sign."""
    signs: bool = True

    async def sign(self, who: str) -> str | None:
        """A token from the page's server, if it still knows the person."""
        self.asked.append(who)
        return token(who) if self.signs else None

    async def start(self) -> None:
        """Start the SDK, and wait until the browser is known."""
        await self.page.evaluate(START, [self.platform.url, self.key, self.platform.vapid])
        await self.page.wait_for_function("async () => (await clarion.state()).subscribed")
        await self.platform.known()

    async def login(self, given: str | None) -> None:
        """Ada logs in with a token."""
        await self.page.evaluate("(token) => clarion.login('ada', token)", given)

    async def device(self) -> tuple[str, str | None, Any]:
        """Address, person and tags of the one browser."""
        (found,) = await self.platform.devices()
        return found["token"], found["external_id"], json.loads(found["tags"])


@pytest_asyncio.fixture(loop_scope="module")
async def shop(platform: Platform, driver: Playwright) -> AsyncIterator[Shop]:
    """A new profile in the sample site, with a key of the app that vouches."""
    async with platform.client() as http:
        made = await http.post("/v1/apps", json={"name": VOUCHED})
        apps = (await http.get("/v1/apps")).json()["items"]
        assert made.status_code in {201, 409}, made.text
        (app,) = (one["id"] for one in apps if one["name"] == VOUCHED)
        key = await key_of(http, "device", app)
    async with browser(driver, platform.url) as opened:
        await platform.emptied()
        page = await opened.open("/try")
        made_shop = Shop(platform=platform, chromium=opened, page=page, key=key)
        await page.expose_function("sign", made_shop.sign)
        await made_shop.start()
        yield made_shop


async def test_a_token_that_has_run_out_is_asked_for_anew(shop: Shop) -> None:
    """At a login, at a change of the tags days later, and where the page has given none at all."""
    await shop.login(EXPIRED)
    assert (await shop.device())[1] == "ada"
    assert shop.asked == ["ada"]
    # What was refused before that, told late by the worker or an inbox, asks for nothing more.
    late = "(token) => new BroadcastChannel('clarion').postMessage({ token })"
    await shop.page.evaluate(late, EXPIRED)
    await shop.page.evaluate("clarion.state()")
    await shop.login(EXPIRED)
    await shop.page.evaluate("clarion.tag({ plan: 'pro' })")
    address, who, tags = await shop.device()
    assert (who, tags) == ("ada", {"plan": "pro"})
    assert shop.asked == ["ada", "ada"]
    await shop.login(None)
    await shop.page.evaluate("clarion.tag({ plan: 'free' })")
    assert await shop.device() == (address, "ada", {"plan": "free"})
    assert shop.asked == ["ada"] * 3


async def test_a_page_may_log_in_again_instead_of_answering(shop: Shop) -> None:
    """What `login` gives counts as the answer."""
    await shop.page.evaluate(
        "(token) => { window.sign = async (who) => { await clarion.login(who, token); }; }",
        token("ada"),
    )
    await shop.login(EXPIRED)
    assert (await shop.device())[1] == "ada"


async def test_a_page_that_gives_only_tokens_that_are_refused_is_asked_once(shop: Shop) -> None:
    """The refusal reaches whoever called, also where the page calls `login` again and again."""
    await shop.page.evaluate(
        "(token) => { window.sign = async (who) => { await clarion.login(who, token); }; }",
        token("ben"),
    )
    with pytest.raises(Error, match="identity token"):
        await shop.login(EXPIRED)
    assert (await shop.device())[1] is None


async def test_the_subscription_stays_until_the_new_one_can_be_registered(shop: Shop) -> None:
    """The key has changed and the token has run out: what works is given up for what works."""
    await shop.login(token("ada"))
    await shop.login(EXPIRED)
    before = await shop.device()
    shop.signs = False
    await shop.page.evaluate(ANOTHER_KEY)
    with pytest.raises(Error, match="identity token"):
        await shop.page.evaluate("clarion.ask()")
    assert await shop.page.evaluate(SUBSCRIPTION) == before[0]
    assert await shop.device() == before
    shop.signs = True
    await shop.page.evaluate("clarion.ask()")
    address, who, _ = await shop.device()
    assert (address, who) == (await shop.page.evaluate(SUBSCRIPTION), "ada")
    assert address != before[0]


async def test_the_worker_lets_a_page_ask_for_the_token_that_it_lacks(shop: Shop) -> None:
    """The push service has ended the subscription: the new one is registered by whoever can."""
    await shop.login(token("ada"))
    await shop.login(EXPIRED)
    keys = await shop.page.evaluate(
        "async () => (await (await navigator.serviceWorker.ready)"
        ".pushManager.getSubscription()).toJSON().keys"
    )
    await shop.page.evaluate(RENEWED)  # pages and worker of a browser have one subscription
    worker = await shop.chromium.worker()
    await worker.evaluate(GIVEN_UP.replace("KEYS", json.dumps(keys)))
    await shop.platform.counted("device where token like '%/renewed'", 1)
    assert (await shop.device())[1] == "ada"
    assert shop.asked == ["ada"]


async def test_the_inbox_lets_the_page_ask_for_the_token_that_it_lacks(shop: Shop) -> None:
    """Its own address is registered with the token of the same person."""
    await shop.page.evaluate("document.querySelector('clarion-inbox').remove()")
    await shop.login(token("ada"))
    await shop.login(EXPIRED)
    await shop.page.evaluate(
        "const inbox = document.createElement('clarion-inbox');"
        "inbox.setAttribute('live', ''); document.body.append(inbox);"
    )
    await shop.platform.counted("device where model = 'inbox'", 1)
    assert shop.asked == ["ada"]
