"""Request header blocks, nearly constant (RFC 7541, section 2.3).

A header set is encoded once per connection. Fields worth it enter the peer's dynamic table and are
one or two octets afterwards; `:path` is always a literal without indexing, because it differs from
request to request and would push out what is shared. Pseudo-header fields come first (RFC 9113,
section 8.3): lenient servers accept another order, Go, node and h2o do not.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from clarion.wire.http2.batch import HeaderSet
from clarion.wire.http2.field_encoding import (
    FIRST_DYNAMIC,
    STATIC_INDEX,
    Field,
    indexed,
    inserted_field,
    integer,
    literal_field,
    table_size_update,
)

_PATH_LITERAL: Final = integer(4, 4, 0x00)
_ENTRY_OVERHEAD: Final = 32  # RFC 7541, section 4.1
_TABLE_LIMIT: Final = 4096
_WORTH_INSERTING: Final = 4
"""Requests in sight from which on a new field enters the table at once."""
_REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True)
class BlockTemplate:
    """A header block but for the path's suffix: `before` the path literal, and `after` it."""

    before: bytes
    after: bytes
    path_prefix: bytes

    def head(self, suffix_octets: int) -> bytes:
        """All of the block that stands before the path's suffix, for a suffix of that length."""
        length = integer(len(self.path_prefix) + suffix_octets, 7, 0x00)
        return self.before + _PATH_LITERAL + length + self.path_prefix

    def block(self, suffix: bytes, extra: bytes = b"") -> bytes:
        """The whole block of one request."""
        return self.head(len(suffix)) + suffix + self.after + extra


class RequestEncoder:
    """The encoder's half of the request header table of one connection."""

    def __init__(self, authority: bytes) -> None:
        self._authority: Field = (b":authority", authority)
        self._entries: deque[Field] = deque()  # newest first, as indexes count
        self._octets = 0
        self._limit = _TABLE_LIMIT
        self._updates: list[int] = []
        self._templates: dict[HeaderSet, BlockTemplate] = {}
        self._seen: set[Field] = set()

    def resize(self, allowed: int) -> None:
        """The peer allows another table size (RFC 7541, section 4.2)."""
        limit = min(allowed, _TABLE_LIMIT)
        if limit == self._limit:
            return
        # Of several changes between two blocks, the smallest and the last must be signalled.
        self._updates = [min([limit, *self._updates]), limit]
        self._limit = limit
        self._evict_to(limit)
        self._templates.clear()

    def next_block(self, headers: HeaderSet, requests: int) -> tuple[BlockTemplate, bool]:
        """The template for the next request.

        Args:
            headers: The header set.
            requests: How many requests with it are in sight.

        Returns:
            The template, and whether it serves only one request: it then changes the table, and
            must be asked for anew.
        """
        known = self._templates.get(headers)
        if known is not None and not self._updates:
            return known, False
        updates = b"".join(map(table_size_update, dict.fromkeys(self._updates)))
        self._updates = []
        fields = [self._authority, *headers.headers]
        insert, deferred = self._wanted(fields, headers.literal, requests)
        parts = [self._encode(field, headers.literal, insert) for field in fields]
        template = self._template(headers, updates, parts)
        if insert or updates:
            self._templates.clear()  # indexes have shifted
            return template, True
        if not deferred:
            if len(self._templates) >= _REMEMBERED:
                self._templates.clear()
            self._templates[headers] = template
        return template, False

    def _template(self, headers: HeaderSet, start: bytes, parts: list[bytes]) -> BlockTemplate:
        pseudo = self._encode((b":method", headers.method), frozenset(), set())
        scheme = indexed(STATIC_INDEX[b":scheme", b"https"])
        return BlockTemplate(
            start + pseudo + scheme + parts[0], b"".join(parts[1:]), headers.path_prefix
        )

    def _wanted(
        self, fields: list[Field], literal: frozenset[bytes], requests: int
    ) -> tuple[set[Field], bool]:
        """The fields to insert now, and whether some wait for a second use.

        A set that is used once would push out what others share.
        """
        candidates = {f for f in fields if f[0] not in literal and f not in STATIC_INDEX}
        if sum(map(_octets_of, candidates)) > self._limit:
            return set(), False
        new = candidates.difference(self._entries)
        if requests >= _WORTH_INSERTING:
            return new, False
        fresh = new - self._seen
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen |= fresh
        return new - fresh, bool(fresh)

    def _encode(self, field: Field, literal: frozenset[bytes], insert: set[Field]) -> bytes:
        if field[0] in literal:
            return literal_field(*field)
        if field in STATIC_INDEX:
            return indexed(STATIC_INDEX[field])
        if field in self._entries:
            return indexed(FIRST_DYNAMIC + self._entries.index(field))
        if field not in insert:
            return literal_field(*field)
        self._evict_to(self._limit - _octets_of(field))
        self._entries.appendleft(field)
        self._octets += _octets_of(field)
        return inserted_field(*field)

    def _evict_to(self, octets: int) -> None:
        while self._octets > octets:
            self._octets -= _octets_of(self._entries.pop())


def _octets_of(field: Field) -> int:
    return len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD
