"""Following tracked links."""

from typing import Any

import pytest
from tests.api.conftest import World

from clarion.domain.ids import AppId, DeviceId, MessageId
from clarion.stages.authoring.links import PATH, Click, tracked
from clarion.testing.factories import device_body

BROWSER = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1"
MESSAGE = MessageId("0192aaaa-0000-7000-8000-000000000001")


def link_of(world: World, app: AppId, device: int, target: str) -> str:
    """The path of a link as it is in a message."""
    links = world.deps.words.links
    assert links is not None
    click = Click(app=app, message=MESSAGE, device=DeviceId(device), place=1, target=target)
    return tracked(links.base, links.keys, click).removeprefix(links.base)


async def counted(world: World) -> list[tuple[str, int]]:
    """The clicks that were recorded: name, and how often."""
    pool: Any = world.deps.events._pool  # type: ignore[attr-defined]
    rows = await pool.fetch("select name, count(*)::int as n from event group by name")
    return [(row["name"], row["n"]) for row in rows]


async def device_of(world: World) -> int:
    """A registered device."""
    async with world.client() as admin:
        made = await admin.post("/v1/devices", json=device_body("fcm", 1))
        assert made.status_code < 300, made.text
        return int(made.json()["id"])


async def test_a_person_gets_to_the_page_and_counts_once(world: World) -> None:
    """Without a key, however often the link is opened."""
    device = await device_of(world)
    path = link_of(world, world.app, device, "https://x.test/é?a=b c#d")
    async with world.client(None) as browser:
        for _ in range(2):
            answer = await browser.get(path, headers={"user-agent": BROWSER})
            assert answer.status_code == 302
            assert answer.headers["location"] == "https://x.test/%C3%A9?a=b%20c#d"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "no-referrer"
    assert await counted(world) == [("clarion.clicked", 1)]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {"user-agent": BROWSER}),
        ("GET", {"user-agent": BROWSER, "sec-purpose": "prefetch;prerender"}),
        ("GET", {"user-agent": BROWSER, "purpose": "prefetch"}),
        ("GET", {"user-agent": BROWSER, "x-moz": "prefetch"}),
        ("GET", {"user-agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"}),
        ("GET", {"user-agent": "facebookexternalhit/1.1"}),
        ("GET", {"user-agent": ""}),
    ],
)
async def test_what_is_no_person_is_led_on_and_not_counted(
    world: World, method: str, headers: dict[str, str]
) -> None:
    """HEAD, prefetches, robots, and whoever does not say who they are."""
    path = link_of(world, world.app, await device_of(world), "https://x.test/")
    async with world.client(None) as client:
        assert (await client.request(method, path, headers=headers)).status_code == 302
    assert await counted(world) == []


async def test_a_device_that_is_gone_is_led_on(world: World) -> None:
    """Nobody is made up for the click."""
    path = link_of(world, world.app, 424242, "https://x.test/")
    async with world.client(None) as client:
        assert (await client.get(path, headers={"user-agent": BROWSER})).status_code == 302
    assert await counted(world) == []


async def test_nothing_leads_elsewhere(world: World) -> None:
    """Changed tokens, other schemes, other keys."""
    path = link_of(world, world.app, 1, "https://x.test/")
    deep = PATH + "AQEBAAAA"
    async with world.client(None) as client:
        for wrong in (path[:-1] + ("A" if path[-1] != "A" else "B"), deep, PATH + "x" * 5000):
            answer = await client.get(wrong, headers={"user-agent": BROWSER})
            assert answer.status_code == 404
            assert "location" not in answer.headers
    async with world.client(None) as client:
        assert (await client.get(PATH)).status_code == 404
