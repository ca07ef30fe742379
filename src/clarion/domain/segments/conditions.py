"""Builds the leaves of an expression, and refuses what has no meaning with what would have one."""

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from clarion.domain.geography import COUNTRIES, canonical_language
from clarion.domain.segments.expression import (
    Comparison,
    Containing,
    Engagement,
    Events,
    Exists,
    Expression,
    Near,
    OneOf,
    Order,
    Signal,
    TextTest,
    Value,
    Window,
)
from clarion.domain.segments.fields import Field, Kind, nearest
from clarion.domain.segments.problems import MAX_VALUE_OCTETS, MAX_VALUES, SegmentFault, unstorable
from clarion.domain.segments.versions import version_key

MAX_AGE: Final = timedelta(days=36_500)
MAX_COUNT: Final = 1_000_000_000
MAX_RADIUS_M: Final = 20_100_000.0
"""Half of Earth's circumference, and a little."""
_LARGEST_INTEGER: Final = 2**53
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*\Z")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")

_EQUAL: Final = frozenset({Order.EQ, Order.NE})
_ORDERED: Final = frozenset({Order.LT, Order.LE, Order.GT, Order.GE})
_ORDERS: Final[Mapping[Kind, frozenset[Order]]] = MappingProxyType(
    {
        Kind.TEXT: _EQUAL,
        Kind.LANGUAGE: _EQUAL,
        Kind.COUNTRY: _EQUAL,
        Kind.CHOICE: _EQUAL,
        Kind.VERSION: _EQUAL | _ORDERED,
        Kind.TIME: _ORDERED,
        Kind.TRUTH: _EQUAL,
        Kind.ANY: _EQUAL | _ORDERED,
    }
)
EXPECTED: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.TEXT: "a text",
        Kind.LANGUAGE: "a language such as en or pt-BR",
        Kind.COUNTRY: "a country such as FR",
        Kind.CHOICE: "one of its values",
        Kind.VERSION: "a version such as 5.10.1",
        Kind.TIME: "an age such as 14d, or an instant such as 2026-01-31T08:00:00Z",
        Kind.TRUTH: "true or false",
        Kind.ANY: "a text, a number, true, false, an age or an instant",
    }
)


def comparison(field: Field, order: Order, value: Value) -> Comparison:
    """A field against a constant.

    Raises:
        SegmentFault: the field does not compare so, or not with such a value.
    """
    allowed = _ORDERS[field.kind]
    if order not in allowed:
        words = ", ".join(one.value for one in Order if one in allowed)
        raise SegmentFault(
            f"{field.name} does not compare with {order.value}: it knows {words}",
            part="op",
            expected=words,
        )
    found = checked_value(field, value)
    if isinstance(found, timedelta) and order in _EQUAL:
        raise SegmentFault(
            "an age compares with <, <=, > and >=", part="op", expected="<, <=, > or >="
        )
    if isinstance(found, bool) and order in _ORDERED:
        raise SegmentFault("true and false compare with = and !=", part="op", expected="= or !=")
    return Comparison(field, order, found)


def one_of(field: Field, values: tuple[Value, ...]) -> OneOf:
    """A field that equals one of the constants.

    Raises:
        SegmentFault: none or too many values, or one that the field can't have.
    """
    if field.kind in {Kind.TIME, Kind.TRUTH}:
        raise SegmentFault(f"{field.name} is not asked with in", part="op", expected="an order")
    if not 0 < len(values) <= MAX_VALUES:
        raise SegmentFault(
            f"in (…) lists 1 to {MAX_VALUES} values; a longer one is a list of its own",
            part="value",
            expected="at least one value",
        )
    checked = tuple(checked_value(field, value, at) for at, value in enumerate(values))
    for at, value in enumerate(checked):
        if isinstance(value, datetime | timedelta):
            raise SegmentFault(
                "in (…) lists texts, numbers, true and false", part="value", place=at
            )
    return OneOf(field, checked)


def exists(field: Field) -> Exists:
    """The field is known."""
    return Exists(field)


def containing(field: Field, test: TextTest, value: Value) -> Containing:
    """A part of a text, or an element of a list.

    Raises:
        SegmentFault: the field is neither a text nor an attribute, or the value does not fit.
    """
    if test is TextTest.HAS:
        if field.kind is not Kind.ANY:
            raise SegmentFault(
                f"{field.name} is no list; has asks attributes", part="op", expected="an order"
            )
        if isinstance(value, datetime | timedelta):
            raise SegmentFault(
                "a list holds texts, numbers, true and false",
                part="value",
                expected="a text, a number, true or false",
            )
        return Containing(field, test, checked_value(field, value))
    if field.kind not in {Kind.TEXT, Kind.ANY, Kind.VERSION}:
        raise SegmentFault(
            f"{field.name} is not asked with {test.value}", part="op", expected="= or in"
        )
    if not isinstance(value, str) or not value:
        raise SegmentFault(
            f"{test.value} takes a text that is not empty", part="value", expected="a text"
        )
    return Containing(field, test, _text(value, -1))


def near(latitude: float, longitude: float, radius_m: float) -> Near:
    """A circle on Earth.

    Raises:
        SegmentFault: a number is out of its range; `place` says which of the three.
    """
    ranges = (
        (latitude, -90.0, 90.0, "the latitude lies between -90 and 90"),
        (longitude, -180.0, 180.0, "the longitude lies between -180 and 180"),
        (radius_m, 1.0, MAX_RADIUS_M, "the radius lies between 1m and 20100km"),
    )
    for place, (number, low, high, detail) in enumerate(ranges):
        if not (math.isfinite(number) and low <= number <= high):
            raise SegmentFault(detail, part="value", place=place, expected=detail)
    return Near(float(latitude), float(longitude), round(float(radius_m), 3))


def events(name: str, where: Expression | None, window: Window | None) -> Events:
    """Custom events of a name."""
    if not name:
        raise SegmentFault("an event has a name", part="field", expected="the name of an event")
    return Events(_text(name, -1), where, window)


def engagement(
    signal: Signal,
    of: tuple[str, str] | None,
    window: Window | None,
    order: Order,
    count: int,
) -> Engagement:
    """What was done with earlier messages; `of` is `("message", id)` or `("category", slug)`.

    Raises:
        SegmentFault: the message's id is no UUID, or the count out of range.
    """
    checked_count(count)
    kind, name = of or ("", "")
    if kind == "message":
        name = name.lower()
        if not _UUID.match(name):
            raise SegmentFault("a message's id is a UUID", part="target", expected="a UUID")
        return Engagement(signal, message=name, window=window, order=order, count=count)
    if of is not None and not name:
        raise SegmentFault("a category has a name", part="target", expected="a category")
    return Engagement(signal, category=name or None, window=window, order=order, count=count)


def checked_count(count: int) -> int:
    """A count to compare with.

    Raises:
        SegmentFault: it is out of range.
    """
    if not 0 <= count <= MAX_COUNT:
        raise SegmentFault(
            "a count is a whole number from 0 on", part="value", expected="a whole number"
        )
    return count


def checked_age(age: timedelta) -> timedelta:
    """A length of time that reaches back.

    Raises:
        SegmentFault: it is negative, or longer than a century.
    """
    if not timedelta(0) <= age <= MAX_AGE:
        raise SegmentFault(
            "an age lies between 0s and 36500d", part="value", expected="an age such as 14d"
        )
    return age


def checked_value(field: Field, value: Value, place: int = -1) -> Value:
    """The constant as the field knows it: countries in capitals, languages in their usual case.

    Raises:
        SegmentFault: the field has no such values.
    """
    if isinstance(value, timedelta):
        checked_age(value)
    if field.kind is Kind.ANY:
        return _any(value, place)
    if field.kind in {Kind.TIME, Kind.TRUTH}:
        wanted = bool if field.kind is Kind.TRUTH else datetime | timedelta
        if isinstance(value, wanted):
            return value
        raise _wrong(field, place)
    if not isinstance(value, str):
        raise _wrong(field, place)
    return _word(field, _text(value, place), place)


def _word(field: Field, value: str, place: int) -> str:
    if field.kind is Kind.COUNTRY:
        if value.upper() in COUNTRIES:
            return value.upper()
        raise _wrong(field, place, f"{value!r} is no country of ISO 3166-1 (two letters)")
    if field.kind is Kind.LANGUAGE:
        tag = value.replace("_", "-")
        if _LANGUAGE.match(tag):
            return canonical_language(tag)
        raise _wrong(field, place, f"{value!r} is no language tag")
    if field.kind is Kind.CHOICE:
        if value in field.choices:
            return value
        words = ", ".join(field.choices)
        detail = f"{field.name} is one of {words}"
        raise SegmentFault(
            detail,
            part="value",
            place=place,
            expected=words,
            suggestion=nearest(value, field.choices),
        )
    if field.kind is Kind.VERSION and version_key(value) is None:
        raise _wrong(field, place, f"{value!r} is no version: up to four numbers, as in 5.10.1")
    return value


def _any(value: Value, place: int) -> Value:
    if isinstance(value, str):
        return _text(value, place)
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        raise SegmentFault(
            "an integer lies between -2^53 and 2^53", part="value", place=place, expected="a number"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise SegmentFault("the number is not finite", part="value", place=place)
    return value


def _text(value: str, place: int) -> str:
    if unstorable(value):
        raise SegmentFault("the text is not valid Unicode", part="value", place=place)
    if len(value.encode()) > MAX_VALUE_OCTETS:
        raise SegmentFault(
            f"a text has up to {MAX_VALUE_OCTETS} octets of UTF-8", part="value", place=place
        )
    return value


def _wrong(field: Field, place: int, detail: str = "") -> SegmentFault:
    expected = EXPECTED[field.kind]
    sentence = detail or f"{field.name} compares with {expected}"
    return SegmentFault(sentence, part="value", place=place, expected=expected)
