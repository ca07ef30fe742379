"""What RFC 7541 says of the fields we write; the decoder of the `hpack` library is the judge."""

import pytest
from hpack import Decoder
from hpack.table import HeaderTable
from hypothesis import given
from hypothesis import strategies as st

from clarion.wire.http2 import HeaderSet, LocalSettings, literal_field
from clarion.wire.http2.errors import ProtocolError, StatefulHeadersError
from clarion.wire.http2.field_decoding import AnswerDecoder
from clarion.wire.http2.field_encoding import STATIC_FIELDS, inserted_field, integer, string
from clarion.wire.http2.header_tables import RequestEncoder

NAMES = st.from_regex(rb"[a-z][a-z0-9-]{0,20}", fullmatch=True).filter(
    lambda name: name not in {b"connection", b"keep-alive", b"upgrade"}
)
VALUES = st.from_regex(rb"[!-~]{0,60}", fullmatch=True)


def test_the_static_table() -> None:
    """Appendix A."""
    assert tuple(HeaderTable.STATIC_TABLE) == STATIC_FIELDS


@pytest.mark.parametrize(
    ("value", "bits", "octets"), [(10, 5, b"\x0a"), (1337, 5, b"\x1f\x9a\x0a"), (42, 8, b"\x2a")]
)
def test_integers(value: int, bits: int, octets: bytes) -> None:
    """Appendix C.1: the RFC's own examples."""
    assert integer(value, bits, 0) == octets


def test_literals() -> None:
    """Appendix C.2.1 and C.2.2, octet by octet."""
    assert inserted_field(b"custom-key", b"custom-header") == b"\x40\x0acustom-key\x0dcustom-header"
    assert literal_field(b":path", b"/sample/path") == b"\x04\x0c/sample/path"
    assert string(b"a" * 200)[:2] == b"\x7f\x49"


@given(
    sets=st.lists(
        st.tuples(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.booleans(), st.integers(1, 9)),
        max_size=20,
    ),
    sizes=st.lists(st.sampled_from([None, 0, 60, 200, 4096]), max_size=20),
)
def test_the_peer_reads_what_we_wrote_whatever_its_table(
    sets: list[tuple[list[tuple[bytes, bytes]], bool, int]], sizes: list[int | None]
) -> None:
    """Sections 2.3, 4.2, 4.3, 4.4: insertion, reference, eviction and resizing stay in step."""
    encoder, decoder = RequestEncoder(b"push.example"), Decoder()
    for at, (fields, secret, requests) in enumerate([*sets, *sets]):
        size = sizes[at % len(sizes)] if sizes else None
        if size is not None:
            encoder.resize(size)
            decoder.max_allowed_table_size = size
        literal = frozenset({fields[0][0]}) if fields and secret else frozenset()
        headers = HeaderSet(path_prefix=b"/p/", headers=tuple(fields), literal=literal)
        for _ in range(requests):
            template, _ = encoder.next_block(headers, requests)
            assert decoder.decode(template.block(b"x"), raw=True) == [
                (b":method", b"POST"),
                (b":scheme", b"https"),
                (b":authority", b"push.example"),
                (b":path", b"/p/x"),
                *fields,
            ]
        inserted = {name for name, _ in decoder.header_table.dynamic_entries}
        assert b":path" not in inserted


def test_a_set_that_is_used_again_and_again_becomes_indexes() -> None:
    """Section 2.3.2: after its first use a block is a few octets around the path."""
    encoder = RequestEncoder(b"push.example")
    headers = HeaderSet(path_prefix=b"/", headers=((b"apns-topic", b"org.example" * 5),))
    first, once = encoder.next_block(headers, 100)
    assert once
    second, once = encoder.next_block(headers, 99)
    assert not once
    assert len(first.block(b"")) > 60
    assert len(second.block(b"")) < 10


def test_the_status_of_a_success_is_found_without_its_other_fields() -> None:
    """Sections 6.1, 6.2 and 6.3: indexed, literal, Huffman-coded, behind a size update."""
    decoder = AnswerDecoder(stateful=False, max_list=65_536)
    for block, status in [
        (b"\x88\x0f\x0d\x01", 200), (b"\x89", 204), (b"\x08\x03201", 201),
        (b"\x48\x03410", 410), (b"\x48\x82\x10\x03", 201), (b"\x20\x88", 200),
    ]:  # fmt: skip
        try:
            assert decoder.status(block) == status
        except ProtocolError as error:  # pragma: no cover - shown when an example is wrong
            pytest.fail(f"{block!r}: {error}")


@pytest.mark.parametrize("block", [b"\xbe", b"\x3f\xe1\x1f\x88", b"\x20\x3f\xe1\x1f\x88"])
def test_a_table_of_size_0_admits_no_reference_and_no_growth(block: bytes) -> None:
    """Sections 2.3.3, 4.2 and 6.3."""
    with pytest.raises(StatefulHeadersError):
        AnswerDecoder(stateful=False, max_list=65_536).fields(block)


def test_a_field_list_above_our_limit_is_refused() -> None:
    """RFC 9113, section 10.5.1: a small block may unfold into a large list."""
    local = LocalSettings(max_header_list=200)
    decoder = AnswerDecoder(stateful=False, max_list=local.max_header_list)
    with pytest.raises(ProtocolError, match="too large"):
        decoder.fields(b"\x88" + literal_field(b"a", b"b" * 300))
