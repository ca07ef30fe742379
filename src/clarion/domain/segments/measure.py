"""How large an expression is, and what it names."""

from collections.abc import Iterator

from clarion.domain.segments.expression import (
    And,
    AnyDevice,
    EventCount,
    EventTime,
    Expression,
    InList,
    InSegment,
    InTopic,
    Not,
    OneOf,
    Or,
)


def inner(node: Expression) -> tuple[Expression, ...]:
    """The expressions right below a node."""
    if isinstance(node, And | Or):
        return node.parts
    if isinstance(node, Not | AnyDevice):
        return (node.part,)
    if isinstance(node, EventCount | EventTime) and node.events.where is not None:
        return (node.events.where,)
    return ()


def depth(node: Expression) -> int:
    """Levels of and, or, not, any device and where."""
    return max((1 + depth(part) for part in inner(node)), default=0)


def walk(node: Expression) -> Iterator[Expression]:
    """The node and all below it."""
    yield node
    for part in inner(node):
        yield from walk(part)


def size(node: Expression) -> int:
    """Conditions; of listed values a hundred count as one more."""
    return sum(_weight(one) for one in walk(node))


def named(node: Expression) -> Iterator[InList | InTopic | InSegment]:
    """The lists, topics and segments that are named."""
    return (one for one in walk(node) if isinstance(one, InList | InTopic | InSegment))


def _weight(node: Expression) -> int:
    if isinstance(node, OneOf):
        return 1 + len(node.values) // 100
    return 0 if isinstance(node, And | Or | Not) else 1
