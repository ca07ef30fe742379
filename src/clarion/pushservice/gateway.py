"""The UnifiedPush gateway for Matrix: a homeserver's notification becomes pushes to our endpoints.

Matrix servers post to one URL and name the device by its `pushkey`, which UnifiedPush apps set to
their endpoint. Only endpoints of this service are taken, so the gateway calls nobody.
"""

import asyncio
from datetime import timedelta
from typing import Final

import msgspec
import orjson

from clarion.ports.pushservice import Push, PushCoding, PushUrgency
from clarion.pushservice.accepting import Fate
from clarion.pushservice.http_connection import Later, Outcome
from clarion.pushservice.parts import Parts
from clarion.pushservice.refusals import Refusal, RefusedError
from clarion.pushservice.requests import Answer, Request
from clarion.wire.capability import CapabilityError

PATH: Final = "/_matrix/push/v1/notify"
TTL: Final = timedelta(days=1)
MAX_DEVICES: Final = 64
_JSON: Final = ((b"content-type", b"application/json"),)
_HERE: Final = Answer(200, _JSON, orjson.dumps({"unifiedpush": {"gateway": "matrix"}}))


class _Device(msgspec.Struct):
    """Where a notification goes."""

    pushkey: str


class _Notification(msgspec.Struct):
    """As much of it as the gateway reads."""

    devices: list[_Device]
    prio: str = "high"


class _Body(msgspec.Struct):
    """The Matrix push gateway API's request."""

    notification: _Notification


def route(parts: Parts, request: Request) -> Outcome:
    """Answer a request.

    Raises:
        RefusedError: it is refused.
    """
    if request.path != PATH:
        raise RefusedError(Refusal.NOT_FOUND)
    if request.method in {"GET", "HEAD"}:
        return _HERE
    if request.method != "POST":
        raise RefusedError(Refusal.METHOD, allow="GET, HEAD, POST")
    wait = parts.quotas.origin.take(request.peer, parts.clock.monotonic())
    if wait:
        raise RefusedError(Refusal.RATE_ORIGIN, retry_after_s=wait)
    try:
        notification = msgspec.json.decode(request.body, type=_Body).notification
    except msgspec.DecodeError as error:
        raise RefusedError(Refusal.BAD_REQUEST, str(error)) from error
    if len(notification.devices) > MAX_DEVICES:
        raise RefusedError(Refusal.TOO_LARGE)
    urgency = PushUrgency.NORMAL if notification.prio == "low" else PushUrgency.HIGH
    keys = [device.pushkey for device in notification.devices]
    return Later(asyncio.ensure_future(_notify(parts, request.body, keys, urgency)))


async def _notify(parts: Parts, body: bytes, keys: list[str], urgency: PushUrgency) -> Answer:
    """Push to each; those that are gone are named, and the homeserver forgets them."""
    rejected: list[str] = []
    waiting: list[tuple[str, asyncio.Future[Fate]]] = []
    for key in keys:
        push = _push_for(parts, body, key, urgency)
        if push is None:
            rejected.append(key)
        else:
            fate: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()
            parts.accepting.offer(push, fate.set_result, store=True)
            waiting.append((key, fate))
    for key, told in waiting:
        became = await told
        if became is Fate.GONE:
            rejected.append(key)
        elif became is Fate.UNAVAILABLE:
            raise RefusedError(Refusal.BUSY)
    return Answer(200, _JSON, orjson.dumps({"rejected": rejected}))


def _push_for(parts: Parts, body: bytes, key: str, urgency: PushUrgency) -> Push | None:
    """A notification as it is: this is the one sender that can't encrypt."""
    capabilities = parts.capabilities
    if not key.startswith(capabilities.origin):
        return None
    path = key.removeprefix(capabilities.origin).partition("?")[0]
    try:
        endpoint = capabilities.endpoint(path)
    except CapabilityError:
        return None
    if endpoint.key_hash is not None:  # restricted to a sender, and this is not the one
        return None
    now = parts.clock.now()
    return Push(
        id=parts.numbering.next(now),
        device=endpoint.device,
        subscription=endpoint.subscription,
        channel=endpoint.channel,
        body=body,
        coding=PushCoding.NONE,
        encryption=None,
        crypto_key=None,
        topic=None,
        urgency=urgency,
        expires_at=now + TTL,
        receipt=None,
    )
