"""The columnar path gives the same bytes as the Liquid engine, one person at a time."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.adapters.content.liquid import LiquidEngine
from clarion.domain.content import Json
from clarion.domain.merge import cleaned
from clarion.domain.template import Column, distinct, pruned, rendered, values_of
from clarion.ports.rendering import Scope, VariableMissingError

ENGINE = LiquidEngine()
STRICT = Scope(language="en", zone="UTC", now=datetime(2026, 1, 1, tzinfo=UTC))
LENIENT = Scope(language="en", zone="UTC", now=datetime(2026, 1, 1, tzinfo=UTC), lenient=True)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "\x1f x\u3000",
        "ẞß İıŉ ǆ Σςσ",
        "ὈΔΥΣΣΕΎΣ",
        "👨‍👩‍👧 é",
        "a\r\nb",
        '"\\\x00</a>',
        "&<>'\"",
        "\uff05",
    ]
)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 1e16, 1e-7, 0.1, 5e-324, 1.7e308, 1e15, 123456789.5]
)
SCALARS = TEXTS | INTEGERS | FLOATS | st.booleans() | st.none()
MIXED = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)


KINDS: list[tuple[st.SearchStrategy[Json], pl.DataType | None]] = [
    (TEXTS, pl.String()),
    (INTEGERS, pl.Int64()),
    (FLOATS, pl.Float64()),
    (st.booleans(), pl.Boolean()),
    (st.lists(TEXTS, max_size=3), pl.List(pl.String())),
    (MIXED, None),
]


@st.composite
def columns(draw: st.DrawFn) -> Column:
    """A column as the audience gives it: typed, or of mixed values."""
    values_of_kind, dtype = draw(st.sampled_from(KINDS))
    values = draw(st.lists(st.none() | values_of_kind, min_size=1, max_size=6))
    return values if dtype is None else pl.Series(values, dtype=dtype, strict=False)


def literal(text: str) -> str:
    """A text as a Liquid literal; those with both quotes can't be written as one."""
    text = cleaned(text).replace("{", "").replace("}", "").replace("%", "")
    return f'"{text}"' if '"' not in text else "'" + text.replace("'", "") + "'"


LITERALS = TEXTS.filter(lambda text: "\\" not in text).map(literal)
FULL = LITERALS.filter(lambda text: len(text) > 2)  # an empty needle is between all characters
UNARY = st.sampled_from(
    [
        "upcase",
        "downcase",
        "capitalize",
        "strip",
        "lstrip",
        "rstrip",
        "escape",
        "url_encode",
        "url_component",
        "raw",
    ]
)
FILTERS = (
    UNARY
    | st.builds("{}: {}".format, st.sampled_from(["append", "prepend"]), LITERALS)
    | st.builds("remove: {}".format, FULL)
    | st.builds("replace: {}, {}".format, FULL, LITERALS)
)
DEFAULTS = st.sampled_from(
    [
        "",
        " | default",
        ' | default: "there"',
        " | default: 5",
        " | default: 1.50",
        " | default: false",
        " | default: nil",
        ' | default: "no", allow_false: true',
        " | default: true, allow_false: true",
    ]
)


@st.composite
def outputs(draw: st.DrawFn) -> str:
    """`{{ user.x ... }}`."""
    chain = "".join(f" | {f}" for f in draw(st.lists(FILTERS, max_size=3)))
    return "{{ user.x" + draw(DEFAULTS) + chain + " }}"


PLAIN = TEXTS.map(lambda text: cleaned(text).replace("{", "").replace("}", ""))
SOURCES = st.builds(
    lambda pairs, end: "".join(a + b for a, b in pairs) + end,
    st.lists(st.tuples(PLAIN, outputs()), min_size=1, max_size=3),
    PLAIN,
)


def one(source: str, value: Json, scope: Scope) -> str | None:
    """The engine's text; None where the variable is missing."""
    try:
        return ENGINE.compile(source, {}).render({"user.x": value}, scope)
    except VariableMissingError:
        return None


@settings(max_examples=150, deadline=None)
@given(SOURCES, columns())
def test_columns_say_what_the_engine_says(source: str, column: Column) -> None:
    """Any simple template over any column, under both policies, missing values included."""
    template = ENGINE.compile(source, {})
    assert template.simple is not None
    for scope in (STRICT, LENIENT):
        expected = [one(source, value, scope) for value in values_of(column)]
        got = rendered(
            template.simple, {"user.x": column}, len(column), lenient=scope.lenient
        ).to_list()
        # The engine takes framing characters out of what it gives; wire.merge has no need to.
        assert [None if text is None else cleaned(text) for text in got] == expected


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_equal_inputs_are_one_group_and_different_ones_are_not(data: st.DataObject) -> None:
    """Rendering once for each distinct input misses nothing."""
    first = data.draw(columns())
    count = len(first)
    second: Column = data.draw(st.lists(MIXED, min_size=count, max_size=count))
    starts, group = distinct([first, second], count)

    def key(row: int) -> str:
        return repr([told(values_of(first)[row]), told(pruned(second[row]))])

    keys = [key(row) for row in range(count)]
    assert [keys[starts[at]] for at in group] == keys
    assert len(starts) == len({*group.tolist()})
    assert len(starts) <= len(np.unique(keys)) or second


def told(value: Json) -> Json:
    """A value as templates see it: a negative zero is a zero."""
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [told(inner) for inner in value]
    return value
