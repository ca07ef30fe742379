"""Writes an expression in the JSON form, so that reading it gives the expression back."""

from datetime import datetime, timedelta
from typing import assert_never

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
from clarion.domain.segments.json_form import Json


def to_json(node: Expression) -> dict[str, Json]:
    """Plain values that any JSON encoder writes."""
    match node:
        case And(parts):
            return {"and": [to_json(part) for part in parts]}
        case Or(parts):
            return {"or": [to_json(part) for part in parts]}
        case Not(part):
            return {"not": to_json(part)}
        case AnyDevice(part):
            return {"any_device": to_json(part)}
        case _:
            return _leaf(node)


def _leaf(node: Leaf) -> dict[str, Json]:  # noqa: PLR0911  # one return a kind of leaf
    match node:
        case Comparison(field, order, value):
            return {"field": field.name, "op": order.value, "value": _value(value)}
        case OneOf(field, values):
            return {"field": field.name, "op": "in", "value": [_value(one) for one in values]}
        case Exists(field):
            return {"field": field.name, "op": "exists"}
        case Containing(field, test, value):
            return {"field": field.name, "op": test.value, "value": _value(value)}
        case InList(name):
            return {"list": name}
        case InTopic(name):
            return {"topic": name}
        case InSegment(name):
            return {"segment": name}
        case _:
            return _special(node)


def _special(node: Everyone | Near | EventCount | EventTime | Engagement) -> dict[str, Json]:
    match node:
        case Everyone():
            return {"everyone": True}
        case Near(latitude, longitude, radius_m):
            circle = {"latitude": latitude, "longitude": longitude, "radius_m": radius_m}
            return {"near": circle}
        case EventCount(events, order, count):
            return {"count": _events(events), "op": order.value, "value": count}
        case EventTime(edge, events, order, value):
            return {edge.value: _events(events), "op": order.value, "value": _value(value)}
        case Engagement():
            return _engagement(node)
        case _:
            assert_never(node)


def _engagement(node: Engagement) -> dict[str, Json]:
    form: dict[str, Json] = {"engagement": node.signal.name.lower()}
    if node.message is not None:
        form["message"] = node.message
    if node.category is not None:
        form["category"] = node.category
    if node.window is not None:
        form["window"] = _window(node.window)
    if node.order is not Order.GE or node.count != 1:
        form |= {"op": node.order.value, "value": node.count}
    return form


def _events(events: Events) -> dict[str, Json]:
    form: dict[str, Json] = {"event": events.name}
    if events.where is not None:
        form["where"] = to_json(events.where)
    if events.window is not None:
        form["window"] = _window(events.window)
    return form


def _window(window: Window) -> Json:
    if isinstance(window, Within):
        return literals.age_text(window.age)
    return {"from": literals.instant_text(window.start), "to": literals.instant_text(window.end)}


def _value(value: Value) -> Json:
    if isinstance(value, timedelta):
        return {"ago": literals.age_text(value)}
    if isinstance(value, datetime):
        return {"time": literals.instant_text(value)}
    return value
