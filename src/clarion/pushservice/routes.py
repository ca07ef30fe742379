"""Which request does what."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import orjson

from clarion.pushservice import cors, device_routes, gateway, receipts
from clarion.pushservice.addresses import counted
from clarion.pushservice.autopush import SUBPROTOCOL
from clarion.pushservice.browser_talk import BrowserTalk
from clarion.pushservice.capabilities import MESSAGE, OPEN, RECEIPTS, RESTRICTED
from clarion.pushservice.http_connection import Later, Outcome, StartStream, SwitchToSocket
from clarion.pushservice.parts import Parts
from clarion.pushservice.pushing import pushed
from clarion.pushservice.refusals import Refusal, RefusedError
from clarion.pushservice.requests import Answer, Request
from clarion.pushservice.switching import switch_head
from clarion.telemetry.names import Metric
from clarion.wire.capability import CapabilityError
from clarion.wire.push_headers import PushHeaderError, parse_prefer

JSON: Final = ((b"content-type", b"application/json"),)
UNIFIED: Final = Answer(200, JSON, orjson.dumps({"unifiedpush": {"version": 1}}))
HEALTHY: Final = Answer(200, JSON, orjson.dumps({"status": "OK"}))
_HEALTH: Final = frozenset({"/health", "/status", "/__heartbeat__", "/__lbheartbeat__"})
_REQUESTS: Final = Metric.PUSH_REQUESTS
_READ: Final = frozenset({"GET", "HEAD"})


class Routes:
    """The resources of one node."""

    def __init__(self, parts: Parts, ready: Callable[[], bool]) -> None:
        self._parts = parts
        self._ready = ready
        self._prefixes: Mapping[str, Callable[[Request], Outcome]] = {
            OPEN: self._endpoint,
            RESTRICTED: self._endpoint,
            MESSAGE: self._message,
            RECEIPTS: self._receipts,
            "/v1/": lambda request: device_routes.route(parts, request),
            gateway.PATH: lambda request: gateway.route(parts, request),
        }

    def __call__(self, request: Request) -> Outcome:
        """Answer a request.

        Raises:
            RefusedError: it is refused.
        """
        request.peer = self._client(request)
        if request.head is not None:  # a message for a push resource, like one before it
            return self._push(request)
        asked = cors.preflight(request)
        if asked is not None:
            return asked
        try:
            for prefix, route in self._prefixes.items():
                if request.path.startswith(prefix):
                    return route(request)
        except CapabilityError as error:
            # A stranger who tries URLs is told the same each time, and a sender may as well forget.
            raise RefusedError(Refusal.NOT_FOUND) from error
        return self._root(request)

    def _root(self, request: Request) -> Outcome:
        if request.path in _HEALTH:
            if not self._ready():
                raise RefusedError(Refusal.BUSY)
            return HEALTHY
        if request.path != "/":
            raise RefusedError(Refusal.NOT_FOUND)
        if request.method not in _READ:
            raise RefusedError(Refusal.METHOD, allow="GET, HEAD")
        if not request.upgrade:
            return Answer(200, JSON, orjson.dumps({"service": "clarion push service"}))
        parts = self._parts
        head = switch_head(request.fields, SUBPROTOCOL)
        cors.demand_known_page(request, parts.allowed_origins)
        return SwitchToSocket(head, lambda socket: BrowserTalk(parts, socket))

    def _push(self, request: Request) -> Outcome:
        parts = self._parts
        try:
            endpoint = parts.capabilities.endpoint(request.path)
        except CapabilityError as error:
            raise RefusedError(Refusal.NOT_FOUND) from error
        parts.tally.add(_REQUESTS, "push")
        return pushed(parts, endpoint, request)

    def _endpoint(self, request: Request) -> Outcome:
        if request.method == "POST":
            return self._push(request)
        self._parts.capabilities.endpoint(request.path)
        if request.method in _READ:  # UnifiedPush: is this a push endpoint?
            return UNIFIED
        raise RefusedError(Refusal.METHOD, allow="GET, HEAD, POST")

    def _message(self, request: Request) -> Outcome:
        subscription, push = self._parts.capabilities.message(request.path)
        if request.method != "DELETE":
            raise RefusedError(Refusal.METHOD, allow="DELETE")
        if self._parts.accepting.cancel(push):
            return Answer(204)

        async def cancel() -> Answer:
            if await self._parts.messages.cancel(subscription, push):
                return Answer(204)
            raise RefusedError(Refusal.NOT_FOUND, "the message is delivered, expired or replaced")

        return Later(asyncio.ensure_future(cancel()))

    def _receipts(self, request: Request) -> Outcome:
        parts = self._parts
        reader = parts.capabilities.receipts(request.path)
        if request.method not in _READ:
            raise RefusedError(Refusal.METHOD, allow="GET, HEAD")
        given = request.fields.get("last-event-id") or request.parameters().get("after")
        cursor = receipts.read_cursor(given)
        if cursor is None:
            raise RefusedError(Refusal.BAD_REQUEST, "the cursor is none of ours")
        if "text/event-stream" in request.fields.get("accept", ""):
            return StartStream(lambda stream: receipts.ReceiptEvents(parts, reader, cursor, stream))
        try:
            wait = parse_prefer(request.fields.get("prefer")).wait
        except PushHeaderError as error:
            raise RefusedError(Refusal.PREFER, str(error)) from error
        return Later(asyncio.ensure_future(receipts.wait_for(parts, reader, cursor, wait or 0)))

    def _client(self, request: Request) -> str:
        """As whom the client is counted: by what the last proxy that we trust says of it."""
        proxies = self._parts.trusted_proxies
        told = request.fields.get("x-forwarded-for")
        if told is None or request.peer not in proxies:
            return counted(request.peer)
        for hop in reversed(told.split(",")):
            if hop.strip() not in proxies:
                return counted(hop.strip())
        return counted(request.peer)
