"""Random people and random segments, over few enough values that they often meet."""

from datetime import UTC, datetime, timedelta
from typing import cast

from hypothesis import strategies as st
from tests.oracles.segments import Device, Done, Event, Json, Person

from clarion.domain.segments import conditions
from clarion.domain.segments.expression import (
    And,
    AnyDevice,
    Between,
    Edge,
    EventCount,
    EventTime,
    Everyone,
    Expression,
    InList,
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
from clarion.domain.segments.fields import FIELDS, Field, Kind, Scope, field_named, property_named
from clarion.domain.segments.problems import SegmentFault

Known = dict[str, str | bool | datetime | None]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LISTS = {"vip": 1, "empty": 2}
TAGS = ("plan", "Plan", "a.b", "first name", "ключ", "time")
MESSAGES = ("0190ab12-0000-7000-8000-000000000001", "ffffffff-ffff-ffff-ffff-ffffffffffff")
TEXTS = (
    "",
    "pro",
    "Pro",
    "5",
    "true",
    "é",
    "e\u0301",
    "😀",
    "a'b\"c",
    "pro%",
    "2026-01-01T00:00:00Z",
)
NUMBERS = (0, 1, 5, -3, 2**53, 5.0, 0.1, 1e17, 1e30, -0.0)
VERSIONS = (
    "5",
    "5.0.0",
    "5.10",
    "5.9.1",
    "v5.10.0-beta.2",
    "5.10-beta.10",
    "5.10-beta",
    "x",
    "",
    "1.2.3.4.5",
)
LANGUAGES = ("en", "en-GB", "eng", "pt-BR", "zh-Hant-TW")
AGES = tuple(timedelta(**{unit: 1}) for unit in ("microseconds", "hours", "days"))
INSTANTS = (*(NOW - age for age in AGES), NOW, NOW + timedelta(days=1), NOW - timedelta(days=2))
EDGES = tuple(one for age in AGES for one in (NOW - age, NOW - age - timedelta(microseconds=1)))
PLACES = ((48.85, 2.35), (48.9, 2.4), (0.0, 179.99), (0.0, -179.99), (89.99, 10.0), (-90.0, 0.0))

instants = st.sampled_from(INSTANTS + EDGES)
maybe_instants = st.none() | instants
scalars = st.sampled_from([*TEXTS, *NUMBERS]) | st.booleans()
times: st.SearchStrategy[Json] = instants.map(
    lambda at: {"time": at.isoformat().replace("+00:00", "Z")}
)
values: st.SearchStrategy[Json] = st.one_of(scalars, times, st.lists(scalars, max_size=3))
attributes = st.dictionaries(st.sampled_from(TAGS), values, max_size=4)

_TEXT_OF: dict[Kind, st.SearchStrategy[Value]] = {
    Kind.TEXT: st.sampled_from(TEXTS),
    Kind.LANGUAGE: st.sampled_from(LANGUAGES),
    Kind.COUNTRY: st.sampled_from(["FR", "BE", "IN"]),
    Kind.VERSION: st.sampled_from(VERSIONS),
    Kind.TRUTH: st.booleans(),
    Kind.TIME: instants,
}
_ALWAYS = {"opted_out", "network", "permission", "registered", "created"}


def known(scope: Scope) -> st.SearchStrategy[Known]:
    """Values of all fields of a person or a device, by their short names."""
    fields = {}
    for field in FIELDS.values():
        if field.scope is scope:
            name = field.name.removeprefix("user.").removeprefix("device.")
            some = st.sampled_from(field.choices) if field.choices else _TEXT_OF[field.kind]
            fields[name] = some if name in _ALWAYS else st.none() | some
    return cast("st.SearchStrategy[Known]", st.fixed_dictionaries(fields))


devices = st.builds(
    Device,
    id=st.just(0),
    known=known(Scope.DEVICE),
    place=st.none() | st.sampled_from(PLACES),
    dead=st.booleans(),
    attributes=attributes,
)
events = st.builds(
    Event, name=st.sampled_from(["purchase", "été"]), at=instants, properties=attributes
)
done = st.builds(
    Done,
    signal=st.sampled_from(Signal),
    message=st.sampled_from(MESSAGES),
    category=st.sampled_from(["news", "calls"]),
    at=instants,
)
people = st.builds(
    Person,
    id=st.just(0),
    known=known(Scope.USER),
    attributes=attributes,
    devices=st.lists(devices, max_size=3),
    events=st.lists(events, max_size=4),
    done=st.lists(done, max_size=4),
    lists=st.frozensets(st.just(1), max_size=1),
    topics=st.frozensets(st.sampled_from(["sport", "été"])),
)

orders = st.sampled_from(Order)
ages = st.sampled_from(AGES)
windows: st.SearchStrategy[Window | None] = (
    st.none()
    | st.builds(Within, ages)
    | st.tuples(instants, instants)
    .filter(lambda pair: pair[0] < pair[1])
    .map(lambda pair: Between(*pair))
)
counts = st.integers(0, 3)


def constants(field: Field) -> st.SearchStrategy[Value]:
    """What a field can compare with."""
    if field.kind is Kind.ANY:
        return st.one_of(scalars, instants, ages)
    if field.kind is Kind.TIME:
        return instants | ages
    if field.kind is Kind.CHOICE:
        return st.sampled_from(field.choices)
    found: st.SearchStrategy[Value] = _TEXT_OF[field.kind]
    return found


@st.composite
def about_fields(draw: st.DrawFn, fields: st.SearchStrategy[Field]) -> Expression:
    """A condition on one field; one that is refused is drawn again."""
    field = draw(fields)
    shape = draw(st.integers(0, 5))
    while True:
        try:
            match shape:
                case 0:
                    return conditions.exists(field)
                case 1:
                    some = draw(st.lists(constants(field), min_size=1, max_size=3))
                    return conditions.one_of(field, tuple(some))
                case 2:
                    test = draw(st.sampled_from(TextTest))
                    return conditions.containing(field, test, draw(constants(field)))
                case _:
                    return conditions.comparison(field, draw(orders), draw(constants(field)))
        except SegmentFault:
            shape = draw(st.integers(0, 5))


tags = st.builds(
    lambda prefix, name: field_named(prefix + name),
    st.sampled_from(["tag.", "device.tag."]),
    st.sampled_from(TAGS),
)
device_fields = st.sampled_from(
    [field for field in FIELDS.values() if field.scope is Scope.DEVICE]
) | st.sampled_from(TAGS).map(lambda name: field_named(f"device.tag.{name}"))
circles = st.builds(
    conditions.near,
    st.sampled_from([48.85, 0.0, 90.0, -89.9]),
    st.sampled_from([2.35, 180.0, -180.0, 10.0]),
    st.sampled_from([1.0, 2500.0, 10_000.0, 50_000.0, 5_000_000.0, 20_015_000.0]),
)


def trees(leaves: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    """And, or and not over leaves."""
    return st.recursive(
        leaves,
        lambda inner: (
            st.builds(Not, inner)
            | st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts)))
            | st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts)))
        ),
        max_leaves=4,
    )


properties = trees(about_fields(st.sampled_from(TAGS).map(property_named)))
some_events = st.builds(
    conditions.events,
    st.sampled_from(["purchase", "été", "never"]),
    st.none() | properties,
    windows,
)
event_times = st.builds(
    EventTime,
    st.sampled_from(Edge),
    some_events,
    st.sampled_from([Order.LT, Order.LE, Order.GT, Order.GE]),
    instants | ages,
)
targets = (
    st.none()
    | st.tuples(st.just("message"), st.sampled_from(MESSAGES))
    | st.tuples(st.just("category"), st.sampled_from(["news", "none"]))
)
leaves: st.SearchStrategy[Expression] = st.one_of(
    st.just(Everyone()),
    about_fields(st.sampled_from(list(FIELDS.values()))),
    about_fields(tags),
    circles,
    st.builds(EventCount, some_events, orders, counts),
    event_times,
    st.builds(conditions.engagement, st.sampled_from(Signal), targets, windows, orders, counts),
    st.builds(InList, st.sampled_from(list(LISTS))),
    st.builds(InTopic, st.sampled_from(["sport", "été", "none"])),
    st.builds(AnyDevice, trees(about_fields(device_fields) | circles)),
)
expressions = trees(leaves)
