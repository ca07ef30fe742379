"""The SDK's whole way in stock Firefox: a platform, its push service, a hand; nothing stands in.

Firefox asks for permission itself and is answered; its subscription is one of the platform's own
push service; messages go through the whole line; notifications are shown on a desktop of their own
and clicked there.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.e2e.browser_world import SLOW_PERSON, needs_browser
from tests.e2e.desktop import Desktop, desktop
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

START = (
    SLOW_PERSON
    + """
  const [api, key, vapid, more] = args;
  document.querySelector("clarion-inbox")?.remove(); // it would be a second address of the person
  window.heard = [];
  window.clarion = await Clarion.init({ api, key, vapid, ...more });
  for (const name of ["push", "click", "state"])
    clarion.on(name, (event) => heard.push([name, event]));
"""
)
PRIMER = {
    "en": {
        "title": "Shall we tell you?",
        "allow": "Yes please",
        "later": "Not now",
        "version": "warm",
        "categories": {"marketing": "Offers", "transactional": "Orders"},
    }
}
BUTTON = """
  const hosts = [...document.body.children].filter((one) => one.shadowRoot);
  return hosts.flatMap((one) => [...one.shadowRoot.querySelectorAll("dialog button")])[INDEX];
"""
LATER, ALLOW = (BUTTON.replace("INDEX", number) for number in "01")
HEARD = "return heard.includes(args[0]);"
ASKED = "return !!PopupNotifications.getNotification('web-notifications', gBrowser.selectedBrowser)"
ANSWER = """
  const asked = PopupNotifications.getNotification('web-notifications', gBrowser.selectedBrowser);
  const action = ALLOWED ? asked.mainAction : asked.secondaryActions[0];
  action.callback({ checkboxChecked: true, source: "button" });
  PopupNotifications.remove(asked);
"""


@dataclass(kw_only=True)
class Stage:
    """A platform, a desktop, and Firefox with a page of the sample site."""

    platform: Platform
    desktop: Desktop
    browser: Firefox

    async def start(self, **more: object) -> None:
        """Start the SDK in the page."""
        platform = self.platform
        keys = (platform.url, platform.keys["device"], platform.vapid)
        await self.browser.run(START, *keys, more)

    async def registered(self, who: str | None = None, *, unlike: str = "") -> str:
        """Wait until the platform has the one browser of somebody; its address."""
        found: Sequence[Any] = []
        try:
            async with asyncio.timeout(2 * PATIENCE_S):
                while True:
                    found = await self.platform.devices()
                    if [one["external_id"] for one in found] == [who]:
                        token = str(found[0]["token"])
                        if token != unlike:
                            return token
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"the platform has {[dict(one) for one in found]}, not {who}")

    async def until(self, script: str, *args: object) -> None:
        """Wait until the body of an async function says something true in the page."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await self.browser.run(script, *args):
                    return
                await asyncio.sleep(0.05)

    async def ready(self, who: str) -> str:
        """Registered, with somebody logged in."""
        await self.start()
        await self.browser.run("await clarion.login(args[0]);", who)
        return await self.registered(who)

    async def answer(self, *, allowed: bool) -> None:
        """Answer the browser's own question, once it is there."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await self.browser.chrome(ASKED):
                    break
                await asyncio.sleep(0.05)
        await self.browser.chrome(ANSWER.replace("ALLOWED", str(allowed).lower()))

    async def state(self) -> Any:  # noqa: ANN401  JSON of any shape
        """What the SDK says."""
        return await self.browser.run("return clarion.state();")


@asynccontextmanager
async def staged(platform: Platform, template: Path, permission: int) -> AsyncIterator[Stage]:
    """Firefox with a new profile, whose push service is the platform's."""
    push = platform.push.replace("http", "ws") + "/"
    with profile_like(template) as profile:
        async with (
            desktop() as screen,
            firefox(profile, push, screen.address, permission=permission) as browser,
        ):
            await platform.emptied()
            await browser.open(f"{platform.url}/try")
            yield Stage(platform=platform, desktop=screen, browser=browser)


@pytest_asyncio.fixture(loop_scope="module")
async def allowed(platform: Platform, firefox_profile: Path) -> AsyncIterator[Stage]:
    """Notifications are allowed."""
    async with staged(platform, firefox_profile, 1) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def undecided(platform: Platform, firefox_profile: Path) -> AsyncIterator[Stage]:
    """Nobody was asked yet."""
    async with staged(platform, firefox_profile, 0) as stage:
        yield stage


async def asking(stage: Stage, button: str) -> None:
    """The primer is shown, and one of its buttons clicked."""
    await stage.browser.run("clarion.ask({ force: true }).then((said) => heard.push(said));")
    await stage.until(f"return !!(() => {{ {button} }})();")
    await stage.browser.click(button)


async def test_firefox_asks_after_the_primer_and_a_push_arrives(undecided: Stage) -> None:
    """Primer, the browser's own question, subscription, ticks as consent, push, click, facts."""
    stage, platform = undecided, undecided.platform
    await stage.start(primer=PRIMER)
    assert await platform.devices() == []
    await asking(stage, ALLOW)
    await stage.answer(allowed=True)
    await stage.until(HEARD, "granted")
    token = await stage.registered()
    assert token.startswith(f"{platform.push}/wpush/v2/")
    await platform.counted("prompt_event where device_id is not null", 4)
    steps = await platform.database.fetch(
        "select what, version from prompt_event where device_id is not null order by at, id"
    )
    assert [row["what"] for row in steps] == [
        "show_primer",
        "accept_primer",
        "show_prompt",
        "grant",
    ]
    assert {row["version"] for row in steps} == {"warm"}
    await stage.browser.run("await clarion.login('ada');")
    await stage.registered("ada")
    name = await platform.send(
        "ada", title="Parcel", body="It is here", link=f"{platform.url}/try?parcel"
    )
    shown = await stage.desktop.next("Parcel")
    assert shown.body == "It is here"
    stage.desktop.press(shown)
    told = await platform.until(name, "received", "displayed", "opened")
    assert sorted(told) == [("displayed", None), ("opened", None), ("received", None)]


@pytest.mark.parametrize("no", ["later", "denied"])
async def test_a_no_reaches_the_platform_without_a_device(undecided: Stage, no: str) -> None:
    """Not now, and the browser's own no, with the text that was shown; nothing personal."""
    stage, platform = undecided, undecided.platform
    await stage.start(primer=PRIMER)
    await asking(stage, LATER if no == "later" else ALLOW)
    if no == "denied":
        await stage.answer(allowed=False)
    await stage.until(HEARD, no)
    expected = {
        "later": ["show_primer", "decline_primer"],
        "denied": ["show_primer", "accept_primer", "show_prompt", "deny"],
    }[no]
    await platform.counted("prompt_event", len(expected))
    assert await platform.funnel() == {("warm", what): 1 for what in expected}
    assert await platform.devices() == []
    assert await platform.database.fetchval("select count(device_id) from prompt_event") == 0


async def test_buttons_and_dismissals_are_reported(allowed: Stage) -> None:
    """Each once, under the message that it is about."""
    stage, platform = allowed, allowed.platform
    await stage.ready("ada")
    buttons = [{"id": "track", "title": "Track"}, {"id": "mute", "title": "Mute"}]
    name = await platform.send("ada", title="Buttons", actions=buttons)
    stage.desktop.press(await stage.desktop.next("Buttons"), "Track")
    assert ("clicked", "track") in await platform.until(name, "clicked")
    name = await platform.send("ada", title="Wiped")
    stage.desktop.dismiss(await stage.desktop.next("Wiped"))
    assert sorted(await platform.until(name, "received", "displayed", "dismissed")) == [
        ("dismissed", None),
        ("displayed", None),
        ("received", None),
    ]


async def test_the_browser_goes_from_person_to_person(allowed: Stage) -> None:
    """Login, another login, logout: the same address each time."""
    tokens = [await allowed.ready("ada")]
    await allowed.browser.run("await clarion.login('ben');")
    tokens.append(await allowed.registered("ben"))
    await allowed.browser.run("await clarion.logout();")
    tokens.append(await allowed.registered())
    assert len(set(tokens)) == 1


async def test_a_new_key_makes_a_new_subscription_of_the_same_nobody(allowed: Stage) -> None:
    """The operator changes the VAPID key: the anonymous person keeps what they consented to."""
    stage, platform = allowed, allowed.platform
    await stage.start()
    before = await stage.registered()
    (person,) = await platform.database.fetch("select user_id from device")
    await stage.browser.run("await clarion.prefer({ categories: { marketing: 'all' } });")
    async with platform.client() as http:
        said = {"subject": "mailto:b@example.com"}
        made = await http.post("/v1/credentials/webpush:generate", json=said)
        assert made.status_code == 200, made.text
    platform.vapid = made.json()["public"]["public_key"]
    await stage.start()
    after = await stage.registered(unlike=before)
    assert after.startswith(f"{platform.push}/wpush/v2/")
    assert await platform.database.fetch("select user_id from device") == [person]
    assert (await marketing(stage)) == "all"


async def marketing(stage: Stage) -> str:
    """How often the person wants marketing."""
    told = await stage.browser.run("return clarion.preferences();")
    return next(str(one["frequency"]) for one in told["categories"] if one["slug"] == "marketing")


async def test_firefox_subscribes_anew_when_the_push_service_has_forgotten_it(
    allowed: Stage,
) -> None:
    """Its own `pushsubscriptionchange`: the worker registers, no page helps; consent stays."""
    stage, platform = allowed, allowed.platform
    await stage.start()
    before = await stage.registered()
    await stage.browser.run("await clarion.prefer({ categories: { marketing: 'all' } });")
    await stage.browser.command("WebDriver:Navigate", url="about:blank")
    await platform.database.execute("delete from push_device")
    await platform.processes.kill("push", 0.0, after_s=0.0)
    after = await stage.registered(unlike=before)
    assert after.startswith(f"{platform.push}/wpush/v2/")
    await stage.browser.command("WebDriver:Navigate", url=f"{platform.url}/try")
    await stage.start()
    assert await marketing(stage) == "all"
    await stage.browser.run("await clarion.login('ada');")
    await platform.send("ada", title="After all")
    await stage.desktop.next("After all")


async def test_unsubscribing_ends_the_subscription_everywhere(allowed: Stage) -> None:
    """The platform forgets the browser, the push service the subscription; `ask` begins anew."""
    stage, platform = allowed, allowed.platform
    await stage.ready("ada")
    await stage.browser.run("await clarion.unsubscribe();")
    await platform.counted("device", 0)
    await platform.counted("push_subscription", 0)
    assert (await stage.state())["subscribed"] is False
    assert await stage.browser.run("return clarion.ask();") == "granted"
    await stage.registered("ada")


async def test_tabs_and_a_gap_of_the_network_lose_nothing_and_count_nothing_twice(
    allowed: Stage,
) -> None:
    """Pushes and events of three tabs, before, in and after the gap."""
    stage, platform, browser = allowed, allowed.platform, allowed.browser
    await stage.ready("ada")
    handles = [(await browser.command("WebDriver:GetWindowHandle"))["value"]]
    for _ in range(2):
        handles.append(await browser.open(f"{platform.url}/try"))
        await stage.start()
    names = [await platform.send("ada", title="Gap 0")]
    await stage.desktop.next("Gap 0")
    await browser.chrome("Services.io.offline = true")
    names += [await platform.send("ada", title=f"Gap {number}") for number in (1, 2)]
    await tracked(stage, handles)
    await browser.chrome("Services.io.offline = false")
    for number in (1, 2):
        await stage.desktop.next(f"Gap {number}")
    for name in names:
        told = await platform.until(name, "received", "displayed")
        assert sorted(told) == [("displayed", None), ("received", None)]
    await platform.counted("event where name = 'seen'", 3)


async def tracked(stage: Stage, handles: Sequence[str]) -> None:
    """Something happens in each tab."""
    for handle in handles:
        await stage.browser.look(handle)
        await stage.browser.run("await clarion.track('seen');")
