"""Attributes that are texts: what they are compared with and shown as, without their types.

To ask an attribute for its type, or to compare it with a value of any type, costs the engine
several times what its text does. Numbers, booleans, lists and objects have texts of a few forms
only, so a text of any other form was surely a text.
"""

from collections.abc import Collection, Sequence
from typing import Final

from sqlglot import exp

_WORDS: Final = ("true", "false", "null", "inf", "nan")
_FIRST: Final = "A"
"""Digits, signs and dots come before it."""
_OPENINGS: Final = ("[", "{")


def surely_text(value: object) -> bool:
    """Whether nothing but a text can have this text."""
    if not isinstance(value, str):
        return False
    return value >= _FIRST and value[0] not in _OPENINGS and value not in _WORDS


def all_surely_text(values: Collection[object]) -> bool:
    """The same of each."""
    return all(map(surely_text, values))


def text_of(held: exp.Expr) -> exp.Expr:
    """An attribute's text, whatever its type; null where it is absent."""
    kind = exp.DataType.build("VARCHAR", dialect="duckdb")
    return exp.TryCast(this=held.copy(), to=kind)


def all_texts(stats: Sequence[Sequence[object]]) -> bool:
    """Whether the engine keeps an attribute as nothing but texts, by its own statistics.

    They say so of a whole table that lies in the file; while changes of it are in the log alone,
    they say nothing of types.
    """
    for (told,) in stats:
        kept = told.get("fully_shredded") if isinstance(told, dict) else None
        return isinstance(kept, dict) and kept.get("type") == "VARCHAR"
    return False


def doubtful(text: str) -> str:
    """The condition, in SQL, that a text may be that of something else."""
    words = ", ".join(f"'{word}'" for word in _WORDS)
    opened = " or ".join(
        f"({text} >= '{one}' and {text} < '{chr(ord(one) + 1)}')" for one in _OPENINGS
    )
    return f"({text} < '{_FIRST}' or {opened} or {text} in ({words}))"
