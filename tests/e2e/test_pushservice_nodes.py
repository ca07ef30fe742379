"""Several nodes, restarts, and everybody coming back at once."""

import asyncio
import base64
import os

import asyncpg
import pytest
from tests.e2e.patience import PATIENCE_S
from tests.e2e.ports import free_port
from tests.e2e.push_world import Browser, World, push_world

pytestmark = pytest.mark.timeout(600)
BODY = os.urandom(100)


async def waits(world: World, count: int) -> None:
    """Until so many messages are stored."""
    async with asyncio.timeout(PATIENCE_S):
        while await world.count() != count:  # noqa: ASYNC110  the store tells nobody
            await asyncio.sleep(0.02)


async def test_message_finds_the_node_that_holds_the_connection(database_url: str) -> None:
    """Posted to one, delivered by the other."""
    async with (
        push_world(database_url, owner="a") as first,
        push_world(database_url, owner="b", origin_port=first.port) as second,
    ):
        browser = await second.browser()
        endpoint = await browser.register()
        assert endpoint.startswith(first.origin)
        for number in range(5):
            assert (await first.push(endpoint, bytes([number]) * 90)).status_code == 201
            heard = await browser.hear()
            assert base64.urlsafe_b64decode(heard["data"] + "==") == bytes([number]) * 90
            browser.ack(heard)
        await waits(first, 0)
        await browser.line.end()


async def test_device_that_moves_to_another_node_leaves_the_first(database_url: str) -> None:
    """The older connection ends; what is pushed to either node comes to the newer one."""
    async with (
        push_world(database_url, owner="a") as first,
        push_world(database_url, owner="b", origin_port=first.port) as second,
    ):
        older = await first.browser()
        endpoint = await older.register()
        newer = await second.browser(older.uaid)
        assert newer.uaid == older.uaid
        assert await older.line.closed() == 1000
        await older.line.end()
        await first.push(endpoint, BODY)
        await newer.hear()
        await newer.line.end()


async def test_messages_of_a_node_that_died_are_delivered_by_another(database_url: str) -> None:
    """Nothing of it was only in memory: its row in the table says nothing to anybody."""
    async with push_world(database_url, owner="a") as first:
        browser = await first.browser()
        endpoint = await browser.register()
        await first.push(endpoint, BODY)
        heard = await browser.hear()
        port = first.port
    assert await browser.line.closed() == 1001
    await browser.line.end()
    async with push_world(database_url, owner="b", origin_port=port) as second:
        again = await second.browser(browser.uaid)
        assert again.uaid == browser.uaid
        assert await again.hear() == heard
        again.ack(heard)
        await waits(second, 0)
        await again.line.end()


async def test_restart_keeps_names_subscriptions_and_messages(database_url: str) -> None:
    """Same port, same key: a browser notices nothing but a new connection."""
    port = free_port()
    async with push_world(database_url, port=port) as world:
        browser = await world.browser()
        endpoint = await browser.register(key=world.key)
        await browser.line.end()
        assert (
            await world.push(endpoint, BODY, Authorization=world.authorization(endpoint))
        ).status_code == 201
        key = world.key
    async with push_world(database_url, port=port) as world:
        world.key = key
        again = await world.browser(browser.uaid)
        assert again.uaid == browser.uaid
        again.ack(await again.hear())
        await waits(world, 0)
        answer = await world.push(endpoint, BODY, Authorization=world.authorization(endpoint))
        assert answer.status_code == 201
        await again.line.end()


async def test_lost_listener_is_replaced_and_nothing_is_missed(database_url: str) -> None:
    """Another node's word is lost with the line to the store: the look afterwards makes up."""
    async with (
        push_world(database_url, owner="a") as first,
        push_world(database_url, owner="b", origin_port=first.port) as second,
    ):
        browser = await second.browser()
        endpoint = await browser.register()
        dsn = await asyncpg.connect(database_url)
        await dsn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and query like 'LISTEN%'"
        )
        await dsn.close()
        assert (await first.push(endpoint, BODY)).status_code == 201
        await browser.hear()
        await browser.line.end()


async def test_everybody_comes_back_at_once(database_url: str) -> None:
    """A storm of reconnections: each keeps its name and gets what waits for it."""
    count = 300
    async with push_world(database_url) as world:
        browsers = [await world.browser() for _ in range(count)]
        endpoints = [await browser.register() for browser in browsers]
        for browser in browsers:
            await browser.line.end()
        await asyncio.gather(*[world.push(endpoint, BODY) for endpoint in endpoints])
        assert await world.count() == count

        async def back(old: Browser) -> None:
            new = await world.browser(old.uaid)
            assert new.uaid == old.uaid
            new.ack(await new.hear())
            await new.quiet()
            await new.line.end()

        await asyncio.gather(*map(back, browsers))
        await waits(world, 0)


async def test_backlog_larger_than_the_window_is_delivered_in_order(database_url: str) -> None:
    """Some at a time, each part after the one before was acknowledged."""
    async with push_world(database_url) as world:
        browser = await world.browser()
        endpoint = await browser.register()
        await browser.line.end()
        for number in range(150):
            await world.push(endpoint, b"%04d" % number * 25)
        again = await world.browser(browser.uaid)
        for number in range(150):
            heard = await again.hear()
            assert base64.urlsafe_b64decode(heard["data"] + "==")[:4] == b"%04d" % number
            again.ack(heard)
        await waits(world, 0)
        await again.line.end()
