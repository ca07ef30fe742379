"""What a country says of the time."""

import numpy as np
import polars as pl
import pytest

from clarion.adapters.countries import zones_of_countries
from clarion.domain.zone_rows import resolve
from clarion.domain.zones import UNKNOWN_ZONE, ZoneSource, known


@pytest.mark.parametrize(
    ("country", "zone"),
    [("FR", "Europe/Paris"), ("DE", "Europe/Berlin"), ("JP", "Asia/Tokyo"), ("IN", "Asia/Kolkata")],
)
def test_a_country_with_one_clock_tells_the_zone(country: str, zone: str) -> None:
    """Also one with several zones that go by the same rules."""
    assert zones_of_countries()[country] == zone


@pytest.mark.parametrize("country", ["US", "ES", "PT", "BR", "CN", "RU", "AU", "CA", "MX"])
def test_a_country_with_several_clocks_tells_nothing(country: str) -> None:
    """Its people may be in any of them."""
    assert country not in zones_of_countries()


def test_every_zone_is_one_that_the_database_has() -> None:
    """Most of the world's countries are there."""
    assert len(zones_of_countries()) > 200
    assert all(known(zone) for zone in zones_of_countries().values())


def test_without_a_table_no_country_is_taken_for_a_zone() -> None:
    """There are zones called GB and NZ."""
    found = resolve(
        pl.Series([None, None], dtype=pl.String),
        np.zeros(2, np.uint8),
        pl.Series(["GB", "NZ"]),
        of_country={},
    )
    assert found.zone.tolist() == [UNKNOWN_ZONE] * 2
    assert found.source.tolist() == [ZoneSource.UNKNOWN] * 2
