"""Bodies that may be JSON or a file: what they are, and what is told of a file that breaks."""

from collections.abc import Mapping, Sequence
from typing import Final

from clarion.api.exchange import Exchange, unsupported
from clarion.api.problems import ProblemError, field_problem, sentence
from clarion.api.shapes.imports import BadRowView
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.stages.intake.rows import BadRow, Format, MalformedFileError

MAX_BAD_SHOWN: Final = 1_000
FORMATS: Final[Mapping[str, Format]] = {
    "text/csv": Format.CSV,
    "application/x-ndjson": Format.NDJSON,
    "application/vnd.apache.parquet": Format.PARQUET,
}
_JSON: Final = ("application/json", "")


def format_of(call: Exchange) -> Format | None:
    """What file the body is; None for JSON. Raises `ProblemError`, 415."""
    kind = call.media_type()
    if kind in _JSON or kind.endswith("+json"):
        return None
    found = FORMATS.get(kind)
    if found is None:
        raise unsupported(_JSON[0], *FORMATS)
    return found


def bad_views(bad: Sequence[BadRow], room: int) -> list[BadRowView]:
    """At most `room` bad rows as the answer shows them."""
    return [BadRowView(b.line, b.field, b.code, b.detail) for b in bad[: max(0, room)]]


def broken_file(error: MalformedFileError, done: int) -> ProblemError:
    """The file could not be read on; `done` of its rows are stored."""
    detail = sentence(str(error))
    return ProblemError(
        ErrorCode.BODY_MALFORMED,
        f"{detail} The {done} good rows before it are stored.",
        errors=[field_problem("", FieldCode.INVALID, detail)],
    )
