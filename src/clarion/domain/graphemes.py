"""Cutting text where a person sees an edge: between extended grapheme clusters (UAX 29).

How text falls into clusters needs Unicode's tables, which the standard library does not have: the
functions here take it as an argument (`adapters.content.graphemes.clusters`).

Directional controls that a cut leaves open are closed behind it (UAX 9 section 2): an isolate that
never ends would turn whatever a platform writes after the text.
"""

from collections.abc import Callable, Sequence
from typing import Final

Clusters = Callable[[str], Sequence[str]]
"""Text -> its extended grapheme clusters, which joined are the text."""

ELLIPSIS: Final = "…"
_ISOLATES: Final = "\u2066\u2067\u2068"
_PDI: Final = "\u2069"
_EMBEDDINGS: Final = "\u202a\u202b\u202d\u202e"
_PDF: Final = "\u202c"
_UNSEEN: Final = frozenset(_ISOLATES + _PDI + _EMBEDDINGS + _PDF + "\u200e\u200f\u061c\u2060\ufeff")
"""Controls that are clusters of their own and take no place on the screen."""


def isolated(text: str) -> str:
    """Text whose direction neither takes from nor gives to its surroundings (FSI ... PDI)."""
    return f"\u2068{text}{_PDI}"


def length(text: str, clusters: Clusters) -> int:
    """How many characters a person counts."""
    return sum(cluster not in _UNSEEN for cluster in clusters(text))


def closers(text: str) -> str:
    """The directional controls that would close what the text leaves open, innermost first."""
    if not _UNSEEN.intersection(text):
        return ""
    opened: list[str] = []
    for character in text:
        if character in _ISOLATES:
            opened.append(_PDI)
        elif character in _EMBEDDINGS:
            opened.append(_PDF)
        elif character == _PDI and _PDI in opened:
            while opened.pop() != _PDI:  # a PDI ends the embeddings inside its isolate too
                pass
        elif character == _PDF and opened and opened[-1] == _PDF:
            opened.pop()
    return "".join(reversed(opened))


def _ended(kept: str, ellipsis: str) -> str:
    body = kept.rstrip() if ellipsis else kept
    return body + ellipsis + closers(body)


def cut(text: str, most: int, clusters: Clusters, ellipsis: str = ELLIPSIS) -> str:
    """The text in at most `most` clusters, the ellipsis among them.

    Controls of direction are not counted. `most` of 0, or less than the ellipsis needs: cut
    without an ellipsis.
    """
    if len(text) <= most:  # a cluster has at least one character
        return text
    found = clusters(text)
    if sum(cluster not in _UNSEEN for cluster in found) <= most:
        return text
    mark = ellipsis if length(ellipsis, clusters) <= most else ""
    room = max(0, most - length(mark, clusters))
    kept: list[str] = []
    for cluster in found:
        if cluster not in _UNSEEN:
            if room == 0:
                break
            room -= 1
        kept.append(cluster)
    return _ended("".join(kept), mark)


def octets_utf8(text: str) -> int:
    """Octets in UTF-8."""
    return len(text.encode("utf-8", "replace"))


def cut_octets(
    text: str,
    most: int,
    octets: Callable[[str], int],
    clusters: Clusters,
    ellipsis: str = ELLIPSIS,
) -> str:
    """The longest beginning whose encoded form, ellipsis and closers included, fits.

    Args:
        text: What to shorten; it comes back as it is where it fits.
        most: The budget, in what `octets` counts.
        octets: Size of a text as it will be written (escapes, repetitions). A longer beginning
            must not be smaller.
        clusters: Where the text may be cut.
        ellipsis: Left out where not even it fits.

    Returns:
        An empty text where no cluster fits.
    """
    if octets(text) <= most:
        return text
    found = clusters(text)
    mark = ellipsis if octets(ellipsis) < most else ""
    low, high = 0, len(found)
    while low < high:  # the most clusters that fit
        middle = (low + high + 1) // 2
        if octets(_ended("".join(found[:middle]), mark)) <= most:
            low = middle
        else:
            high = middle - 1
    return _ended("".join(found[:low]), mark) if low else ""
