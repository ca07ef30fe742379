"""Strict JSON: one place where bytes of a client become typed values or a named refusal.

Duplicate names in an object are not an error: the last one counts (RFC 8259 section 4 leaves it
open). NaN, Infinity, lone surrogates, a byte order mark and bytes that are not UTF-8 are malformed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, Final, TypeVar

import msgspec

from clarion.api.problems import (
    FieldProblem,
    ProblemError,
    field_problem,
    invalid,
    not_found,
    pointer,
    refusal_of,
)
from clarion.api.shapes.text import REFUSALS
from clarion.domain.consent_rows import AHEAD
from clarion.domain.errors import ErrorCode, FieldCode

T = TypeVar("T")

MAX_DEPTH: Final = 16
"""Levels of objects and lists inside free-form values (`data`, `overrides`)."""
MAX_INT: Final = 2**63 - 1

MIN_YEAR: Final = 1900
MAX_YEAR: Final = 3000

_NUMBER = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)
_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>\$.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[(\.\.\.)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`$", re.DOTALL)
_REFUSALS: Final = {
    f"Expected `str` matching regex {pattern!r}": sentence for pattern, sentence in REFUSALS.items()
}
FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Control characters other than tab, line feed and carriage return."""


_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Made at the first use of a shape, kept for good: there are as many as there are shapes."""
    found = _DECODERS.get(kind)
    if found is None:
        found = _DECODERS[kind] = msgspec.json.Decoder(kind)
    return found


def decode(raw: bytes, kind: type[T]) -> T:
    """The body as `kind`.

    Raises `ProblemError`: `json_malformed` for what is no JSON, `request_invalid` with the
    field's pointer for what is JSON but not what the route takes.
    """
    try:
        return _decoder(kind).decode(raw)
    except msgspec.ValidationError as error:
        raise refusal(str(error)) from None
    except UnicodeDecodeError:
        raise _malformed("The body is not UTF-8.") from None
    except msgspec.DecodeError as error:
        raise _malformed(f"{error}.") from None
    except RecursionError:
        raise _malformed("The body is nested too deeply.") from None


def convert(value: Mapping[str, str], kind: type[T]) -> T:
    """Query parameters as `kind`; raises `ProblemError` with code `query_invalid`."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        found = refusal(str(error)).errors[0]
        detail = found.detail
        where = field_problem("?" + found.path.removeprefix("/"), found.code, detail)
        raise ProblemError(ErrorCode.QUERY_INVALID, detail, errors=[where]) from None


def refusal(sentence: str) -> ProblemError:
    """What msgspec says about a value, as a problem that names the field."""
    match = _AT.match(sentence)
    what, path = (match["what"], match["path"] or "$") if match else (sentence, "$")
    steps = _STEP.findall(path)
    # `[...]` is some member of an object, and nobody says which: the place is that object.
    parts = [a or b for a, b, _ in takewhile(lambda step: not step[2], steps)]
    code = FieldCode.WRONG_TYPE if what.startswith("Expected") else FieldCode.INVALID
    member: Sequence[str] = ()
    if found := _UNKNOWN.match(what):
        code, member = FieldCode.UNKNOWN, found.groups()
    elif found := _MISSING.match(what):
        code, member = FieldCode.MISSING, found.groups()
    elif " of length " in what or " >= " in what or " <= " in what or "matching" in what:
        code, what = FieldCode.INVALID, _REFUSALS.get(what, what)
    if len(parts) == len(steps):
        parts += member
    return refusal_of(ErrorCode.REQUEST_INVALID, [field_problem(pointer(*parts), code, f"{what}.")])


def free_form(value: object, path: str) -> list[FieldProblem]:
    """What is wrong with a free-form JSON value: depth, range, control characters.

    U+0000 and its like can be stored in no text column, and integers beyond 64 bits in no
    number that other languages read back unchanged.
    """
    found: list[FieldProblem] = []
    _walk(value, path, 0, found.append)
    return found


def _walk(value: object, path: str, depth: int, report: Callable[[FieldProblem], None]) -> None:
    if depth > MAX_DEPTH:
        report(_wrong(path, f"Nested deeper than {MAX_DEPTH} levels."))
    elif isinstance(value, str):
        if FORBIDDEN.search(value):
            report(_wrong(path, "Control characters are not allowed."))
    elif isinstance(value, int) and not isinstance(value, bool):
        if not -MAX_INT <= value <= MAX_INT:
            report(_wrong(path, "Integers must fit in 64 bits."))
    elif isinstance(value, Mapping):
        _walk_object(value, path, depth, report)
    elif isinstance(value, Sequence):
        for index, inner in enumerate(value):
            _walk(inner, path + pointer(index), depth + 1, report)


def _walk_object(
    value: Mapping[str, object], path: str, depth: int, report: Callable[[FieldProblem], None]
) -> None:
    for name, inner in value.items():
        if FORBIDDEN.search(name):
            report(_wrong(path, "Names can't have control characters."))
        _walk(inner, path + pointer(name), depth + 1, report)


def refuse(errors: Sequence[FieldProblem]) -> None:
    """Raise one `request_invalid` problem that lists `errors`, unless there are none."""
    if errors:
        raise refusal_of(ErrorCode.REQUEST_INVALID, errors)


def _wrong(path: str, detail: str) -> FieldProblem:
    return field_problem(path, FieldCode.INVALID, detail)


def _malformed(detail: str) -> ProblemError:
    return ProblemError(ErrorCode.JSON_MALFORMED, detail)


def utc(value: datetime, path: str) -> datetime:
    """The instant in UTC; raises `ProblemError` for years that no clock or store agrees about."""
    if not MIN_YEAR < value.year < MAX_YEAR:
        raise invalid(path, f"The year must be after {MIN_YEAR} and before {MAX_YEAR}.")
    return value.astimezone(UTC)


def number(text: str, what: str) -> int:
    """The id in a path; what can't be one is answered like an unknown one."""
    if not _NUMBER.fullmatch(text):
        raise not_found(what)
    return int(text)


FreeForm = dict[str, Any]
"""An object whose members are the client's business; checked by `free_form`."""


def said_at(given: datetime | None, now: datetime, path: str) -> datetime:
    """When it was said; a clock that runs ahead is not believed."""
    if given is None:
        return now
    at = utc(given, path)
    if at > now + AHEAD:
        raise invalid(path, "The instant lies more than a day in the future.")
    return min(at, now)
