"""From an error to RFC 9457 problem details, with the field's JSON pointer where there is one."""

from collections.abc import Mapping, Sequence
from typing import Final

from clarion.domain.errors import ERRORS, TYPE_PREFIX, ErrorCode, FieldCode
from clarion.wire.problem import FieldProblem, Problem, pointer

__all__ = ["FieldProblem", "ProblemError", "field_problem", "pointer"]

MAX_DETAIL: Final = 500
"""Characters of a sentence that may quote the request."""


class ProblemError(Exception):
    """An answer that is not what the client hoped for: raised anywhere below a route."""

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def problem_body(error: ProblemError, *, instance: str | None, request_id: str) -> bytes:
    """The problem as JSON (RFC 9457 section 3.1, with our extension members).

    The instance is the path of the request; None where none was understood.
    """
    kind = ERRORS[error.code]
    return Problem(
        status=kind.status,
        title=kind.title,
        code=error.code.value,
        type=TYPE_PREFIX + error.code.value,
        detail=error.detail[:MAX_DETAIL],
        instance=None if instance is None else instance[:MAX_DETAIL],
        request_id=request_id,
        errors=error.errors,
    ).encode()


def field_problem(path: str, code: FieldCode | str, detail: str) -> FieldProblem:
    """One field of the request and what is wrong with it.

    `path` is a JSON pointer into the body (RFC 6901), `?name` for a query parameter, or the name
    of a header.
    """
    return FieldProblem(path=path[:MAX_DETAIL], code=str(code), detail=detail[:MAX_DETAIL])


def invalid(path: str, detail: str, code: FieldCode = FieldCode.INVALID) -> ProblemError:
    """A refusal for one field."""
    return ProblemError(
        ErrorCode.REQUEST_INVALID, detail, errors=[field_problem(path, code, detail)]
    )


def refusal_of(code: ErrorCode, errors: Sequence[FieldProblem]) -> ProblemError:
    """A refusal for several fields, of which the first is told in the sentence of the whole."""
    first = errors[0]
    detail = f"{first.path}: {first.detail}" if first.path else first.detail
    return ProblemError(code, detail, errors=errors)


def sentence(detail: str) -> str:
    """What a rule says, as a sentence of its own."""
    return f"{detail[:1].upper()}{detail[1:]}."


def not_found(what: str) -> ProblemError:
    """What belongs to another app is answered like what never existed."""
    return ProblemError(ErrorCode.NOT_FOUND, f"This app has no such {what}.")
