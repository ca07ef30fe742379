"""Request header blocks as fields: a short path for blocks that leave the table alone.

A sender that inserts its constant fields once then refers to them and spells out little. Such
blocks (RFC 7541 section 6.1, 6.2.2, 6.2.3, strings without Huffman coding) are read here; every
other block, and every block with a fault, goes to the `hpack` library, which owns the table.
"""

from typing import Final

from hpack import Decoder

from clarion.wire.http2.field_encoding import STATIC_FIELDS, Field

_INDEXED: Final = 0x80
_ALTERS_TABLE: Final = 0x20
_CONTINUES: Final = 0x80
_NAME_PREFIX: Final = 0x0F
_STRING_PREFIX: Final = 0x7F
_ENTRY_OVERHEAD: Final = 32


class RequestDecoder:
    """The decoder of one connection's requests; the dynamic table has 4,096 octets."""

    def __init__(self, max_list: int) -> None:
        self._hpack = Decoder(max_header_list_size=max_list)
        self._max_list = max_list
        self._known: list[Field] = [(b"", b""), *STATIC_FIELDS]

    def fields(self, block: bytes) -> list[Field]:
        """All fields in order.

        Raises:
            HPACKError: the block cannot be decoded, or its list is too long.
        """
        decoded = self._read_plain(block)
        if decoded is not None:
            return decoded
        decoded = list(self._hpack.decode(block, raw=True))
        self._known = [(b"", b""), *STATIC_FIELDS, *self._hpack.header_table.dynamic_entries]
        return decoded

    def _read_plain(self, block: bytes) -> list[Field] | None:
        known = self._known
        decoded: list[Field] = []
        octets = at = 0
        end = len(block)
        try:
            while at < end:
                first = block[at]
                at += 1
                if first & _INDEXED:
                    if first in {_INDEXED, 0xFF}:
                        return None
                    field = known[first & _STRING_PREFIX]
                elif first >= _ALTERS_TABLE:
                    return None
                else:
                    field, at = self._read_literal(block, first & _NAME_PREFIX, at)
                decoded.append(field)
                octets += len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD
        except IndexError:
            return None  # cut short, no such entry, or a form this path does not read
        return decoded if at == end and octets <= self._max_list else None

    def _read_literal(self, block: bytes, index: int, at: int) -> tuple[Field, int]:
        if index == _NAME_PREFIX:
            index += block[at]
            if block[at] & _CONTINUES:
                raise IndexError
            at += 1
        if index:
            name = self._known[index][0]
        else:
            name, at = _read_string(block, at)
        value, at = _read_string(block, at)
        return (name, value), at


def _read_string(block: bytes, at: int) -> tuple[bytes, int]:
    length = block[at]
    at += 1
    if length >= _STRING_PREFIX:
        # 255 would begin a Huffman-coded string; so would all above 127.
        if length > _STRING_PREFIX:
            raise IndexError
        length += block[at] & _STRING_PREFIX
        if block[at] & _CONTINUES:
            at += 1
            length += block[at] << 7
            if block[at] & _CONTINUES:
                raise IndexError
        at += 1
    return block[at : at + length], at + length
