"""Problem documents, RFC 9457: how every error looks at the edge."""

import json
from dataclasses import dataclass

MEDIA_TYPE = "application/problem+json"
NO_TYPE = "about:blank"
"""RFC 9457 section 4.2.1: the problem says no more than its status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldProblem:
    """One thing that is wrong with the request's body.

    Attributes:
        path: JSON pointer to the member (RFC 6901); empty for the whole document.
        code: our stable code.
        detail: a sentence.
    """

    path: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem document.

    Attributes:
        status: HTTP status.
        title: the same sentence for every problem of its type.
        code: our stable code.
        type: URI of the kind of problem.
        detail: what went wrong this time; left out if None.
        instance: URI reference of this occurrence; left out if None.
        request_id: for the operator's logs; left out if None.
        errors: what is wrong, field by field; left out if empty.
    """

    status: int
    title: str
    code: str
    type: str = NO_TYPE
    detail: str | None = None
    instance: str | None = None
    request_id: str | None = None
    errors: tuple[FieldProblem, ...] = ()

    def encode(self) -> bytes:
        """Write the document as JSON in ASCII, members in a fixed order.

        Lone surrogates, which a request can smuggle into a detail, become U+FFFD: I-JSON
        (RFC 7493 section 2.1) has no way to write them.
        """
        members: dict[str, object] = {
            "type": _clean(self.type),
            "title": _clean(self.title),
            "status": self.status,
        }
        optional = {
            "detail": self.detail,
            "instance": self.instance,
            "code": self.code,
            "request_id": self.request_id,
        }
        members |= {name: _clean(text) for name, text in optional.items() if text is not None}
        if self.errors:
            members["errors"] = [
                {
                    "path": _clean(error.path),
                    "code": _clean(error.code),
                    "detail": _clean(error.detail),
                }
                for error in self.errors
            ]
        return json.dumps(members, separators=(",", ":")).encode("ascii")


def _clean(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def pointer(*steps: str | int) -> str:
    """Write a JSON pointer from member names and array indices (RFC 6901 section 3)."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)
