"""The expression of a segment: a tree of frozen values.

`conditions.py` builds the leaves and refuses wrong ones; `text.py` and `json_form.py` read the two
spellings. docs/explanation/segments.md says what each node means, corner cases first.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

from clarion.domain.segments.fields import Field

Value = str | int | float | bool | datetime | timedelta
"""A constant. A timedelta is an age: `last_active < 14d` means less than 14 days ago."""


class Order(StrEnum):
    """How a value compares with a constant."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


class TextTest(StrEnum):
    """What a text has, or a list."""

    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    HAS = "has"
    """A list has the value as an element."""


class Signal(IntEnum):
    """What people did with earlier messages. The number is stored: never reuse one."""

    RECEIVED = 1
    OPENED = 2
    CLICKED = 3
    DISMISSED = 4


class Edge(StrEnum):
    """Which of many events."""

    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Everyone:
    """True of every row."""


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold; two or more."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part holds; two or more."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold: exactly what the part leaves out, unknowns included."""

    part: "Expression"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field against a constant; false where the field is absent or of another type."""

    field: Field
    order: Order
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """A field equals one of the constants."""

    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is known."""

    field: Field


@dataclass(frozen=True, slots=True)
class Containing:
    """A text contains, begins or ends with a text; or a list has a value."""

    field: Field
    test: TextTest
    value: Value


@dataclass(frozen=True, slots=True)
class Near:
    """The device's last known place is at most so far away."""

    latitude: float
    longitude: float
    radius_m: float


@dataclass(frozen=True, slots=True)
class Within:
    """From so long ago until now, both included."""

    age: timedelta


@dataclass(frozen=True, slots=True)
class Between:
    """From an instant, included, until another, excluded."""

    start: datetime
    end: datetime


Window = Within | Between


@dataclass(frozen=True, slots=True)
class Events:
    """Custom events of a name, in a window, whose properties hold. None after now count."""

    name: str
    where: "Expression | None" = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many such events the person has; none is 0."""

    events: Events
    order: Order
    count: int


@dataclass(frozen=True, slots=True)
class EventTime:
    """When the first or last such event was; false where there is none."""

    edge: Edge
    events: Events
    order: Order
    value: datetime | timedelta


@dataclass(frozen=True, slots=True)
class Engagement:
    """How often the person did that with a message, with those of a category, or with any."""

    signal: Signal
    message: str | None = None
    """A UUID in its 36-character form, lower case."""
    category: str | None = None
    window: Window | None = None
    order: Order = Order.GE
    count: int = 1


@dataclass(frozen=True, slots=True)
class InList:
    """The person is on the list of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class InTopic:
    """The person subscribed to the topic."""

    name: str


@dataclass(frozen=True, slots=True)
class InSegment:
    """The row is in the segment of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class AnyDevice:
    """The person has a device, not a dead one, of which the part holds."""

    part: "Expression"


Leaf = (
    Everyone
    | Comparison
    | OneOf
    | Exists
    | Containing
    | Near
    | EventCount
    | EventTime
    | Engagement
    | InList
    | InTopic
    | InSegment
)
Expression = And | Or | Not | AnyDevice | Leaf
