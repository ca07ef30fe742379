"""Files that are odd, damaged or meant to hurt: refused by row or by name, never a 500."""

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PARQUET = {"content-type": "application/vnd.apache.parquet"}
NDJSON = {"content-type": "application/x-ndjson"}
CSV = {"content-type": "text/csv"}


def parquet(columns: Mapping[str, "pa.Array[Any]"]) -> bytes:
    """A file of these columns."""
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), sink)
    return sink.getvalue()


def named(**more: "pa.Array[Any]") -> bytes:
    """One event of ann's, as Parquet."""
    return parquet({"external_id": pa.array(["ann"]), "name": pa.array(["view"]), **more})


async def test_events_come_as_parquet(admin: httpx.AsyncClient) -> None:
    """With instants to the nanosecond, as data frames write them, and spread properties."""
    now_ns = int(datetime.now(UTC).timestamp()) * 1_000_000_000 - 999
    body = named(
        at=pa.array([now_ns], pa.timestamp("ns", "UTC")),
        **{"properties.n": pa.array([7]), "properties.tags": pa.array([["a", "b"]])},
    )
    answer = await admin.post("/v1/events", content=body, headers=PARQUET)
    assert (answer.status_code, answer.json()["rows_in"], answer.json()["bad"]) == (200, 1, [])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[Decimal("1.5")]]),
        pa.array([Decimal("1.5")]),
        pa.array([b"\xff"]),
        pa.array([[b"\xff"]]),
        pa.array([float("nan")]),
        pa.array([{"a": b"\xff"}]),
    ],
)
async def test_what_json_has_not_is_a_bad_row(
    admin: httpx.AsyncClient, column: "pa.Array[Any]"
) -> None:
    """Decimals, octets and NaN among properties are told by their row."""
    for body in (named(**{"properties.x": column}), named(properties=column)):
        answer = await admin.post("/v1/events", content=body, headers=PARQUET)
        assert answer.status_code == 200, answer.text
        assert answer.json()["rows_bad"] == 1


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**62], pa.timestamp("us", "UTC")),
        pa.StringArray.from_buffers(
            1, pa.py_buffer(b"\x00\x00\x00\x00\x01\x00\x00\x00"), pa.py_buffer(b"\xff")
        ),
    ],
)
async def test_a_column_that_can_not_be_read_is_named(
    admin: httpx.AsyncClient, column: "pa.Array[Any]"
) -> None:
    """An instant beyond the calendar, text that is no UTF-8."""
    body = named(**{"at" if pa.types.is_timestamp(column.type) else "message": column})
    answer = await admin.post("/v1/events", content=body, headers=PARQUET)
    assert (answer.status_code, answer.json()["code"]) == (400, "body_malformed")


async def test_deep_json_is_a_bad_row(admin: httpx.AsyncClient) -> None:
    """Deeper than what writes JSON again goes."""
    for depth in (20, 300, 900, 1_100, 100_000):
        deep = '{"a":' * depth + "1" + "}" * depth
        line = f'{{"external_id":"ann","name":"view","properties":{deep}}}'
        file = await admin.post("/v1/events", content=line, headers=NDJSON)
        body = await admin.post("/v1/events", content=f'{{"events":[{line}]}}')
        assert (file.status_code, file.json()["rows_bad"]) == (200, 1), depth
        assert body.status_code in {200, 400, 422}, depth


async def test_a_header_of_many_columns_is_read_in_one_go(admin: httpx.AsyncClient) -> None:
    """A file may be wide; too many properties are a bad row."""
    names = [f"properties.p{n}" for n in range(50_000)]
    body = ",".join(["external_id", "name", *names]) + "\nann,view," + "1," * 49_999 + "1\n"
    answer = await admin.post("/v1/events", content=body, headers=CSV)
    assert (answer.status_code, answer.json()["rows_bad"]) == (200, 1)


async def test_odd_texts_are_bad_rows(admin: httpx.AsyncClient) -> None:
    """U+0000, lone surrogates, huge numbers."""
    rows = [
        {"external_id": "a\0b", "name": "view"},
        {"external_id": "ann", "name": "vi\0ew"},
        {"external_id": "ann", "name": "view", "properties": {"a\0": "b\0"}},
        {"external_id": "ann", "name": "view", "value": 10**400},
        {"external_id": "ann", "name": "\ud800"},
        {"user": 2**63, "name": "view"},
        {"user": -1, "name": "view"},
        {"external_id": "ann", "name": "view", "at": "9999-12-31T23:59:59Z"},
        {"external_id": "ann", "name": "view", "at": "0001-01-01T00:00:00+14:00"},
    ]
    for row in rows:
        text = json.dumps(row)
        file = await admin.post("/v1/events", content=text, headers=NDJSON)
        body = await admin.post("/v1/events", content=f'{{"events":[{text}]}}')
        assert (file.status_code, file.json()["rows_bad"]) == (200, 1), row
        assert body.status_code in {200, 400, 422}, (row, body.text)
        if body.status_code == 200:
            assert body.json()["rows_bad"] == 1, row


@pytest.mark.parametrize("path", ["/v1/imports", "/v1/events"])
async def test_a_column_that_nobody_knows_is_named_as_it_is_written(
    admin: httpx.AsyncClient, path: str
) -> None:
    """`External_ID` is not `external_id`, and the sentence shows what differs."""
    answer = await admin.post(path, content=b"External_ID\nann\n", headers=CSV)
    assert answer.status_code == 400
    detail = answer.json()["detail"]
    assert "'External_ID'" in detail
    assert detail[0].isupper()
