"""The OpenAPI 3.1 document, made from the table of routes and the shapes of bodies."""

import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

import msgspec

from clarion.api.routing import Route
from clarion.domain.errors import ERRORS, ErrorCode
from clarion.ports.keys import Scope

VERSION: Final = "0.1.0"
_PARAM: Final = re.compile(r"\{(\w+)\}")
_REF: Final = "#/components/schemas/{name}"
_DIGITS: Final = {"type": "string", "pattern": "^[1-9][0-9]{0,14}$"}
_NUMBERED: Final = ("/v1/users/", "/v1/devices/", "/v1/erasures/")
_TEXT: Final = {"type": "string", "minLength": 1}
_WHO: Final = (
    ErrorCode.KEY_MISSING,
    ErrorCode.KEY_INVALID,
    ErrorCode.KEY_EXPIRED,
    ErrorCode.KEY_REVOKED,
    ErrorCode.SCOPE_INSUFFICIENT,
    ErrorCode.RATE_LIMITED,
    ErrorCode.STORE_UNAVAILABLE,
)
_BODY: Final = (
    ErrorCode.JSON_MALFORMED,
    ErrorCode.BODY_TIMEOUT,
    ErrorCode.BODY_TOO_LARGE,
    ErrorCode.MEDIA_TYPE_UNSUPPORTED,
    ErrorCode.REQUEST_INVALID,
)
_UPLOAD: Final = (
    ErrorCode.BODY_TIMEOUT,
    ErrorCode.BODY_TOO_LARGE,
    ErrorCode.MEDIA_TYPE_UNSUPPORTED,
)

Node = dict[str, Any]


class ProblemField(msgspec.Struct, frozen=True):
    """One field of the request and what is wrong with it."""

    path: str
    """JSON pointer into the body, `?name` of a query parameter, or the name of a header."""
    code: str
    detail: str


class ProblemView(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: ErrorCode
    request_id: str
    errors: list[ProblemField] = []


@cache
def document(routes: Sequence[Route]) -> bytes:
    """The document as indented JSON, the same bytes for the same routes."""
    return msgspec.json.format(msgspec.json.encode(build(routes), order="sorted"), indent=2)


def build(routes: Sequence[Route]) -> Node:
    """The document as JSON values."""
    shapes = _shapes(routes)
    schemas, components = msgspec.json.schema_components(shapes, ref_template=_REF)
    known = dict(zip(shapes, schemas, strict=True))
    paths: dict[str, Node] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, known, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Clarion",
            "version": VERSION,
            "summary": "Self-hosted push notification platform.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Every answer carries `X-Request-Id`; answers to a key carry "
            "`RateLimit` and `RateLimit-Policy`. Errors are RFC 9457 problem details. Of "
            "duplicate names in a JSON object the last one counts; unknown fields are refused.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": dict(paths),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key. `admin` opens all, `send` messages, people and "
                    "devices, `device` only what a client may do for itself.",
                }
            },
        },
    }


def _shapes(routes: Iterable[Route]) -> list[type[msgspec.Struct]]:
    found: dict[type[msgspec.Struct], None] = {ProblemView: None}
    for route in routes:
        for shape in (route.body, *route.answers.values()):
            if isinstance(shape, type):
                found[shape] = None
    return list(found)


def _operation(route: Route, known: dict[type[msgspec.Struct], Node], components: Node) -> Node:
    description = inspect.getdoc(route.handle) or route.summary
    node: Node = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "description": description,
        "tags": [route.tag],
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_headers(route)],
        "responses": _responses(route, known),
        "security": [] if route.scope is None else [{"key": []}],
    }
    if route.scope is not None:
        node["x-scope"] = route.scope.value
    content: Node = {media: {"schema": {"type": "string"}} for media in route.body_media}
    if route.body is not None:
        content = {"application/json": {"schema": known[route.body]}, **content}
    if content:
        node["requestBody"] = {"required": True, "content": content}
    _name_properties(components)
    return node


def _operation_id(route: Route) -> str:
    words = re.findall(r"[a-z0-9]+", route.path.replace("/v1/", "/"))
    return "_".join([route.method.lower(), *words]) or "root"


def _path_parameters(route: Route) -> list[Node]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(route, name)}
        for name in _PARAM.findall(route.path)
    ]


def _path_schema(route: Route, name: str) -> Node:
    if name == "code":
        return {"type": "string", "enum": [code.value for code in ErrorCode]}
    if name == "token":
        return {"type": "string", "pattern": "^[A-Za-z0-9_-]{67}$"}
    if name == "click":
        return {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,4096}$"}
    if name == "version":
        return {"type": "string", "pattern": r"^\d+\.\d+\.\d+-[0-9a-f]{8}$"}
    numbered = name == "id" and route.path.startswith(_NUMBERED)
    return _DIGITS if numbered else _TEXT


def _query_parameters(route: Route) -> list[Node]:
    if route.query is None:
        return []
    schema = msgspec.json.schema(route.query)["$defs"][route.query.__name__]
    required = set(schema.get("required", ()))
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _no_null(part)}
        for name, part in schema["properties"].items()
    ]


def _no_null(schema: Node) -> Node:
    """A query parameter is absent rather than null."""
    if "anyOf" not in schema:
        return schema
    kinds = [kind for kind in schema["anyOf"] if kind != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _headers(route: Route) -> list[Node]:
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": text,
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        }
        for name, text in route.headers
    ]


def _responses(route: Route, known: dict[type[msgspec.Struct], Node]) -> Node:
    answers: Node = {}
    for status, shape in route.answers.items():
        content: Node = {}
        if isinstance(shape, str):
            content = {shape: {"schema": {} if shape == "application/json" else {"type": "string"}}}
        elif shape is not None:
            content = {"application/json": {"schema": known[shape]}}
        answers[str(status)] = {"description": _reason(status), "headers": _request_id()}
        if content:
            answers[str(status)]["content"] = content
    for status, codes in _errors(route).items():
        page = answers.get(str(status), {}).get("content", {})
        answers[str(status)] = {
            "description": "; ".join(f"`{c.value}`: {ERRORS[c].title}" for c in codes),
            "headers": _request_id(),
            "content": {**page, "application/problem+json": {"schema": known[ProblemView]}},
        }
    return answers


def _errors(route: Route) -> dict[int, list[ErrorCode]]:
    codes = [*route.errors, *(() if route.scope is None else _WHO)]
    if route.body is not None:
        codes += _BODY
    elif route.body_media:
        codes += _UPLOAD
    if route.query is not None:
        codes.append(ErrorCode.QUERY_INVALID)
    if "{" in route.path:
        codes.append(ErrorCode.NOT_FOUND)
    if route.scope is Scope.DEVICE:
        codes += [ErrorCode.IDENTITY_TOKEN_REQUIRED, ErrorCode.IDENTITY_TOKEN_INVALID]
    by_status: dict[int, list[ErrorCode]] = defaultdict(list)
    for code in dict.fromkeys([*codes, ErrorCode.INTERNAL_ERROR]):
        by_status[ERRORS[code].status].append(code)
    return dict(sorted(by_status.items()))


def _request_id() -> Node:
    return {"X-Request-Id": {"schema": {"type": "string"}}}


def _reason(status: int) -> str:
    return {
        200: "OK",
        201: "Created",
        202: "Accepted",
        204: "Done; no body",
        303: "Done; the page is at `Location`",
        404: "A page that says so",
        422: "The page again, with what is wrong",
        302: "Go on to `Location`; no body",
        304: "What you have is what it is; no body",
    }[status]


def _name_properties(components: Node) -> None:
    """Titles that repeat the struct's name say nothing."""
    for schema in components.values():
        schema.pop("title", None)
