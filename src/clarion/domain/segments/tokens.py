"""Cuts the text form into tokens."""

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from clarion.domain.segments.problems import (
    MAX_TEXT,
    SegmentFault,
    SegmentTextError,
    not_unicode,
    unstorable,
)


class TokenKind(Enum):
    """What a token is; the value is how errors call it."""

    NAME = "a name"
    ATOM = "a number"
    """Whatever begins with a digit: number, age, distance, instant, version."""
    STRING = "a text"
    ORDER = "an order"
    MARK = "a mark"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """A token and where it stands, in characters from 0."""

    kind: TokenKind
    text: str
    """As written; of a STRING its content, of a NAME with its quoted parts opened."""
    offset: int
    length: int

    @property
    def word(self) -> str:
        """A name in lower case, to compare with keywords; else empty."""
        return self.text.lower() if self.kind is TokenKind.NAME else ""


_QUOTED: Final = r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'"
_TOKEN: Final = re.compile(
    rf"(?P<STRING>{_QUOTED})"
    rf"|(?P<NAME>[^\W\d][\w-]*(?:\.(?:[\w-]+|{_QUOTED}))*)"
    r"|(?P<ATOM>[+-]?\d[\w.:+-]*)"
    r"|(?P<ORDER>!=|<=|>=|==|<>|=|<|>)"
    r"|(?P<MARK>[(),])",
    re.DOTALL,
)
_SPACE: Final = re.compile(r"\s+")
_PART: Final = re.compile(rf"{_QUOTED}|[\w-]+", re.DOTALL)
PLAIN_NAME: Final = re.compile(r"[^\W\d][\w-]*\Z")
PLAIN_ATOM: Final = re.compile(r"\d[\w.:+-]*\Z")
_SAME: Final = {"==": "=", "<>": "!="}


def tokens(text: str) -> list[Token]:
    """The tokens of a text, with one END behind them.

    Raises:
        SegmentTextError: a character or a text without its end has no place in the form.
    """
    if len(text) > MAX_TEXT:
        fault = SegmentFault(f"a segment's text has up to {MAX_TEXT} characters")
        raise SegmentTextError(fault, text, MAX_TEXT)
    found: list[Token] = []
    at = 0
    while at < len(text):
        if space := _SPACE.match(text, at):
            at = space.end()
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            raise SegmentTextError(_stray(text[at]), text, at)
        kind = TokenKind[str(match.lastgroup)]
        found.append(Token(kind, _content(kind, match[0], text, at), at, len(match[0])))
        at = match.end()
    found.append(Token(TokenKind.END, "", len(text), 1))
    return found


def _stray(letter: str) -> SegmentFault:
    if letter in "\"'":
        return SegmentFault("the text that begins here has no end", expected=f"a closing {letter}")
    suggestion = {"&": "and", "|": "or", "!": "not"}.get(letter)
    return SegmentFault(
        f"{letter!r} means nothing here", expected="a condition", suggestion=suggestion
    )


def _content(kind: TokenKind, raw: str, text: str, at: int) -> str:
    if kind is TokenKind.STRING:
        return _opened(raw, text, at)
    if kind is TokenKind.NAME and ("'" in raw or '"' in raw):
        parts = (part[0] for part in _PART.finditer(raw))
        return ".".join(_opened(part, text, at) if part[0] in "\"'" else part for part in parts)
    return _SAME.get(raw, raw)


def _opened(raw: str, text: str, at: int) -> str:
    """The content of a quoted text; escapes are those of JSON, and the quote itself."""
    body = raw[1:-1]
    if raw[0] == "'":
        body = re.sub(r'\\.|"', lambda one: {"\\'": "'", '"': '\\"'}.get(one[0], one[0]), body)
    try:
        found = str(json.loads(f'"{body}"', strict=False))
    except ValueError as error:
        fault = SegmentFault(
            "an escape in the text is none of JSON's", expected='\\", \\\\, \\n or \\uXXXX'
        )
        raise SegmentTextError(fault, text, at, len(raw)) from error
    if unstorable(found):
        raise SegmentTextError(not_unicode(), text, at, len(raw))
    return found
