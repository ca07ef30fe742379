"""Renders a segment's expression as a condition for DuckDB; constants are bound, never text.

The condition stands over a row `u` of users with a device `d` or none. It is true or not: SQL's
"unknown" counts as false, also below `not` (see `_negated`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import assert_never

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB  # now: the first question would wait for it

from clarion.adapters.facts.duckdb.halves import halves
from clarion.adapters.facts.duckdb.segment_fields import Bind, Source, instant
from clarion.adapters.facts.duckdb.segment_geo import within_circle
from clarion.adapters.facts.duckdb.segment_leaves import COMPARE, bound_of, field_leaf
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
    InSegment,
    InTopic,
    Leaf,
    Near,
    Not,
    OneOf,
    Or,
    Order,
    Window,
    Within,
)

Parameter = int | float | bool | str


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A condition in DuckDB's SQL and what is bound in it; `app` is bound by whoever uses it."""

    sql: str
    parameters: Mapping[str, Parameter]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Users whose bucket is in `low` <= bucket < `high`; bound as `$low` and `$high`."""

    low: int
    high: int


def condition(segment: SegmentAt, span: Span | None = None) -> Condition:
    """The condition of a segment.

    Args:
        segment: whole: it names no other segment.
        span: where only some buckets are asked for, so that subqueries read no others; the
            condition may then name `$low` and `$high`.
    """
    drawing = _Drawing(segment=segment, span=span)
    sql = drawing.holds(segment.expression).sql(DuckDB)
    return Condition(sql=sql, parameters=drawing.bind.parameters)


@dataclass(kw_only=True)
class _Drawing:
    """Walks an expression; `source` says whose columns fields mean."""

    segment: SegmentAt
    span: Span | None
    bind: Bind = field(default_factory=Bind)
    source: Source = Source.ROW

    @property
    def now_us(self) -> int:
        return instant(self.segment.now)

    def holds(self, node: Expression) -> exp.Expr:
        """Where the node holds; may be unknown where it does not."""
        match node:
            case And(parts):
                return exp.and_(*(self.holds(part) for part in parts))
            case Or(parts):
                return exp.or_(*(self.holds(part) for part in parts))
            case Not(part):
                return self.fails(part)
            case AnyDevice():
                return self.any_device(node)
            case _:
                return exp.paren(self.leaf(node))

    def fails(self, node: Expression) -> exp.Expr:
        """Where the node does not hold; never unknown in its leaves."""
        match node:
            case And(parts):
                return exp.or_(*(self.fails(part) for part in parts))
            case Or(parts):
                return exp.and_(*(self.fails(part) for part in parts))
            case Not(part):
                return self.holds(part)
            case AnyDevice():
                return exp.not_(self.any_device(node))
            case _:
                return _negated(self.leaf(node))

    def leaf(self, node: Leaf) -> exp.Expr:
        match node:
            case Comparison() | OneOf() | Exists() | Containing():
                return field_leaf(node, self.source, self.bind, self.now_us)
            case Everyone():
                return exp.true()
            case Near():
                return within_circle(node, self.source, self.bind)
            case EventCount() | EventTime() | Engagement():
                return self.done(node)
            case InList(name):
                return self.member("list_member", "list_id", self.segment.lists[name])
            case InTopic(name):
                return self.member("topic_member", "topic", name)
            case InSegment(name):
                raise ValueError(f"segment {name!r} was not put in its place")
            case _:
                assert_never(node)

    def done(self, node: EventCount | EventTime | Engagement) -> exp.Expr:
        match node:
            case EventCount(events, order, count):
                return self.counted(self.of_events(events), order, count)
            case Engagement():
                return self.counted(self.of_messages(node), node.order, node.count)
            case EventTime():
                return self.event_time(node)

    def of_events(self, events: Events) -> exp.Select:
        found = self.mine("event", bucketed=True).where(
            exp.EQ(this=_of("name"), expression=self.bind(events.name)),
            *self.window(events.window),
        )
        if events.where is None:
            return found
        inner = replace(self, source=Source.EVENT)
        return found.where(inner.holds(events.where))

    def of_messages(self, node: Engagement) -> exp.Select:
        wanted: list[exp.Expr] = [exp.EQ(this=_of("kind"), expression=self.bind(int(node.signal)))]
        if node.message is not None:
            high, low = halves(node.message)
            for name, half in (("message_high", high), ("message_low", low)):
                number = exp.cast(self.bind(half), "UBIGINT", dialect="duckdb")
                wanted.append(exp.EQ(this=_of(name), expression=number))
        if node.category is not None:
            wanted.append(exp.EQ(this=_of("category"), expression=self.bind(node.category)))
        return self.mine("engagement").where(*wanted, *self.window(node.window))

    def counted(self, rows: exp.Select, order: Order, count: int) -> exp.Expr:
        """One aggregated subquery, joined once; nobody's count of 0 is not in it."""
        if (order, count) in {(Order.GE, 1), (Order.GT, 0), (Order.NE, 0)}:
            return _among(rows)
        if (order, count) in {(Order.EQ, 0), (Order.LT, 1), (Order.LE, 0)}:
            return exp.not_(_among(rows))
        number: exp.Expr = COMPARE[order](
            this=exp.Count(this=exp.Star()), expression=self.bind(count)
        )
        if not _holds_of_zero(order, count):
            return _among(rows.group_by("user_id").having(number))
        return exp.not_(_among(rows.group_by("user_id").having(exp.not_(number))))

    def event_time(self, node: EventTime) -> exp.Expr:
        rows = self.of_events(node.events)
        order, bound = bound_of(node.order, node.value, self.now_us)
        limit = self.bind(bound)
        later = order in {Order.GT, Order.GE}
        if later is (node.edge is Edge.LAST):  # some event beyond the bound is enough
            return _among(rows.where(COMPARE[order](this=_of("at_us"), expression=limit)))
        edge = exp.Max if node.edge is Edge.LAST else exp.Min
        chosen = COMPARE[order](this=edge(this=_of("at_us")), expression=limit)
        return _among(rows.group_by("user_id").having(chosen))

    def any_device(self, node: AnyDevice) -> exp.Expr:
        inner = replace(self, source=Source.OTHER)
        rows = self.mine("device", bucketed=True, alias="x").where(
            exp.not_(_of("dead", "x")), inner.holds(node.part)
        )
        return _among(rows)

    def member(self, table: str, name: str, value: Parameter) -> exp.Expr:
        same = exp.EQ(this=_of(name), expression=self.bind(value))
        return _among(self.mine(table).where(same))

    def mine(self, table: str, *, bucketed: bool = False, alias: str = "e") -> exp.Select:
        """The people in the app's rows of a table."""
        rows = exp.select(_of("user_id", alias)).from_(
            exp.alias_(exp.to_table(table), alias, table=True)
        )
        rows = rows.where(exp.EQ(this=_of("app", alias), expression=_named("app")))
        if bucketed and self.span is not None:
            bucket = _of("bucket", alias)
            rows = rows.where(
                exp.GTE(this=bucket, expression=_named("low")),
                exp.LT(this=bucket.copy(), expression=_named("high")),
            )
        return rows

    def window(self, window: Window | None) -> list[exp.Expr]:
        """What happens after now never counts."""
        at = _of("at_us")
        bounds: list[exp.Expr] = [exp.LTE(this=at, expression=self.bind(self.now_us))]
        if isinstance(window, Within):
            start = self.now_us - _microseconds(window.age)
            bounds.append(exp.GTE(this=at.copy(), expression=self.bind(start)))
        elif window is not None:
            first, last = self.bind(instant(window.start)), self.bind(instant(window.end))
            bounds.append(exp.GTE(this=at.copy(), expression=first))
            bounds.append(exp.LT(this=at.copy(), expression=last))
        return bounds


def _holds_of_zero(order: Order, count: int) -> bool:
    return {
        Order.EQ: count == 0,
        Order.NE: count != 0,
        Order.LT: count > 0,
        Order.LE: count >= 0,
        Order.GT: False,
        Order.GE: count == 0,
    }[order]


def _negated(leaf: exp.Expr) -> exp.Expr:
    """Not true: false or unknown. A membership is never unknown, and plain `not` plans better."""
    if isinstance(leaf, exp.In) and leaf.args.get("query") is not None:
        return exp.not_(leaf)
    return exp.not_(exp.Is(this=exp.paren(leaf), expression=exp.true()))


def _among(rows: exp.Select) -> exp.Expr:
    return exp.In(this=_of("id", "u"), query=exp.Subquery(this=rows))


def _of(name: str, table: str = "e") -> exp.Column:
    return exp.column(name, table)


def _named(name: str) -> exp.Parameter:
    return exp.Parameter(this=exp.var(name))


def _microseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
