"""The text and JSON forms say where a mistake is, what was expected, and what was meant."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clarion.domain.segments.checking import SegmentReferenceError, in_form, in_text, whole
from clarion.domain.segments.expression import (
    And,
    Comparison,
    EventCount,
    Expression,
    InList,
    Near,
    OneOf,
    Or,
    Within,
)
from clarion.domain.segments.json_form import Json, read_json
from clarion.domain.segments.problems import SegmentFormError, SegmentTextError
from clarion.domain.segments.text import parse
from clarion.domain.segments.text_form import to_text

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_text_of_the_documentation_is_read() -> None:
    """Each part is what it says."""
    text = (
        'country in (FR, BE) and tag.plan = "pro" and count(purchase, 30d) >= 2 '
        "and near(48.85, 2.35, 10km) and last_active < 14d"
    )
    found = parse(text).expression
    assert isinstance(found, And)
    country, plan, purchases, place, active = found.parts
    assert isinstance(country, OneOf)
    assert country.values == ("FR", "BE")
    assert isinstance(plan, Comparison)
    assert (plan.field.attribute, plan.value) == ("plan", "pro")
    assert isinstance(purchases, EventCount)
    assert purchases.events.window == Within(timedelta(days=30))
    assert place == Near(48.85, 2.35, 10_000.0)
    assert isinstance(active, Comparison)
    assert active.value == timedelta(days=14)
    assert to_text(found) == text


def test_and_binds_tighter_than_or_and_not_tighter_than_both() -> None:
    """As everywhere."""
    assert parse("everyone or everyone and not everyone") == parse(
        "everyone or everyone and not everyone"
    )
    loose = parse("in list(a) or in list(b) and not in list(c)").expression
    tight = parse("in list(a) or (in list(b) and (not in list(c)))").expression
    assert loose == tight
    assert isinstance(loose, Or)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("\n  countryy = FR", (3, 2, 3), "did you mean country?"),
        ("plan = 3", (0, 1, 1), "did you mean tag.plan?"),
        ("country in (FR, XX)", (16, 1, 17), "no country"),
        ("platform = phon", (11, 1, 12), "did you mean phone?"),
        ("cout(purchase) > 1", (0, 1, 1), "did you mean count?"),
        ("any device(country = FR)", (11, 1, 12), "did you mean device.country?"),
        ("tag.plan & 3", (9, 1, 10), "did you mean and?"),
        ("country =", (9, 1, 10), "where a country such as FR is expected"),
        ('tag.plan = "x', (11, 1, 12), "has no end"),
        ("count(p where count(x) > 1) > 1", (14, 1, 15), "inside where"),
        ("count(p) >= 1.5", (12, 1, 13), "a whole number"),
        ("created = 14d", (8, 1, 9), "it knows <, <=, >, >="),
        ("near(91, 1, 1km)", (5, 1, 6), "between -90 and 90"),
        ("everyone and (country = FR", (26, 1, 27), "')' is expected"),
        ("opened(message abc)", (15, 1, 16), "UUID"),
        ("app_version >= five", (15, 1, 16), "no version"),
        ("everyone everyone", (9, 1, 10), "and, or, or the end"),
        ("in lst(a)", (3, 1, 4), "did you mean list?"),
        ("", (0, 1, 1), "the text ends"),
        ("(" * 70 + "everyone" + ")" * 70, (65, 1, 66), "32 levels"),
        ("not " * 33 + "everyone", (0, 1, 1), "32 levels"),
        (" and ".join(["everyone"] * 501), (8 * 500 + 5 * 500, 1, 6501), "500 conditions"),
    ],
)
def test_a_mistake_has_a_place(text: str, place: tuple[int, int, int], words: str) -> None:
    """Offset, line, column, and a sentence that helps."""
    with pytest.raises(SegmentTextError, match="line") as caught:
        parse(text)
    error = caught.value
    assert (error.offset, error.line, error.column) == place
    assert words in str(error)


@pytest.mark.parametrize(
    ("form", "pointer"),
    [
        (
            {"and": [{"everyone": True}, {"field": "countryy", "op": "=", "value": "FR"}]},
            "/and/1/field",
        ),
        ({"field": "country", "op": "in", "value": ["FR", "XX"]}, "/value/1"),
        ({"field": "country", "op": "~", "value": "FR"}, "/op"),
        ({"field": "country", "op": "="}, ""),
        ({"field": "tag.a", "op": "=", "value": None}, "/value"),
        ({"or": [{"everyone": True}]}, "/or"),
        ({"near": {"latitude": 1, "longitude": 2, "radius_m": -1}}, "/near/radius_m"),
        ({"count": {"event": "x", "wheree": 1}, "op": "=", "value": 1}, "/count/wheree"),
        ({"count": {"event": "x", "window": "soon"}, "op": "=", "value": 1}, "/count/window"),
        ({"engagement": "openedd"}, "/engagement"),
        ({"any_device": {"segment": "x"}}, "/any_device"),
        ({"everyone": True, "not": {"everyone": True}}, ""),
        ([], ""),
    ],
)
def test_a_mistake_in_json_has_a_pointer(form: Json, pointer: str) -> None:
    """RFC 6901."""
    with pytest.raises(SegmentFormError) as caught:
        read_json(form)
    assert caught.value.pointer == pointer


def test_a_circle_of_segments_is_shown_at_the_name_that_leads_into_it() -> None:
    """With the whole circle in words."""
    text = "everyone and in segment(b)"
    others: dict[str, Expression] = {
        "b": parse("not in segment(c)").expression,
        "c": parse("in segment(a)").expression,
    }
    parsed = parse(text)
    with pytest.raises(SegmentReferenceError, match="a → b → c → a") as caught:
        whole(parsed.expression, segments=others, lists={}, now=NOW, name="a")
    assert in_text(caught.value, parsed).offset == text.index("b)")
    form = read_json({"not": {"segment": "b"}})
    with pytest.raises(SegmentReferenceError) as again:
        whole(form.expression, segments=others, lists={}, now=NOW, name="a")
    assert in_form(again.value, form).pointer == "/not/segment"


def test_an_unknown_list_is_named_with_the_nearest_known() -> None:
    """A typing mistake is not an empty list."""
    with pytest.raises(SegmentReferenceError, match="did you mean vip"):
        whole(parse("in list(vipp)").expression, segments={}, lists={"vip": 1}, now=NOW)


def test_segments_are_put_in_place_and_only_used_lists_are_kept() -> None:
    """What a store is asked names no segment."""
    found = whole(
        parse("not in segment(a)").expression,
        segments={"a": parse("in list(vip) or in segment(b)").expression, "b": InList("new")},
        lists={"vip": 1, "new": 2, "other": 3},
        now=NOW,
    )
    assert to_text(found.expression) == "not (in list(vip) or in list(new))"
    assert dict(found.lists) == {"vip": 1, "new": 2}


def test_segments_that_double_are_refused_before_they_are_built() -> None:
    """Thirty names could stand for a billion conditions."""
    segments: dict[str, Expression] = {
        f"s{n}": parse(f"in segment(s{n + 1}) or in segment(s{n + 1})").expression
        for n in range(15)
    }
    segments["s15"] = parse("everyone").expression
    with pytest.raises(SegmentReferenceError, match="more than 2000 conditions"):
        whole(parse("in segment(s0)").expression, segments=segments, lists={}, now=NOW)


def test_words_values_and_fields_are_kept_in_their_usual_spelling() -> None:
    """Countries in capitals, languages as RFC 5646 recommends."""
    found = parse("country = fr and language = EN_gb and device.platform = phone").expression
    assert to_text(found) == "country = FR and language = en-GB and platform = phone"


def test_the_table_of_the_reference_shows_the_same_twice() -> None:
    """Each text of the page, and the JSON beside it, are one expression."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "segment-text.md"
    rows = page.read_text("utf-8").partition("## The same in JSON")[2].splitlines()
    pairs = [
        (text, form)
        for row in rows
        if row.startswith("| `") and "{a" not in row and "[a" not in row
        for text, form in zip(
            re.findall(r"`([^`]+)`", row.split(" | ")[0]),
            re.findall(r"`([^`]+)`", row.split(" | ")[1]),
            strict=True,
        )
    ]
    assert len(pairs) == 14
    for text, form in pairs:
        assert parse(text).expression == read_json(json.loads(form)).expression
