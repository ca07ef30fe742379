"""Bulk import on a real database: three formats, bad rows by line, files that break."""

import asyncio
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from tests.e2e.registry_world import RULES, World, open_world

from clarion.adapters.system import SystemClock
from clarion.domain.ids import DeviceId
from clarion.domain.network import Network
from clarion.ports.registry import ByAlias, ByExternalId
from clarion.stages.intake import readers
from clarion.stages.intake.bulk import import_rows
from clarion.stages.intake.rows import BadRow, Format, MalformedFileError


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A registry with one app."""
    async with open_world(database_url) as world:
        yield world


@dataclass(frozen=True, kw_only=True)
class Result:
    """The last progress, and all bad rows."""

    rows_read: int
    rows_in: int
    rows_bad: int
    bad: list[tuple[int, str, str]]


async def pieces(octets: bytes, size: int = 1 << 16) -> AsyncIterator[bytes]:
    """The octets as they might arrive."""
    for start in range(0, len(octets), size):
        yield octets[start : start + size]


async def run(world: World, source: bytes | Path, format_: Format, size: int = 1 << 16) -> Result:
    """Import, and sum up."""
    bad: list[BadRow] = []
    last = None
    async for last in import_rows(
        world.devices,
        world.app,
        source if isinstance(source, Path) else pieces(source, size),
        format_,
        rules=RULES,
        clock=SystemClock(),
    ):
        bad += last.bad
    return Result(
        rows_read=0 if last is None else last.rows_read,
        rows_in=0 if last is None else last.rows_in,
        rows_bad=0 if last is None else last.rows_bad,
        bad=[(row.line, row.field, row.code) for row in bad],
    )


async def test_csv_reports_bad_rows_by_line_and_stores_the_others(world: World) -> None:
    """Short rows, wrong values, wrong types, a quoted line feed: each has its line."""
    text = (
        "\ufeffexternal_id,network,token,latitude,longitude,attributes.plan,attributes.age:number\n"
        "ada,fcm,token-1,,,gold,7\n"
        "bob,fcm\n"
        '"cy\n1",fcm,token-2,,,,\n'
        "dan,carrier-pigeon,token-3,,,,\n"
        "eve,fcm,token-4,x,1,,\n"
        "fay,fcm,token-5,,,silver,old\n"
        "\n"
        "gus,fcm,token-6,1,2,,1.5\n"
    )
    result = await run(world, text.encode(), Format.CSV)
    assert (result.rows_read, result.rows_in, result.rows_bad) == (7, 2, 5)
    assert result.bad == [
        (3, "", "row_malformed"),
        (4, "external_id", "text_invalid"),
        (6, "network", "network_unknown"),
        (7, "latitude", "type_invalid"),
        (8, "attributes.age", "type_invalid"),
    ]
    ada = await world.devices.find(world.app, Network.FCM, "token-1")
    gus = await world.devices.find(world.app, Network.FCM, "token-6")
    assert ada is not None
    assert gus is not None
    assert ada.attributes == {"plan": "gold", "age": 7}
    assert (gus.attributes, gus.latitude) == ({"age": 1.5}, 1.0)


async def test_csv_arrives_in_pieces_of_any_size(world: World) -> None:
    """One octet at a time is the same file, CRLF and a missing last line end included."""
    text = 'network,token,model\r\nfcm,token-1,"a ""b"", ü"\r\nfcm,token-2,c'
    result = await run(world, text.encode(), Format.CSV, size=1)
    assert (result.rows_in, result.bad) == (2, [])
    device = await world.devices.find(world.app, Network.FCM, "token-1")
    assert device is not None
    assert device.model == 'a "b", ü'


async def test_ndjson_reports_bad_lines_and_stores_the_others(world: World) -> None:
    """Not JSON, NaN, half a surrogate, no object, unknown fields, wrong types."""
    good = {
        "external_id": "ada",
        "network": "fcm",
        "token": "token-1",
        "location": {"latitude": 1, "longitude": 2.5},
        "attributes": {"n": 1, "l": [1, "x"]},
        "last_active_at": "2026-01-02T03:04:05Z",
        "user_language": "de",
    }
    lines = [
        json.dumps(good),
        '{"network":"fcm","token":"token-2"',
        '{"network":"fcm","token":"token-3","latitude":NaN}',
        '{"network":"fcm","token":"\\ud800"}',
        "[]",
        '{"network":"fcm","token":"token-4","colour":"red"}',
        '{"network":"fcm","token":5}',
        '{"network":"fcm","token":"token-5","attributes":{"a":{"b":1}}}',
        "{}",
        "",
        '{"network":"fcm","token":"token-6","attributes":{"a":"\\u0000"}}',
    ]
    result = await run(world, "\n".join(lines).encode(), Format.NDJSON)
    assert result.bad == [
        (2, "", "row_malformed"),
        (3, "", "row_malformed"),
        (4, "", "row_malformed"),
        (5, "", "row_malformed"),
        (6, "colour", "field_unknown"),
        (7, "token", "type_invalid"),
        (8, "attributes.a", "type_invalid"),
        (9, "token", "field_missing"),
        (11, "attributes.a", "text_invalid"),
    ]
    assert (result.rows_read, result.rows_in, result.rows_bad) == (10, 1, 9)
    device = await world.devices.find(world.app, Network.FCM, "token-1")
    assert device is not None
    assert (device.latitude, device.longitude) == (1.0, 2.5)
    assert device.attributes == {"n": 1, "l": (1, "x")}
    assert device.last_active_at == datetime.fromisoformat("2026-01-02T03:04:05Z")
    person = await world.people.get(world.app, ByExternalId(external_id="ada"))
    assert person is not None
    assert person.language == "de"


@pytest.mark.parametrize("streamed", [True, False])
async def test_parquet_is_read_with_its_own_types(
    world: World, tmp_path: Path, *, streamed: bool
) -> None:
    """Numbers, truths and instants become attributes of these kinds."""
    at = datetime.fromisoformat("2026-01-02T03:04:05Z")
    frame = pl.DataFrame(
        {
            "external_id": ["ada", "bob"],
            "network": ["fcm", "no"],
            "token": ["token-1", "token-2"],
            "attributes.n": [1.5, 2.0],
            "attributes.at": [at, None],
            "attributes.on": [True, None],
            "opted_out": [True, False],
            "last_active_at": [at, at],
        }
    )
    octets = io.BytesIO()
    frame.write_parquet(octets)
    path = tmp_path / "devices.parquet"
    path.write_bytes(octets.getvalue())
    result = await run(world, octets.getvalue() if streamed else path, Format.PARQUET)
    assert (result.rows_in, result.bad) == (1, [(2, "network", "network_unknown")])
    device = await world.devices.find(world.app, Network.FCM, "token-1")
    assert device is not None
    assert device.attributes == {"n": 1.5, "at": at, "on": True}
    assert (device.opted_out, device.last_active_at) == (True, at)


@pytest.mark.parametrize(
    ("octets", "format_", "line", "words"),
    [
        (b"", Format.CSV, 0, ""),
        (b"\n\n", Format.CSV, 1, "no header"),
        (b"network,colour\n", Format.CSV, 1, "unknown column 'colour'"),
        (b"token,token\n", Format.CSV, 1, "twice"),
        (b"attributes.a:colour\n", Format.CSV, 1, "kind"),
        (b'network,token\nfcm,token-1\nfcm,"token-2\n', Format.CSV, 3, "nothing closes"),
        (b'"net"work,token\nfcm,token-1\n', Format.CSV, 1, "no header"),
        (b'network,token\nfcm,"token-1\nfcm,"token-2"\n', Format.CSV, 2, "on line 3"),
        (b"no parquet at all", Format.PARQUET, 1, "Parquet"),
    ],
)
async def test_a_file_that_cannot_be_read_on_says_where(
    world: World, octets: bytes, format_: Format, line: int, words: str
) -> None:
    """The error names the line and the reason; an empty file is empty."""
    if not octets:
        assert (await run(world, octets, format_)).rows_read == 0
        return
    with pytest.raises(MalformedFileError, match=words) as error:
        await run(world, octets, format_)
    assert error.value.line == line


async def test_what_stands_before_an_open_quote_goes_in(world: World) -> None:
    """The place is told once; nobody knows what of the rest is inside quotes."""
    octets = b'network,token\nfcm,token-1\nfcm,token-2,x\nfcm,"token-3\nfcm,token-4\nfcm,token-5\n'
    with pytest.raises(MalformedFileError, match="nothing is read from here on") as error:
        await run(world, octets, Format.CSV)
    assert error.value.line == 4
    assert await world.devices.find(world.app, Network.FCM, "token-1") is not None
    assert await world.count("device") == 1


async def test_a_quote_out_of_place_costs_its_own_line(world: World) -> None:
    """Those before and behind it go in."""
    octets = b'network,token\nfcm,token-1\nfcm,"token"-2\nfcm,token-3\n'
    result = await run(world, octets, Format.CSV)
    assert (result.rows_in, result.bad) == (2, [(3, "", "row_malformed")])
    assert result.rows_read == 3


async def test_text_that_is_not_utf8_is_a_bad_row(world: World) -> None:
    """The rows around it go in."""
    octets = b"network,token,model\nfcm,token-1,a\nfcm,token-2,\xff\nfcm,token-3,c\n"
    result = await run(world, octets, Format.CSV)
    assert (result.rows_in, result.bad) == (2, [(3, "", "row_malformed")])


async def test_an_import_can_be_run_again(world: World) -> None:
    """The second time every row goes in, and nothing is new."""
    rows = "".join(f"u{i // 2},fcm,token-{i}\n" for i in range(3000))
    octets = f"external_id,network,token\n{rows}".encode()
    first, second = await run(world, octets, Format.CSV), await run(world, octets, Format.CSV)
    assert (first.rows_in, second.rows_in) == (3000, 3000)
    assert await world.count("device") == 3000
    assert await world.count("users") == 1500


async def test_of_two_rows_of_one_token_the_later_line_wins(world: World) -> None:
    """Also where they name different users."""
    rows = "".join(f"u{i},fcm,token-{i % 50},m{i}\n" for i in range(100))
    await run(world, f"external_id,network,token,model\n{rows}".encode(), Format.CSV)
    for number in range(50):
        device = await world.devices.find(world.app, Network.FCM, f"token-{number}")
        assert device is not None
        assert device.model == f"m{number + 50}"
        assert (await world.devices.get(world.app, DeviceId(device.id))) == device


async def test_aliases_come_along_and_a_taken_one_is_reported(world: World) -> None:
    """As columns or as an object; null takes one away; all else of the row is stored."""
    text = "external_id,network,token,aliases.crm,aliases.mail\n"
    rows = "ada,fcm,token-1,7,a@example.com\nbob,fcm,token-2,7,\ncy,fcm,token-3,9,\n"
    result = await run(world, (text + rows).encode(), Format.CSV)
    assert (result.rows_in, result.bad) == (3, [(3, "aliases", "alias_taken")])
    ada = await world.people.get(world.app, ByAlias(label="crm", value="7"))
    assert ada is not None
    assert ada.external_id == "ada"
    assert list(ada.aliases) == [("crm", "7"), ("mail", "a@example.com")]
    assert await world.devices.find(world.app, Network.FCM, "token-2") is not None
    lines = [
        {"external_id": "ada", "aliases": {"crm": None, "mail": "b@example.com"}},
        {"external_id": "bob", "aliases": {"crm": "7"}},
        {"external_id": "cy", "aliases": {"crm": 9}},
        {"network": "fcm", "token": "token-4", "aliases": {"crm": "10"}},
    ]
    octets = "\n".join(map(json.dumps, lines)).encode()
    result = await run(world, octets, Format.NDJSON)
    assert result.bad == [(3, "aliases.crm", "type_invalid"), (4, "aliases", "field_unknown")]
    result = await run(world, octets, Format.NDJSON)
    assert result.rows_in == 2
    ada = await world.people.get(world.app, ByExternalId(external_id="ada"))
    bob = await world.people.get(world.app, ByAlias(label="crm", value="7"))
    assert ada is not None
    assert bob is not None
    assert (list(ada.aliases), bob.external_id) == ([("mail", "b@example.com")], "bob")


async def test_rows_that_say_nothing_new_write_nothing(world: World) -> None:
    """Their devices stay as they are; a changed row, and a tombstone, are written."""
    head = "external_id,network,token,model,attributes.n:number\n"
    octets = (head + "".join(f"u{i},fcm,token-{i},a,{i}\n" for i in range(100))).encode()
    await run(world, octets, Format.CSV)
    await world.pool.execute("update device set state = 2 where token = 'token-7'")
    before = dict(await world.pool.fetch("select token, xid::text from device"))
    again = octets.replace(b"u3,fcm,token-3,a", b"u3,fcm,token-3,b")
    again = again.replace(b"u5,fcm,token-5,a,5", b"u5,fcm,token-5,a,55")
    again = again.replace(b"u9,fcm,token-9,a", b"u8,fcm,token-9,a")
    result = await run(world, again.replace(b"token-11,a,11", b"token-11,,"), Format.CSV)
    assert (result.rows_in, result.bad) == (100, [])
    after = dict(await world.pool.fetch("select token, xid::text from device"))
    written = {token for token, xid in after.items() if xid != before[token]}
    assert written == {"token-3", "token-5", "token-7", "token-9"}
    assert await world.count("device where state <> 1") == 0


async def test_two_imports_of_one_file_at_once_store_it_once(world: World) -> None:
    """Whoever comes second finds what the first has made."""
    rows = "".join(f"u{i // 2},fcm,token-{i},m\n" for i in range(4000))
    octets = f"external_id,network,token,model\n{rows}".encode()
    results = await asyncio.gather(*(run(world, octets, Format.CSV) for _ in range(3)))
    assert [(result.rows_in, result.bad) for result in results] == [(4000, [])] * 3
    assert (await world.count("device"), await world.count("users")) == (4000, 2000)


async def test_an_upload_that_breaks_keeps_what_was_reported(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of every batch that was told are in the store, and sending it again adds the rest."""
    monkeypatch.setattr(readers, "BLOCK_OCTETS", 2_000)
    octets = ("network,token\n" + "".join(f"fcm,token-{i}\n" for i in range(2000))).encode()

    async def broken() -> AsyncIterator[bytes]:
        async for piece in pieces(octets[:20_000], 500):
            yield piece
        raise ConnectionResetError

    reported = [0]

    async def follow() -> None:
        async for done in import_rows(
            world.devices, world.app, broken(), Format.CSV, rules=RULES, clock=SystemClock()
        ):
            reported.append(done.rows_in)
            assert await world.count("device") >= done.rows_in

    with pytest.raises(ConnectionResetError):
        await follow()
    assert await world.count("device") >= reported[-1] > 0
    assert (await run(world, octets, Format.CSV)).rows_in == 2000
    assert await world.count("device") == 2000


async def test_an_import_that_nobody_waits_for_ends(world: World) -> None:
    """The batch that was reported is in; nothing goes on in the background."""
    rows = import_rows(
        world.devices,
        world.app,
        pieces(b"network,token\nfcm,token-1\n"),
        Format.CSV,
        rules=RULES,
        clock=SystemClock(),
    )
    done = await anext(rows)
    assert isinstance(rows, AsyncGenerator)
    await rows.aclose()
    assert (done.rows_in, await world.count("device")) == (1, 1)
