"""How large each recipient's payload will be, told before anything is sent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clarion.domain.graphemes import Clusters, cut_octets
from clarion.wire.merge import Columns, fit, sizes

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Payload sizes of one network's recipients."""

    octets: Int64s
    """Per recipient."""
    limit: int

    @property
    def over(self) -> Bools:
        """Who would get a payload that the network refuses."""
        return self.octets > self.limit

    @property
    def longest(self) -> int:
        """Octets of the longest payload; 0 for nobody."""
        return int(self.octets.max(initial=0))

    @property
    def longest_row(self) -> int | None:
        """Whose it is; None for nobody."""
        return int(self.octets.argmax()) if len(self.octets) else None


def payload_sizes(payloads: Sequence[bytes], merge: Columns, limit: int) -> Sizes:
    """Sizes on one network, for recipients of one variant.

    Args:
        payloads: What the network counts, with the content's markers (see `ports.provider.
            Outline`): the longest counts.
        merge: The merge columns.
        limit: Octets that the network takes.
    """
    each = [sizes(payload, merge) for payload in payloads]
    return Sizes(octets=np.maximum.reduce(each), limit=limit)


def shortened(
    payloads: Sequence[bytes], merge: Columns, limit: int, body: int, clusters: Clusters
) -> list[str]:
    """The body's column, cut between graphemes wherever a payload is above the limit.

    Rows that even an empty body would not save keep their text: `payload_sizes` of the result
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
