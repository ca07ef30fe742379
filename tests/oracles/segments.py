"""Whether a row is in a segment: the rules for one person, as one would say them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from clarion.domain.attributes import parse_time
from clarion.domain.segments.checking import SegmentAt
from clarion.domain.segments.expression import (
    And,
    AnyDevice,
    Comparison,
    Containing,
    Edge,
    Engagement,
    EventCount,
    Events,
    EventTime,
    Everyone,
    Exists,
    Expression,
    InList,
    InTopic,
    Near,
    Not,
    OneOf,
    Or,
    Order,
    Signal,
    TextTest,
    Value,
    Window,
    Within,
)
from clarion.domain.segments.fields import Field, Kind, Scope

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device; what is absent is None or not in the attributes."""

    id: int
    known: Mapping[str, str | bool | datetime | None]
    """Values of fields, by the names that segments give them without `device.`."""
    place: tuple[float, float] | None = None
    dead: bool = False
    attributes: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Event:
    """A custom event."""

    name: str
    at: datetime
    properties: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Done:
    """Something that was done with a message."""

    signal: Signal
    message: str
    category: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody, with all that is known."""

    id: int
    known: Mapping[str, str | bool | datetime | None]
    attributes: Mapping[str, Json] = field(default_factory=dict)
    devices: Sequence[Device] = ()
    events: Sequence[Event] = ()
    done: Sequence[Done] = ()
    lists: frozenset[int] = frozenset()
    topics: frozenset[str] = frozenset()


def matches(segment: SegmentAt, person: Person, device: Device | None) -> bool:
    """Whether the row of this person and this device is in the segment."""
    return _Row(segment, person, device).holds(segment.expression)


@dataclass(frozen=True)
class _Row:
    segment: SegmentAt
    person: Person
    device: Device | None
    event: Event | None = None

    def holds(self, node: Expression) -> bool:  # noqa: C901, PLR0911, PLR0912  # a case a node
        match node:
            case Everyone():
                return True
            case And(parts):
                return all(self.holds(part) for part in parts)
            case Or(parts):
                return any(self.holds(part) for part in parts)
            case Not(part):
                return not self.holds(part)
            case AnyDevice(part):
                living = [one for one in self.person.devices if not one.dead]
                return any(_Row(self.segment, self.person, one).holds(part) for one in living)
            case InList(name):
                return self.segment.lists[name] in self.person.lists
            case InTopic(name):
                return name in self.person.topics
            case Near():
                return self.near(node)
            case EventCount(events, order, count):
                return _compare(order, len(self.times(events)), count)
            case EventTime(edge, events, order, value):
                times = self.times(events)
                if not times:
                    return False
                return self.timed(order, (max if edge is Edge.LAST else min)(times), value)
            case Engagement():
                return _compare(node.order, self.engaged(node), node.count)
            case Comparison() | OneOf() | Exists() | Containing():
                return self.field_holds(node)
            case _:
                raise AssertionError(node)

    def near(self, node: Near) -> bool:
        if self.device is None or self.device.place is None:
            return False
        there, here = map(math.radians, self.device.place), (node.latitude, node.longitude)
        (lat2, lon2), (lat1, lon1) = there, map(math.radians, here)
        a = math.sin((lat2 - lat1) / 2) ** 2
        a += math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
        return 2 * 6_371_008.8 * math.asin(math.sqrt(min(1.0, a))) <= node.radius_m

    def inside(self, at: datetime, window: Window | None) -> bool:
        if at > self.segment.now:
            return False
        if isinstance(window, Within):
            return self.segment.now - at <= window.age
        return window is None or window.start <= at < window.end

    def times(self, events: Events) -> list[datetime]:
        return [
            event.at
            for event in self.person.events
            if event.name == events.name
            and self.inside(event.at, events.window)
            and (
                events.where is None
                or _Row(self.segment, self.person, self.device, event).holds(events.where)
            )
        ]

    def engaged(self, node: Engagement) -> int:
        return sum(
            done.signal is node.signal
            and node.message in {None, done.message}
            and node.category in {None, done.category}
            and self.inside(done.at, node.window)
            for done in self.person.done
        )

    def timed(self, order: Order, at: datetime, value: Value) -> bool:
        if isinstance(value, timedelta):
            return _compare(order, self.segment.now - at, value)
        return _compare(order, at, value)

    def value(self, field: Field) -> Json | datetime:
        """What is known; None when nothing is."""
        if field.scope is Scope.PROPERTY:
            assert self.event is not None
            return self.event.properties.get(field.attribute)
        device = self.device
        if field.kind is Kind.ANY:
            if field.scope is Scope.USER:
                return self.person.attributes.get(field.attribute)
            return None if device is None else device.attributes.get(field.attribute)
        name = field.name.removeprefix("device.").removeprefix("user.")
        of_device = None if device is None else device.known.get(name)
        if field.scope is Scope.DEVICE:
            return of_device
        of_person = self.person.known.get(name)
        if field.scope is Scope.USER:
            return of_person
        return of_person if of_device is None else of_device

    def field_holds(  # noqa: PLR0911  # a return a kind of leaf
        self, node: Comparison | OneOf | Exists | Containing
    ) -> bool:
        value = self.value(node.field)
        match node:
            case Exists():
                return value is not None
            case Comparison(field, order, constant):
                return self.compared(field, value, order, constant)
            case OneOf(field, constants):
                return any(self.compared(field, value, Order.EQ, one) for one in constants)
            case Containing(field, TextTest.HAS, constant):
                found = value if isinstance(value, list) else []
                return any(self.compared(field, one, Order.EQ, constant) for one in found)
            case Containing(_, test, constant):
                text = str(constant)
                if not isinstance(value, str):
                    return False
                if test is TextTest.CONTAINS:
                    return text in value
                starts = test is TextTest.STARTS_WITH
                return value.startswith(text) if starts else value.endswith(text)

    def compared(  # noqa: PLR0911  # a return a kind of value
        self, field: Field, value: Json | datetime, order: Order, constant: Value
    ) -> bool:
        if isinstance(constant, datetime | timedelta):
            at = _time(value)
            return at is not None and self.timed(order, at, constant)
        if value is None:
            return False
        if field.kind is Kind.LANGUAGE:
            tag, wanted = str(value).lower(), str(constant).lower()
            return (tag == wanted or tag.startswith(f"{wanted}-")) is (order is Order.EQ)
        if field.kind is Kind.VERSION:
            mine, other = version(str(value)), version(str(constant))
            return mine is not None and other is not None and _compare(order, mine, other)
        if isinstance(constant, bool) or isinstance(value, bool):
            same = isinstance(constant, bool) and isinstance(value, bool)
            return same and _compare(order, value, constant)
        if isinstance(constant, str):
            return isinstance(value, str) and _compare(order, value, constant)
        if isinstance(value, int | float):
            return _compare(order, float(value), float(constant))
        return False


def _time(value: Json | datetime) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, dict) and set(value) == {"time"}:
        return parse_time(str(value["time"]))
    return None


def _compare(order: Order, mine: object, other: object) -> bool:
    if order is Order.EQ:
        return bool(mine == other)
    if order is Order.NE:
        return bool(mine != other)
    less = mine < other  # type: ignore[operator]  # of one type, as the callers see to
    more = other < mine  # type: ignore[operator]  # as above
    return bool({Order.LT: less, Order.LE: not more, Order.GT: more, Order.GE: not less}[order])


def version(text: str) -> tuple[object, ...] | None:
    """Numbers, then whether it is a release, then identifiers that compare as SemVer says."""
    text = text.removeprefix("v").removeprefix("V") if text[:1] in "vV" else text
    for mark in "+ ":
        text = text.partition(mark)[0]
    numbers, dash, pre = text.partition("-")
    parts = numbers.split(".")
    if len(parts) > 4 or not all(_digits(part) and len(part) <= 10 for part in parts):
        return None
    identifiers = pre.split(".")
    if dash and not all(_identifier(one) for one in identifiers):
        return None
    padded = [int(part) for part in parts] + [0] * (4 - len(parts))
    order = tuple((0, int(one), "") if _digits(one) else (1, 0, one) for one in identifiers)
    return (*padded, not dash, order if dash else ())


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _identifier(text: str) -> bool:
    return bool(text) and text.isascii() and all(c.isalnum() or c == "-" for c in text)
