"""What an app on a device asks over HTTP: a name, subscriptions, its stream."""

import asyncio
from typing import Final

import msgspec
import orjson

from clarion.ports.pushservice import TooManySubscriptionsError
from clarion.pushservice import app_stream, autopush, cors
from clarion.pushservice.app_talk import AppEvents, AppTalk, Subscriber
from clarion.pushservice.capabilities import NAME_OCTETS, Endpoint
from clarion.pushservice.http_connection import Later, Outcome, StartStream, SwitchToSocket
from clarion.pushservice.parts import Parts
from clarion.pushservice.refusals import Refusal, RefusedError
from clarion.pushservice.requests import Answer, Request
from clarion.pushservice.switching import switch_head
from clarion.wire.capability import CapabilityError
from clarion.wire.websocket import WebSocketError

DEVICES: Final = "/v1/devices"
SUBSCRIPTIONS: Final = "/v1/subscriptions/"
STREAM: Final = "/v1/stream"
ACKS: Final = "/v1/acks"
_ALLOW: Final = {DEVICES: "POST", STREAM: "GET", ACKS: "POST"}
_JSON: Final = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


class _Subscribe(msgspec.Struct, forbid_unknown_fields=True):
    """What a subscription is restricted to."""

    key: str | None = None


class _Acks(msgspec.Struct, forbid_unknown_fields=True):
    """Messages that have arrived."""

    ids: list[str]


def route(parts: Parts, request: Request) -> Outcome:
    """Answer a request for one of these resources.

    Raises:
        RefusedError: it is refused.
    """
    cors.demand_known_page(request, parts.allowed_origins)
    method, path = request.method, request.path
    if path == DEVICES and method == "POST":
        token = parts.capabilities.device_token(parts.chance.token(NAME_OCTETS))
        return Answer(201, _JSON, orjson.dumps({"token": token}))
    if path.startswith(SUBSCRIPTIONS) and method in {"PUT", "DELETE"}:
        return _subscription(parts, request, path[len(SUBSCRIPTIONS) :])
    if path == STREAM and method == "GET":
        return _stream(parts, request)
    if path == ACKS and method == "POST":
        return _acks(parts, request)
    allow = "PUT, DELETE" if path.startswith(SUBSCRIPTIONS) else _ALLOW.get(path)
    if allow is None:
        raise RefusedError(Refusal.NOT_FOUND)
    raise RefusedError(Refusal.METHOD, allow=allow)


def _device(parts: Parts, request: Request) -> bytes:
    """Who asks: a bearer token, in a field or (browsers can't set one) in the query."""
    scheme, _, token = request.fields.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.parameters().get("token", "")
    try:
        return parts.capabilities.device(token.strip())
    except CapabilityError as error:
        raise RefusedError(Refusal.UNAUTHORIZED) from error


def _subscription(parts: Parts, request: Request, text: str) -> Later:
    name = _device(parts, request)
    try:
        channel = autopush.channel_octets(text)
    except WebSocketError as error:
        raise RefusedError(Refusal.NOT_FOUND, "a subscription is a UUID in lower case") from error
    if request.method == "DELETE":
        return Later(asyncio.ensure_future(_unsubscribe(parts, name, channel)))
    now = parts.clock.monotonic()
    wait = parts.quotas.device.take(name, now) or parts.quotas.address.take(request.peer, now)
    if wait:
        raise RefusedError(Refusal.RATE_ORIGIN, retry_after_s=wait)
    try:
        asked = msgspec.json.decode(request.body or b"{}", type=_Subscribe)
        key_hash = autopush.key_hash(asked.key)
    except (msgspec.DecodeError, autopush.BadKeyError) as error:
        raise RefusedError(Refusal.BAD_REQUEST, str(error)) from error
    return Later(asyncio.ensure_future(_subscribe(parts, name, channel, key_hash)))


async def _subscribe(parts: Parts, name: bytes, channel: bytes, key_hash: bytes | None) -> Answer:
    try:
        made = await parts.devices.register(name, channel, key_hash, parts.node, parts.clock.now())
    except TooManySubscriptionsError as error:
        raise RefusedError(Refusal.TOO_MANY) from error
    if made.key_hash != key_hash:
        raise RefusedError(Refusal.CONFLICT)
    session = parts.connections.of(made.device)
    if session is not None:
        session.channels[channel] = made.subscription
    url = parts.capabilities.endpoint_url(
        Endpoint(made.device, made.subscription, channel, key_hash)
    )
    body = {"subscription": autopush.channel_text(channel), "endpoint": url}
    return Answer(201, _JSON, orjson.dumps(body))


async def _unsubscribe(parts: Parts, name: bytes, channel: bytes) -> Answer:
    if not await parts.devices.unregister(name, channel, parts.node, parts.clock.now()):
        raise RefusedError(Refusal.NOT_FOUND)
    session = parts.connections.named(name)
    if session is not None:
        session.channels.pop(channel, None)
    return Answer(204)


def _stream(parts: Parts, request: Request) -> Outcome:
    name, query = _device(parts, request), request.parameters()
    floor = app_stream.read_floor(query.get("urgency"))
    if floor is None:
        raise RefusedError(Refusal.URGENCY)
    given = request.fields.get("last-event-id") or query.get("after")
    subscriber = Subscriber(name, app_stream.read_cursor(given), floor)
    if not request.upgrade:
        return StartStream(lambda stream: AppEvents(parts, subscriber, stream))
    head = switch_head(request.fields, app_stream.SUBPROTOCOL)
    return SwitchToSocket(head, lambda socket: AppTalk(parts, subscriber, socket))


def _acks(parts: Parts, request: Request) -> Answer:
    """Messages of a stream of events that have arrived, without waiting for the next stream."""
    name = _device(parts, request)
    try:
        ids = msgspec.json.decode(request.body, type=_Acks).ids
    except msgspec.DecodeError as error:
        raise RefusedError(Refusal.BAD_REQUEST, str(error)) from error
    session = parts.connections.named(name)
    pushes = [push for text in ids if (push := app_stream.read_cursor(text)) is not None]
    if session is not None:
        for push in pushes:
            parts.connections.acked(session, push)
    return Answer(204)
