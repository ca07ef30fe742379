"""Registrations: the columnar rules say the same as a plain reading of each row."""

import json
import math
import re
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.domain.attributes import (
    CODES,
    MAX_ATTRIBUTES,
    AttributeValue,
    check_attributes,
    decode_attributes,
    encode_attributes,
)
from clarion.domain.conditions import Cell
from clarion.domain.geography import canonical_language
from clarion.domain.registration import COLUMNS, INSTANT, RAW_COLUMNS, RowProblem, check
from clarion.domain.registration_row import check_row

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ZONES = frozenset({"Europe/Berlin", "UTC"})

words = st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["a", "é" * 200, "x\x00", ""]))
rows = st.fixed_dictionaries(
    {
        "external_id": words,
        "user": st.one_of(st.none(), st.integers(1, 9)),
        "network": st.one_of(st.none(), st.sampled_from(["apns", "FCM", "webpush", "pigeon"])),
        "token": st.one_of(
            st.none(),
            st.sampled_from(["AB", "abc", "zz", "a b", "https://p.example/x", "http://", "ab\n"]),
        ),
        "p256dh": st.one_of(st.none(), st.just("key")),
        "auth": st.one_of(st.none(), st.just("auth")),
        "environment": st.one_of(st.none(), st.sampled_from(["production", "fid", "TOKEN", "x"])),
        "os": words,
        "platform": st.one_of(st.none(), st.sampled_from(["phone", "Browser", "toaster"])),
        "language": st.one_of(st.none(), st.sampled_from(["de", "pt_br", "x", "de-", "1"])),
        "time_zone": st.one_of(st.none(), st.sampled_from(["UTC", "Mars/Olympus"])),
        "country": st.one_of(st.none(), st.sampled_from(["de", "XX"])),
        "latitude": st.one_of(st.none(), st.floats()),
        "longitude": st.one_of(st.none(), st.sampled_from([0.0, 180.0, 180.1, math.nan])),
        "last_active_at": st.one_of(
            st.none(),
            st.sampled_from([NOW, NOW + timedelta(days=2), datetime(1960, 1, 1, tzinfo=UTC)]),
        ),
    }
)


def plain(row: dict[str, object]) -> set[tuple[str, str]]:
    """The same rules read one row at a time: (pointer, code) of what is wrong."""
    return {
        *_plain_texts(row),
        *_plain_network(row),
        *_plain_place(row),
    }


def _plain_texts(row: dict[str, object]) -> set[tuple[str, str]]:
    wrong = set()
    for name in ("external_id", "os"):
        text = row[name]
        if isinstance(text, str):
            if not text or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
                wrong.add((f"/{name}", "text_invalid"))
            if len(text.encode()) > 256:
                wrong.add((f"/{name}", "text_too_long"))
    if row["user"] is not None and row["external_id"] is not None:
        wrong.add(("/user", "field_unknown"))
    if row["token"] is None and row["user"] is None and row["external_id"] is None:
        wrong.add(("/token", "field_missing"))
    if row["platform"] == "toaster":
        wrong.add(("/platform", "platform_unknown"))
    return wrong


def _plain_network(row: dict[str, object]) -> set[tuple[str, str]]:
    wrong = set()
    network = None if row["network"] is None else str(row["network"]).lower()
    token, environment = row["token"], row["environment"]
    if network == "pigeon":
        wrong.add(("/network", "network_unknown"))
    if environment is not None and (network, str(environment).lower()) not in {
        ("apns", "production"),
        ("fcm", "fid"),
        ("fcm", "token"),
    }:
        wrong.add(("/environment", "environment_invalid"))
    if token is None:
        return wrong
    if network is None:
        wrong.add(("/network", "field_missing"))
    form = {
        "apns": r"([0-9A-Fa-f]{2}){1,200}",
        "fcm": r"[A-Za-z0-9_:.~%-]{1,4096}",
        "webpush": r"https?://[!-~]+",
    }.get(network or "")
    if form is not None and not re.fullmatch(form, str(token)):
        wrong.add(("/token", "token_invalid"))
    if network == "webpush":
        wrong |= {(f"/keys/{k}", "field_missing") for k in ("p256dh", "auth") if row[k] is None}
    return wrong


def _plain_place(row: dict[str, object]) -> set[tuple[str, str]]:
    wrong = set()
    if row["language"] in {"x", "de-", "1"}:
        wrong.add(("/language", "language_invalid"))
    if row["time_zone"] == "Mars/Olympus":
        wrong.add(("/time_zone", "time_zone_unknown"))
    if row["country"] == "XX":
        wrong.add(("/country", "country_unknown"))
    latitude, longitude = row["latitude"], row["longitude"]
    if isinstance(latitude, float) and not -90 <= latitude <= 90:
        wrong.add(("/latitude", "location_invalid"))
    if isinstance(longitude, float) and not -180 <= longitude <= 180:
        wrong.add(("/longitude", "location_invalid"))
    if (latitude is None) != (longitude is None):
        wrong.add(("/longitude", "location_invalid"))
    active = row["last_active_at"]
    if (isinstance(active, datetime) and not active.year >= 1970) or active == NOW + timedelta(2):
        wrong.add(("/last_active_at", "time_invalid"))
    return wrong


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=1, max_size=8))
def test_columns_are_judged_as_rows_would_be(given_rows: list[dict[str, object]]) -> None:
    """The same problems for every row, and exactly the rows without one come through."""
    schema = {name: RAW_COLUMNS[name] for name in given_rows[0]}
    checked = check(pl.DataFrame(given_rows, schema=schema), zones=ZONES, now=NOW)
    found: dict[int, set[tuple[str, str]]] = {row: set() for row in range(len(given_rows))}
    for problem in checked.problems:
        found[problem.row].add((problem.problem.path, problem.problem.code))
        assert problem.problem.code in CODES
    assert found == {row: plain(value) for row, value in enumerate(given_rows)}
    assert checked.index.to_list() == [row for row, wrong in found.items() if not wrong]
    assert checked.rows.height == len(checked.index)


@given(st.data())
def test_checked_rows_have_the_stored_types(data: st.DataObject) -> None:
    """Whatever columns are absent."""
    names = data.draw(st.sets(st.sampled_from(["os", "country", "opted_out", "user_language"])))
    frame = pl.DataFrame(
        {"external_id": ["ada"]} | {name: [None] for name in names},
        schema={name: RAW_COLUMNS[name] for name in ("external_id", *names)},
    )
    checked = check(frame, zones=ZONES, now=NOW)
    assert {name: checked.rows.schema[name] for name in COLUMNS} == dict(COLUMNS)
    assert checked.rows.schema["last_active_at"] == INSTANT


text = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x7f"), max_size=20
)
number = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
value: st.SearchStrategy[AttributeValue] = st.one_of(
    text,
    number,
    st.booleans(),
    st.datetimes(timezones=st.just(UTC)),
    st.lists(st.one_of(text, number, st.booleans()), max_size=5).map(tuple),
)


@given(st.dictionaries(text.filter(bool), value, max_size=8))
def test_attributes_come_back_as_they_were_said(attributes: dict[str, AttributeValue]) -> None:
    """And are never refused while they keep to the limits."""
    encoded = encode_attributes(attributes)
    assert check_attributes(encoded, "/attributes") == []
    assert decode_attributes(encoded) == attributes


@given(st.text(max_size=60))
def test_no_text_breaks_the_judge_of_attributes(junk: str) -> None:
    """It answers with problems, whatever it is given."""
    for problem in check_attributes(junk, "/attributes"):
        assert problem.code in CODES
        assert problem.path.startswith("/attributes")


def test_every_limit_of_attributes_has_its_code() -> None:
    """One past the limit is refused, the limit itself is not."""
    cases = {
        json.dumps({f"k{i}": 1 for i in range(MAX_ATTRIBUTES + 1)}): "attributes_too_many",
        json.dumps({"a": "x" * 1023}): "attribute_too_large",
        json.dumps({f"k{i}": "x" * 1000 for i in range(17)}): "attributes_too_large",
        "x" * (1 << 20): "attributes_too_large",
        '{"a":NaN}': "row_malformed",
        '{"a":1e999}': "number_invalid",
        '{"a":9007199254740993}': "number_invalid",
        '{"a":"\\ud800"}': "text_invalid",
        '{"\\ud800":1}': "text_invalid",
        '{"a":"\\u0007"}': "text_invalid",
        '{"a":{"time":"yesterday"}}': "time_invalid",
        '{"a":{"b":1}}': "type_invalid",
        '{"a":[[1]]}': "type_invalid",
        '{"":1}': "text_invalid",
        '{"' + "n" * 129 + '":1}': "text_too_long",
        "[]": "type_invalid",
        "[" * 100_000: "attributes_too_large",
        "[" * 10_000: "row_malformed",
    }
    for given_text, code in cases.items():
        problems = check_attributes(given_text, "/attributes")
        assert [problem.code for problem in problems] == [code], given_text[:40]
    fine = json.dumps({f"k{i}": "x" * 1000 for i in range(16)} | {"b": "x" * 100})
    assert check_attributes(fine, "/attributes") == []
    assert check_attributes('{"a/b~c":[null]}', "")[0].path == "/a~1b~0c/0"


def test_languages_are_spelled_as_the_rfc_recommends() -> None:
    """RFC 5646 section 2.1.1."""
    spelled = [canonical_language(tag) for tag in ("DE", "zh_hant_tw", "EN-x-US", "sl-rozaj-nedis")]
    assert spelled == ["de", "zh-Hant-TW", "en-x-us", "sl-rozaj-nedis"]


anything = st.one_of(st.none(), st.text(max_size=6))
objects = st.one_of(
    st.none(),
    st.text(max_size=8),
    st.sampled_from(['{"a":1}', '{"a":{"time":"2026-W10-1T00:00:00Z"}}', '{"a":[null]}', "[]"]),
)
wild_rows = st.fixed_dictionaries(
    {
        "external_id": words,
        "user": st.one_of(st.none(), st.integers(1, 9)),
        "network": st.one_of(st.sampled_from(["apns", "FCM", "WebPush"]), anything),
        "token": st.one_of(
            anything,
            st.sampled_from(["AB", "ab\n", "a" * 4097, "https://p.example/x", "\u212aab"]),
        ),
        "p256dh": anything,
        "auth": anything,
        "environment": st.one_of(anything, st.sampled_from(["production", "SANDBOX", "fid"])),
        "permission": st.one_of(anything, st.sampled_from(["Granted", "denied"])),
        "opted_out": st.one_of(st.none(), st.booleans()),
        **dict.fromkeys(("os", "os_version", "model", "app_version"), words),
        **dict.fromkeys(
            ("language", "user_language"),
            st.one_of(anything, st.sampled_from(["de", "pt_br", "zh-hant-tw", "x-" * 20, "de\n"])),
        ),
        **dict.fromkeys(
            ("country", "user_country"),
            st.one_of(anything, st.sampled_from(["de", "\xdf", "DE\n"])),
        ),
        **dict.fromkeys(
            ("time_zone", "user_time_zone"), st.one_of(anything, st.sampled_from(["UTC", "utc"]))
        ),
        "latitude": st.one_of(st.none(), st.floats()),
        "longitude": st.one_of(st.none(), st.floats(-181, 181)),
        "last_active_at": st.one_of(
            st.none(),
            st.timedeltas(timedelta(days=-21_000), timedelta(days=2)).map(NOW.__add__),
        ),
        "attributes": objects,
        "user_attributes": objects,
        "aliases": objects,
    }
)


@settings(max_examples=100, deadline=None)
@given(st.lists(wild_rows, min_size=1, max_size=6))
def test_a_row_alone_is_judged_as_in_columns(given_rows: list[dict[str, Cell]]) -> None:
    """The same problems in the same order, and the same canonical form, whatever is said."""
    schema = {name: RAW_COLUMNS[name] for name in given_rows[0]}
    checked = check(pl.DataFrame(given_rows, schema=schema), zones=ZONES, now=NOW)
    alone = [check_row(row, zones=ZONES, now=NOW) for row in given_rows]
    assert [
        RowProblem(row=place, problem=problem)
        for place, one in enumerate(alone)
        for problem in one.problems
    ] == checked.problems
    good = [one.row for one in alone if not one.problems]
    names = [*COLUMNS, "p256dh", "auth"]
    assert checked.rows.select(names).to_dicts() == [
        {name: row.get(name) for name in names} for row in good
    ]
