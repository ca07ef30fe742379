"""`clarion consent` on a real store: a chain that holds, and one that does not."""

import json
from pathlib import Path

import pytest
from tests.conftest import in_thread
from tests.state.conftest import NOW, app, pool
from tests.state.test_consent import consents

from clarion.adapters.state.consent import PostgresConsents
from clarion.adapters.state.pool import Pool
from clarion.cli.entry import run
from clarion.cli.exits import Exit
from clarion.domain.ids import AppId

__all__ = ["app", "pool"]


async def test_a_chain_is_verified_and_exported(
    pool: Pool,
    app: AppId,
    database_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first broken entry is named, and the exit code says that something is wrong."""
    ledger = PostgresConsents(pool)
    for second in range(3):
        await ledger.record(app, consents(("ann", "marketing", "granted", second)), NOW)
    config = tmp_path / "clarion.toml"
    config.write_text(f'[database]\nurl = "{database_url}"\n[data]\ndir = "{tmp_path}"\n')
    ended: list[int] = []

    def clarion(*arguments: str) -> dict[str, object] | list[dict[str, object]]:
        of = ["consent", *arguments, "--app", "shop", "--config", str(config), "--json"]
        in_thread(lambda: ended.append(run(of)))
        told: dict[str, object] | list[dict[str, object]] = json.loads(capsys.readouterr().out)
        return told

    verified = clarion("verify")
    assert isinstance(verified, dict)
    assert (verified["holds"], verified["entries"]) == (True, 3)
    lines = clarion("export", "ann")
    assert [line["number"] for line in lines if isinstance(line, dict)] == [1, 2, 3]
    await pool.execute("alter table consent_ledger disable trigger consent_ledger_append_only")
    await pool.execute("update consent_ledger set text = 'x' where number = 2")
    broken = clarion("verify")
    assert isinstance(broken, dict)
    assert (broken["holds"], broken["broken_at"]) == (False, 2)
    assert ended == [Exit.OK, Exit.OK, Exit.FINDINGS]
