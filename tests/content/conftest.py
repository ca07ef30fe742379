"""What the tests of content share."""

from datetime import UTC, datetime

import pytest

from clarion.adapters.content.liquid import LiquidEngine
from clarion.ports.rendering import Scope

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def engine() -> LiquidEngine:
    """The real engine."""
    return LiquidEngine()


@pytest.fixture
def english() -> Scope:
    """English in Paris."""
    return Scope(language="en", zone="Europe/Paris", now=NOW)
