"""Versions in version order: a key that sorts as text the way versions are meant.

Up to four numbers, missing ones 0; a pre-release after `-` comes before its version (Semantic
Versioning 2.0, section 11); what follows `+` or a space is ignored, and so is a leading `v`.
"""

import re
from typing import Final

NUMBERS: Final = 4
DIGITS: Final = 10
PATTERN: Final = (
    r"^[vV]?([0-9]{1,10}(?:\.[0-9]{1,10}){0,3})"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:[+ ].*)?$"
)
"""The same in RE2 and in `re`: group 1 the numbers, group 2 the pre-release."""

_VERSION: Final = re.compile(PATTERN.replace("$", r"\Z"))
_LONG: Final = 20


def version_key(text: str) -> str | None:
    """The key of a version, or None when the text is none.

    Numbers are padded to ten digits and joined by dots. A release ends in `~`, which sorts behind
    the `-` before a pre-release; identifiers are joined by a space, which sorts before whatever
    else they hold, so the shorter of two alike comes first; a number sorts before a word.
    """
    found = _VERSION.match(text)
    if found is None:
        return None
    numbers = [part.zfill(DIGITS) for part in found[1].split(".")]
    head = ".".join(numbers + ["0" * DIGITS] * (NUMBERS - len(numbers)))
    if found[2] is None:
        return f"{head}~"
    return f"{head}-{' '.join(_identifier(part) for part in found[2].split('.'))}"


def _identifier(part: str) -> str:
    return f"0{part.zfill(_LONG)}" if part.isdigit() else f"1{part}"
