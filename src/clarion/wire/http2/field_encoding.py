"""Header fields as bytes: integers, strings and literals (RFC 7541, sections 5 and 6).

Strings are written without Huffman coding (section 5.2 leaves that to the encoder): it would save
wire bytes of device tokens and cost CPU for every one of them.
"""

from typing import Final

_CONTINUES: Final = 0x80
_LOW_BITS: Final = 0x7F

# RFC 7541, appendix A: the static table, index 1 first.
_STATIC_TABLE: Final = """\
:authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|\
:status 200|:status 204|:status 206|:status 304|:status 400|:status 404|:status 500|\
accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges|accept|\
access-control-allow-origin|age|allow|authorization|cache-control|content-disposition|\
content-encoding|content-language|content-length|content-location|content-range|content-type|\
cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|\
if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|\
proxy-authorization|range|referer|refresh|retry-after|server|set-cookie|\
strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"""

Field = tuple[bytes, bytes]
"""A header field: name and value."""

STATIC_FIELDS: Final[tuple[Field, ...]] = tuple(
    (name, value)
    for name, _, value in (entry.encode().partition(b" ") for entry in _STATIC_TABLE.split("|"))
)
STATIC_INDEX: Final = {field: at for at, field in enumerate(STATIC_FIELDS, 1)}
_NAME_INDEX: Final = {
    name: at for at, (name, _) in reversed(list(enumerate(STATIC_FIELDS, 1)))
}  # reversed: the first entry of a name wins
FIRST_DYNAMIC: Final = len(STATIC_FIELDS) + 1


def integer(value: int, prefix_bits: int, pattern: int) -> bytes:
    """A number behind a bit pattern, with a prefix of that many bits (RFC 7541, section 5.1)."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes((pattern | value,))
    out = bytearray((pattern | limit,))
    value -= limit
    while value > _LOW_BITS:
        out.append(value & _LOW_BITS | _CONTINUES)
        value >>= 7
    out.append(value)
    return bytes(out)


def string(value: bytes) -> bytes:
    """A string without Huffman coding (RFC 7541, section 5.2)."""
    return integer(len(value), 7, 0x00) + value


def indexed(index: int) -> bytes:
    """A field that stands in a table (RFC 7541, section 6.1)."""
    return integer(index, 7, 0x80)


def literal_field(name: bytes, value: bytes) -> bytes:
    """A field as a literal without indexing (RFC 7541, section 6.2.2): it touches no table.

    Use it for values that differ from request to request, such as `apns-id`; the result may be
    given to `Batch(extra=...)`.
    """
    return _named(name, 4, 0x00) + string(value)


def inserted_field(name: bytes, value: bytes) -> bytes:
    """A field as a literal that enters the dynamic table (RFC 7541, section 6.2.1)."""
    return _named(name, 6, 0x40) + string(value)


def table_size_update(size: int) -> bytes:
    """The change of the dynamic table's size, in octets (RFC 7541, section 6.3)."""
    return integer(size, 5, 0x20)


def _named(name: bytes, prefix_bits: int, pattern: int) -> bytes:
    known = _NAME_INDEX.get(name)
    if known is None:
        return bytes((pattern,)) + string(name)
    return integer(known, prefix_bits, pattern)
