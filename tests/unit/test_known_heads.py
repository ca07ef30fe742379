"""Heads of a form that the parser has read are recognised, and no others."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.app.known_heads import REMEMBERED, KnownHeads

_VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
_OWN = ("authorization", "idempotency-key", "x-request-id")
Fields = list[tuple[bytes, bytes]]


class Parsed:
    """What the parser makes of a request."""

    def __init__(self, data: bytes) -> None:
        self.fields: Fields = []
        self.body = b""
        httptools.HttpRequestParser(self).feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field."""
        self.fields.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self.body += body


def request(*fields: str, body: bytes = b"{}", line: str = "POST /m HTTP/1.1") -> bytes:
    """A request with a length."""
    return "\r\n".join([line, *fields, f"Content-Length: {len(body)}", "", ""]).encode() + body


def knowing(*data: bytes) -> KnownHeads:
    """A memory after these requests."""
    heads = KnownHeads(b"/m")
    for one in data:
        heads.learn(one, Parsed(one).fields)
    return heads


@given(values=st.lists(_VISIBLE, min_size=6, max_size=6), body=st.binary(max_size=50))
def test_a_known_form_is_read_as_the_parser_reads_it(values: list[str], body: bytes) -> None:
    """Whatever its own fields say, and whatever the body is."""
    first, second = (
        request(
            "Host: x",
            *(f"{name}: {value}" for name, value in zip(_OWN, part, strict=True)),
            "Accept: */*",
            body=octets,
        )
        for part, octets in ((values[:3], b"{}"), (values[3:], body))
    )
    found = knowing(first).read(second)

    assert found is not None
    parsed = Parsed(second)
    assert (dict(found[0]), found[1]) == (dict(parsed.fields), parsed.body)


@given(data=st.data(), at=st.integers(0, 200), octet=st.integers(0, 255))
def test_a_changed_octet_is_read_as_the_parser_reads_it_or_not_at_all(
    data: st.DataObject, at: int, octet: int
) -> None:
    """No field can be smuggled past the parser."""
    first = request("Host: x", "authorization: Bearer abc", "X-Request-Id: r 1", "accept: */*")
    changed = bytearray(first)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[at % len(changed)] = octet
        at, octet = data.draw(st.integers(0, 200)), data.draw(st.sampled_from(b"\r\n\t :;,a0\x00"))
    found = knowing(first).read(bytes(changed))

    if found is not None:
        parsed = Parsed(bytes(changed))
        assert (dict(found[0]), found[1]) == (dict(parsed.fields), parsed.body)


@pytest.mark.parametrize(
    "other",
    [
        request("Host: y"),
        request("Host: x", "Accept: */*"),
        request("Host: x", line="POST /m HTTP/1.0"),
        request("Host: x", line="POST /mm HTTP/1.1"),
        request("Host: x", line="PUT /m HTTP/1.1"),
        request("Host: x") + b"POST",
        request("Host: x")[:-1],
        request("Host: x")[:20],
        request("Host: x").replace(b": 2", b": +2"),
        b"",
    ],
)
def test_anything_else_is_for_the_parser(other: bytes) -> None:
    """Another field, path, method or version; octets that are missing or too many."""
    assert knowing(request("Host: x")).read(request("Host: x")) is not None
    assert knowing(request("Host: x")).read(other) is None


@pytest.mark.parametrize(
    "field",
    [
        "Expect: 100-continue",
        "Connection: close",
        "Upgrade: h2c",
        "x-request-id: a\r\nx-request-id: b",
        "Accept: a\r\nAccept: b",
    ],
)
def test_what_asks_for_more_than_an_answer_is_never_known(field: str) -> None:
    """Nor where a field is there twice."""
    data = request("Host: x", field)
    assert knowing(data).read(data) is None


def test_a_connection_that_is_to_stay_open_is_known() -> None:
    """Many clients say what is the rule anyway."""
    data = request("Host: x", "Connection: keep-alive")
    assert knowing(data).read(data) is not None


def test_the_memory_is_bounded() -> None:
    """Whoever sends a new form each time gets no more of it than others."""
    many = [request(f"x-{number}: 1") for number in range(REMEMBERED + 1)]
    heads = knowing(*many)
    assert heads.read(many[0]) is None
    assert heads.read(many[-1]) is not None


@pytest.mark.parametrize("length", ["0" * 5000 + "2", "9" * 5000, "02", "+2"])
def test_a_length_as_no_client_writes_it_is_left_to_the_parser(length: str) -> None:
    """Python itself refuses to read a number of so many digits."""
    first = request("Host: x")
    other = first.replace(b"Content-Length: 2", f"Content-Length: {length}".encode())
    assert knowing(first).read(first) is not None
    assert knowing(first).read(other) is None
