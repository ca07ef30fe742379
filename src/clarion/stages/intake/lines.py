"""Lines of JSON as most files have them, read by compiled code; see `readers.NdjsonReader`."""

from collections.abc import Mapping
from functools import cache
from operator import attrgetter
from typing import Final

import msgspec
import numpy as np
import polars as pl

from clarion.domain.registration import INSTANT
from clarion.stages.intake.rows import Cells, Layout

_LONG_LINES: Final = 2**17
"""Longer ones, on average, are for the reader that looks at each."""
_ABSENT: Final = msgspec.Raw()
_LINE_FEED, _OPENING, _CLOSING = 10, 123, 125


def plain_lines(block: bytes, layout: Layout) -> Mapping[str, Cells] | None:
    """Lines of JSON objects as columns, JSON objects among the values as their text.

    None where something is unusual: an empty line, a line that is no object, an unknown or a nested
    field, a value of another type than its column's, text that is not UTF-8, a very long line.
    """
    if not block.endswith(b"\n"):
        block += b"\n"
    octets = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(octets == _LINE_FEED)
    count = len(ends)
    whole = octets[0] == _OPENING and (octets[ends[:-1] + 1] == _OPENING).all()
    if not whole or (octets[ends - 1] != _CLOSING).any() or len(block) > count * _LONG_LINES:
        return None
    try:
        if not block.isascii():
            block.decode()
        rows = _decoder(layout).decode_lines(block)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if len(rows) != count:
        return None
    columns: dict[str, Cells] = {}
    for name, kind in layout.columns.items():
        cells = list(map(attrgetter(name), rows))
        if name in layout.objects:
            if cells.count(_ABSENT) < count:
                columns[name] = _texts(name, cells)
        elif cells.count(None) < count:
            columns[name] = _series(name, cells, kind)
    return columns


def _texts(name: str, cells: list[msgspec.Raw]) -> pl.Series:
    """JSON objects as their texts; null where they are absent."""
    made = pl.Series(name, [str(cell, "utf-8") for cell in cells], pl.String())
    return pl.select(pl.when(~made.is_in(["", "null"])).then(made).alias(name)).to_series()


def _series(name: str, cells: list[object], kind: pl.DataType) -> Cells:
    if kind == pl.Int64() or kind == pl.Boolean():
        return cells
    return pl.Series(name, cells, pl.String() if kind == INSTANT else kind)


@cache
def _decoder_of(columns: tuple[tuple[str, str], ...]) -> "msgspec.json.Decoder[msgspec.Struct]":
    kinds = {
        "object": (msgspec.Raw, _ABSENT),
        "text": (str | None, None),
        "fraction": (float | None, None),
        "whole": (int | float | None, None),
        "truth": (bool | None, None),
    }
    fields = [(name, *kinds[kind]) for name, kind in columns]
    row = msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(row)


def _decoder(layout: Layout) -> "msgspec.json.Decoder[msgspec.Struct]":
    kinds = {pl.Float64(): "fraction", pl.Int64(): "whole", pl.Boolean(): "truth"}
    return _decoder_of(
        tuple(
            (name, "object" if name in layout.objects else kinds.get(kind, "text"))
            for name, kind in layout.columns.items()
        )
    )
