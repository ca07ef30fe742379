"""Conditions of segments, rendered once for all shards of a message.

A message's shards ask for the same segment as of the same instant, and differ in their buckets
only, which are bound when the condition is used.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from clarion.adapters.facts.duckdb import segment_sql
from clarion.adapters.facts.duckdb.segment_fields import instant
from clarion.adapters.facts.duckdb.segment_sql import Condition, Span
from clarion.domain.segments.checking import SegmentAt

KEPT: Final = 32
"""Conditions; a message under way needs one."""
LONGEST: Final = 16_384
"""Characters of what a kept condition is known by; a longer segment is rendered each time."""


def condition(segment: SegmentAt, span: Span | None = None) -> Condition:
    """As `segment_sql.condition`; its parameters can't be changed."""
    about = (segment.expression, sorted(segment.lists.items()), instant(segment.now))
    asked = _Asked(spelled=repr((span is not None, *about)), segment=segment, span=span)
    return _rendered(asked) if len(asked.spelled) <= LONGEST else asked.rendered()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """A segment that is known by how it is spelled.

    Values that are equal may be different constants: `1`, `1.0` and `true`.
    """

    spelled: str
    segment: SegmentAt = field(compare=False)
    span: Span | None = field(compare=False)

    def rendered(self) -> Condition:
        found = segment_sql.condition(self.segment, self.span)
        return Condition(sql=found.sql, parameters=MappingProxyType(dict(found.parameters)))


@lru_cache(maxsize=KEPT)
def _rendered(asked: _Asked) -> Condition:
    return asked.rendered()
