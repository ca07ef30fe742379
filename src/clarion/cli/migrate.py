"""`clarion migrate`: the state schema."""

from typing import Annotated

from cyclopts import Parameter

from clarion.adapters.state.migrate import migrate as run_versions
from clarion.adapters.state.migrate import pending
from clarion.app.reach_state import reach_state
from clarion.app.settings import Settings
from clarion.app.supervise import prepare_data_dir
from clarion.cli.exits import Exit
from clarion.cli.options import AsJson, ConfigFile
from clarion.cli.output import OUT, print_json
from clarion.cli.reading_settings import read_settings
from clarion.cli.running import engine_failures, run_loop


def migrate(
    *,
    config: ConfigFile = None,
    check: Annotated[bool, Parameter(negative=())] = False,
    json: AsJson = False,
) -> int:
    """Bring the database's schema up to date; `clarion serve` does so by itself.

    Args:
        config: Settings file.
        check: Only tell what would be done; exit code 1 when there is something.
        json: Write one JSON document.
    """
    settings = read_settings(config)
    with engine_failures():
        versions = run_loop(_migrate(settings, check=check))
    if json:
        print_json({"pending" if check else "migrated": versions})
    elif not versions:
        OUT.print("the schema is up to date")
    else:
        OUT.print(f"{'pending' if check else 'migrated'}: {', '.join(versions)}")
    return Exit.FINDINGS if check and versions else Exit.OK


async def _migrate(settings: Settings, *, check: bool) -> list[str]:
    if settings.database.url is None:
        prepare_data_dir(settings.data_dir)
    async with reach_state(settings) as dsn:
        return list(await (pending(dsn) if check else run_versions(dsn)))
