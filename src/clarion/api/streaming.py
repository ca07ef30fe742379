"""Sending an answer piece by piece, until it ends or the client leaves."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from starlette.types import Send

from clarion.api.exchange import Exchange, Stream


async def begun(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, the first of them made: what can't be read is refused with a status."""
    first = await anext(pieces)

    async def all_of_them() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return all_of_them()


async def send_stream(
    answer: Stream, call: Exchange, send: Send, extra: Sequence[tuple[bytes, bytes]]
) -> None:
    """Send the pieces; a client that leaves ends their generator."""
    headers = [(b"content-type", answer.media_type), *answer.headers, *extra]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if call.method == "HEAD":
        await send({"type": "http.response.body", "body": b""})
        return
    pieces = asyncio.ensure_future(_send_pieces(answer, send))
    gone = asyncio.ensure_future(call.gone())
    try:
        await asyncio.wait({pieces, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (pieces, gone):
            task.cancel()
        results = await asyncio.gather(pieces, gone, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _send_pieces(answer: Stream, send: Send) -> None:
    async for piece in answer.pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
