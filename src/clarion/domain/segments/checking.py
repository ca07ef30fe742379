"""Makes an expression whole: segments that it names are put in its place, lists get their ids."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from clarion.domain.segments.expression import (
    And,
    AnyDevice,
    Everyone,
    Expression,
    InList,
    InSegment,
    InTopic,
    Not,
    Or,
)
from clarion.domain.segments.fields import nearest
from clarion.domain.segments.json_form import Read
from clarion.domain.segments.measure import named, size
from clarion.domain.segments.problems import (
    MAX_INLINED,
    SegmentFault,
    SegmentFormError,
    SegmentTextError,
)
from clarion.domain.segments.text import Parsed

MAX_CHAIN: Final = 16
"""How many segments may name one another in a row."""

Named = InList | InTopic | InSegment


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentAt:
    """A whole expression, the ids of the lists that it names, and the instant that ages count from.

    It names no segment, so it says everything that a store has to know.
    """

    expression: Expression
    lists: Mapping[str, int]
    now: datetime
    versions: Mapping[str, int] = field(default_factory=dict)
    """The version of each segment that was put in place, by its name."""


EVERYONE: Final = Everyone()


class SegmentReferenceError(ValueError):
    """A list or segment that is named does not exist, or segments name one another in a circle."""

    def __init__(
        self, fault: SegmentFault, reference: Named | None, chain: tuple[str, ...]
    ) -> None:
        super().__init__(fault.sentence)
        self.fault = fault
        self.reference = reference
        """As the outermost expression names it: `in_text` and `in_form` find its place."""
        self.chain = chain
        """The segments that lead there, outermost first."""


def whole(
    expression: Expression,
    *,
    segments: Mapping[str, Expression],
    lists: Mapping[str, int],
    now: datetime,
    name: str | None = None,
) -> SegmentAt:
    """Put the segments that are named in place, and check the lists.

    Args:
        expression: as read.
        segments: every segment of the app by name, as read.
        lists: the id of every list of the app by name.
        now: what ages count from.
        name: of the segment itself, so that a circle through it is seen before it is stored.

    Raises:
        SegmentReferenceError: see there.
    """
    chain = () if name is None else (name,)
    found = _Whole(segments, lists).put(expression, chain, None)
    if size(found) > MAX_INLINED:
        fault = SegmentFault(
            f"with the segments that it names it has more than {MAX_INLINED} conditions"
        )
        raise SegmentReferenceError(fault, None, chain)
    used = {one.name: lists[one.name] for one in named(found) if isinstance(one, InList)}
    return SegmentAt(expression=found, lists=used, now=now)


def in_text(error: SegmentReferenceError, parsed: Parsed) -> SegmentTextError:
    """The same error at its place in the text."""
    place = parsed.named.get(error.reference) if error.reference is not None else None
    offset, length = place or (0, 1)
    return SegmentTextError(error.fault, parsed.text, offset, length)


def in_form(error: SegmentReferenceError, read: Read, pointer: str = "") -> SegmentFormError:
    """The same error at its place in the JSON form."""
    place = read.named.get(error.reference) if error.reference is not None else None
    return SegmentFormError(error.fault, pointer if place is None else place)


@dataclass(slots=True)
class _Whole:
    segments: Mapping[str, Expression]
    lists: Mapping[str, int]
    weight: int = 0

    def put(self, node: Expression, chain: tuple[str, ...], outer: Named | None) -> Expression:
        match node:
            case And(parts) | Or(parts):
                return replace(node, parts=tuple(self.put(part, chain, outer) for part in parts))
            case Not(part):
                return Not(self.put(part, chain, outer))
            case AnyDevice():
                return node  # it can name nothing
            case InSegment(name):
                return self.opened(name, chain, outer or node)
            case InList(name) if name not in self.lists:
                fault = _unknown("list", name, self.lists)
                raise SegmentReferenceError(fault, outer or node, chain)
            case _:
                return node

    def opened(self, name: str, chain: tuple[str, ...], outer: Named) -> Expression:
        if name in chain:
            circle = " → ".join((*chain[chain.index(name) :], name))
            fault = SegmentFault(f"segments name one another in a circle: {circle}")
            raise SegmentReferenceError(fault, outer, chain)
        if name not in self.segments:
            raise SegmentReferenceError(_unknown("segment", name, self.segments), outer, chain)
        self.weight += 1 + size(self.segments[name])
        if len(chain) >= MAX_CHAIN or self.weight > MAX_INLINED:
            fault = SegmentFault(
                f"the segments that are named lead to more than {MAX_INLINED} conditions, or more "
                f"than {MAX_CHAIN} in a row"
            )
            raise SegmentReferenceError(fault, outer, chain)
        return self.put(self.segments[name], (*chain, name), outer)


def _unknown(what: str, name: str, known: Mapping[str, object]) -> SegmentFault:
    return SegmentFault(
        f"there is no {what} {name!r}",
        expected=f"the name of a {what}",
        suggestion=nearest(name, list(known)),
    )
