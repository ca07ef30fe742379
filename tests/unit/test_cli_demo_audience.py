"""The demo's audience is what it promises to be, and the same in every run."""

import zoneinfo
from datetime import UTC, datetime
from functools import cache

import polars as pl
import pytest

from clarion.app.demo_audience import NETWORK_SHARES, PLACES, Audience, make_audience
from clarion.domain.geography import COUNTRIES
from clarion.domain.registration import RAW_COLUMNS, check

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USERS = 4000


@cache
def audience(seed: int = 1) -> Audience:
    """Four thousand people."""
    return make_audience(
        USERS, now=NOW, seed=seed, push_service="https://127.0.0.1:8443", endpoint_seed=3
    )


def test_there_are_one_and_a_half_devices_a_person() -> None:
    """Everybody has one to three, and a person's rows stand together."""
    rows = audience().rows
    assert rows.height == USERS * 3 // 2
    counts = rows.group_by("external_id").len()["len"]
    assert (len(counts), counts.min(), counts.max()) == (USERS, 1, 3)
    assert rows["external_id"].rle().len() == USERS


@pytest.mark.parametrize("network", NETWORK_SHARES)
def test_networks_are_mixed_as_promised(network: str) -> None:
    """45 : 40 : 15, within what chance explains."""
    share = (audience().rows["network"] == network).mean()
    assert share == pytest.approx(NETWORK_SHARES[network], abs=0.03)


def test_a_tenth_of_the_people_has_opted_out() -> None:
    """Said once, on the first of a person's rows."""
    said = audience().rows["user_opted_out"].drop_nulls()
    assert len(said) == USERS
    assert said.mean() == pytest.approx(0.1, abs=0.02)


def test_places_are_consistent_and_many() -> None:
    """Over 30 time zones and exactly 12 languages; every name exists."""
    assert len({zone for _, zone, _, _ in PLACES}) > 30
    assert len({language for *_, language, _ in PLACES}) == 12
    assert {zone for _, zone, _, _ in PLACES} <= zoneinfo.available_timezones()
    assert {country for country, *_ in PLACES} <= COUNTRIES
    known = {(country, zone, language) for country, zone, language, _ in PLACES}
    lived = audience().rows.select("country", "time_zone", "language").unique().rows()
    assert set(lived) <= known


def test_every_row_is_good_and_every_token_is_another() -> None:
    """The domain's own rules find nothing to refuse."""
    rows = audience().rows.with_columns(
        pl.col("last_active_at").str.to_datetime(time_zone="UTC"),
        pl.when(pl.col("user_attributes").is_not_null()).then(
            pl.col("user_attributes").struct.json_encode()
        ),
    )
    assert set(rows.columns) <= set(RAW_COLUMNS)
    assert rows["token"].n_unique() == rows.height
    zones = frozenset(zoneinfo.available_timezones())
    assert not check(rows, zones=zones, now=NOW).problems


def test_one_seed_makes_one_audience() -> None:
    """And another seed another one."""
    again = make_audience(
        USERS, now=NOW, seed=1, push_service="https://127.0.0.1:8443", endpoint_seed=3
    )
    assert again.rows.equals(audience().rows)
    assert not audience(2).rows["token"].equals(again.rows["token"])


def test_the_person_who_is_shown_can_be_reached() -> None:
    """The first device is Apple's, and its person has not opted out, but opted in to marketing."""
    rows = audience().rows.filter(pl.col("external_id") == audience().subject)
    first = rows.row(0, named=True)
    granted, withdrawn = audience().consents
    assert audience().subject in granted["external_id"]
    assert audience().subject not in withdrawn["external_id"]
    assert first["network"] == "apns"
    assert first["user_opted_out"] is False
