"""Reads the short text form: `country in (FR, BE) and count(purchase, 30d) >= 2`.

docs/reference/segment-text.md is its grammar.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

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
    Near,
    Not,
    Or,
    Order,
    Signal,
    TextTest,
    Value,
    Window,
    Within,
)
from clarion.domain.segments.fields import Field, Kind
from clarion.domain.segments.measure import depth
from clarion.domain.segments.places import Inside, field_inside, refuse_inside
from clarion.domain.segments.problems import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    SegmentTextError,
    too_deep,
    too_large,
)
from clarion.domain.segments.reading import Reading
from clarion.domain.segments.tokens import Token, TokenKind, tokens

SIGNALS: Final[Mapping[str, Signal]] = {signal.name.lower(): signal for signal in Signal}
REFERENCES: Final[Mapping[str, type[InList | InTopic | InSegment]]] = {
    "list": InList,
    "topic": InTopic,
    "segment": InSegment,
}
_TESTS: Final = {test.value: test for test in TextTest}
_FUNCTIONS: Final = ("count", "first", "last", "near", *SIGNALS)
_AFTER_FIELD: Final = "=, !=, <, <=, >, >=, in, not in, exists, has, contains, starts_with"


@dataclass(frozen=True, slots=True)
class Parsed:
    """An expression, and where its text names lists, topics and segments."""

    expression: Expression
    text: str
    named: Mapping[InList | InTopic | InSegment, tuple[int, int]]
    """Of each, the offset and length of the first place."""


def parse(text: str) -> Parsed:
    """Read the text form.

    Raises:
        SegmentTextError: with the offset, the line, the column, what was expected there and, where
            something is close, what was probably meant.
    """
    parser = _Parser(text, tokens(text))
    found = parser.either(Inside.ROW)
    if parser.now.kind is not TokenKind.END:
        parser.fail("and, or, or the end")
    if depth(found) > MAX_DEPTH:
        raise SegmentTextError(too_deep(), text, 0)
    return Parsed(found, text, parser.named)


@dataclass(slots=True)
class _Parser(Reading):
    """One pass over the tokens, downwards; `inside` says what may be asked."""

    depth: int = 0
    size: int = 0
    named: dict[InList | InTopic | InSegment, tuple[int, int]] = field(default_factory=dict)

    def either(self, inside: Inside) -> Expression:
        parts = [self.both(inside)]
        while self.took("or"):
            parts.append(self.both(inside))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def both(self, inside: Inside) -> Expression:
        parts = [self.negated(inside)]
        while self.took("and"):
            parts.append(self.negated(inside))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def nested(self, read: Callable[[Inside], Expression], inside: Inside) -> Expression:
        """Read something one level deeper."""
        token = self.now
        self.depth += 1
        if self.depth > 2 * MAX_DEPTH:  # parentheses that change nothing are no levels
            raise SegmentTextError(too_deep(), self.text, token.offset, token.length)
        found = read(inside)
        self.depth -= 1
        return found

    def negated(self, inside: Inside) -> Expression:
        if self.took("not"):
            return Not(self.nested(self.negated, inside))
        if self.took("("):
            found = self.nested(self.either, inside)
            self.need(")")
            return found
        return self.condition(inside)

    def condition(self, inside: Inside) -> Expression:
        token = self.now
        self.grow(1)
        if inside is Inside.PROPERTY and self.is_property():
            return self.about_field(inside)
        if token.kind is not TokenKind.NAME:
            self.fail("a condition")
        if token.word == "any" and self.tokens[self.at + 1].word == "device":
            return self.any_device(inside)
        special = self.special(token)
        if special is None:
            return self.about_field(inside)
        if not (inside is Inside.DEVICE and token.word == "near"):
            self.made(lambda: refuse_inside(inside, token.text), token)
        return special()

    def is_property(self) -> bool:
        """A word before `(` is a function, so that `where count(x) > 1` is told why it is wrong."""
        if self.now.kind is TokenKind.STRING:
            return True
        after = self.tokens[self.at + 1]
        return self.now.kind is TokenKind.NAME and self.now.word != "in" and after.text != "("

    def special(self, token: Token) -> Callable[[], Expression] | None:
        """How to read a condition that begins with a keyword; None for a field."""
        called = self.tokens[self.at + 1].text == "("
        word = token.word
        if word == "everyone":
            return self.everyone
        if word == "in":
            return self.reference
        if not called:
            return None
        readers: dict[str, Callable[[], Expression]] = {
            "near": self.near,
            "count": self.event_count,
            "first": self.event_time,
            "last": self.event_time,
        }
        readers.update(dict.fromkeys(SIGNALS, self.engagement))
        if word not in readers:
            self.fail("a condition", _FUNCTIONS)
        return readers[word]

    def everyone(self) -> Expression:
        self.take()
        return Everyone()

    def any_device(self, inside: Inside) -> Expression:
        token = self.take()
        self.take()
        self.made(lambda: refuse_inside(inside, "any device"), token)
        self.need("(")
        found = self.nested(self.either, Inside.DEVICE)
        self.need(")")
        return AnyDevice(found)

    def reference(self) -> Expression:
        self.take()
        word = self.now.word
        if word not in REFERENCES:
            self.fail("list, topic or segment", tuple(REFERENCES))
        self.take()
        self.need("(")
        token = self.name("a name")
        self.need(")")
        found = REFERENCES[word](token.text)
        self.named.setdefault(found, (token.offset, token.length))
        return found

    def name(self, expected: str) -> Token:
        if self.now.kind not in {TokenKind.NAME, TokenKind.STRING, TokenKind.ATOM}:
            self.fail(expected)
        return self.take()

    def near(self) -> Expression:
        whole = self.take()
        self.need("(")
        spots: list[Token] = []
        numbers: list[float] = []
        for expected in ("a latitude", "a longitude", "a radius such as 10km"):
            if spots:
                self.need(",")
            read = literals.metres if len(spots) == 2 else literals.number  # noqa: PLR2004  # the third
            found = read(self.now.text) if self.now.kind is TokenKind.ATOM else None
            if found is None:
                self.fail(expected)
            numbers.append(float(found))
            spots.append(self.take())
        self.need(")")
        made: Near = self.made(lambda: conditions.near(*numbers), whole, value=spots)
        return made

    def events(self) -> Events:
        self.need("(")
        token = self.name("the name of an event")
        where = self.nested(self.either, Inside.PROPERTY) if self.took("where") else None
        window = self.window() if self.took(",") else None
        self.need(")")
        return self.made(lambda: conditions.events(token.text, where, window), token)

    def window(self) -> Window:
        token = self.now
        raw = token.text if token.kind is TokenKind.ATOM else ""
        length, start = literals.age(raw), literals.instant(raw)
        if length is not None:
            self.take()
            return Within(self.made(lambda: conditions.checked_age(length), token))
        if start is None:
            self.fail("a window such as 30d, or 2026-01-01 to 2026-02-01")
        self.take()
        if not self.took("to"):
            self.fail("to")
        end = literals.instant(self.now.text) if self.now.kind is TokenKind.ATOM else None
        if end is None or end <= start:
            self.fail("a later instant such as 2026-02-01")
        self.take()
        return Between(start, end)

    def order(self) -> Token:
        if self.now.kind is not TokenKind.ORDER:
            self.fail("an order (=, !=, <, <=, >, >=)")
        return self.take()

    def whole(self) -> int:
        found = literals.number(self.now.text) if self.now.kind is TokenKind.ATOM else None
        if not isinstance(found, int):
            self.fail("a whole number")
        token = self.take()
        return self.made(lambda: conditions.checked_count(found), token)

    def event_count(self) -> Expression:
        self.take()
        events = self.events()
        order = Order(self.order().text)
        return EventCount(events, order, self.whole())

    def event_time(self) -> Expression:
        edge = Edge(self.take().word)
        events = self.events()
        order, token = self.order(), self.now
        value = self.constant(Kind.TIME)
        column = Field(edge.value, Inside.PROPERTY.scope, Kind.TIME)
        self.made(
            lambda: conditions.comparison(column, Order(order.text), value),
            token,
            op=order,
            value=token,
        )
        if not isinstance(value, datetime | timedelta):  # refused above
            self.fail(conditions.EXPECTED[Kind.TIME])
        return EventTime(edge, events, Order(order.text), value)

    def engagement(self) -> Expression:
        whole = self.take()
        target, spot, window = self.about_messages(whole)
        order, count = Order.GE, 1
        if self.now.kind is TokenKind.ORDER:
            order = Order(self.take().text)
            count = self.whole()
        signal = SIGNALS[whole.word]
        return self.made(
            lambda: conditions.engagement(signal, target, window, order, count), whole, target=spot
        )

    def about_messages(self, whole: Token) -> tuple[tuple[str, str] | None, Token, Window | None]:
        """Which messages, where that is written, and when."""
        self.need("(")
        target, spot, window = None, whole, None
        if self.took(")"):
            return target, spot, window
        named = self.now.word in {"any", "message", "category"}
        if self.now.word in {"message", "category"}:
            kind = self.take().word
            spot = self.name(f"the {kind}")
            target = (kind, spot.text)
        elif named:
            self.take()
        if not named or self.took(","):
            window = self.window()
        self.need(")")
        return target, spot, window

    def about_field(self, inside: Inside) -> Expression:
        token = self.take()
        column = self.made(lambda: field_inside(inside, token.text), token)
        op = self.now
        if op.kind is TokenKind.ORDER:
            self.take()
            spot = self.now
            value = self.constant(column.kind)
            order = Order(op.text)
            return self.made(
                lambda: conditions.comparison(column, order, value), token, op=op, value=spot
            )
        if self.took("exists"):
            return conditions.exists(column)
        if self.took("in"):
            return self.one_of(column, op)
        if op.word == "not" and self.tokens[self.at + 1].word == "in":
            self.at += 2
            return Not(self.one_of(column, op))
        if op.word in _TESTS:
            self.take()
            spot, value = self.now, self.constant(column.kind)
            test = _TESTS[op.word]
            return self.made(
                lambda: conditions.containing(column, test, value), token, op=op, value=spot
            )
        return self.fail(_AFTER_FIELD, ("in", "exists", *_TESTS))

    def one_of(self, column: Field, op: Token) -> Expression:
        self.need("(")
        spots, values = [self.now], [self.constant(column.kind)]
        while self.took(","):
            spots.append(self.now)
            values.append(self.constant(column.kind))
        self.need(")")
        self.grow(len(values) // 100)
        return self.made(
            lambda: conditions.one_of(column, tuple(values)), op, op=op, value=spots, field=op
        )

    def constant(self, kind: Kind) -> Value:
        """The constant at hand, read as the field's kind wants it."""
        expected = conditions.EXPECTED[kind]
        token = self.now
        if token.kind in {TokenKind.MARK, TokenKind.ORDER, TokenKind.END}:
            self.fail(expected)
        self.take()
        loose = kind in {Kind.ANY, Kind.TRUTH, Kind.TIME}
        if token.kind is TokenKind.NAME and loose and token.word in {"true", "false"}:
            return token.word == "true"
        if token.kind is not TokenKind.ATOM or not loose:
            return token.text
        for read in (literals.age, literals.instant, literals.number):
            found = read(token.text)
            if found is not None:
                return found
        self.at -= 1
        return self.fail(expected)

    def grow(self, by: int) -> None:
        self.size += by
        if self.size > MAX_CONDITIONS:
            raise SegmentTextError(too_large(), self.text, self.now.offset, self.now.length)
