"""Prints an expression in the short text form, so that reading it gives the expression back."""

import json
import re
from datetime import datetime, timedelta
from typing import Final, assert_never

from clarion.domain.segments import literals
from clarion.domain.segments.expression import (
    And,
    AnyDevice,
    Comparison,
    Containing,
    Engagement,
    EventCount,
    Events,
    EventTime,
    Everyone,
    Exists,
    Expression,
    InList,
    InSegment,
    InTopic,
    Leaf,
    Near,
    Not,
    OneOf,
    Or,
    Order,
    Value,
    Window,
    Within,
)
from clarion.domain.segments.fields import DEVICE_TAG, USER_TAG, Field, Kind, Scope
from clarion.domain.segments.tokens import PLAIN_ATOM, PLAIN_NAME

_PATH: Final = re.compile(r"[^\W\d][\w-]*(?:\.[\w-]+)*\Z")
_REST: Final = re.compile(r"[\w-]+(?:\.[\w-]+)*\Z")
_KEYWORDS: Final = frozenset({"and", "or", "not", "in", "any", "everyone"})
_BARE: Final = frozenset({Kind.COUNTRY, Kind.CHOICE, Kind.LANGUAGE})


def to_text(node: Expression) -> str:
    """The text of an expression."""
    match node:
        case And(parts):
            return " and ".join(_held(part, (And, Or)) for part in parts)
        case Or(parts):
            return " or ".join(_held(part, (Or,)) for part in parts)
        case Not(OneOf(field, values)):
            return f"{_field(field)} not in ({_values(field, values)})"
        case Not(part):
            return f"not {_held(part, (And, Or))}"
        case AnyDevice(part):
            return f"any device({to_text(part)})"
        case _:
            return _leaf(node)


def _held(node: Expression, loose: tuple[type, ...]) -> str:
    text = to_text(node)
    return f"({text})" if isinstance(node, loose) else text


def _leaf(node: Leaf) -> str:  # noqa: PLR0911  # one return a kind of leaf
    match node:
        case Comparison(field, order, value):
            return f"{_field(field)} {order.value} {_value(field, value)}"
        case OneOf(field, values):
            return f"{_field(field)} in ({_values(field, values)})"
        case Exists(field):
            return f"{_field(field)} exists"
        case Containing(field, test, value):
            return f"{_field(field)} {test.value} {_any(value)}"
        case InList(name):
            return f"in list({_name(name)})"
        case InTopic(name):
            return f"in topic({_name(name)})"
        case InSegment(name):
            return f"in segment({_name(name)})"
        case _:
            return _called(node)


def _called(node: Everyone | Near | EventCount | EventTime | Engagement) -> str:
    match node:
        case Everyone():
            return "everyone"
        case Near(latitude, longitude, radius_m):
            return f"near({latitude!r}, {longitude!r}, {literals.metres_text(radius_m)})"
        case EventCount(events, order, count):
            return f"count({_events(events)}) {order.value} {count}"
        case EventTime(edge, events, order, value):
            return f"{edge.value}({_events(events)}) {order.value} {_any(value)}"
        case Engagement():
            return _engagement(node)
        case _:
            assert_never(node)


def _engagement(node: Engagement) -> str:
    target = "any"
    if node.message is not None:
        target = f"message {_quoted(node.message)}"
    elif node.category is not None:
        target = f"category {_name(node.category)}"
    window = "" if node.window is None else f", {_window(node.window)}"
    call = f"{node.signal.name.lower()}({target}{window})"
    usual = node.order is Order.GE and node.count == 1
    return call if usual else f"{call} {node.order.value} {node.count}"


def _events(events: Events) -> str:
    where = "" if events.where is None else f" where {to_text(events.where)}"
    window = "" if events.window is None else f", {_window(events.window)}"
    return f"{_name(events.name)}{where}{window}"


def _window(window: Window) -> str:
    if isinstance(window, Within):
        return literals.age_text(window.age)
    return f"{literals.instant_text(window.start)} to {literals.instant_text(window.end)}"


def _field(field: Field) -> str:
    if field.scope is Scope.PROPERTY:
        plain = _PATH.match(field.name) and field.name.lower() not in _KEYWORDS
        return field.name if plain else _quoted(field.name)
    if field.kind is Kind.ANY:
        prefix = USER_TAG if field.scope is Scope.USER else DEVICE_TAG
        rest = field.attribute
        return prefix + (rest if _REST.match(rest) else _quoted(rest))
    return field.name


def _values(field: Field, values: tuple[Value, ...]) -> str:
    return ", ".join(_value(field, value) for value in values)


def _value(field: Field, value: Value) -> str:
    if isinstance(value, str):
        bare = field.kind in _BARE and PLAIN_NAME.match(value)
        plain = field.kind is Kind.VERSION and PLAIN_ATOM.match(value)
        return value if bare or plain else _quoted(value)
    return _any(value)


def _any(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return literals.age_text(value)
    if isinstance(value, datetime):
        return literals.instant_text(value)
    return _quoted(value) if isinstance(value, str) else literals.number_text(value)


def _name(name: str) -> str:
    return name if _PATH.match(name) else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
