"""The SDK and its worker in stock Chromium, before a whole platform on a real database."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import pytest
import pytest_asyncio
from playwright.async_api import Page, Playwright, Route, expect
from tests.e2e.browser_world import SLOW_PERSON, Browser, browser, needs_browser
from tests.e2e.patience import PATIENCE_S
from tests.e2e.web_platform import Platform

from clarion.adapters.system import SystemChance, SystemClock
from clarion.domain.content import Action, Content, Message
from clarion.domain.event import fresh_ids
from clarion.domain.ids import AppId, MessageId
from clarion.domain.lanes import Lane
from clarion.providers.webpush.payload import render

pytestmark = [
    needs_browser,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(loop_scope="module")
async def chromium(platform: Platform, driver: Playwright) -> AsyncIterator[Browser]:
    """A new profile; what earlier tests left in the database is gone."""
    async with browser(driver, platform.url) as opened:
        await platform.emptied()
        yield opened


def message(**content: object) -> tuple[str, dict[str, Any]]:
    """Id and payload of a message, as the Web Push provider writes it."""
    name = fresh_ids(1, SystemClock().now(), SystemChance().token(10))[0]
    made = Message(
        id=MessageId(name),
        app=AppId(1),
        lane=Lane.TRANSACTIONAL,
        content=Content(**cast("Any", content)),
    )
    return name, json.loads(render(made, "https://shop.example/"))


async def ready(platform: Platform, chromium: Browser, **more: object) -> Page:
    """A tab in which the SDK runs, registered."""
    page = await chromium.open("/try")
    await platform.start(page, **more)
    await subscribed(page)
    await platform.known()
    return page


async def subscribed(page: Page) -> None:
    """Wait until the browser has a subscription, which the platform is about to learn."""
    await page.wait_for_function("async () => (await clarion.state()).subscribed")


async def waiting(page: Page) -> int:
    """How many events the browser has yet to tell."""
    count: int = await page.evaluate("""() => new Promise((done) => {
      indexedDB.open("clarion").onsuccess = ({ target: { result } }) => {
        const counting = result.transaction("events").objectStore("events").count();
        counting.onsuccess = () => { result.close(); done(counting.result); };
      };
    })""")
    return count


async def told(page: Page) -> None:
    """Wait until the browser has told all events."""
    async with asyncio.timeout(PATIENCE_S):
        while await waiting(page):  # noqa: ASYNC110  # a database has no event to wait for
            await asyncio.sleep(0.05)


async def test_a_browser_with_permission_registers_by_itself(
    platform: Platform, chromium: Browser
) -> None:
    """Permission, language, zone and tags; a second page of the same day registers nothing."""
    page = await ready(platform, chromium)
    await page.evaluate("clarion.tag({ plan: 'pro', beta: true })")
    (device,) = await platform.devices()
    assert device["token"].startswith("https://push.example.net/")
    assert device["external_id"] is None
    assert device["permission"] == 4
    assert json.loads(device["tags"]) == {"plan": "pro", "beta": True}

    calls: list[str] = []
    second = await chromium.context.new_page()
    second.on("request", lambda request: calls.append(request.url))
    await second.goto(f"{platform.url}/try")
    await platform.start(second)
    await subscribed(second)
    assert [url for url in calls if "/v1/devices" in url] == []


async def test_a_login_moves_the_browser_and_a_logout_makes_it_nobodys(
    platform: Platform, chromium: Browser
) -> None:
    """The same subscription goes from nobody to Ada, to Ben, and to nobody again."""
    page = await ready(platform, chromium)
    seen = []
    for step in ("login('ada')", "login('ben')", "logout()"):
        await page.evaluate(f"clarion.{step}")
        seen.append([device["external_id"] for device in await platform.devices()])
    assert seen == [["ada"], ["ben"], [None]]


async def test_what_a_person_did_before_a_logout_stays_that_persons(
    platform: Platform, chromium: Browser
) -> None:
    """Events that waited leave before the browser changes hands."""
    page = await ready(platform, chromium)
    await page.evaluate("clarion.login('ada')")
    await chromium.context.set_offline(True)
    await page.evaluate("clarion.track('purchase', { sku: 'x' }, 9.5)")
    await chromium.context.set_offline(False)
    await page.evaluate("clarion.logout()")
    await platform.until(None, "purchase")
    whose = await platform.database.fetchval(
        "select external_id from event join users on users.id = event.user_id"
    )
    assert whose == "ada"


async def test_a_push_is_shown_with_everything_it_says(
    platform: Platform, chromium: Browser
) -> None:
    """Title, body, buttons and persistence reach the desktop; both facts reach the API."""
    await ready(platform, chromium)
    name, payload = message(
        title="Parcel",
        body="It is <b>here</b> & now",
        actions=[Action(id="later", title="Later"), Action(id="track", title="Track")],
        link=f"{platform.url}/try?parcel",
    )
    payload["notification"]["requireInteraction"] = True
    await chromium.push(payload)
    note = await chromium.desk.shown("Parcel")
    assert "&lt;b&gt;here&lt;/b&gt; &amp; now" in note.body
    assert [*note.actions.values()][:2] == ["Later", "Track"]
    assert sorted(await platform.until(name, "displayed", "received")) == [
        ("displayed", None),
        ("received", None),
    ]


async def test_a_click_opens_the_link_and_is_counted_once(
    platform: Platform, chromium: Browser
) -> None:
    """A window is opened; the page that is open is told."""
    page = await ready(platform, chromium)
    name, payload = message(title="Open me", link=f"{platform.url}/try?opened")
    await chromium.push(payload)
    note = await chromium.desk.shown("Open me")
    async with chromium.context.expect_page() as opening:
        await chromium.desk.click(note)
    opened = await opening.value
    await opened.wait_for_url("**/try?opened")
    await chromium.desk.gone(note.number)
    found = await platform.until(name, "received", "displayed", "opened")
    assert sorted(found) == [("displayed", None), ("opened", None), ("received", None)]
    assert page.url.endswith("/try")


async def test_a_click_focuses_the_window_that_shows_the_link(
    platform: Platform, chromium: Browser
) -> None:
    """No second window with the same page."""
    page = await ready(platform, chromium)
    name, payload = message(title="Again", link=f"{platform.url}/try")
    await chromium.push(payload)
    count = len(chromium.context.pages)
    await chromium.desk.click(await chromium.desk.shown("Again"))
    await platform.until(name, "opened")
    await page.wait_for_function("heard.some(([name]) => name === 'click')")
    assert len(chromium.context.pages) == count


async def test_a_button_opens_its_own_link_and_names_itself(
    platform: Platform, chromium: Browser
) -> None:
    """`clicked` with the action's id."""
    await ready(platform, chromium)
    buttons = [Action(id="track", title="Track", link=f"{platform.url}/try?track")]
    name, payload = message(title="Buttons", actions=buttons, link=f"{platform.url}/try?body")
    await chromium.push(payload)
    note = await chromium.desk.shown("Buttons")
    async with chromium.context.expect_page() as opening:
        await chromium.desk.click(note, "Track")
    await (await opening.value).wait_for_url("**/try?track")
    assert ("clicked", "track") in await platform.until(name, "clicked")
    assert ("opened", None) not in await platform.events(name)


async def test_a_dismissal_is_reported(platform: Platform, chromium: Browser) -> None:
    """Wiped away is not opened."""
    await ready(platform, chromium)
    name, payload = message(title="Wipe me")
    await chromium.push(payload)
    await chromium.desk.dismiss(await chromium.desk.shown("Wipe me"))
    found = await platform.until(name, "received", "displayed", "dismissed")
    assert {what for what, _ in found} == {"received", "displayed", "dismissed"}


async def test_a_push_that_comes_twice_replaces_itself_and_counts_once(
    platform: Platform, chromium: Browser
) -> None:
    """At-least-once on the way, exactly once in the facts; also over several tabs."""
    pages = [await ready(platform, chromium) for _ in range(3)]
    name, payload = message(title="Twice")
    for _ in range(3):
        await chromium.push(payload)
    last, another = message(title="Once")
    await chromium.push(another)
    await platform.until(last, "displayed", "received")
    worker = await chromium.worker()
    shown = await worker.evaluate(
        "async () => (await self.registration.getNotifications()).map((one) => one.title)"
    )
    assert sorted(shown) == ["Once", "Twice"]
    await told(pages[0])  # what would be counted twice would have been by then
    assert sorted(await platform.events(name)) == [("displayed", None), ("received", None)]


async def test_an_offline_gap_loses_nothing_and_counts_nothing_twice(
    platform: Platform, chromium: Browser
) -> None:
    """Pushes, a click and page events of three tabs wait, and are told when the network is back."""
    pages = [await ready(platform, chromium) for _ in range(3)]
    await chromium.context.set_offline(True)
    names = []
    for number in range(3):
        name, payload = message(title=f"Gap {number}")
        names.append(name)
        await chromium.push(payload)
        await chromium.desk.shown(f"Gap {number}")
    await chromium.desk.dismiss(await chromium.desk.shown("Gap 0"))
    for place, page in enumerate(pages):
        await page.evaluate(f"clarion.track('seen', {{ tab: {place} }})")
    assert await platform.events(names[0]) == []
    await chromium.context.set_offline(False)
    await platform.until(names[0], "dismissed")
    await told(pages[0])
    for name in names:
        assert sorted({what for what, _ in await platform.events(name)} - {"dismissed"}) == [
            "displayed",
            "received",
        ]
        assert len(await platform.events(name)) == (3 if name == names[0] else 2)
    assert len(await platform.events(None)) == 3


async def test_an_answer_that_is_lost_does_not_count_an_event_twice(
    platform: Platform, chromium: Browser
) -> None:
    """The platform recorded it, the browser never heard so: the repeat changes nothing."""
    page = await ready(platform, chromium)
    lost, go_on = asyncio.Event(), asyncio.Event()

    async def lose(route: Route) -> None:
        if lost.is_set():  # the browser tries again by itself: not before we have looked
            await go_on.wait()
            await route.continue_()
            return
        await route.fetch()
        await route.abort()
        lost.set()

    await page.route("**/v1/events", lose)
    await page.evaluate("clarion.track('paid')")
    await asyncio.wait_for(lost.wait(), PATIENCE_S)
    assert await platform.events(None) == [("paid", None)]
    assert await waiting(page) == 1
    go_on.set()
    await page.evaluate("dispatchEvent(new Event('online'))")
    await told(page)
    assert await platform.events(None) == [("paid", None)]


SILENT = (
    "",
    "no JSON",
    "[1]",
    '{"notification": 3}',
    '{"notification": {"title": ""}}',
    '{"data": {"message": 5}}',
)


async def test_a_push_that_says_nothing_still_shows_something(
    platform: Platform, chromium: Browser
) -> None:
    """`userVisibleOnly` was promised; browsers that see it broken take the permission away."""
    words = {"de": {"title": "Neu"}, "en": {"title": "News", "body": "!"}}
    page = await ready(platform, chromium, fallback=words)
    await page.close()
    await chromium.context.pages[0].goto("about:blank")
    for payload in SILENT:
        await chromium.push(payload)
        note = await chromium.desk.shown("News")
        assert "!" in note.body, payload
        await chromium.desk.dismiss(note)


async def test_hostile_addresses_open_nothing(platform: Platform, chromium: Browser) -> None:
    """`javascript:` and `data:` links are no links; the click goes to the site itself."""
    await ready(platform, chromium)
    name, payload = message(title="Evil")
    payload["notification"] |= {
        "navigate": "javascript:alert(1)",
        "icon": "javascript:alert(1)",
        "actions": [{"action": "x", "title": "X", "navigate": "data:text/html,x"}],
    }
    payload["notification"]["data"]["link"] = "javascript:alert(1)"
    await chromium.push(payload)
    await chromium.desk.click(await chromium.desk.shown("Evil"))
    await platform.until(name, "opened")
    urls = [page.url for page in chromium.context.pages]
    assert [url for url in urls if not url.startswith((platform.url, "about:blank"))] == []


async def test_a_changed_key_makes_a_new_subscription_and_forgets_the_old(
    platform: Platform, chromium: Browser
) -> None:
    """The person and the tags come along."""
    page = await ready(platform, chromium)
    await page.evaluate("clarion.login('ada')")
    await page.evaluate("clarion.tag({ plan: 'pro' })")
    (before,) = await platform.devices()
    await page.evaluate("""() => {
      const kept = JSON.parse(localStorage.getItem("stand-in-subscription"));
      kept.key[5] ^= 1;
      localStorage.setItem("stand-in-subscription", JSON.stringify(kept));
    }""")
    await page.evaluate("clarion.ask()")
    (after,) = await platform.devices()
    assert after["token"] != before["token"]
    assert (after["external_id"], json.loads(after["tags"])) == ("ada", {"plan": "pro"})


async def test_a_subscription_that_the_push_service_ends_is_made_anew_by_the_worker(
    platform: Platform, chromium: Browser
) -> None:
    """No page needs to be open. The event itself is made here: no command of DevTools sends it."""
    page = await ready(platform, chromium)
    (before,) = await platform.devices()
    worker = await chromium.worker()
    keys = await page.evaluate(
        "async () => (await (await navigator.serviceWorker.ready)"
        ".pushManager.getSubscription()).toJSON().keys"
    )
    await worker.evaluate(
        """async (keys) => {
          PushManager.prototype.getSubscription = async () => null;
          PushManager.prototype.subscribe = async () => ({
            endpoint: "https://push.example.net/renewed", toJSON: () => ({ keys }),
          });
          const event = new ExtendableEvent("pushsubscriptionchange");
          await new Promise((done) => {
            event.waitUntil = (work) => work.then(done);
            self.dispatchEvent(event);
          });
        }""",
        keys,
    )
    (after,) = await platform.devices()
    assert before["token"] != after["token"] == "https://push.example.net/renewed"


async def test_unsubscribing_makes_the_platform_forget_the_browser(
    platform: Platform, chromium: Browser
) -> None:
    """And it stays so when the next page starts."""
    page = await ready(platform, chromium)
    await page.evaluate("clarion.unsubscribe()")
    await page.reload()
    await platform.start(page)
    await page.evaluate("clarion.track('x')")
    assert await platform.devices() == []
    assert await page.evaluate("clarion.state().then((state) => state.subscribed)") is False


async def test_preferences_are_read_and_changed(platform: Platform, chromium: Browser) -> None:
    """The words that the person saw go into the ledger."""
    page = await ready(platform, chromium)
    await page.evaluate("clarion.login('ada')")
    changed = await page.evaluate(
        "clarion.prefer({ categories: { marketing: 'all' }, "
        "shown: { text: 'Offers?', language: 'en' } })"
    )
    assert frequencies(changed)["marketing"] == "all"
    assert frequencies(await page.evaluate("clarion.preferences()"))["marketing"] == "all"


def frequencies(preferences: Mapping[str, Any]) -> Mapping[str, str]:
    """Category -> how often."""
    return {each["slug"]: each["frequency"] for each in preferences["categories"]}


PRIMER = {
    "en": {
        "title": "<img src=x onerror=alert(1)>",
        "allow": "Yes please",
        "later": "Not now",
        "version": "v1",
        "categories": {"marketing": "Offers", "transactional": "Orders"},
    },
    "de": {"title": "Fragen?", "allow": "Ja", "later": "Nein"},
}
"""English words with a title that would do harm where it became markup."""


STEP_OF_ANOTHER_TAB = """() => new Promise((done) => {
  indexedDB.open("clarion").onsuccess = ({ target: { result } }) => {
    const unit = result.transaction("state", "readwrite");
    const store = unit.objectStore("state");
    const at = new Date().toISOString();
    const one = { id: crypto.randomUUID(), what: "block", at, version: "" };
    store.get("steps").onsuccess = ({ target }) => store.put([...target.result, one], "steps");
    unit.oncomplete = () => { result.close(); done(); };
  };
})"""


@pytest_asyncio.fixture(loop_scope="module")
async def undecided(platform: Platform, driver: Playwright) -> AsyncIterator[Browser]:
    """A browser that was not asked yet, and a hand that allows what it is asked."""
    async with browser(driver, platform.url, allowed=False) as opened:
        await platform.emptied()

        async def allow() -> None:
            await opened.context.grant_permissions(["notifications"], origin=platform.url)

        await opened.context.expose_function("allowNow", allow)
        await opened.context.add_init_script(
            SLOW_PERSON + "let permission = 'default';"
            "Object.defineProperty(Notification, 'permission', { get: () => permission });"
            "Notification.requestPermission = async () => {"
            "  window.asked = navigator.userActivation.isActive;"
            "  await allowNow(); return permission = 'granted'; };"
        )
        yield opened


async def test_the_primer_comes_first_and_its_ticks_are_consent(
    platform: Platform, undecided: Browser
) -> None:
    """Words in the person's language, as text; steps and ticked categories reach the platform."""
    page = await undecided.open("/try")
    await platform.start(page, primer=PRIMER)
    assert await platform.devices() == []
    answering = asyncio.ensure_future(page.evaluate("clarion.ask()"))
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("<img src=x")
    await dialog.get_by_label("Offers").check()
    await dialog.get_by_role("button", name="Yes please").click()
    assert await answering == "granted"
    assert await page.evaluate("window.asked") is True
    (device,) = await platform.devices()
    assert device["permission"] == 4
    told = frequencies(await page.evaluate("clarion.preferences()"))
    assert told["marketing"] == "all"
    await platform.counted("prompt_event join device on device.id = device_id", 4)
    steps = await platform.database.fetch(
        "select p.what from prompt_event p join device d on d.id = p.device_id order by p.at, p.id"
    )
    assert [row["what"] for row in steps] == [
        "show_primer",
        "accept_primer",
        "show_prompt",
        "grant",
    ]


async def test_not_now_backs_off_and_a_button_of_the_site_may_still_ask(
    platform: Platform, undecided: Browser
) -> None:
    """A day, then a week; `force` is for a click on the site's own button."""
    page = await undecided.open("/try")
    await platform.start(page, primer=PRIMER)
    pauses = []
    for force in ("false", "true"):
        answering = asyncio.ensure_future(page.evaluate(f"clarion.ask({{ force: {force} }})"))
        await page.get_by_role("dialog").press("Escape")
        assert await answering == "later"
        state = await page.evaluate("clarion.state()")
        pauses.append(round((state["later"] - await page.evaluate("Date.now()")) / 86_400_000))
        assert await page.evaluate("clarion.ask()") == "later"
    assert pauses == [1, 7]
    assert await platform.devices() == []
    await platform.counted("prompt_event where key is not null", 4)
    assert await platform.funnel() == {("v1", "show_primer"): 2, ("v1", "decline_primer"): 2}


async def test_a_step_waits_until_the_platform_has_it(
    platform: Platform, undecided: Browser
) -> None:
    """What is refused for now is told later; what another tab writes down meanwhile is not lost.

    What was taken, and the answer lost, is told once more and counts once.
    """
    page = await undecided.open("/try")
    await platform.start(page, primer=PRIMER)
    held, go_on = asyncio.Event(), asyncio.Event()
    answers = iter(["refused", "lost"])

    async def unwilling(route: Route) -> None:
        held.set()
        await go_on.wait()
        answer = next(answers, "taken")
        if answer == "refused":
            await route.fulfill(status=401, json={"code": "key_expired", "detail": "Not now."})
        elif answer == "lost":
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    await page.route("**/v1/devices:prompt", unwilling)
    answering = asyncio.ensure_future(page.evaluate("clarion.ask().catch(String)"))
    await page.get_by_role("dialog").get_by_role("button", name="Yes please").click()
    await asyncio.wait_for(held.wait(), PATIENCE_S)
    await page.evaluate(STEP_OF_ANOTHER_TAB)
    go_on.set()
    await answering
    for _ in range(2):
        await page.evaluate("dispatchEvent(new Event('online'))")
        await page.evaluate("navigator.locks.request('clarion-device', () => 0)")
    await platform.counted("prompt_event", 5)
    steps = await platform.database.fetch("select what from prompt_event order by id")
    wanted = ["show_primer", "accept_primer", "show_prompt", "grant", "block"]
    assert [row["what"] for row in steps] == wanted


async def test_a_permission_that_is_taken_back_ends_a_device_that_is_forgotten_too(
    platform: Platform, chromium: Browser
) -> None:
    """The browser lets go of an address that the platform does not know any more."""
    page = await ready(platform, chromium)
    await platform.emptied()
    await page.evaluate(
        "() => { Object.defineProperty(Notification, 'permission', { get: () => 'denied' }); }"
    )
    for _ in range(2):
        await page.evaluate("dispatchEvent(new Event('online'))")
        await page.evaluate("navigator.locks.request('clarion-device', () => 0)")
    assert await page.evaluate("clarion.preferences().catch((error) => error.code)") == (
        "not_subscribed"
    )


async def test_the_sample_site_needs_two_clicks(platform: Platform, undecided: Browser) -> None:
    """Allow, send: the platform takes the message; its policy refuses nothing that it needs.

    Where it remembers keys of a platform that was made anew since, it asks for one.
    """
    page = await undecided.context.new_page()
    trouble: list[str] = []
    page.on("console", lambda said: trouble.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    await page.goto(f"{platform.url}/try#key={platform.keys['admin']}")
    await page.get_by_role("button", name="Allow", exact=True).click()
    await page.get_by_role("button", name="Go on").click()
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("#log")).to_contain_text("The platform took it")
    assert "key=" not in page.url
    assert trouble == []
    (device,) = await platform.devices()
    assert device["external_id"].startswith("try-")

    await page.evaluate("""() => {
      const kept = JSON.parse(localStorage.getItem("clarion-try"));
      localStorage.setItem("clarion-try", JSON.stringify({ ...kept, send: "of another platform" }));
    }""")
    await page.reload()
    await expect(page.get_by_label("Admin key")).to_be_visible()


LATE = """
  const inbox = document.querySelector("clarion-inbox");
  inbox.source = { missed: () => new Promise((done) => { window.answer = done; }) };
"""
ITEM = {"id": "one", "title": "For Ada", "at": 1}
LOGOUT_BETWEEN = """() => {
  const { transaction } = IDBDatabase.prototype;
  IDBDatabase.prototype.transaction = function (rooms, mode) {
    if ([rooms].flat()[0] === "inbox" && mode === "readwrite") {
      IDBDatabase.prototype.transaction = transaction;
      const room = (name) => transaction.call(this, name, mode).objectStore(name);
      room("state").put({ id: null }, "who");
      room("inbox").clear();
      window.left = true;
    }
    return transaction.call(this, rooms, mode);
  };
}"""
"""Somebody logs out between the last look at who sits here and the writing of an item."""
TITLES = """[...document.querySelector("clarion-inbox").shadowRoot
  .querySelectorAll("[part~=heading]")].map((one) => one.textContent)"""


async def test_what_arrives_after_a_logout_is_not_shown(
    platform: Platform, chromium: Browser
) -> None:
    """Answers of the site's own source, messages on their way, and what is being marked as read."""
    page = await ready(platform, chromium)
    await page.evaluate("clarion.login('ada')")
    await platform.counted("device where model = 'inbox'", 1)
    await page.evaluate(LATE)
    await page.wait_for_function("() => !!window.answer")
    await page.evaluate("clarion.logout()")
    await platform.counted("device where model = 'inbox'", 0)
    await page.evaluate("(item) => window.answer([item])", ITEM)
    await page.evaluate("document.querySelector('clarion-inbox').source = {}")
    await page.evaluate("clarion.login('ada')")
    await platform.counted("device where model = 'inbox'", 1)
    await page.evaluate(LOGOUT_BETWEEN)
    await platform.send("ada", title="For Ada")
    await page.wait_for_function("() => window.left")
    await page.evaluate("new BroadcastChannel('clarion').postMessage('state')")
    await platform.counted("device where model = 'inbox'", 0)
    assert await page.evaluate(TITLES) == []


async def test_the_inbox_shows_what_was_pushed_and_what_is_unread_in_every_tab(
    platform: Platform, chromium: Browser
) -> None:
    """Hostile text is text, hostile links are none; reading in one tab is reading in all.

    What was read stays read where the same message comes once more.
    """
    first, second = [await ready(platform, chromium) for _ in range(2)]
    payload: dict[str, Any] = {}
    for title in ("One", "<script>alert(1)</script>"):
        _, payload = message(title=title, body="<img src=x onerror=alert(2)>")
        payload["notification"] |= {"navigate": "javascript:alert(3)"}
        await chromium.push(payload)
    for page in (first, second):
        await expect(page.get_by_role("button", name="Notifications: 2 unread")).to_be_visible()
    await first.get_by_role("button", name="Notifications: 2 unread").click()
    items = first.locator("clarion-inbox [part~=item]")
    await expect(items.first).to_contain_text("<script>alert(1)</script>")
    assert await first.locator("clarion-inbox a, clarion-inbox img").count() == 0
    await first.get_by_role("button", name="Mark all as read").click()
    for page in (first, second):
        await expect(page.get_by_role("button", name="Notifications", exact=True)).to_be_visible()
    await chromium.push({**payload, "notification": {**payload["notification"], "title": "Again"}})
    await first.get_by_role("button", name="Notifications", exact=True).click()
    await expect(items.first).to_contain_text("Again")
    for page in (first, second):
        await expect(page.get_by_role("button", name="Notifications", exact=True)).to_be_visible()
