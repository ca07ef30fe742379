"""Consents from files: recorded opt-ins of many people at once."""

import io
import json
from datetime import UTC, datetime

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

AT = "2026-01-31T08:00:00Z"
HEAD = "external_id,category,change,at,text,language,evidence.address,evidence.form\n"


async def send(admin: httpx.AsyncClient, body: str | bytes, kind: str) -> httpx.Response:
    """Send a file."""
    headers = {"content-type": kind}
    return await admin.post("/v1/consent", content=body, headers=headers)


def parquet() -> bytes:
    """One row of ann's, with an instant of its own type and evidence as a struct."""
    sink = io.BytesIO()
    at = [datetime(2026, 1, 31, 8, tzinfo=UTC)]
    table = {
        "external_id": ["ann"],
        "category": ["marketing"],
        "change": ["granted"],
        "at": pa.array(at, pa.timestamp("ns", "UTC")),
        "text": ["Offers?"],
        "language": ["en"],
        "evidence": [{"address": "203.0.113.7", "form": "shop"}],
    }
    pq.write_table(pa.table(table), sink)
    return sink.getvalue()


ROW = {
    "external_id": "ann",
    "category": "marketing",
    "change": "granted",
    "at": AT,
    "text": "Offers?",
    "language": "en",
    "evidence": {"address": "203.0.113.7", "form": "shop"},
}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/csv", f"{HEAD}ann,marketing,granted,{AT},Offers?,en,203.0.113.7,shop\n"),
        ("application/x-ndjson", json.dumps(ROW)),
        ("application/vnd.apache.parquet", parquet()),
    ],
)
async def test_a_file_of_consents_is_recorded_once(
    admin: httpx.AsyncClient, kind: str, body: str | bytes
) -> None:
    """With its words and cut evidence; sent again it changes nothing."""
    first = (await send(admin, body, kind)).json()
    again = (await send(admin, body, kind)).json()
    (line,) = (await admin.get("/v1/users/ann/consent")).json()["items"]
    wishes = (await admin.get("/v1/users/ann/preferences")).json()["categories"]

    assert (first["rows_read"], first["rows_in"], first["bad"]) == (1, 1, [])
    assert (again["rows_in"], again["rows_repeated"], again["rows_bad"]) == (0, 1, 0)
    assert (line["change"], line["how"], line["text"]) == ("granted", "import", "Offers?")
    assert line["at"] == AT
    assert line["evidence"] == {"address": "203.0.113.0/24", "form": "shop"}
    assert {each["slug"]: each["frequency"] for each in wishes}["marketing"] == "all"
    assert (await admin.get("/v1/consent:verify")).json()["holds"] is True


async def test_bad_rows_are_told_while_good_ones_go_in(admin: httpx.AsyncClient) -> None:
    """By line, column and code; of one person the earlier word is written first."""
    rows = [
        {**ROW, "external_id": "bob"},
        {**ROW, "external_id": None},
        {**ROW, "user": 7},
        {**ROW, "external_id": None, "user": 999},
        {**ROW, "category": "nope"},
        {**ROW, "change": "maybe"},
        {**ROW, "how": "carrier pigeon"},
        {**ROW, "at": "9999-12-31T23:59:59Z"},
        {**ROW, "at": "0001-01-01T00:00:00Z"},
        {**ROW, "text": "a\0b"},
        {**ROW, "evidence": {"address": "not one"}},
        {**ROW, "evidence": {"a": 1}},
        {**ROW, "external_id": "a\0b"},
        {**ROW, "external_id": "bob", "change": "withdrawn", "at": "2025-01-01T00:00:00Z"},
    ]
    answer = await send(admin, "\n".join(map(json.dumps, rows)), "application/x-ndjson")
    told = answer.json()

    assert (answer.status_code, told["rows_in"], told["rows_bad"]) == (200, 2, 12)
    assert [(bad["line"], bad["field"], bad["code"]) for bad in told["bad"]] == [
        (2, "external_id", "field_missing"),
        (3, "user", "field_unknown"),
        (4, "user", "user_unknown"),
        (5, "category", "category_unknown"),
        (6, "change", "value_unknown"),
        (7, "how", "value_unknown"),
        (8, "at", "time_invalid"),
        (9, "at", "time_invalid"),
        (10, "text", "text_invalid"),
        (11, "evidence.address", "address_invalid"),
        (12, "evidence", "type_invalid"),
        (13, "external_id", "text_invalid"),
    ]


async def test_a_file_that_breaks_says_what_is_stored(admin: httpx.AsyncClient) -> None:
    """Unknown columns, files that are not what they say."""
    header = await send(admin, "external_id,nope\nann,1\n", "text/csv")
    damaged = await send(admin, b"PAR1", "application/vnd.apache.parquet")
    for answer in (header, damaged):
        assert (answer.status_code, answer.json()["code"]) == (400, "body_malformed")


async def test_a_long_file_is_written_in_order_of_time(admin: httpx.AsyncClient) -> None:
    """Over several transactions, whatever the order of its lines; lines are told as they stand."""
    lines = [f"p{n},marketing,granted,{AT}" for n in range(6_000)]
    lines[10] = "p5999,marketing,withdrawn,2026-02-01T00:00:00Z"
    lines[5_500] = f"p1,nope,granted,{AT}"
    body = "external_id,category,change,at\n" + "\n".join(lines)
    told = (await send(admin, body, "text/csv")).json()
    last = (await admin.get("/v1/users/p5999/consent")).json()["items"]

    assert (told["rows_in"], told["rows_bad"]) == (5_999, 1)
    assert [(bad["line"], bad["code"]) for bad in told["bad"]] == [(5_502, "category_unknown")]
    assert [line["change"] for line in last] == ["granted", "withdrawn"]
    assert (await admin.get("/v1/consent:verify")).json()["holds"] is True
