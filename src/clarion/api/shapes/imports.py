"""Imports, as JSON."""

import msgspec


class BadRowView(msgspec.Struct, frozen=True):
    """A row that was not stored, or not all of it."""

    line: int
    """Counted from 1; in Parquet the row's number."""
    field: str
    """The column; empty when the row as a whole is meant."""
    code: str
    detail: str


class ImportView(msgspec.Struct, frozen=True):
    """What became of a file."""

    rows_read: int
    rows_in: int
    rows_bad: int
    bad: list[BadRowView]
    """The first 1,000."""
