"""`clarion doctor`: looks at everything that can be wrong, and says what to do."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Final

from clarion.adapters.state.pg_errors import EmbeddedPostgresError
from clarion.adapters.state.pool import open_pool, reading
from clarion.adapters.state.sealing import MasterKeyError
from clarion.app.container import Container, open_container
from clarion.app.doctor_credentials import examine_credentials
from clarion.app.doctor_facts import examine_facts
from clarion.app.doctor_finding import Finding, Level
from clarion.app.doctor_host import examine_host
from clarion.app.doctor_line import examine_line
from clarion.app.doctor_networks import examine_networks
from clarion.app.doctor_state import examine_names, examine_schema, examine_state
from clarion.app.foundation import Paths
from clarion.app.reach_state import reach_state
from clarion.app.settings import Settings
from clarion.app.supervise import with_database
from clarion.ports.store import DatabaseNewerError, StoreUnavailableError

_KEPT_WITH_IT: Final = (
    "select (select count(*) from credential), (select count(*) from suppressed_hash)"
)

__all__ = ["Finding", "Level", "examine"]


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Every finding as it is made: this machine, the engines, credentials, the networks.

    Changes nothing, except that an embedded database that is not running is started for the time
    of the look.
    """
    for finding in examine_host(settings):
        yield finding
    if settings.database.url is None and not Paths(root=settings.data_dir).postgres.exists():
        yield Finding("state store", Level.OK, "none yet: it is made at the first start")
        return
    async with AsyncExitStack() as stack:
        opened = await _open(settings, stack)
        for finding in opened[0]:
            yield finding
        if opened[1] is None:
            return
        container = opened[1]
        for examination in (
            examine_state(container),
            examine_names(container),
            examine_line(container),
            examine_facts(container),
            examine_credentials(container),
            examine_networks(container),
        ):
            async for finding in examination:
                yield finding


async def _open(
    settings: Settings, stack: AsyncExitStack
) -> tuple[Sequence[Finding], Container | None]:
    """Reach the engines; without them nothing else can be looked at."""
    try:
        dsn = await stack.enter_async_context(reach_state(settings))
        found = await examine_schema(dsn)
        if found.level is Level.FAIL:
            return [found], None
        lost = await _lost_master_key(settings, dsn)
        if lost is not None:
            return [found, lost], None
        wired = with_database(settings, dsn)
        return [found], await stack.enter_async_context(open_container(wired, connections=2))
    except (EmbeddedPostgresError, DatabaseNewerError) as error:
        return [Finding("state store", Level.FAIL, str(error))], None
    except StoreUnavailableError as error:
        advice = "start the server that database.url names, or correct the address"
        return [Finding("state store", Level.FAIL, f"{error}", advice)], None
    except MasterKeyError as error:
        return [Finding("master key", Level.FAIL, str(error))], None


async def _lost_master_key(settings: Settings, dsn: str) -> Finding | None:
    """A key that is not there; opening the container would make a new one."""
    file = settings.data.master_key_file or settings.data_dir / "master.key"
    if file.exists():
        return None
    pool = await open_pool(dsn, max_size=1)
    try:
        async with reading(pool) as connection:
            sealed, names = await connection.fetchrow(_KEPT_WITH_IT)
    finally:
        await pool.close()
    if not sealed and not names:
        return Finding("master key", Level.OK, f"none yet: the first start makes {file}")
    found = (
        f"{file} is not there; {sealed} credentials are sealed with it, {names} erased names on "
        "suppression lists are known by it"
    )
    advice = (
        "restore it from your copy; without it every credential must be put again, and whoever was "
        "erased and comes again would be sent to"
    )
    return Finding("master key", Level.FAIL, found, advice)
