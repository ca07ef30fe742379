"""Registrations as rows of cells, and rows as the columns that the domain judges."""

from collections.abc import Sequence

import polars as pl

from clarion.domain.conditions import Row
from clarion.domain.registration import RAW_COLUMNS


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    """Rows as the columns that the domain judges; columns that no row gives are left out."""
    names = {name for row in rows for name, cell in row.items() if cell is not None}
    return pl.DataFrame(
        {name: [row.get(name) for row in rows] for name in RAW_COLUMNS if name in names},
        schema={name: kind for name, kind in RAW_COLUMNS.items() if name in names},
    )
