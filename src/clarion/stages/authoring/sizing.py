"""How large each recipient's payload will be, told before anything is sent."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from clarion.domain.graphemes import Clusters, cut_octets
from clarion.wire.merge import Columns, escaped, fit, summed

Int64s = npt.NDArray[np.int64]

_SPECIAL: Final = r"""[\x00-\x1f"\\]"""
"""What a writer of JSON escapes."""


class MergeOctets:
    """Merge columns as lengths: told once a column, however many payloads print it."""

    def __init__(self, columns: Sequence[pl.Series]) -> None:
        self._columns = columns
        self._known: dict[tuple[int, int], Int64s] = {}

    def sizes(self, payloads: Sequence[bytes], rows: Int64s) -> Int64s:
        """Octets of the longest of some payloads, for each of some rows.

        Args:
            payloads: What the network counts, with the content's markers (see `ports.provider.
                Outline`).
            rows: Who gets them.
        """

        def lengths(column: int, level: int) -> Int64s:
            return self._lengths(column, level)[rows]

        each = [summed(payload, len(rows), lengths) for payload in payloads]
        longest: Int64s = np.maximum.reduce(each)
        return longest

    def _lengths(self, column: int, level: int) -> Int64s:
        known = self._known.get((column, level))
        if known is None:
            known = self._known[column, level] = _escaped_octets(self._columns[column], level)
        return known


def _escaped_octets(texts: pl.Series, level: int) -> Int64s:
    """Octets of each text, escaped `level` times; few have anything to escape."""
    octets: Int64s = texts.str.len_bytes().cast(pl.Int64).to_numpy()
    if level:
        special = texts.str.contains(_SPECIAL).arg_true()
        if len(special):
            octets = octets.copy()
            longer = (len(escaped(text, level)) for text in texts[special])
            octets[special.to_numpy()] = np.fromiter(longer, np.int64, len(special))
    return octets


def shortened(
    payloads: Sequence[bytes], merge: Columns, limit: int, body: int, clusters: Clusters
) -> list[str]:
    """The body's column, cut between graphemes wherever a payload is above the limit.

    Rows that even an empty body would not save keep their text: `MergeOctets` of the result
    finds them, and they end with `payload_too_large`.

    Args:
        payloads: Each must fit on its own.
        merge: The merge columns.
        limit: Octets that the network takes.
        body: Which column may be cut (`ContentPlan.body`).
        clusters: Where text may be cut.
    """

    def shorten(text: str, most: int, octets: Callable[[str], int]) -> str:
        return cut_octets(text, most, octets, clusters)

    columns = list(merge)
    for payload in payloads:
        columns[body] = fit(payload, columns, limit=limit, column=body, shorten=shorten)
    return list(columns[body])
