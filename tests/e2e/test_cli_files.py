"""Files through the command line and the API: events, consents, exports, on a served platform."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import uvicorn
from tests.api.conftest import World, world

from clarion.api import create_app
from clarion.cli.entry import run
from clarion.cli.exits import Exit
from clarion.ports.audience import AUDIENCE_SCHEMA, AudiencePiece, AudienceScan

__all__ = ["world"]


class TwoPeople:
    """Columns with ann and bob in the first buckets: `ports.audience.Audience`."""

    async def scan(self, scan: AudienceScan) -> AsyncIterator[AudiencePiece]:
        """Ann has two devices, bob one."""
        kinds = {**AUDIENCE_SCHEMA, **dict.fromkeys(scan.fields, pl.String())}
        users = [1, 1, 2] if scan.low == 0 else []
        said: dict[str, list[str | None]] = {
            "external_id": ['"ann"', '"ann"', '"b,ob"'],
            "tag.plan": ['["a"]', '["a"]', None],
        }
        rows = pl.DataFrame(
            {
                name: users if name == "user" else said.get(name, [None] * 3)[: len(users)]
                for name in kinds
            },
            schema=kinds,
        )
        yield AudiencePiece(xid=0, rows=rows)

    async def version(self) -> int:
        """Before everything."""
        return 0


@pytest.fixture
async def address(world: World) -> AsyncIterator[str]:
    """Where the API is served."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    app: Any = create_app(replace(world.deps, audience=TwoPeople()))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving
    listener.close()


def left(folder: Path) -> list[Path]:
    """What is in a folder."""
    return list(folder.iterdir())


async def clarion(world: World, address: str, *arguments: str) -> int:
    """Run a command in a thread, as a user of the API; its exit code."""
    of = [*arguments, "--url", address, "--key", world.keys["send"]]
    return await asyncio.to_thread(run, of)


async def test_events_and_consents_go_in_by_files(
    world: World, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer is told; bad rows make the exit code 1."""
    events = tmp_path / "events.parquet"
    pl.DataFrame({"external_id": ["ann", None], "name": ["view", "view"]}).write_parquet(events)
    consents = tmp_path / "consents.csv"
    consents.write_text(
        "external_id,category,change,at\nann,marketing,granted,2026-01-31T08:00:00Z\n"
    )
    codes = [
        await clarion(world, address, "events", "import", str(events)),
        await clarion(world, address, "consent", "import", str(consents)),
    ]
    told = capsys.readouterr().out
    again = await clarion(world, address, "consent", "import", str(consents), "--json")

    assert codes == [Exit.FINDINGS, Exit.OK]
    assert "1 of 2 events are new" in told
    assert "1 of 1 consents are recorded, 0 were there already, 0 are bad" in told
    assert again == Exit.OK
    assert json.loads(capsys.readouterr().out)["rows_repeated"] == 1


@pytest.mark.parametrize("kind", ["csv", "parquet"])
async def test_the_audience_is_exported(
    world: World, address: str, tmp_path: Path, kind: str
) -> None:
    """Each person once, whatever number of devices; texts are texts."""
    file = tmp_path / f"people.{kind}"
    done = await clarion(world, address, "audience", "export", str(file), "--fields", "tag.plan")

    assert done == Exit.OK
    found = pl.read_csv(file) if kind == "csv" else pl.read_parquet(file)
    assert found.rows() == [(1, "ann", '["a"]'), (2, "b,ob", None)]
    assert found.columns == ["user", "external_id", "tag.plan"]
    assert left(tmp_path) == [file]


async def test_a_refused_export_leaves_no_file(world: World, address: str, tmp_path: Path) -> None:
    """An unknown field, a list that nobody made, two selections at once."""
    file = str(tmp_path / "people.csv")
    for asked in (
        ("--fields", "nonsense"),
        ("--list", "nope"),
        ("--topic", "a", "--segment", "country = FR"),
    ):
        assert await clarion(world, address, "audience", "export", file, *asked) != Exit.OK
    assert left(tmp_path) == []
