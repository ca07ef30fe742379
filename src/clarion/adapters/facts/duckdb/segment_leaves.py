"""Conditions on one field in SQL.

Each is null or false where the field is absent or of another type, whatever the comparison.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, assert_never

from sqlglot import exp

from clarion.adapters.facts.duckdb.segment_fields import Bind, Source, column, instant, variant_of
from clarion.adapters.facts.duckdb.variant_texts import all_surely_text, text_of
from clarion.domain.network import NETWORK_BY_LABEL
from clarion.domain.segments.expression import (
    Comparison,
    Containing,
    Exists,
    OneOf,
    Order,
    TextTest,
    Value,
)
from clarion.domain.segments.fields import PERMISSIONS, Field, Kind
from clarion.domain.segments.versions import version_key

COMPARE: Final[Mapping[Order, type[exp.Binary]]] = {
    Order.EQ: exp.EQ,
    Order.NE: exp.NEQ,
    Order.LT: exp.LT,
    Order.LE: exp.LTE,
    Order.GT: exp.GT,
    Order.GE: exp.GTE,
}
_TURNED: Final = {
    Order.LT: Order.GT,
    Order.LE: Order.GE,
    Order.GT: Order.LT,
    Order.GE: Order.LE,
}
_NUMBERS: Final = ("UINT64", "INT64", "DOUBLE")
"""How DuckDB types the numbers of JSON."""
_TESTS: Final[Mapping[TextTest, str]] = {
    TextTest.CONTAINS: "contains",
    TextTest.STARTS_WITH: "starts_with",
    TextTest.ENDS_WITH: "suffix",
}

FieldLeaf = Comparison | OneOf | Exists | Containing


def bound_of(order: Order, value: datetime | timedelta, now_us: int) -> tuple[Order, int]:
    """What a time compares with, in µs: an age below 14 days is a time after 14 days ago."""
    if isinstance(value, datetime):
        return order, instant(value)
    return _TURNED[order], now_us - value // timedelta(microseconds=1)


def field_leaf(node: FieldLeaf, source: Source, bind: Bind, now_us: int) -> exp.Expr:
    """The condition of a leaf."""
    if node.field.kind is Kind.ANY:
        return _attribute(node, variant_of(node.field, source, bind), bind, now_us)
    held = column(node.field, source)
    match node:
        case Exists():
            return _known(held)
        case Comparison(field, order, value):
            return _compared(_keyed(field, source, held), field, order, value, bind, now_us)
        case OneOf(field, values):
            return _one_of(_keyed(field, source, held), field, values, bind)
        case Containing(_, test, value):
            return _call(_TESTS[test], held, bind(str(value)))
        case _:
            assert_never(node)


def _keyed(field: Field, source: Source, held: exp.Expr) -> exp.Expr:
    """Of a version the column that sorts."""
    return exp.column(f"{field.name}_key", source.value) if field.kind is Kind.VERSION else held


def _compared(  # one column and what it is compared with
    held: exp.Expr, field: Field, order: Order, value: Value, bind: Bind, now_us: int
) -> exp.Expr:
    if isinstance(value, datetime | timedelta):
        turned, bound = bound_of(order, value, now_us)
        return COMPARE[turned](this=held, expression=bind(bound))
    if field.kind is Kind.LANGUAGE:
        ranged = _ranged(held, str(value), bind)
        return ranged if order is Order.EQ else exp.not_(exp.paren(ranged))
    return COMPARE[order](this=held, expression=bind(_stored(field, value)))


def _one_of(held: exp.Expr, field: Field, values: tuple[Value, ...], bind: Bind) -> exp.Expr:
    if field.kind is Kind.LANGUAGE:
        return exp.or_(*(_ranged(held, str(value), bind) for value in values))
    return exp.In(this=held, expressions=[bind(_stored(field, value)) for value in values])


def _stored(field: Field, value: Value) -> str | int | float | bool:
    """A constant as its column holds it."""
    if isinstance(value, datetime | timedelta):
        raise TypeError("a time has a bound of its own")
    if field.name == "network":
        return int(NETWORK_BY_LABEL[str(value)])
    if field.name == "permission":
        return PERMISSIONS.index(str(value))
    if field.kind is Kind.VERSION:
        return version_key(str(value)) or ""
    return value


def _ranged(held: exp.Expr, tag: str, bind: Bind) -> exp.Expr:
    """The tag, or one that goes on from it behind a hyphen (RFC 4647 section 3.3.1)."""
    spelled = _call("lower", held.copy())
    same = exp.EQ(this=spelled, expression=bind(tag.lower()))
    return exp.or_(same, _call("starts_with", spelled.copy(), bind(f"{tag.lower()}-")))


def _attribute(node: FieldLeaf, held: exp.Expr, bind: Bind, now_us: int) -> exp.Expr:
    match node:
        case Exists():
            return _known(held)
        case Comparison(_, order, value):
            return _attribute_compared(held, order, value, bind, now_us)
        case OneOf(_, values):
            if all_surely_text(values):
                return exp.In(this=text_of(held), expressions=[bind(str(one)) for one in values])
            wanted = [one for value in values for one in _variants(value, bind)]
            return exp.In(this=held, expressions=wanted)
        case Containing(_, TextTest.HAS, value):
            listed = _call("starts_with", _kind(held), exp.Literal.string("ARRAY"))
            has = [_call("variant_contains", held.copy(), one) for one in _variants(value, bind)]
            return exp.and_(listed, exp.or_(*has))
        case Containing(_, test, value):
            return _call(_TESTS[test], _text(held), bind(str(value)))
        case _:
            assert_never(node)


def _attribute_compared(
    held: exp.Expr, order: Order, value: Value, bind: Bind, now_us: int
) -> exp.Expr:
    if isinstance(value, datetime | timedelta):
        turned, bound = bound_of(order, value, now_us)
        return COMPARE[turned](this=_time(held), expression=bind(bound))
    if order is Order.EQ:
        if all_surely_text([value]):
            return exp.EQ(this=text_of(held), expression=bind(str(value)))
        wanted = _variants(value, bind)
        if len(wanted) == 1:
            return exp.EQ(this=held, expression=wanted[0])
        return exp.In(this=held, expressions=wanted)
    if isinstance(value, bool):
        return exp.EQ(this=held, expression=_variants(not value, bind)[0])
    typed = _text(held) if isinstance(value, str) else _number(held)
    constant = bind(value) if isinstance(value, str) else bind(float(value))
    return COMPARE[order](this=typed, expression=constant)


def _variants(value: Value, bind: Bind) -> list[exp.Expr]:
    """What an attribute that equals the constant may be: numbers are stored whole or as doubles."""
    if isinstance(value, datetime | timedelta):
        raise TypeError("times are not listed")
    if isinstance(value, bool | str):
        return [exp.cast(bind(value), "VARIANT")]
    found: list[exp.Expr] = [exp.cast(bind(float(value)), "VARIANT")]
    if float(value).is_integer() and -(2**63) <= value < 2**64:
        kind = "BIGINT" if value < 0 else "UBIGINT"
        found.append(exp.cast(exp.cast(bind(int(value)), kind, dialect="duckdb"), "VARIANT"))
    return found


def _kind(held: exp.Expr) -> exp.Expr:
    return _call("variant_typeof", held.copy())


def _only(held: exp.Expr, kinds: tuple[str, ...], then: Callable[[], exp.Expr]) -> exp.Expr:
    """The value where it is of the kinds, else null.

    The engine may compute the cast before the test, so the cast itself has to be one that can't
    fail; and a cast alone would take the text "5" for a number.
    """
    texts = [exp.Literal.string(kind) for kind in kinds]
    return exp.Case(ifs=[exp.If(this=exp.In(this=_kind(held), expressions=texts), true=then())])


def _text(held: exp.Expr) -> exp.Expr:
    return _only(held, ("VARCHAR",), lambda: _tried(held, "VARCHAR"))


def _number(held: exp.Expr) -> exp.Expr:
    return _only(held, _NUMBERS, lambda: _tried(held, "DOUBLE"))


def _time(held: exp.Expr) -> exp.Expr:
    """`{"time": "RFC 3339"}` in microseconds."""

    def opened() -> exp.Expr:
        inner = _call("variant_extract", held.copy(), exp.Literal.string("time"))
        return _tried(_tried(inner, "VARCHAR"), "TIMESTAMPTZ")

    return _call("epoch_us", _only(held, ("OBJECT(time)",), opened))


def _tried(held: exp.Expr, kind: str) -> exp.Expr:
    return exp.TryCast(this=held.copy(), to=exp.DataType.build(kind, dialect="duckdb"))


def _known(held: exp.Expr) -> exp.Expr:
    return exp.not_(exp.Is(this=held, expression=exp.null()))


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))
