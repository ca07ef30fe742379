"""Large commits and whole scans keep apart: a scan sees one version, or is told that it did not."""

import asyncio

import pytest

from clarion.adapters.facts.duckdb import stillness
from clarion.adapters.facts.duckdb.stillness import OvertakenError, Stillness


async def test_a_large_commit_waits_for_the_scans_under_way() -> None:
    """And scans that come meanwhile wait for it."""
    still, order = Stillness(), []
    scanning, go_on = asyncio.Event(), asyncio.Event()

    async def scan(name: str) -> None:
        async with still.scanning() as whole:
            scanning.set()
            if name == "first":
                await go_on.wait()
            whole()
        order.append(name)

    async def rewrite() -> None:
        async with still.rewriting():
            order.append("rewrite")

    async with asyncio.TaskGroup() as group:
        group.create_task(scan("first"))
        await scanning.wait()
        group.create_task(rewrite())
        await asyncio.sleep(0)
        group.create_task(scan("second"))
        await asyncio.sleep(0)
        assert order == []
        go_on.set()
    assert order == ["first", "rewrite", "second"]


async def test_a_scan_that_lasts_too_long_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow asker holds a commit for a while only, and learns that it has to ask again."""
    monkeypatch.setattr(stillness, "PATIENCE_S", 0.01)
    still = Stillness()
    async with still.scanning() as whole:
        async with still.rewriting():
            pass
        with pytest.raises(OvertakenError, match="ask again"):
            whole()
    async with still.scanning() as whole:
        whole()


async def test_a_commit_that_fails_lets_scans_go_on() -> None:
    """Whatever happens to the rewrite, nobody waits for it for ever."""
    still = Stillness()
    with pytest.raises(ZeroDivisionError):
        async with still.rewriting():
            raise ZeroDivisionError
    async with asyncio.timeout(150), still.scanning() as whole:
        whole()
