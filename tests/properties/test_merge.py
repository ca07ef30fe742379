"""Filled payloads are what the JSON writer would have written."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.adapters.content.graphemes import clusters
from clarion.domain.content import Json
from clarion.domain.graphemes import cut_octets
from clarion.domain.merge import (
    MOST_COLUMNS,
    cleaned,
    columns_in,
    filled,
    holds_marker,
    marker,
    nested,
    without_markers,
)
from clarion.wire import merge

VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ['"', "\\", '\\"', "\x00\x1f\x7f", "\n\r\t\b\f", "👩‍🚀", '","aps":{"badge":9},"x":"', "\u2028"]
)
COLUMNS = st.integers(1, 4).flatmap(
    lambda n: st.lists(st.lists(VALUES, min_size=n, max_size=n), min_size=3, max_size=3)
)
TEMPLATES = st.lists(VALUES.map(cleaned) | st.integers(0, 2).map(marker), max_size=6).map("".join)


@given(st.dictionaries(VALUES.map(cleaned), TEMPLATES, max_size=4), COLUMNS)
def test_a_filled_payload_is_the_payload_of_the_filled_content(
    document: dict[str, str], columns: list[list[str]]
) -> None:
    """Byte for byte what orjson writes for each recipient, in any position and of any size."""
    payload = orjson.dumps(document)
    expected = [
        orjson.dumps({key: filled(text, row) for key, text in document.items()})
        for row in zip(*columns, strict=True)
    ]
    assert merge.fill(payload, columns) == expected
    assert merge.sizes(payload, columns).tolist() == [len(body) for body in expected]


@given(TEMPLATES, COLUMNS)
def test_a_value_in_json_in_json_is_escaped_twice(text: str, columns: list[list[str]]) -> None:
    """FCM carries our own block as JSON text."""
    inner = orjson.dumps({"link": text}).decode()
    payload = orjson.dumps({"data": nested(inner)})
    for row, body in zip(zip(*columns, strict=True), merge.fill(payload, columns), strict=True):
        assert json.loads(json.loads(body)["data"]) == {"link": filled(text, row)}
        assert body == orjson.dumps({"data": orjson.dumps({"link": filled(text, row)}).decode()})


@given(VALUES)
def test_a_value_never_leaves_its_string(value: str) -> None:
    """Nobody's name can add a member to the payload."""
    payload = orjson.dumps({"title": f"Hi {marker(0)}", "n": 1})
    (body,) = merge.fill(payload, [[value]])
    assert json.loads(body) == {"title": f"Hi {value}", "n": 1}


def test_rows_are_chosen_before_they_are_filled() -> None:
    """A chunk of a batch fills its own rows only, in their order."""
    payload = orjson.dumps(marker(1))
    columns = [["a", "b", "c"], ["x", "y", "z"]]
    assert merge.fill(payload, columns, [2, 0]) == [b'"z"', b'"x"']
    assert merge.fill(b"{}", columns, [1]) == [b"{}"]


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    """It has no form in UTF-8, and one person's odd name must not stop a batch."""
    assert merge.fill(orjson.dumps(marker(0)), [["a\ud800b"]]) == ['"a\ufffdb"'.encode()]


def test_a_marker_beyond_the_columns_is_an_error() -> None:
    """A payload that was built for other columns is never sent half filled."""
    with pytest.raises(IndexError):
        merge.fill(orjson.dumps(marker(2)), [["a"]])
    with pytest.raises(ValueError, match="at most"):
        marker(MOST_COLUMNS)


def test_a_link_with_markers_is_checked_with_something_in_their_place() -> None:
    """The form of an address can be judged although its values are not there."""
    assert without_markers(f"https://x.org/{marker(3)}?a={nested(marker(0))}") == (
        "https://x.org/x?a=x"
    )


def test_markers_nest_three_deep_and_no_deeper() -> None:
    """The third writer around a marker is the last."""
    with pytest.raises(ValueError, match="nested"):
        nested(nested(nested(marker(0))))


@given(st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(VALUES, inner)))
def test_cleaned_text_holds_no_marker(value: Json) -> None:
    """Text from outside can't name a column."""
    if isinstance(value, str):
        assert not holds_marker(cleaned(value))
        assert columns_in(cleaned(value)) == []
    assert holds_marker([value, {marker(0): value}])


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.integers(0, 120))
def test_a_shortened_body_fits_and_everyone_else_is_untouched(body: str, limit: int) -> None:
    """Only rows above the limit change, and what is left of them is a beginning."""
    payload = orjson.dumps({"body": marker(1), "again": marker(1), "name": marker(0)})
    columns = [["Ann", "B"], [body, ""]]

    def shorten(text: str, most: int, octets: object) -> str:
        assert callable(octets)
        return cut_octets(text, most, octets, clusters)

    before = merge.sizes(payload, columns)
    after = merge.fit(payload, columns, limit=limit, column=1, shorten=shorten)
    assert after[1] == ""
    if before[0] <= limit:
        assert after[0] == body
    elif after[0] != body:
        assert merge.sizes(payload, [columns[0], after])[0] <= limit
