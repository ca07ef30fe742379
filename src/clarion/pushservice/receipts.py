"""Delivery receipts: what became of messages, told to the senders who asked (RFC 8030 section 6.3).

The RFC has receipts arrive as HTTP/2 server pushes, which clients and proxies no longer take. Ours
come over the same resource as server-sent events, or as JSON to a request that waits; each names
the message's URL and the status that the RFC's push would carry: 204 or 410.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

import orjson

from clarion.ports.pushservice import PushReceipt, ReceiptCursor
from clarion.ports.store import StoreUnavailableError
from clarion.pushservice.http_connection import EventStream
from clarion.pushservice.parts import Parts
from clarion.pushservice.requests import Answer

AT_MOST: Final = 1_000
LOOK_EVERY_S: Final = 0.25
LONGEST_WAIT_S: Final = 60
STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n"
    b"x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n"
)
START: Final[ReceiptCursor] = (0, 0)

_CURSOR: Final = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})", re.ASCII)


def read_cursor(text: str | None) -> ReceiptCursor | None:
    """Where a reader stands; the beginning without one, None for what is no cursor."""
    if not text:
        return START
    match = _CURSOR.fullmatch(text)
    return None if match is None else (int(match[1]), int(match[2]))


def cursor_text(cursor: ReceiptCursor) -> str:
    """A cursor, as readers give it back."""
    return f"{cursor[0]}.{cursor[1]}"


def said(parts: Parts, receipt: PushReceipt) -> dict[str, str | int]:
    """A receipt as JSON."""
    return {
        "message": parts.capabilities.message_url(receipt.subscription, receipt.push),
        "status": int(receipt.status),
        "at": receipt.at.isoformat(),
        "cursor": cursor_text(receipt.cursor),
    }


async def wait_for(parts: Parts, reader: bytes, cursor: ReceiptCursor, wait_s: int) -> Answer:
    """Receipts after a cursor, waiting up to some seconds for the first one."""
    clock = parts.clock
    await _taken(parts, reader, cursor)
    give_up = clock.monotonic() + min(wait_s, LONGEST_WAIT_S)
    while True:
        found = await parts.receipts.after(reader, cursor, at_most=AT_MOST)
        if found or clock.monotonic() >= give_up:
            return _page(parts, found, cursor)
        await clock.sleep(LOOK_EVERY_S)


async def _taken(parts: Parts, reader: bytes, cursor: ReceiptCursor) -> None:
    """What a reader comes back with has arrived there."""
    if cursor != START:
        await parts.receipts.taken(reader, cursor)


def _page(parts: Parts, found: Sequence[PushReceipt], cursor: ReceiptCursor) -> Answer:
    last = found[-1].cursor if found else cursor
    body = {"receipts": [said(parts, one) for one in found], "cursor": cursor_text(last)}
    fields = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    return Answer(200, fields, orjson.dumps(body))


class ReceiptEvents:
    """Sends receipts as they come."""

    def __init__(
        self, parts: Parts, reader: bytes, cursor: ReceiptCursor, stream: EventStream
    ) -> None:
        self._parts = parts
        self._stream = stream
        self._over = asyncio.Event()
        stream.start(STREAM_HEAD)
        parts.background(self._run(reader, cursor))

    def lost(self) -> None:
        """The reader has left."""
        self._over.set()

    def eased(self) -> None:
        """The reader reads again: the next look goes on."""

    def beat(self) -> None:
        """Keep proxies from closing what is silent."""
        self._stream.say(b": still here\n\n")

    async def _run(self, reader: bytes, cursor: ReceiptCursor) -> None:
        parts = self._parts
        begun = False
        while not self._over.is_set():
            try:
                if not begun:
                    await _taken(parts, reader, cursor)
                    begun = True
                # Only what the reader gave back as its cursor counts as taken: a stream that is cut
                # begins again there.
                found = [] if self._stream.crowded else await self._look(reader, cursor)
            except StoreUnavailableError:
                self._stream.end()  # readers come again with their cursor
                return
            for one in found:
                name = cursor_text(one.cursor).encode()
                data = orjson.dumps(said(parts, one))
                self._stream.say(b"id: %b\nevent: receipt\ndata: %b\n\n" % (name, data))
                cursor = one.cursor
            if not found:
                await parts.clock.sleep(LOOK_EVERY_S)

    async def _look(self, reader: bytes, cursor: ReceiptCursor) -> Sequence[PushReceipt]:
        return await self._parts.receipts.after(reader, cursor, at_most=AT_MOST)
