"""SQL kept in named files: each statement has a name and a sentence above it.

A file in `sql/` holds statements that start with a line `-- name: word`; the comment lines after
it say what the statement is for.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


@cache
def statements(file: str) -> Mapping[str, str]:
    """The statements of `sql/<file>.sql` by name, read once.

    Raises:
        ValueError: two statements have one name, or one has no sentence.
    """
    text = (
        resources.files("clarion.adapters.state").joinpath("sql", f"{file}.sql").read_text("utf-8")
    )
    return named(text, file)


def named(text: str, file: str) -> Mapping[str, str]:
    """The named statements of a text; `file` is what errors call it.

    Raises:
        ValueError: two statements have one name, or one has no sentence.
    """
    parts = _NAME.split(text)[1:]
    found: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in found:
            raise ValueError(f"{file}.sql has two statements named {name}")
        if not body.lstrip().startswith("-- "):
            raise ValueError(f"{file}.sql: {name} has no sentence that says what it is for")
        found[name] = body.strip().removesuffix(";")
    return MappingProxyType(found)


def touched(tag: str) -> int:
    """How many rows a statement wrote, from its command tag: `UPDATE 3` is 3."""
    return int(tag.rpartition(" ")[2])
