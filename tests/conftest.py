"""A real PostgreSQL for the tests: one server per test process, a fresh database per test."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import hypothesis
import pytest

from clarion.adapters.state.embedded import (
    Durability,
    EmbeddedPostgres,
    EmbeddedSettings,
    start,
)

# How long an example takes, and how long its data takes to draw, says how busy the machine is.
hypothesis.settings.register_profile(
    "clarion", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("clarion")

_TEMPLATE: Final = "clarion_template"
_USUAL_S: Final = 300
"""`timeout` of the configuration."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take long comes first, so that nobody is left alone with it at the end."""
    items.sort(key=_patience, reverse=True)


def _patience(item: pytest.Item) -> float:
    """Seconds that a test asks for, where it asks for more than the others get."""
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark is not None and mark.args[0] > _USUAL_S else 0


@pytest.fixture(scope="session")
def short_dir_of_the_run() -> Iterator[Path]:
    """A directory with a path short enough for sockets, which any system user may enter.

    pytest's own is long and of mode 700; as root, the server runs as another user.
    """
    folder = Path(tempfile.mkdtemp(prefix="clarion-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """The same for one test."""
    folder = Path(tempfile.mkdtemp(prefix="clarion-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server(short_dir_of_the_run: Path) -> Iterator[EmbeddedPostgres]:
    """A running server, shared by the tests of this process; its data is not durable."""
    settings = EmbeddedSettings(durability=Durability.TEST, shared_buffers_mib=32)
    with start(short_dir_of_the_run / "pg", settings=settings) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedPostgres) -> str:
    """The name of a database with our schema and no rows, to be copied by each test."""
    in_thread(lambda: asyncio.run(_execute(postgres_server.dsn, f"CREATE DATABASE {_TEMPLATE}")))
    in_thread(lambda: _migrate(database_named(postgres_server.dsn, _TEMPLATE)))
    return _TEMPLATE


@pytest.fixture
async def database_url(
    postgres_server: EmbeddedPostgres, migrated_template: str, request: pytest.FixtureRequest
) -> AsyncIterator[str]:
    """The address of a fresh, migrated database of this test alone; dropped afterwards."""
    name = f"test_{abs(hash(request.node.nodeid)):x}"
    # FILE_COPY takes half the time of WAL_LOG here.
    create = f"CREATE DATABASE {name} TEMPLATE {migrated_template} STRATEGY FILE_COPY"
    await _execute(postgres_server.dsn, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", create)
    yield database_named(postgres_server.dsn, name)
    await _execute(postgres_server.dsn, f"DROP DATABASE {name} WITH (FORCE)")


def database_named(dsn: str, name: str) -> str:
    """The same server and role, another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


def in_thread(work: Callable[[], None]) -> None:
    """Run `work` where no event loop can be in the way."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def _migrate(dsn: str) -> None:
    from clarion.adapters.state.migrate import migrate  # noqa: PLC0415  (slow; rules need no Alembic)

    asyncio.run(migrate(dsn))


async def _execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
