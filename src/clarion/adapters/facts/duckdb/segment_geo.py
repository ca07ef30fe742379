"""A circle on Earth in SQL: a box that an ordered column can skip by, and the exact distance."""

import math
from typing import Final

from sqlglot import exp

from clarion.adapters.facts.duckdb.segment_fields import Bind, Source
from clarion.domain.segments.expression import Near

EARTH_M: Final = 6_371_008.8
"""Earth's mean radius (IUGG)."""
_MARGIN: Final = 1e-6
"""Degrees, about 0.1 m: the box never cuts what the distance would keep."""
_HALF_TURN: Final = 180.0
_POLE: Final = 90.0


def within_circle(node: Near, source: Source, bind: Bind) -> exp.Expr:
    """The device's last place is at most so far away, on a sphere."""
    latitude = exp.column("latitude", source.value)
    longitude = exp.column("longitude", source.value)
    north = math.degrees(node.radius_m / EARTH_M) + _MARGIN
    box: list[exp.Expr] = [
        exp.GTE(this=latitude, expression=bind(node.latitude - north)),
        exp.LTE(this=latitude.copy(), expression=bind(node.latitude + north)),
    ]
    if abs(node.latitude) + north < _POLE:
        box.append(_meridians(node, longitude, bind))
    return exp.and_(*box, _near(node, latitude, longitude, bind))


def _meridians(node: Near, longitude: exp.Column, bind: Bind) -> exp.Expr:
    """The circle's widest meridians; around 180 degrees they are two ranges."""
    reach = math.sin(node.radius_m / EARTH_M) / math.cos(math.radians(node.latitude))
    east = math.degrees(math.asin(min(1.0, reach))) + _MARGIN
    low, high = node.longitude - east, node.longitude + east
    if low < -_HALF_TURN:
        low += 2 * _HALF_TURN
    elif high > _HALF_TURN:
        high -= 2 * _HALF_TURN
    after = exp.GTE(this=longitude.copy(), expression=bind(low))
    before = exp.LTE(this=longitude.copy(), expression=bind(high))
    return exp.and_(after, before) if low <= high else exp.or_(after, before)


def _near(node: Near, latitude: exp.Column, longitude: exp.Column, bind: Bind) -> exp.Expr:
    """The haversine formula."""

    def squared_sine(of: exp.Column, at: float) -> exp.Expr:
        half = exp.Div(
            this=exp.paren(exp.Sub(this=_radians(of), expression=bind(math.radians(at)))),
            expression=exp.Literal.number(2),
        )
        return _call("pow", _call("sin", half), exp.Literal.number(2))

    across = exp.Mul(
        this=exp.Mul(
            this=_call("cos", _radians(latitude)),
            expression=bind(math.cos(math.radians(node.latitude))),
        ),
        expression=squared_sine(longitude, node.longitude),
    )
    chord = exp.Add(this=squared_sine(latitude, node.latitude), expression=across)
    least = _call("least", chord, exp.Literal.number("1.0"))
    angle = _call("asin", _call("sqrt", least))
    return exp.LTE(
        this=exp.Mul(this=angle, expression=bind(2 * EARTH_M)), expression=bind(node.radius_m)
    )


def _radians(of: exp.Column) -> exp.Expr:
    return _call("radians", of.copy())


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))
