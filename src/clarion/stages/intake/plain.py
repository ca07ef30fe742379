"""Texts as most of them are, understood a column at a time by compiled code.

What is not so plain is left to those who go value by value (`rows`, `spread`): the outcome is the
same, and the patterns here say where the two certainly agree.
"""

from typing import Final

import polars as pl

from clarion.domain.registration import INSTANT

TEXT: Final = r"^[ !#-\[\]-~]*$"
"""Its JSON form is itself in quotes: ASCII without quote, backslash and control characters."""
NUMBER: Final = r"^(?:0|-?[1-9][0-9]{0,14}|-?(?:0|[1-9][0-9]{0,7})\.[0-9]{0,5}[1-9])$"
"""Its JSON form is itself: so few digits that a double holds them, and none too many."""
_FRACTION: Final = r"^-?[0-9]{1,15}(?:\.[0-9]{1,15})?$"
_WHOLE: Final = r"^-?[0-9]{1,18}$"
_RFC3339: Final = (
    r"^[12][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$"
)


def plain_cells(texts: pl.Series, kind: pl.DataType) -> pl.Series:
    """Texts as values of a column's type; null where they are absent, or not plain."""
    if kind == INSTANT:
        given = pl.when(texts.str.contains(_RFC3339)).then(texts)
        form = "%Y-%m-%dT%H:%M:%S%.f%#z"
        read = given.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
        return pl.select(read.cast(INSTANT)).to_series().alias(texts.name)
    if kind in {pl.Float64(), pl.Int64()}:
        pattern = _WHOLE if kind == pl.Int64() else _FRACTION
        given = pl.when(texts.str.contains(pattern)).then(texts)
        return pl.select(given.cast(kind, strict=False)).to_series().alias(texts.name)
    return pl.Series(texts.name, [None] * len(texts), kind)
