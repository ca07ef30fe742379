"""What can be wrong with a segment, and where: an offset in text, a pointer in JSON."""

from typing import Final

MAX_DEPTH: Final = 32
"""How deep parentheses, `not`, `where` and `any device` may nest."""
MAX_CONDITIONS: Final = 500
"""Conditions of one segment, each listed value counted as one in hundred."""
MAX_VALUES: Final = 1000
"""Values of one `in (…)`."""
MAX_TEXT: Final = 65_536
"""Characters of the text form."""
MAX_VALUE_OCTETS: Final = 1024
"""Of one text value in UTF-8."""
MAX_INLINED: Final = 2000
"""Conditions of a segment together with all segments that it names."""


class SegmentFault(ValueError):  # noqa: N818  # a fault without a place; the two errors below have one
    """A rule is broken; whoever reads the segment knows where.

    Attributes:
        detail: a sentence that says what to do.
        part: which part of the condition: `field`, `op`, `value`, or empty for all of it.
        place: of several values, which one; -1 for all.
        expected: what would be right there.
        suggestion: what was most likely meant, or None.
    """

    def __init__(
        self,
        detail: str,
        *,
        part: str = "",
        place: int = -1,
        expected: str = "",
        suggestion: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.part = part
        self.place = place
        self.expected = expected
        self.suggestion = suggestion

    @property
    def sentence(self) -> str:
        """The detail, and the suggestion where there is one."""
        if self.suggestion is None:
            return self.detail
        return f"{self.detail}; did you mean {self.suggestion}?"


class SegmentTextError(ValueError):
    """The text form can't be read. `offset` counts characters from 0, line and column from 1."""

    def __init__(self, fault: SegmentFault, text: str, offset: int, length: int = 1) -> None:
        self.fault = fault
        self.offset = offset
        self.length = length
        self.line = text.count("\n", 0, offset) + 1
        self.column = offset - (text.rfind("\n", 0, offset) + 1) + 1
        super().__init__(f"line {self.line}, column {self.column}: {fault.sentence}")


class SegmentFormError(ValueError):
    """The JSON form can't be read; `pointer` (RFC 6901) says where."""

    def __init__(self, fault: SegmentFault, pointer: str) -> None:
        self.fault = fault
        self.pointer = pointer
        super().__init__(f"{pointer or '(the whole)'}: {fault.sentence}")


def unstorable(text: str) -> bool:
    """Whether a text has what nothing that is stored has: U+0000, or half of a surrogate pair."""
    return any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in text)


def not_unicode() -> SegmentFault:
    """The fault of a text that nothing that is stored can be like."""
    return SegmentFault("the text is not valid Unicode", part="value")


def too_deep() -> SegmentFault:
    """The fault of a tree that is too deep."""
    return SegmentFault(f"a segment nests up to {MAX_DEPTH} levels deep")


def too_large() -> SegmentFault:
    """The fault of a tree with too many leaves."""
    return SegmentFault(
        f"a segment has up to {MAX_CONDITIONS} conditions; a part can be a segment of its own"
    )
