"""Files through the API."""

import io
from collections.abc import AsyncIterator

import httpx
import polars as pl
from tests.api.conftest import World
from tests.api.test_edge import refused

from clarion.api import ApiLimits

CSV = {"content-type": "text/csv; charset=utf-8"}


async def test_good_rows_go_in_and_bad_ones_are_reported_by_line(
    admin: httpx.AsyncClient,
) -> None:
    """CSV in pieces of any size."""
    text = "external_id,network,token,language\n"
    text += "jane,apns," + "ab" * 32 + ",de\n" + "joe,apns,xyz,en\n" + "ann,,,fr\n"

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(text), 7):
            yield text[start : start + 7].encode()

    done = (await admin.post("/v1/imports", content=pieces(), headers=CSV)).json()
    assert (done["rows_read"], done["rows_in"], done["rows_bad"]) == (3, 2, 1)
    assert [(b["line"], b["field"], b["code"]) for b in done["bad"]] == [
        (3, "token", "token_invalid")
    ]
    devices = (await admin.get("/v1/users/jane/devices")).json()["items"]
    assert [device["language"] for device in devices] == ["de"]
    again = await admin.post("/v1/imports", content=text.encode(), headers=CSV)
    assert again.json() == done


async def test_ndjson_and_parquet_say_the_same(admin: httpx.AsyncClient) -> None:
    """One shape in every format."""
    lines = b'{"external_id": "a", "network": "apns", "token": "' + b"cd" * 32 + b'"}\n{"x": 1}\n'
    kind = {"content-type": "application/x-ndjson"}
    done = (await admin.post("/v1/imports", content=lines, headers=kind)).json()
    assert (done["rows_in"], done["bad"][0]["line"]) == (1, 2)
    buffer = io.BytesIO()
    pl.DataFrame({"external_id": ["b"], "user_country": ["DE"]}).write_parquet(buffer)
    kind = {"content-type": "application/vnd.apache.parquet"}
    done = (await admin.post("/v1/imports", content=buffer.getvalue(), headers=kind)).json()
    assert done["rows_in"] == 1
    assert (await admin.get("/v1/users/b")).json()["country"] == "DE"


async def test_an_open_quote_is_told_with_its_line_and_what_is_in(admin: httpx.AsyncClient) -> None:
    """The rows before it are stored, nothing behind it is."""
    text = 'external_id\nann\nbob\n"cy\ndan\n'

    answer = await admin.post("/v1/imports", content=text.encode(), headers=CSV)

    refused(answer, "body_malformed")
    assert "Line 4: " in answer.json()["detail"]
    assert "2 good rows before it are stored" in answer.json()["detail"]
    found = [(await admin.get(f"/v1/users/{name}")).status_code for name in ("ann", "bob", "dan")]
    assert found == [200, 200, 404]


async def test_what_is_no_such_file_is_refused(world: World) -> None:
    """By media type, by size, by form."""
    async with world.client("send", limits=ApiLimits(max_import_body=1000)) as client:
        refused(await client.post("/v1/imports", json={}), "media_type_unsupported")
        big = b"x" * 2000
        refused(await client.post("/v1/imports", content=big, headers=CSV), "body_too_large")
        refused(
            await client.post("/v1/imports", content=b"colour\nred\n", headers=CSV),
            "body_malformed",
        )
        kind = {"content-type": "application/vnd.apache.parquet"}
        refused(await client.post("/v1/imports", content=b"no", headers=kind), "body_malformed")
        refused(await client.post("/v1/imports", content=b"", headers=kind), "body_malformed")
    async with world.client("device") as client:
        refused(await client.post("/v1/imports", content=b"", headers=CSV), "scope_insufficient")
