"""What a device never hears of who sent to it (RFC 8292 section 4.2)."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from tests.e2e.push_world import World, push_world

BODY = b"x" * 100
DH = "BNoRDbb84JGm8g5Z5CFxurSqsXWJ11ItfXEWYVLE85Y7CYkDjXsIEc4aqxYaQ1G8BqkXCJ6DPpDrWtdWj_mugHU"
SALT = "salt=lngarbyKfMoi9Z75xYXmkg"


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A node."""
    async with push_world(database_url) as made:
        yield made


async def heard_of(world: World, **fields: str) -> dict[str, Any]:
    """What a browser hears of a message with these fields, over the store."""
    browser = await world.browser()
    endpoint = await browser.register()
    await browser.line.end()
    assert (await world.push(endpoint, BODY, **fields)).status_code == 201
    again = await world.browser(browser.uaid)
    heard = await again.hear()
    await again.line.end()
    return heard


async def test_token_and_signing_key_are_not_told_to_the_device(world: World) -> None:
    """Neither MUST be forwarded."""
    heard = await heard_of(world, Authorization=world.authorization(world.origin))
    assert heard["headers"] == {"encoding": "aes128gcm"}
    assert world.key.public not in orjson.dumps(heard).decode()


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        ("dh={dh};p256ecdsa={key}", "", "dh={dh}"),
        ("p256ecdsa={key},dh={dh}", "", "dh={dh}"),
        ('keyid="a";dh="{dh}", keyid="a"; P256ECDSA="{key}"', "", 'keyid="a";dh="{dh}",keyid="a"'),
        ("dh={dh}; p256ecdsa={key}=", ";keyid=a", "dh={dh};keyid=a"),
    ],
)
async def test_signing_key_in_the_drafts_field_is_not_told_to_the_device(
    world: World, before: str, after: str, left: str
) -> None:
    """`Crypto-Key` of the drafts holds both keys: the one to decrypt with goes on, alone."""
    token = world.authorization(world.origin).partition("t=")[2].partition(",")[0]
    heard = await heard_of(
        world,
        Content_Encoding="aesgcm",
        Encryption=SALT,
        Crypto_Key=before.format(dh=DH, key=world.key.public) + after,
        Authorization=f"WebPush {token}",
    )
    assert heard["headers"] == {
        "encoding": "aesgcm", "encryption": SALT, "crypto_key": left.format(dh=DH)
    }  # fmt: skip
