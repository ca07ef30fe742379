"""Requests and frames that take the short way are read as the long way reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.e2e.push_world import client_frame

from clarion.pushservice.familiar import MAX_OCTETS, MOST, Heads
from clarion.pushservice.requests import Request, RequestReader
from clarion.wire.websocket import FrameReader, Text, WebSocketError

FIELDS = (
    b"Host: a\r\nTTL: 60\r\nContent-Encoding: aes128gcm\r\nAuthorization: vapid t=x, k=y\r\n"
    b"content-length: %d\r\n"
)


def post(path: bytes, body: bytes, more: bytes = b"") -> bytes:
    """A push message request."""
    fields = FIELDS % len(body)
    return b"POST %b HTTP/1.1\r\n%b%b\r\n%b" % (path, fields, more, body)


def parsed(data: bytes) -> Request:
    """What the parser makes of it."""
    reader = RequestReader("here", max_head=16_384, max_body=4096)
    reader.feed(data)
    (request,) = reader.done
    return request


@given(st.binary(max_size=200), st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True))
def test_a_familiar_request_is_what_the_parser_makes_of_it(body: bytes, token: str) -> None:
    """Another path and body under the same fields."""
    heads = Heads()
    first = post(b"/wpush/v1/first", bytes(len(body)))
    assert heads.request(first, "here") is None
    heads.learn(first, parsed(first))
    second = post(b"/wpush/v2/" + token.encode(), body)
    found = heads.request(second, "here")
    assert found is not None
    long_way = parsed(second)
    assert (found.method, found.path, found.query) == ("POST", long_way.path, long_way.query)
    assert (found.fields, found.body) == (long_way.fields, body)
    assert found.keep_alive is long_way.keep_alive
    assert (found.peer, found.upgrade) == ("here", False)


@pytest.mark.parametrize(
    "data",
    [
        post(b"/wpush/v1/a", b"body")[:-1],
        post(b"/wpush/v1/a", b"body") + b"x",
        post(b"/wpush/v1/a?x=1", b"body"),
        post(b"/wpush/v1/a b", b"body"),
        post(b"/wpush/v1/\xff", b"body"),
        post(b"/", b"body"),
        post(b"/wpush/v1/a", b"body").replace(b"POST", b"PUT"),
        post(b"/wpush/v1/a", b"body").replace(b"HTTP/1.1", b"HTTP/1.0"),
        post(b"/wpush/v1/a", b"body", b"X: y\r\n"),
        b"POST /wpush/v1/a HTTP/1.1\r\n" + FIELDS % 4,
    ],
)
def test_what_is_cut_longer_or_unlike_takes_the_long_way(data: bytes) -> None:
    """Only what is whole, alone and letter by letter the same."""
    heads = Heads()
    first = post(b"/wpush/v1/first", b"body")
    heads.learn(first, parsed(first))
    assert heads.request(data, "here") is None


def test_a_head_that_is_cut_in_its_last_line_is_no_request() -> None:
    """However its octets add up: here the body is as long as all but three of them."""
    line = b"POST /wpush/v1/a HTTP/1.1\r\n"
    length = len(line + FIELDS % 100) - 4
    heads = Heads()
    whole = post(b"/wpush/v1/a", bytes(length))
    heads.learn(whole, parsed(whole))
    assert heads.request(whole, "here") is not None
    assert heads.request(whole[: len(line + FIELDS % length) - 1], "here") is None


@pytest.mark.parametrize(
    "more",
    [b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"X: " + b"a" * MAX_OCTETS + b"\r\n"],
)
def test_fields_that_change_the_connection_or_are_long_are_not_remembered(more: bytes) -> None:
    """They mean more than their request."""
    heads = Heads()
    data = post(b"/wpush/v1/first", b"body", more)
    heads.learn(data, parsed(data))
    assert heads.request(data, "here") is None


def test_chunked_bodies_are_not_remembered() -> None:
    """Their length is not in the fields."""
    heads = Heads()
    data = (
        b"POST /wpush/v1/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"4\r\nbody\r\n0\r\n\r\n"
    )
    heads.learn(data, parsed(data))
    assert heads.request(data, "here") is None


def test_what_is_remembered_is_bounded() -> None:
    """A sender with other fields in every request costs no memory."""
    heads = Heads()
    for number in range(3 * MOST):
        data = post(b"/wpush/v1/a", b"body", b"X: %d\r\n" % number)
        heads.learn(data, parsed(data))
        assert heads.request(data, "here") is not None
    kept = [
        number
        for number in range(3 * MOST)
        if heads.request(post(b"/wpush/v1/a", b"body", b"X: %d\r\n" % number), "here")
    ]
    assert len(kept) <= MOST


def test_who_sends_all_the_time_stays_known() -> None:
    """However many come once and never again: the one that is longest unused goes."""
    heads = Heads()
    steady = post(b"/wpush/v1/a", b"body")
    heads.learn(steady, parsed(steady))
    for number in range(2 * MOST):
        data = post(b"/wpush/v1/a", b"body", b"X: %d\r\n" % number)
        heads.learn(data, parsed(data))
        assert heads.request(steady, "here") is not None


@given(st.binary(max_size=70_000) | st.text(max_size=200).map(str.encode), st.integers(0, 3))
def test_a_short_text_frame_is_what_the_long_way_makes_of_it(payload: bytes, opcode: int) -> None:
    """Or it takes the long way."""
    data = client_frame(opcode, payload)
    text = FrameReader(65_536).text(data)
    if text is not None:
        assert FrameReader(65_536).feed(data) == [Text(text)]
        assert text == payload


@given(st.binary(max_size=140))
def test_any_octets_that_take_the_short_way_are_one_text(data: bytes) -> None:
    """Whatever comes: unmasked, cut, with reserved bits, of eight octets' length."""
    text = FrameReader(100).text(data)
    if text is None:
        return
    try:
        assert FrameReader(100).feed(data) == [Text(text)]
    except WebSocketError as error:  # pragma: no cover
        pytest.fail(f"the long way refuses it: {error}")


def test_nothing_takes_the_short_way_within_a_message() -> None:
    """A fragment or a part of a frame waits for its rest."""
    reader = FrameReader(1_000)
    reader.feed(client_frame(1, b"part", fin=False))
    assert reader.text(client_frame(1, b"whole text")) is None
    cut = FrameReader(1_000)
    cut.feed(client_frame(1, b"whole text")[:-1])
    assert cut.text(client_frame(1, b"whole text")) is None
