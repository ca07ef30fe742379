"""Where text may be cut: extended grapheme clusters by the `regex` library's Unicode tables."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import regex

from clarion.domain import graphemes

_CLUSTER: Final = regex.compile(r"\X")


def clusters(text: str) -> Sequence[str]:
    """The extended grapheme clusters of a text (UAX 29 section 3); joined they are the text."""
    if text.isascii() and "\r" not in text:  # CR LF is the one cluster of two ASCII characters
        return text
    found: list[str] = _CLUSTER.findall(text)
    return found


cut = partial(graphemes.cut, clusters=clusters)
"""`domain.graphemes.cut` with these clusters."""
