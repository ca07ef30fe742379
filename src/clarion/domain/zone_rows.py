"""The time zone of each row: what the device or the person says, else what the country implies."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from clarion.domain.handoffs import Int64s, UInt8s, UInt16s
from clarion.domain.zones import UNKNOWN_ZONE, ZoneSource, known


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedZones:
    """The zone of each row, with where it was found."""

    names: tuple[str, ...]
    zone: UInt16s
    """Index into `names`, or `UNKNOWN_ZONE`."""
    source: UInt8s
    """`ZoneSource` of each row."""


def resolve(
    time_zone: pl.Series,
    source: UInt8s,
    country: pl.Series,
    *,
    of_country: Mapping[str, str],
) -> ResolvedZones:
    """The zone of each row: what the device or the person says, else what the country implies.

    The app's own zone is not filled in here: whether it may stand in for an unknown one is for
    the policy to say.

    Args:
        time_zone: names (String or Categorical, null where not known), device before user.
        source: `ZoneSource` of each name.
        country: ISO 3166-1 codes, null where not known.
        of_country: country -> zone, for the countries where the app trusts it.
    """
    zone, names = _codes(time_zone, None)
    missing = zone == UNKNOWN_ZONE
    if not missing.any():
        return ResolvedZones(names=tuple(names), zone=zone, source=source)
    by_country, country_names = _codes(country, of_country)
    place = {name: code for code, name in enumerate(names)}
    for name in country_names:
        place.setdefault(name, len(place))
    shift = np.array([place[name] for name in country_names] + [UNKNOWN_ZONE], np.uint16)
    fallback = shift[np.minimum(by_country, len(country_names))]
    told = np.where(missing, np.uint8(ZoneSource.COUNTRY), source)
    zone = np.where(missing, fallback, zone)
    return ResolvedZones(
        names=tuple(place),
        zone=zone,
        source=np.where(zone == UNKNOWN_ZONE, np.uint8(ZoneSource.UNKNOWN), told).astype(np.uint8),
    )


def _codes(values: pl.Series, through: Mapping[str, str] | None) -> tuple[UInt16s, list[str]]:
    """Each row's code and the names of the codes, asking the database once a distinct value."""
    distinct, index = encoded(values)
    names: dict[str, int] = {}
    code = np.full(len(distinct) + 1, UNKNOWN_ZONE, np.uint16)
    for at, value in enumerate(distinct):
        name = value if through is None else through.get(value)
        if name is not None and known(name):
            code[at] = names.setdefault(name, len(names))
    return code[index], list(names)


def encoded(values: pl.Series) -> tuple[list[str], Int64s]:
    """The distinct values of a text column and each row's place among them; null is one beyond."""
    if values.null_count() == len(values):  # most columns of most apps say nothing
        return [], np.zeros(len(values), np.int64)
    texts = values.cast(pl.String)
    kind = pl.Categorical(pl.Categories.random())  # of this column alone: forgotten with it
    physical = texts.cast(kind).to_physical()
    count = int(physical.max()) + 1  # type: ignore[arg-type]  # somebody says something
    codes = physical.fill_null(count).to_numpy().astype(np.int64)
    example = np.zeros(count + 1, np.int64)
    example[codes] = np.arange(len(codes))
    return texts.gather(example[:count]).to_list(), codes
