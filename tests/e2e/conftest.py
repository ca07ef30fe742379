"""What tests in browsers share: a whole platform, started once for each of their files."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Playwright, async_playwright, expect
from tests.conftest import in_thread
from tests.e2e.firefox import start_once
from tests.e2e.patience import PATIENCE_S
from tests.e2e.web_platform import Platform, web_platform

from clarion.adapters.state.embedded import EmbeddedPostgres


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(
    postgres_server: EmbeddedPostgres,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Platform]:
    """One platform for the tests of a file."""
    name = request.path.stem.removeprefix("test_")
    folder = tmp_path_factory.mktemp(name)
    async with web_platform(postgres_server.dsn, migrated_template, name, folder) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def driver() -> AsyncIterator[Playwright]:
    """What drives Chromium: as dear to start as the browser, and it keeps nothing of it."""
    expect.set_options(timeout=PATIENCE_S * 1000)
    async with async_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def firefox_profile() -> Iterator[Path]:
    """A profile of Firefox as its first start leaves it, to be copied by each test."""
    folder = Path(tempfile.mkdtemp(prefix="clarion-firefox-"))
    in_thread(lambda: asyncio.run(start_once(folder)))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
