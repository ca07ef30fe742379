"""The API behind the real HTTP server: what only bytes on a socket can show."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest
import uvicorn
from tests.api.conftest import World

from clarion.api import ApiDependencies, ApiLimits, create_app
from clarion.app.head_limits import HEAD_OCTETS
from clarion.app.http_protocol import LeanHttp


class PatientHttp(LeanHttp):
    """As the API is served, on a machine that may stand still for a while."""

    head_time_s = 150.0


@pytest.fixture
async def port(world: World) -> AsyncIterator[int]:
    """The API on a free port, served as the api role serves it."""
    async with serving(world.deps, PatientHttp) as port:
        yield port


@asynccontextmanager
async def serving(deps: ApiDependencies, http: type[LeanHttp]) -> AsyncIterator[int]:
    """The API on a free port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        cast("Any", create_app(deps)),
        loop="none",
        http=http,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve([listener]))
    while not server.started:  # noqa: ASYNC110  uvicorn has a flag, no event
        await asyncio.sleep(0.01)
    yield int(listener.getsockname()[1])
    server.should_exit = True
    await serving


async def _exchange(port: int, *pieces: bytes) -> bytes:
    """Send the pieces, and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(120):
            while part := await reader.read(65536):
                answer += part
    finally:
        writer.close()
    return answer


async def _given_up_on(world: World, octets: bytes, *, answers: int) -> list[bytes]:
    """What is answered until the server waits no more for the rest of a head.

    With more patience where the machine was too busy to read the octets in time.
    """
    found: list[bytes] = []
    for patience_s in (0.2, 2.0, 20.0, 60.0):
        hasty = type("HastyHttp", (LeanHttp,), {"head_time_s": patience_s})
        async with serving(world.deps, hasty) as port:
            found = re.split(rb"HTTP/1\.1 (?=\d\d\d )", await _exchange(port, octets))[1:]
        if len(found) == answers:
            break
    return found


async def test_requests_on_one_connection_are_answered_in_turn(port: int, world: World) -> None:
    """HTTP/1.1 pipelining, a HEAD without a body, a 204 without a length."""
    key = f"host: x\r\nauthorization: Bearer {world.keys['admin']}\r\n".encode()
    answer = await _exchange(
        port,
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
        b"HEAD /v1/app HTTP/1.1\r\n" + key + b"\r\n"
        b"PUT /v1/users/a%2Fb HTTP/1.1\r\n" + key + b"content-length: 2\r\n\r\n{}"
        b"DELETE /v1/users/a%2Fb HTTP/1.1\r\n" + key + b"\r\n"
        b"GET /v1/users/a%2Fb HTTP/1.1\r\n" + key + b"connection: close\r\n\r\n",
    )
    parts = answer.split(b"HTTP/1.1 ")[1:]
    assert [part[:3] for part in parts] == [b"200", b"200", b"201", b"204", b"404"]
    head, empty = parts[1].lower(), parts[3].lower()
    assert head.endswith(b"\r\n\r\n")
    assert b"content-length: 0" not in head
    assert b"content-length" not in empty
    assert b'"external_id":"a/b"' in parts[2]


async def test_a_body_that_never_comes_ends_in_a_408(world: World) -> None:
    """The connection is closed with the answer."""
    key = f"host: x\r\nauthorization: Bearer {world.keys['admin']}\r\n".encode()
    begun = b"POST /v1/keys HTTP/1.1\r\n" + key + b"content-length: 20\r\n\r\n"
    deps = replace(world.deps, limits=ApiLimits(body_time_s=0.1))
    async with serving(deps, PatientHttp) as port:
        answer = await _exchange(port, begun, b"{")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer.lower()
    assert b"body_timeout" in answer


async def test_a_head_that_never_ends_is_not_waited_for(world: World) -> None:
    """Neither the first one of a connection nor a later one; who says nothing is told nothing."""
    begun = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
    assert await _given_up_on(world, b"", answers=0) == []
    assert [one[:4] for one in await _given_up_on(world, begun, answers=1)] == [b"408 "]
    both = await _given_up_on(world, begun + b"\r\n" + begun, answers=2)
    assert [one[:4] for one in both] == [b"200 ", b"408 "]


async def test_a_head_without_end_is_not_kept(port: int) -> None:
    """However fast it comes; a head of many fields passes."""
    begun = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
    field = b"x-padding: " + b"y" * 8_000 + b"\r\n"
    ended = b"connection: close\r\n\r\n"
    assert (await _exchange(port, begun, field * 6, ended)).startswith(b"HTTP/1.1 200 ")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begun + b"\r\n" + begun)
    assert (await reader.readuntil(b'{"ok":true}')).startswith(b"HTTP/1.1 200 ")
    writer.write(field * 12)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer
    assert b'"code":"head_too_large"' in answer
    assert b"connection: close" in answer


async def _answered(port: int) -> None:
    """The server answers another connection."""
    gone = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    assert (await _exchange(port, gone)).startswith(b"HTTP/1.1 200 ")


async def test_a_head_that_is_malformed_and_too_long_is_refused_once(
    port: int, world: World
) -> None:
    """By what was found first."""
    begun = b"GET /healthz HTTP/1.1\r\nx: "
    ended = b"y" * 200 + b"\r\nbroken field: x\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in (begun, b"y" * (HEAD_OCTETS - 100), ended):
        await _answered(port)  # by then the server has read the piece before
        writer.write(piece)
        await writer.drain()
    answer = await reader.read()
    writer.close()
    assert answer.count(b'"code":"http_malformed"') == 1
    assert b"head_too_large" not in world.deps.metrics.exposition()


async def test_a_body_announced_too_large_is_refused_unread(port: int, world: World) -> None:
    """Nobody waits for a gigabyte to say no."""
    key = f"host: x\r\nauthorization: Bearer {world.keys['admin']}\r\n".encode()
    answer = await _exchange(
        port, b"POST /v1/messages HTTP/1.1\r\n" + key + b"content-length: 1000000000\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"\x16\x03\x01 nonsense\r\n\r\n", 400, "http_malformed"),
        (b"GET /healthz HTTP/1.1x\r\n\r\n", 400, "http_malformed"),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\nbroken field: x\r\n\r\n", 400, "http_malformed"),
        (b"GET /\xc3\xa4 HTTP/1.1\r\nhost: x\r\n\r\n", 400, "http_malformed"),
        (b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400, "http_malformed"),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\n", 408, "head_timeout"),
    ],
    ids=["noise", "version", "field name", "path", "length", "late"],
)
async def test_what_is_no_request_is_answered_with_a_problem_like_all_else(
    world: World, sent: bytes, status: int, code: str
) -> None:
    """A client reads one form of refusal, whoever refuses; the connection ends with it."""
    (answer,) = await _given_up_on(world, sent, answers=1)
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    fields = dict(field.split(": ", 1) for field in lines)
    problem = json.loads(body)
    assert line.startswith(f"{status} ")
    assert (problem["status"], problem["code"]) == (status, code)
    assert fields["content-type"] == "application/problem+json"
    assert fields["connection"] == "close"
    assert fields["x-request-id"] == problem["request_id"] != ""


async def test_what_is_no_http_is_not_our_bug(port: int) -> None:
    """Garbage gets a 400 from the server's parser."""
    assert (await _exchange(port, b"\x16\x03\x01 nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")
