"""A cursor over the tokens of the text form."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Never, TypeVar

from clarion.domain.segments.fields import nearest
from clarion.domain.segments.problems import SegmentFault, SegmentTextError
from clarion.domain.segments.tokens import Token, TokenKind

Made = TypeVar("Made")


@dataclass(slots=True)
class Reading:
    """A place among the tokens of a text, and errors that say where it is."""

    text: str
    tokens: list[Token]
    at: int = 0

    @property
    def now(self) -> Token:
        """The token at hand."""
        return self.tokens[self.at]

    def fail(self, expected: str, known: tuple[str, ...] = ()) -> Never:
        """Refuse the token at hand."""
        token = self.now
        what = "the text ends" if token.kind is TokenKind.END else f"{token.text!r} is"
        suggestion = nearest(token.text, known) if known and token.text else None
        detail = f"{what} where {expected} is expected"
        fault = SegmentFault(detail, expected=expected, suggestion=suggestion)
        raise SegmentTextError(fault, self.text, token.offset, token.length)

    def take(self) -> Token:
        """Step over the token at hand; nothing is behind the end."""
        token = self.now
        self.at += token.kind is not TokenKind.END
        return token

    def took(self, *words: str) -> bool:
        """Step over a keyword or mark, if it is one of these."""
        if self.now.word in words or (self.now.kind is TokenKind.MARK and self.now.text in words):
            self.at += 1
            return True
        return False

    def need(self, mark: str) -> None:
        """Step over a mark that has to be there."""
        if not self.took(mark):
            self.fail(repr(mark))

    def made(self, make: Callable[[], Made], whole: Token, **parts: Token | list[Token]) -> Made:
        """Build something; a fault gets the place of the part that it names."""
        try:
            return make()
        except SegmentFault as fault:
            spot = parts.get(fault.part, whole)
            if isinstance(spot, list):
                spot = spot[fault.place] if 0 <= fault.place < len(spot) else (*spot, whole)[0]
            raise SegmentTextError(fault, self.text, spot.offset, spot.length) from fault
