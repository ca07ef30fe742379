"""Merge markers: where in a message's text each recipient's own value goes.

A marker is three characters of the Basic Multilingual Plane's private use area, so that it passes
through every JSON writer unchanged: `U+E000`, `U+E010` + column, and `U+E001`. Where a provider
writes JSON text *inside* a JSON string, the last character becomes `U+E002` (and `U+E003` one
level deeper), because the value must be escaped once more there: see `nested`.

Text from outside never holds one of the four framing characters: `cleaned` takes them out, and
`holds_marker` finds them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from clarion.domain.content import Json

OPEN: Final = "\ue000"
CLOSE: Final = "\ue001"
"""Ends a marker whose value is escaped once."""
DEEPEST: Final = 3
"""JSON in JSON in JSON."""
FIRST: Final = 0xE010
MOST_COLUMNS: Final = 0xF8FF - FIRST + 1

_FRAMES: Final = re.compile("[\ue000-\ue003]")
_MARKER: Final = re.compile("\ue000([\ue010-\uf8ff])[\ue001-\ue003]")
_DEEPER: Final = str.maketrans({"\ue001": "\ue002", "\ue002": "\ue003"})
_HIGHER: Final = str.maketrans({"\ue001": "\ue000", "\ue002": "\ue001", "\ue003": "\ue002"})


def marker(column: int) -> str:
    """What stands for a column's value. Raises `ValueError` beyond `MOST_COLUMNS`."""
    if not 0 <= column < MOST_COLUMNS:
        raise ValueError(f"a message has at most {MOST_COLUMNS} merge columns")
    return OPEN + chr(FIRST + column) + CLOSE


def nested(text: str) -> str:
    """JSON text that is about to be written into a JSON string, its markers one level deeper.

    Raises:
        ValueError: A marker is at the deepest level already.
    """
    if "\ue003" in text:
        raise ValueError(f"JSON is nested more than {DEEPEST} levels around a merge marker")
    return text.translate(_DEEPER)


def counted(text: str) -> str:
    """A text out of a payload as a network counts it that does not count JSON's escapes.

    Its markers are one level higher; those of the first are at level 0, where the value is taken
    as it is. Only for sizes: such a text is never sent.
    """
    return text.translate(_HIGHER)


def cleaned(text: str) -> str:
    """Text from outside without the characters that frame markers."""
    return _FRAMES.sub("", text)


def holds_marker(value: Json) -> bool:
    """Whether any text in a JSON value, keys included, has a character that frames markers."""
    if isinstance(value, str):
        return _FRAMES.search(value) is not None
    if isinstance(value, Mapping):
        return any(holds_marker(key) or holds_marker(inner) for key, inner in value.items())
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return any(map(holds_marker, value))
    return False


def columns_in(text: str) -> list[int]:
    """The columns that a text's markers name, in order, with repetitions."""
    return [ord(found) - FIRST for found in _MARKER.findall(text)]


def filled(text: str, values: Sequence[str]) -> str:
    """The text as one recipient reads it: `values` has one value for each column.

    The slow, plain form for samples and previews; batches go through `wire.merge`.
    """
    return _MARKER.sub(lambda found: values[ord(found[1]) - FIRST], text)


def without_markers(text: str, instead: str = "x") -> str:
    """The text with something harmless in each marker's place, for checks of its form.

    A link that begins with a marker is somebody's whole address: nothing can be checked of it
    before it is filled.
    """
    return _MARKER.sub(instead, text)
