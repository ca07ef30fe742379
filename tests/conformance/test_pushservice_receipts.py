"""Receipts of our own push service: asked for wrongly, and never told (RFC 8030 section 5)."""

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.e2e.push_world import World, push_world

BODY = b"x" * 100
RELATION = "urn:ietf:params:push:receipt"


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A node."""
    async with push_world(database_url) as made:
        yield made


def receipt_url(answer: httpx.Response) -> str:
    """The receipt subscription that an answer names."""
    assert answer.status_code == 202, answer.text
    return str(answer.headers["link"]).partition(">")[0].removeprefix("<")


async def test_receipt_subscription_that_is_none_of_ours_is_400(world: World) -> None:
    """Section 5.1: MUST be answered 400, also when the same fields come again."""
    browser = await world.browser()
    endpoint = await browser.register()
    ours = receipt_url(await world.push(endpoint, BODY, Prefer="respond-async"))
    head, token = ours.rsplit("/", 1)
    wrong = [
        f"{head}/{token[:-1]}{'A' if token[-1] != 'A' else 'B'}",
        f"{head}/{token[:-8]}",
        f"{head}/",
        endpoint,
        endpoint.replace("/wpush/v1/", "/r/"),
        f"https://push.example.net/r/{token}",
    ]
    for url in wrong:
        link = f'<{url}>; rel="{RELATION}"'
        for _ in range(2):
            answer = await world.push(endpoint, BODY, Prefer="respond-async", Link=link)
            assert answer.status_code == 400, url
            assert "receipt subscription" in answer.json()["message"]
    unasked = await world.push(endpoint, BODY, Link=f'<{wrong[0]}>; rel="{RELATION}"')
    assert unasked.status_code == 400
    relative = f"<{ours.removeprefix(world.origin)}>; rel={RELATION}"
    again = await world.push(endpoint, BODY, Prefer="respond-async", Link=relative)
    assert receipt_url(again) == ours
    await browser.line.end()


async def test_replaced_message_gives_no_receipt_even_if_it_is_acknowledged(world: World) -> None:
    """Section 5.4: receipts of a replaced message SHOULD be suppressed; the new one's comes."""
    browser = await world.browser()
    endpoint = await browser.register()
    old = await world.push(endpoint, BODY, Prefer="respond-async", Topic="t")
    reader = receipt_url(old)
    sent = await browser.hear()
    link = f'<{reader}>; rel="{RELATION}"'
    new = await world.push(endpoint, BODY, Prefer="respond-async", Topic="t", Link=link)
    assert receipt_url(new) == reader
    browser.ack(sent)
    browser.ack(await browser.hear())
    page = await world.client.get(reader, headers={"Prefer": "wait=60"})
    assert [one["message"] for one in page.json()["receipts"]] == [new.headers["location"]]
    assert await world.pool.fetchval("select count(*) from push_receipt") == 1
    await browser.line.end()


async def test_replacement_takes_the_receipt_subscription_of_the_old_message(world: World) -> None:
    """Section 5.4: it replaces also who is to hear of it."""
    browser = await world.browser()
    endpoint = await browser.register()
    await browser.line.end()
    old = await world.push(endpoint, BODY, Prefer="respond-async", Topic="t")
    new = await world.push(endpoint, BODY, Topic="t", TTL="600")
    assert new.status_code == 201
    again = await world.browser(browser.uaid)
    again.ack(await again.hear())
    await again.unregister()  # what is not told by now is told never
    assert receipt_url(old)
    assert await world.pool.fetchval("select count(*) from push_receipt") == 0
    await again.line.end()
