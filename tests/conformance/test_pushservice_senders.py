"""Other people's senders push to our service: pywebpush, and npm's web-push where it is there."""

import asyncio
import base64
import shutil
import subprocess
from collections.abc import AsyncIterator

import pytest
from pywebpush import webpush
from tests.e2e.push_world import World, push_world

from clarion.wire.webpush import ReceiverKey, decrypt


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A node."""
    async with push_world(database_url) as made:
        yield made


def text(octets: bytes) -> str:
    """Base64url."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


async def test_pywebpush_reaches_a_restricted_subscription(world: World) -> None:
    """Its VAPID form and its encryption arrive as a browser needs them."""
    receiver = ReceiverKey.generate(bytes(16))
    browser = await world.browser()
    endpoint = await browser.register(key=world.key)
    keys = {"p256dh": text(receiver.public), "auth": text(receiver.auth)}
    scalar = world.key.private.private_numbers().private_value.to_bytes(32, "big")

    def send() -> int:
        answer = webpush(
            {"endpoint": endpoint, "keys": keys}, data="hello", ttl=86_400,
            vapid_private_key=text(scalar), vapid_claims={"sub": "mailto:a@example.com"},
        )  # fmt: skip
        return int(answer.status_code)

    assert await asyncio.to_thread(send) == 201
    heard = await browser.hear()
    body = base64.urlsafe_b64decode(heard["data"] + "==")
    assert decrypt(body, receiver) == b"hello"
    await browser.line.end()


def _web_push_module() -> str | None:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return None
    root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=False)
    folder = f"{root.stdout.strip()}/web-push"
    found = subprocess.run(["node", "-e", f"require({folder!r})"], capture_output=True, check=False)
    return folder if found.returncode == 0 else None


async def test_npm_web_push_reaches_a_restricted_subscription(world: World) -> None:
    """The sender that most sites use."""
    module = await asyncio.to_thread(_web_push_module)
    if module is None:
        pytest.skip("NOT RUN: npm's web-push is missing: npm install -g web-push")
    receiver = ReceiverKey.generate(bytes(16))
    browser = await world.browser()
    endpoint = await browser.register(key=world.key)
    scalar = text(world.key.private.private_numbers().private_value.to_bytes(32, "big"))
    # It speaks only HTTPS, so it makes the request and node's own client sends it.
    script = f"""
        const made = require({module!r}).generateRequestDetails(
          {{endpoint: {endpoint!r}, keys: {{
            p256dh: {text(receiver.public)!r}, auth: {text(receiver.auth)!r}}}}}, 'hello',
          {{vapidDetails: {{subject: 'mailto:a@example.com', publicKey: {world.key.public!r},
            privateKey: {scalar!r}}}}});
        fetch(made.endpoint, {{method: made.method, headers: made.headers, body: made.body}})
          .then(answer => console.log(answer.status));
    """
    done = await asyncio.to_thread(
        subprocess.run, ["node", "-e", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "201", done.stderr
    heard = await browser.hear()
    body = base64.urlsafe_b64decode(heard["data"] + "==")
    assert decrypt(body, receiver) == b"hello"
    await browser.line.end()
