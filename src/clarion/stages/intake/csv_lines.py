"""Lines of CSV as most files have them, read by compiled code; see `readers.CsvReader`."""

import codecs
from typing import Final

import numpy as np
import polars as pl

_LINE_FEED: Final = 10
_COMMA: Final = 44


def plain_columns(block: bytes, width: int) -> list[pl.Series] | None:
    """Lines of CSV without quotes as columns of text, null where empty; None where it is not so.

    What is unusual (quotes, empty lines, rows that are too short or long, text that is not UTF-8,
    control characters that end lines for some) is left to the reader that goes cell by cell.
    """
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    if width == 1 or any(odd in block for odd in (b'"', b"\r", b"\0", b"\n\n")):
        return None
    if block.startswith(
        codecs.BOM_UTF8
    ):  # Polars takes it off, wherever in a file the block begins
        return None
    if not block.endswith(b"\n"):
        block += b"\n"
    octets = np.frombuffer(block, np.uint8)
    marks = octets[np.flatnonzero((octets == _COMMA) | (octets == _LINE_FEED))]
    if len(marks) % width or (marks.reshape(-1, width)[:, -1] != _LINE_FEED).any():
        return None
    if np.count_nonzero(marks == _LINE_FEED) * width != len(marks):
        return None
    try:
        frame = pl.read_csv(
            block,
            has_header=False,
            infer_schema=False,
            quote_char=None,
            encoding="utf8",
            schema={str(place): pl.String() for place in range(width)},
        )
    except pl.exceptions.ComputeError:  # not UTF-8
        return None
    return frame.get_columns() if frame.height * width == len(marks) else None
