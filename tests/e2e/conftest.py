"""What tests in browsers share: a whole platform, started once for each of their files."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Playwright, async_playwright
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
    async with async_playwright() as started:
        yield started
