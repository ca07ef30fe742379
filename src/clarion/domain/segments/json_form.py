"""The JSON form of an expression, to and from plain decoded JSON values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar

from clarion.domain.segments import conditions, literals
from clarion.domain.segments.expression import (
    And,
    AnyDevice,
    Between,
    Edge,
    EventCount,
    Events,
    EventTime,
    Everyone,
    Expression,
    InList,
    InSegment,
    InTopic,
    Not,
    Or,
    Order,
    Signal,
    TextTest,
    Value,
    Window,
    Within,
)
from clarion.domain.segments.fields import Field, Kind, nearest
from clarion.domain.segments.places import Inside, field_inside, refuse_inside
from clarion.domain.segments.problems import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    SegmentFault,
    SegmentFormError,
    not_unicode,
    too_deep,
    too_large,
    unstorable,
)

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Made = TypeVar("Made")

_REFERENCES: Final[Mapping[str, type[InList | InTopic | InSegment]]] = {
    "list": InList,
    "topic": InTopic,
    "segment": InSegment,
}
_HEADS: Final[Mapping[str, frozenset[str]]] = {
    "and": frozenset(),
    "or": frozenset(),
    "not": frozenset(),
    "any_device": frozenset(),
    "everyone": frozenset(),
    "field": frozenset({"op", "value"}),
    "near": frozenset(),
    "count": frozenset({"op", "value"}),
    "first": frozenset({"op", "value"}),
    "last": frozenset({"op", "value"}),
    "engagement": frozenset({"message", "category", "window", "op", "value"}),
    "list": frozenset(),
    "topic": frozenset(),
    "segment": frozenset(),
}
"""The member that says what an object is, and the members that may stand beside it."""
_OPS: Final = (*[order.value for order in Order], "in", "exists", *[t.value for t in TextTest])


@dataclass(frozen=True, slots=True)
class Read:
    """An expression, and where its JSON names lists, topics and segments."""

    expression: Expression
    named: Mapping[InList | InTopic | InSegment, str]
    """Of each, the pointer of the first place."""


def read_json(form: Json, pointer: str = "") -> Read:
    """Read the JSON form.

    Args:
        form: decoded JSON.
        pointer: what pointers in errors start with.

    Raises:
        SegmentFormError: with the pointer of what is wrong.
    """
    reader = _Reader()
    return Read(reader.node(form, pointer, Inside.ROW, 0), reader.named)


@dataclass(slots=True)
class _Reader:
    size: int = 0
    named: dict[InList | InTopic | InSegment, str] = field(default_factory=dict)

    def node(self, form: Json, at: str, inside: Inside, deep: int) -> Expression:
        if deep > MAX_DEPTH:
            raise SegmentFormError(too_deep(), at)
        members = _object(form, at)
        head = self.head(members, at)
        if head not in {"and", "or", "not"}:
            self.grow(1, at)
        at_head = f"{at}/{head}"
        if head in {"and", "or"}:
            parts = _array(members[head], at_head, least=2)
            read = tuple(
                self.node(p, f"{at_head}/{k}", inside, deep + 1) for k, p in enumerate(parts)
            )
            return And(read) if head == "and" else Or(read)
        if head == "not":
            return Not(self.node(members[head], at_head, inside, deep + 1))
        if head == "field":
            return self.about_field(members, at, inside)
        if not (inside is Inside.DEVICE and head == "near"):
            _made(lambda: refuse_inside(inside, head.replace("_", " ")), at, {})
        if head == "any_device":
            return AnyDevice(self.node(members[head], at_head, Inside.DEVICE, deep + 1))
        return self.special(head, members, at, deep)

    def head(self, members: Mapping[str, Json], at: str) -> str:
        """Which member says what the object is; nothing that does not belong stands beside it."""
        heads = [name for name in members if name in _HEADS]
        if len(heads) != 1:
            words = ", ".join(_HEADS)
            found = nearest(next(iter(members)), list(_HEADS)) if members and not heads else None
            detail = f"a condition has exactly one of {words}"
            raise SegmentFormError(SegmentFault(detail, expected=words, suggestion=found), at)
        _only(members, _HEADS[heads[0]] | {heads[0]}, at)
        return heads[0]

    def special(self, head: str, members: Mapping[str, Json], at: str, deep: int) -> Expression:
        if head == "everyone":
            if members[head] is not True:
                raise _wrong("true", f"{at}/everyone")
            return Everyone()
        if head == "near":
            return self.near(members[head], f"{at}/near")
        if head == "engagement":
            return self.engagement(members, at)
        if head in _REFERENCES:
            found = _REFERENCES[head](_text(members[head], f"{at}/{head}"))
            self.named.setdefault(found, f"{at}/{head}")
            return found
        return self.about_events(head, members, at, deep)

    def about_field(self, members: Mapping[str, Json], at: str, inside: Inside) -> Expression:
        name = _text(members["field"], f"{at}/field")
        spots = {"field": f"{at}/field", "op": f"{at}/op", "value": f"{at}/value"}
        column = _made(lambda: field_inside(inside, name), at, spots)
        op = _op(members, at, _OPS)
        if op == "exists":
            _only(members, {"field", "op"}, at)
            return conditions.exists(column)
        form, spot = _member(members, "value", at), f"{at}/value"
        if op == "in":
            listed = _array(form, spot, least=1)
            self.grow(len(listed) // 100, at)
            values = tuple(_value(one, f"{spot}/{k}", column) for k, one in enumerate(listed))
            return _made(lambda: conditions.one_of(column, values), at, spots)
        value = _value(form, spot, column)
        if op in {order.value for order in Order}:
            return _made(lambda: conditions.comparison(column, Order(op), value), at, spots)
        return _made(lambda: conditions.containing(column, TextTest(op), value), at, spots)

    def near(self, form: Json, at: str) -> Expression:
        names = ("latitude", "longitude", "radius_m")
        members = _object(form, at)
        _only(members, set(names), at)
        numbers = [_number(_member(members, name, at), f"{at}/{name}") for name in names]
        try:
            return conditions.near(*numbers)
        except SegmentFault as fault:
            raise SegmentFormError(fault, f"{at}/{names[fault.place]}") from fault

    def about_events(
        self, head: str, members: Mapping[str, Json], at: str, deep: int
    ) -> Expression:
        inner, spot = _object(members[head], f"{at}/{head}"), f"{at}/{head}"
        _only(inner, {"event", "where", "window"}, spot)
        name = _text(_member(inner, "event", spot), f"{spot}/event")
        where = None
        if "where" in inner:
            where = self.node(inner["where"], f"{spot}/where", Inside.PROPERTY, deep + 1)
        window = _window(inner["window"], f"{spot}/window") if "window" in inner else None
        events: Events = _made(
            lambda: conditions.events(name, where, window), spot, {"field": f"{spot}/event"}
        )
        order = Order(_op(members, at, tuple(one.value for one in Order)))
        form, place = _member(members, "value", at), f"{at}/value"
        if head == "count":
            return EventCount(events, order, _count(form, place))
        column = Field(head, Inside.PROPERTY.scope, Kind.TIME)
        value = _value(form, place, column)
        spots = {"op": f"{at}/op", "value": place}
        _made(lambda: conditions.comparison(column, order, value), at, spots)
        if not isinstance(value, datetime | timedelta):  # refused above
            raise _wrong(conditions.EXPECTED[Kind.TIME], place)
        return EventTime(Edge(head), events, order, value)

    def engagement(self, members: Mapping[str, Json], at: str) -> Expression:
        signals = {signal.name.lower(): signal for signal in Signal}
        word = _text(members["engagement"], f"{at}/engagement")
        if word not in signals:
            raise _unknown(word, tuple(signals), f"{at}/engagement")
        targets = [name for name in ("message", "category") if name in members]
        if len(targets) > 1:
            raise SegmentFormError(
                SegmentFault("either a message or a category", expected="one of the two"),
                f"{at}/category",
            )
        of = (targets[0], _text(members[targets[0]], f"{at}/{targets[0]}")) if targets else None
        window = _window(members["window"], f"{at}/window") if "window" in members else None
        order, count = Order.GE, 1
        if "op" in members or "value" in members:
            order = Order(_op(members, at, tuple(one.value for one in Order)))
            count = _count(_member(members, "value", at), f"{at}/value")
        spots = {"target": f"{at}/{targets[0]}"} if targets else {}
        return _made(
            lambda: conditions.engagement(signals[word], of, window, order, count), at, spots
        )

    def grow(self, by: int, at: str) -> None:
        self.size += by
        if self.size > MAX_CONDITIONS:
            raise SegmentFormError(too_large(), at)


def _made(make: Callable[[], Made], at: str, spots: Mapping[str, str]) -> Made:
    try:
        return make()
    except SegmentFault as fault:
        spot = spots.get(fault.part, at)
        if fault.part == "value" and fault.place >= 0:
            spot = f"{spot}/{fault.place}"
        raise SegmentFormError(fault, spot) from fault


def _object(form: Json, at: str) -> Mapping[str, Json]:
    if not isinstance(form, Mapping):
        raise _wrong("an object", at)
    return form


def _array(form: Json, at: str, *, least: int) -> Sequence[Json]:
    if not isinstance(form, Sequence) or isinstance(form, str) or len(form) < least:
        raise _wrong(f"an array of {least} or more", at)
    return form


def _only(members: Mapping[str, Json], known: set[str] | frozenset[str], at: str) -> None:
    for name in members:
        if name not in known:
            escaped = name.replace("~", "~0").replace("/", "~1")
            raise _unknown(name, tuple(known), f"{at}/{escaped}")


def _member(members: Mapping[str, Json], name: str, at: str) -> Json:
    if name not in members:
        raise SegmentFormError(SegmentFault(f"{name!r} is missing", expected=name), at)
    return members[name]


def _op(members: Mapping[str, Json], at: str, known: tuple[str, ...]) -> str:
    op = _text(_member(members, "op", at), f"{at}/op")
    if op not in known:
        raise _unknown(op, known, f"{at}/op")
    return op


def _text(form: Json, at: str) -> str:
    if not isinstance(form, str) or not form:
        raise _wrong("a text that is not empty", at)
    if unstorable(form):
        raise SegmentFormError(not_unicode(), at)
    return form


def _number(form: Json, at: str) -> float:
    if isinstance(form, bool) or not isinstance(form, int | float):
        raise _wrong("a number", at)
    try:
        return float(form)
    except OverflowError:
        raise _wrong("a number", at) from None


def _count(form: Json, at: str) -> int:
    if isinstance(form, bool) or not isinstance(form, int):
        raise _wrong("a whole number", at)
    return _made(lambda: conditions.checked_count(form), at, {"value": at})


def _window(form: Json, at: str) -> Window:
    if isinstance(form, str):
        length = literals.age(form)
        if length is None:
            raise _wrong("an age such as 30d", at)
        return Within(_made(lambda: conditions.checked_age(length), at, {"value": at}))
    members = _object(form, at)
    _only(members, {"from", "to"}, at)
    start = _instant(_member(members, "from", at), f"{at}/from")
    end = _instant(_member(members, "to", at), f"{at}/to")
    if end <= start:
        raise _wrong("a later instant", f"{at}/to")
    return Between(start, end)


def _instant(form: Json, at: str) -> datetime:
    found = literals.instant(form) if isinstance(form, str) else None
    if found is None:
        raise _wrong("an instant such as 2026-01-31T08:00:00Z", at)
    return found


def _value(form: Json, at: str, column: Field) -> Value:
    """A constant: plain, `{"ago": "14d"}` or `{"time": "RFC 3339"}`."""
    if isinstance(form, Mapping):
        name = next(iter(form), "")
        if len(form) == 1 and name == "time":
            return _instant(form[name], f"{at}/time")
        text = form[name] if len(form) == 1 and name == "ago" else None
        length = literals.age(text) if isinstance(text, str) else None
        if length is None:
            raise _wrong('a plain value, {"ago": "14d"} or {"time": "RFC 3339"}', at)
        return length
    if form is None or not isinstance(form, str | int | float):
        raise _wrong(conditions.EXPECTED[column.kind], at)
    return form


def _wrong(expected: str, at: str) -> SegmentFormError:
    return SegmentFormError(SegmentFault(f"{expected} is expected here", expected=expected), at)


def _unknown(word: str, known: tuple[str, ...], at: str) -> SegmentFormError:
    words = ", ".join(sorted(known))
    fault = SegmentFault(
        f"{word!r} is not known here: {words}", expected=words, suggestion=nearest(word, known)
    )
    return SegmentFormError(fault, at)
