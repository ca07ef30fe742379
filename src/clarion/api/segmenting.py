"""Expressions of segments in requests: read in either form, made whole, refused with a place."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from clarion.api.problems import ProblemError, field_problem
from clarion.api.shapes.segments import MistakeView, SegmentUsedView
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.domain.ids import AppId
from clarion.domain.segments.checking import (
    SegmentAt,
    SegmentReferenceError,
    in_form,
    in_text,
)
from clarion.domain.segments.expression import Expression, InSegment
from clarion.domain.segments.json_form import Json, Read, read_json
from clarion.domain.segments.problems import SegmentFormError, SegmentTextError
from clarion.domain.segments.text import Parsed, parse
from clarion.domain.segments.text_form import to_text
from clarion.ports.segments import Segments

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""What segments are called, so that a name is never taken for an expression, nor the reverse."""
Given = str | Mapping[str, object]
Mistaken = SegmentTextError | SegmentFormError


@dataclass(frozen=True, slots=True)
class Source:
    """An expression, and where it came from."""

    read: Parsed | Read

    @property
    def expression(self) -> Expression:
        """As read: it may name segments."""
        return self.read.expression

    def placed(self, error: SegmentReferenceError) -> Mistaken:
        """What is wrong with a name, at its place."""
        if isinstance(self.read, Parsed):
            return in_text(error, self.read)
        return in_form(error, self.read)


def read(given: Given) -> Source:
    """Read either form.

    Raises:
        SegmentTextError: the text can't be read.
        SegmentFormError: the JSON can't be read; pointers begin at the expression.
    """
    if isinstance(given, str):
        return Source(parse(given))
    return Source(read_json(cast("Json", given)))


def read_or_refuse(given: Given, path: str) -> Source:
    """Read either form; raises `ProblemError` at `path`, or below it in JSON."""
    try:
        return read(given)
    except (SegmentTextError, SegmentFormError) as error:
        raise refusal(error, path) from None


async def whole(
    segments: Segments, app: AppId, given: Given | None, path: str, now: datetime
) -> SegmentAt | None:
    """The segment of a name, or an expression, with all that it names in place; None for everybody.

    Raises `ProblemError` at `path`.
    """
    if given is None:
        return None
    if isinstance(given, str) and NAME.fullmatch(given):
        try:
            return await segments.resolve(app, InSegment(given), now)
        except SegmentReferenceError as error:
            raise _invalid(path, error.fault.sentence) from None
    source = read_or_refuse(given, path)
    try:
        return await segments.resolve(app, source.expression, now)
    except SegmentReferenceError as error:
        raise refusal(source.placed(error), path) from None


def refusal(error: Mistaken, path: str) -> ProblemError:
    """A mistake as the answer to a request."""
    if isinstance(error, SegmentFormError):
        return _invalid(path + error.pointer, error.fault.sentence)
    return _invalid(path, str(error))


def mistake_view(error: Mistaken) -> MistakeView:
    """A mistake with its place."""
    text = error if isinstance(error, SegmentTextError) else None
    return MistakeView(
        detail=sentence(error.fault.detail),
        expected=error.fault.expected or None,
        suggestion=error.fault.suggestion,
        offset=None if text is None else text.offset,
        length=None if text is None else text.length,
        line=None if text is None else text.line,
        column=None if text is None else text.column,
        pointer=error.pointer if isinstance(error, SegmentFormError) else None,
    )


def sentence(text: str) -> str:
    """A fault as a sentence of its own."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(("?", ".")) else ".")


def _invalid(path: str, detail: str) -> ProblemError:
    told = sentence(detail)
    return ProblemError(
        ErrorCode.REQUEST_INVALID, told, errors=[field_problem(path, FieldCode.INVALID, told)]
    )


async def used(
    segments: Segments, app: AppId, versions: Iterable[tuple[str, int]]
) -> list[SegmentUsedView]:
    """What segments said in some versions, by name."""
    views = []
    for name, version in sorted(versions):
        kept = await segments.versions(app, name)
        text = next((to_text(one.expression) for one in kept if one.version == version), None)
        views.append(SegmentUsedView(name=name, version=version, text=text))
    return views
