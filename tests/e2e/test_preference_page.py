"""The preference page in a real browser: Debian's Chromium, driven by Playwright."""

import asyncio
import json
import re
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.async_api import Browser, Page, async_playwright
from tests.api.conftest import World, world
from tests.e2e.patience import PATIENCE_S, START_S

from clarion.api import create_app
from clarion.api.pages.words import WORDS

__all__ = ["world"]

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="NO CHROMIUM: the preference page is not looked at in a browser here "
        "(apt-get install chromium)",
    ),
    pytest.mark.timeout(600),
]
OFFERS = {
    "slug": "offers",
    "kind": "marketing",
    "name": "Offers <b>&",
    "description": "What is cheap this week",
    "names": {
        "de": {"name": "Angebote", "description": "Diese Woche besonders preiswert"},
        "ar": {"name": "عروض", "description": "أرخص ما لدينا هذا الأسبوع"},
    },
}
NEWS = {"slug": "news", "kind": "marketing", "name": "News", "default_state": "double_opt_in"}


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A served page of one person, and a browser."""

    world: World
    browser: Browser
    address: str
    """Of the server."""
    path: str
    """Of the person's page."""

    async def page(self, **options: Any) -> Page:  # noqa: ANN401  Playwright's own options
        """The person's page in a new window."""
        context = await self.browser.new_context(**options)
        context.set_default_timeout(PATIENCE_S * 1000)
        page = await context.new_page()
        answer = await page.goto(self.address + self.path)
        assert answer is not None
        assert answer.status == 200
        return page

    async def preferences(self) -> dict[str, Any]:
        """What the API says of the person."""
        async with self.world.client() as client:
            answer: dict[str, Any] = (await client.get("/v1/users/ann/preferences")).json()
        return answer


@pytest.fixture
async def desk(world: World) -> AsyncIterator[Desk]:
    """Two more categories, a person, and her page."""
    async with world.client() as client:
        for category in (OFFERS, NEWS):
            assert (await client.post("/v1/categories", json=category)).status_code == 201
        await client.put("/v1/users/ann", json={})
        link = (await client.post("/v1/users/ann/preference-link", json={})).json()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(world.deps), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0.01)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu"],
            timeout=START_S * 1000,
        )
        port = listener.getsockname()[1]
        yield Desk(
            world=world,
            browser=browser,
            address=f"http://127.0.0.1:{port}",
            path=link["path"],
        )
        await browser.close()
    server.should_exit = True
    await serving
    listener.close()


async def pressed(page: Page, name: str) -> None:
    """Press a button of the form, and wait for the page that answers."""
    async with page.expect_navigation():
        await page.get_by_role("button", name=name).click()


async def test_choices_are_saved_without_script(desk: Desk) -> None:
    """Every control of the form works with JavaScript switched off, and a reload sends nothing."""
    page = await desk.page(java_script_enabled=False, locale="en-GB")
    await page.locator('input[name="c.offers"][value="weekly"]').check()
    await page.locator('input[name="q.mon.from"]').fill("22:00")
    await page.locator('input[name="q.mon.to"]').fill("07:00")
    await page.locator('input[name="q.sun.from"]').fill("00:00")
    await page.locator('input[name="q.sun.to"]').fill("00:00")
    await page.locator("#pause").fill("7")
    await pressed(page, "Save")
    assert await page.get_by_role("status").first.inner_text() == WORDS["en"].saved
    assert page.url.endswith("?saved=1&lang=en")
    known = await desk.preferences()
    by_slug = {each["slug"]: each for each in known["categories"]}
    assert by_slug["offers"]["frequency"] == "weekly"
    assert by_slug["marketing"]["frequency"] == "off"
    assert known["quiet_hours"] == [
        {"days": ["sun"], "from": "00:00", "to": "24:00"},
        {"days": ["mon"], "from": "22:00", "to": "07:00"},
    ]
    assert known["paused_until"] is not None
    assert await page.locator('input[name="q.mon.from"]').input_value() == "22:00"

    await page.locator('input[name="c.offers"][value="off"]').check()
    await page.locator('input[name="q.mon.from"]').fill("")
    await page.get_by_role("checkbox").check()
    await pressed(page, "Save")
    assert await page.get_by_role("alert").inner_text() == WORDS["en"].quiet_wrong
    await page.locator('input[name="c.offers"][value="off"]').check()
    await page.get_by_role("checkbox").check()
    await pressed(page, "Save")
    known = await desk.preferences()
    assert known["paused_until"] is None
    async with desk.world.client() as client:
        ledger = (await client.get("/v1/users/ann/consent")).json()["items"]
    assert [(line["category"], line["change"], line["how"]) for line in ledger] == [
        ("offers", "granted", "preference_page"),
        ("offers", "withdrawn", "preference_page"),
    ]
    assert ledger[0]["text"] == "Offers <b>&: What is cheap this week"
    assert ledger[0]["evidence"]["address"] == "127.0.0.0/24"


async def test_a_double_opt_in_is_confirmed_by_a_second_step(desk: Desk) -> None:
    """Until then it is not active."""
    page = await desk.page(java_script_enabled=False, locale="en-GB")
    await page.locator('input[name="c.news"][value="all"]').check()
    await pressed(page, "Save")
    assert {e["slug"]: e["frequency"] for e in (await desk.preferences())["categories"]}[
        "news"
    ] == "off"
    await pressed(page, WORDS["en"].confirm)
    assert {e["slug"]: e["frequency"] for e in (await desk.preferences())["categories"]}[
        "news"
    ] == "all"


async def test_everything_stops_with_one_click_and_comes_back(desk: Desk) -> None:
    """The page says so, and offers the way back."""
    page = await desk.page(java_script_enabled=False, locale="de-AT")
    await pressed(page, WORDS["de"].stop)
    assert (await desk.preferences())["opted_out"] is True
    await pressed(page, WORDS["de"].resume)
    assert (await desk.preferences())["opted_out"] is False


async def test_the_page_speaks_the_persons_language(desk: Desk) -> None:
    """Title, direction and names; choosing another language takes effect at once."""
    for language in sorted(WORDS):
        async with desk.world.client() as client:
            await client.put("/v1/users/ann", json={"language": None})
        page = await desk.page(java_script_enabled=False, locale=language)
        root = page.locator("html")
        assert await root.get_attribute("lang") == language
        assert await root.get_attribute("dir") == ("rtl" if language == "ar" else "ltr")
        assert await page.get_by_role("button", name=WORDS[language].save).is_visible()
        await page.locator("#language").select_option("es" if language != "es" else "fr")
        await pressed(page, WORDS[language].save)
        assert await root.get_attribute("lang") == ("es" if language != "es" else "fr")


AUDIT = """() => {
  const bad = [];
  for (const e of document.querySelectorAll('input:not([type=hidden]),select,button')) {
    const name = e.getAttribute('aria-label') || (e.labels && e.labels.length
      ? [...e.labels].map(l => l.innerText).join(' ') : e.innerText);
    if (!name.trim()) bad.push('no name: ' + e.outerHTML);
    const box = (e.closest('label') || e).getBoundingClientRect();
    if (box.height < 24 || box.width < 24) bad.push('small: ' + e.outerHTML);
  }
  for (const f of document.querySelectorAll('fieldset'))
    if (!f.querySelector('legend')) bad.push('no legend');
  if (document.documentElement.scrollWidth > innerWidth) bad.push('scrolls sideways');
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => { const f = v => { v /= 255;
    return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
    return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e)
    .backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  for (const e of document.querySelectorAll('h1,h2,p,legend,label,button,span,strong')) {
    if (!e.innerText.trim()) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.push(ratio.toFixed(2) + ': ' + e.outerHTML.slice(0, 80));
  }
  return bad;
}"""


async def test_everything_has_a_name_contrast_and_room(desk: Desk, tmp_path: Path) -> None:
    """WCAG 2.2: names (4.1.2), contrast 4.5:1 (1.4.3), target size (2.5.8), reflow (1.4.10)."""
    for language, scheme, width in product(("en", "ar"), ("light", "dark"), (320, 900)):
        looks = f"{language}-{scheme}-{width}"
        page = await desk.page(
            locale=language,
            color_scheme=scheme,
            viewport={"width": width, "height": 900},
        )
        assert await page.evaluate(AUDIT) == [], looks
        await page.screenshot(path=tmp_path / f"{looks}.png", full_page=True)


async def test_the_keyboard_reaches_everything_and_focus_shows(desk: Desk) -> None:
    """Every stop of the Tab key has an outline (WCAG 2.4.7)."""
    page = await desk.page(locale="en-GB")
    stops = await page.locator('button,select,input[type="time"],input[type="number"]').count()
    seen: set[str] = set()
    for _ in range(6 * stops):
        await page.keyboard.press("Tab")
        told = await page.evaluate(
            "() => { const e = document.activeElement; return JSON.stringify([e.name || e.id, "
            "e.value, getComputedStyle(e).outlineStyle]) }"
        )
        name, value, outline = json.loads(told)
        if name:
            assert outline != "none", told
            seen.add(f"{name} {value}" if name == "action" else name)
    assert {"action save", "action stop", "pause", "language", "q.mon.from", "c.offers"} <= seen


async def test_what_operators_write_is_text_not_markup(desk: Desk) -> None:
    """A category's name can't put anything into the page."""
    page = await desk.page(locale="en-GB")
    legend = page.locator("fieldset.topic legend", has_text=re.compile("Offers"))
    assert await legend.inner_text() == "Offers <b>&"
