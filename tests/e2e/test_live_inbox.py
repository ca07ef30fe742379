"""The inbox in stock Chromium and stock Firefox, fed by the platform's own push service.

Nothing stands in for anything: the platform plans and encrypts, its push service stores and
streams, the element decrypts. No permission is given, because none is needed.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import Page, Playwright
from tests.e2e.browser_world import Browser, browser, needs_browser
from tests.e2e.desktop import desktop
from tests.e2e.firefox import Firefox, firefox, profile_like, program
from tests.e2e.patience import PATIENCE_S
from tests.e2e.web_platform import Platform

pytestmark = [
    needs_browser,
    pytest.mark.skipif(
        program() is None, reason="NOT RUN: Firefox is missing: apt-get install firefox-esr"
    ),
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]
REFUSED = 2

START = """
  const [api, key, vapid] = args;
  window.clarion ??= await Clarion.init({ api, key, vapid });
"""
SEEN = """
  const inbox = document.querySelector("clarion-inbox");
  const all = (part) =>
    [...inbox.shadowRoot.querySelectorAll(`[part~=${part}]`)].map((one) => one.textContent);
  return { unread: inbox.unread, titles: all("heading"), bodies: all("body") };
"""


class Tab(Protocol):
    """A page of the sample site, in any browser."""

    async def run(self, script: str, *args: object) -> Any:  # noqa: ANN401  JSON of any shape
        """Run the body of an async function of `args` in it; what it returns."""
        ...

    async def close(self) -> None:
        """Close it."""
        ...


class Program(Protocol):
    """A browser."""

    async def open(self) -> Tab:
        """A new tab on the sample site."""
        ...

    async def offline(self, *, away: bool) -> None:
        """The network goes, or comes back."""
        ...


FULL_ONCE = """
const { put } = IDBObjectStore.prototype;
IDBObjectStore.prototype.put = function (...said) {
  if (said[0].title === "Two") {
    IDBObjectStore.prototype.put = put;
    throw new DOMException("The disk is full.", "QuotaExceededError");
  }
  return put.apply(this, said);
};
"""


@dataclass
class ChromiumTab:
    """A tab of Chromium."""

    page: Page

    async def run(self, script: str, *args: object) -> Any:  # noqa: ANN401  JSON of any shape
        """See `Tab`."""
        return await self.page.evaluate(f"async (args) => {{ {script} }}", list(args))

    async def close(self) -> None:
        """See `Tab`."""
        await self.page.close()


@dataclass
class Chromium:
    """Stock Chromium."""

    browser: Browser

    async def open(self) -> Tab:
        """See `Program`."""
        return ChromiumTab(await self.browser.open("/try"))

    async def offline(self, *, away: bool) -> None:
        """See `Program`."""
        await self.browser.context.set_offline(away)


@dataclass
class FirefoxTab:
    """A tab of Firefox."""

    browser: Firefox
    handle: str

    async def run(self, script: str, *args: object) -> Any:  # noqa: ANN401  JSON of any shape
        """See `Tab`."""
        await self.browser.look(self.handle)
        return await self.browser.run(script, *args)

    async def close(self) -> None:
        """See `Tab`."""
        await self.browser.look(self.handle)
        left = await self.browser.command("WebDriver:CloseWindow")
        await self.browser.look(left[0] if isinstance(left, list) else left["value"][0])


@dataclass
class StockFirefox:
    """Stock Firefox ESR."""

    browser: Firefox
    url: str

    async def open(self) -> Tab:
        """See `Program`."""
        return FirefoxTab(self.browser, await self.browser.open(f"{self.url}/try"))

    async def offline(self, *, away: bool) -> None:
        """See `Program`."""
        await self.browser.chrome(f"Services.io.offline = {'true' if away else 'false'}")


@dataclass(kw_only=True)
class Scene:
    """A platform, a browser, and the tabs that are open."""

    platform: Platform
    program: Program
    tabs: list[Tab] = field(default_factory=list)

    async def open(self) -> Tab:
        """A tab in which the SDK runs."""
        tab = await self.program.open()
        platform = self.platform
        await tab.run(START, platform.url, platform.keys["device"], platform.vapid)
        self.tabs.append(tab)
        return tab

    async def login(self, tab: Tab, who: str) -> None:
        """Somebody logs in, and the platform knows the browser's seat."""
        await tab.run("await clarion.login(args[0]);", who)
        theirs = f"device join users on users.id = user_id and external_id = '{who}'"
        await self.platform.counted(theirs, 1)

    async def until(self, tab: Tab, titles: Sequence[str], unread: int) -> None:
        """Wait until a tab's inbox shows these titles, newest first, and so many unread."""
        seen: Any = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    seen = await tab.run(SEEN)
                    if (seen["titles"], seen["unread"]) == (list(titles), unread):
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"the inbox shows {seen}, not {titles} and {unread} unread")

    async def confirmed(self) -> None:
        """Wait until the push service holds nothing any more: everything was acknowledged."""
        await self.platform.counted("push_message", 0)


@asynccontextmanager
async def stock_chromium(driver: Playwright, url: str) -> AsyncIterator[Program]:
    """Chromium that nobody allowed anything."""
    async with browser(driver, url, allowed=False) as opened:
        yield Chromium(opened)


@asynccontextmanager
async def stock_firefox(template: Path, url: str) -> AsyncIterator[Program]:
    """Firefox that refuses every site's notifications."""
    with profile_like(template) as profile:
        async with (
            desktop() as screen,
            firefox(profile, "ws://127.0.0.1:9/", screen.address, permission=REFUSED) as opened,
        ):
            yield StockFirefox(opened, url)


@pytest_asyncio.fixture(loop_scope="module", params=["chromium", "firefox"])
async def scene(
    platform: Platform,
    driver: Playwright,
    firefox_profile: Path,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Scene]:
    """A new profile; what earlier tests left in the database is gone."""
    opening = (
        stock_chromium(driver, platform.url)
        if request.param == "chromium"
        else stock_firefox(firefox_profile, platform.url)
    )
    async with opening as program:
        await platform.emptied()
        yield Scene(platform=platform, program=program)


async def test_what_is_sent_to_a_person_is_there_at_once_in_every_tab(scene: Scene) -> None:
    """Decrypted, as text, with its count; read in one tab is read in all."""
    first, second = await scene.open(), await scene.open()
    await scene.login(first, "ada")
    await scene.platform.send("ada", title="Parcel", body="It is <b>here</b>")
    for tab in (first, second):
        await scene.until(tab, ["Parcel"], 1)
    assert (await second.run(SEEN))["bodies"] == ["It is <b>here</b>"]
    await second.run('await document.querySelector("clarion-inbox").markRead();')
    for tab in (first, second):
        await scene.until(tab, ["Parcel"], 0)
    await scene.confirmed()


async def test_what_came_while_no_page_was_open_is_shown_by_the_next_one(scene: Scene) -> None:
    """It waited at the push service, in its order, and comes once."""
    tab = await scene.open()
    await scene.login(tab, "ada")
    await scene.platform.send("ada", title="Before")
    await scene.until(tab, ["Before"], 1)
    await tab.run('await document.querySelector("clarion-inbox").markRead();')
    await scene.confirmed()
    await tab.close()
    for number in range(3):
        await scene.platform.send("ada", title=f"Missed {number}")
    await scene.platform.counted("push_message", 3)
    again = await scene.open()
    titles = ["Missed 2", "Missed 1", "Missed 0", "Before"]
    await scene.until(again, titles, 3)
    await scene.confirmed()


async def test_the_next_tab_goes_on_where_the_reading_one_was_closed(scene: Scene) -> None:
    """One tab reads for all; nothing is lost when it goes, and nothing shown twice."""
    tabs = [await scene.open() for _ in range(3)]
    await scene.login(tabs[0], "ada")
    await scene.platform.send("ada", title="One")
    for tab in tabs:
        await scene.until(tab, ["One"], 1)
    await tabs[0].close()
    await scene.platform.send("ada", title="Two")
    for tab in tabs[1:]:
        await scene.until(tab, ["Two", "One"], 2)
    await tabs[1].close()
    await scene.platform.send("ada", title="Three")
    await scene.until(tabs[2], ["Three", "Two", "One"], 3)
    await scene.confirmed()


async def test_a_gap_of_the_network_and_a_killed_push_service_lose_nothing(scene: Scene) -> None:
    """The stream resumes by its cursor."""
    tabs = [await scene.open() for _ in range(2)]
    await scene.login(tabs[0], "ada")
    await scene.platform.send("ada", title="One")
    for tab in tabs:
        await scene.until(tab, ["One"], 1)
    await scene.program.offline(away=True)
    await scene.platform.send("ada", title="Two")
    await scene.program.offline(away=False)
    for tab in tabs:
        await scene.until(tab, ["Two", "One"], 2)
    await scene.platform.processes.kill("push", 0.0, after_s=0.0)
    await scene.platform.send("ada", title="Three")
    for tab in tabs:
        await scene.until(tab, ["Three", "Two", "One"], 3)
    await scene.confirmed()


async def test_what_could_not_be_stored_once_comes_again_and_what_follows_too(
    scene: Scene,
) -> None:
    """A full disk for a moment is no end of the stream."""
    tab = await scene.open()
    await scene.login(tab, "ada")
    await scene.platform.send("ada", title="One")
    await scene.until(tab, ["One"], 1)
    await tab.run(FULL_ONCE)
    for title in ("Two", "Three"):
        await scene.platform.send("ada", title=title)
    await scene.until(tab, ["Three", "Two", "One"], 3)
    await scene.confirmed()


async def test_nobody_sees_what_was_sent_to_the_one_before(scene: Scene) -> None:
    """With the person the seat ends, and what waited there."""
    tab = await scene.open()
    await scene.login(tab, "ada")
    await scene.platform.send("ada", title="For Ada")
    await scene.until(tab, ["For Ada"], 1)
    await tab.run("await clarion.logout();")
    await scene.until(tab, [], 0)
    await scene.login(tab, "ben")
    await scene.platform.send("ben", title="For Ben")
    await scene.until(tab, ["For Ben"], 1)
    await scene.platform.counted("push_subscription", 1)
    await scene.platform.counted("device", 1)
