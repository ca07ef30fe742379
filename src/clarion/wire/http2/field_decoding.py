"""Answer header blocks as fields (RFC 7541, section 6; RFC 9113, section 8.3.2).

Our SETTINGS announce a header table of size 0, so each block stands alone: the status of a success
whose headers nobody reads is found in its first octets, and a whole block is decoded only when it
is kept. A host that uses a table nevertheless is found out by its first reference into it, and is
then read with full HPACK on a new connection.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

from hpack import Decoder
from hpack.exceptions import (
    HPACKError,
    InvalidTableIndexError,
    InvalidTableSizeError,
    OversizedHeaderListError,
)

from clarion.wire.http2.errors import (
    ErrorCode,
    ProtocolError,
    StatefulHeadersError,
    StreamError,
)
from clarion.wire.http2.field_encoding import STATIC_FIELDS, Field

_STATUS: Final = b":status"
_INDEXED_STATUS: Final = {
    0x80 | index: int(value)
    for index, (name, value) in enumerate(STATIC_FIELDS, 1)
    if name == _STATUS
}
_STATUS_NAME_INDEX: Final = STATIC_FIELDS.index((_STATUS, b"200")) + 1
_LITERAL_STATUS: Final = frozenset(pattern | _STATUS_NAME_INDEX for pattern in (0x00, 0x10, 0x40))
_REMEMBERED: Final = 256
_Value = TypeVar("_Value")


class AnswerDecoder:
    """The decoder of one connection's answers.

    Args:
        stateful: Keep the dynamic table (4,096 octets); else its size is 0.
        max_list: Octets a field list may have, counted as RFC 9113, section 10.5.1 does.
    """

    def __init__(self, *, stateful: bool, max_list: int) -> None:
        self.stateful = stateful
        self._hpack = Decoder(max_header_list_size=max_list)
        if not stateful:
            self._hpack.max_allowed_table_size = 0
            self._hpack.header_table_size = 0
        self._statuses: dict[bytes, int] = {}
        self._blocks: dict[bytes, tuple[int, tuple[Field, ...]]] = {}

    def status(self, block: bytes) -> int:
        """The status of an answer whose other fields nobody reads.

        Raises:
            ProtocolError: The block can't be decoded (RFC 9113, section 4.3).
            StreamError: It decodes, but is no response (section 8.3.2).
        """
        if self.stateful or not block:
            return self.fields(block)[0]
        first = block[0]
        indexed = _INDEXED_STATUS.get(first)
        if indexed is not None:
            return indexed
        if first not in _LITERAL_STATUS or len(block) < 2:  # noqa: PLR2004 - name and length
            return self.fields(block)[0]
        # A literal value is its length and its octets: together the key of what they decode to.
        key = block[: 2 + (block[1] & 0x7F)]
        known = self._statuses.get(key)
        if known is None:
            known = self.fields(key)[0]
            _bounded(self._statuses)[key] = known
        return known

    def fields(self, block: bytes) -> tuple[int, tuple[Field, ...]]:
        """The status, and all other fields in wire order.

        Raises:
            ProtocolError: The block can't be decoded (RFC 9113, section 4.3).
            StreamError: It decodes, but is no response (section 8.3.2).
        """
        if self.stateful:
            return _response(self._decode(block))
        known = self._blocks.get(block)
        if known is None:
            known = _response(self._decode(block))
            _bounded(self._blocks)[block] = known
        return known

    def trailers(self, block: bytes) -> tuple[Field, ...]:
        """The fields of a trailer section: no pseudo-header field (RFC 9113, section 8.1).

        Raises:
            ProtocolError: The block can't be decoded.
            StreamError: A pseudo-header field stands in it.
        """
        fields = tuple(self._decode(block))
        if any(name.startswith(b":") for name, _ in fields):
            raise StreamError(ErrorCode.PROTOCOL_ERROR, "a pseudo-header field in a trailer")
        return fields

    def pass_over(self, block: bytes) -> None:
        """A block nobody waits for any more: it still changes the table (RFC 9113, section 4.3).

        Raises:
            ProtocolError: The block can't be decoded.
        """
        if self.stateful:
            self._decode(block)

    def _decode(self, block: bytes) -> Sequence[Field]:
        try:
            decoded = self._hpack.decode(block, raw=True)
        except OversizedHeaderListError as error:
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "the headers are too large") from error
        except (InvalidTableIndexError, InvalidTableSizeError) as error:
            # A reference into our table of size 0, or an update that makes it grow (6.3).
            if self.stateful:
                raise ProtocolError(ErrorCode.COMPRESSION_ERROR, str(error)) from error
            raise StatefulHeadersError from error
        except HPACKError as error:
            raise ProtocolError(ErrorCode.COMPRESSION_ERROR, str(error)) from error
        return [(bytes(name), bytes(value)) for name, value in decoded]


def _response(fields: Sequence[Field]) -> tuple[int, tuple[Field, ...]]:
    if not fields or fields[0][0] != _STATUS:
        raise StreamError(ErrorCode.PROTOCOL_ERROR, "an answer without :status")
    status = fields[0][1]
    if len(status) != 3 or not status.isdigit():  # noqa: PLR2004 - RFC 9110, section 15
        raise StreamError(ErrorCode.PROTOCOL_ERROR, "a :status that is not three digits")
    for name, _ in fields[1:]:
        if name.startswith(b":") or name != name.lower():
            raise StreamError(ErrorCode.PROTOCOL_ERROR, "a malformed field in an answer")
    return int(status), tuple(fields[1:])


def _bounded(memo: dict[bytes, _Value]) -> dict[bytes, _Value]:
    """The memo, emptied when full: blocks with a value of their own must not pile up."""
    if len(memo) >= _REMEMBERED:
        memo.clear()
    return memo
