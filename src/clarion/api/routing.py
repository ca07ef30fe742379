"""The table of routes, and finding the one that a path names.

Paths are matched segment by segment before percent-decoding, so that an external id may hold any
character (`/` as `%2F`). A template may end in `:verb`.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from clarion.api.dependencies import ApiDependencies
from clarion.api.exchange import Answer, Exchange, Stream
from clarion.api.grouping import Registrar
from clarion.api.networks import ConfiguredNetworks
from clarion.api.plain_messages import PlainMessages
from clarion.api.problems import ProblemError
from clarion.api.quota import Quotas
from clarion.domain.errors import ErrorCode
from clarion.ports.keys import Scope
from clarion.ports.store import Patience

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Api:
    """What every handler gets: the ports, and what this process remembers."""

    deps: ApiDependencies
    networks: ConfiguredNetworks
    registrar: Registrar
    plain: PlainMessages
    visitors: Quotas
    """Of those who have no device yet, by where they come from."""
    patience: Patience
    """Of requests that ask little of the store."""


Handler = Callable[[Api, Exchange], Awaitable[Answer | Stream]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Route:
    """One method of one path, with all that the OpenAPI document says about it."""

    method: str
    path: str
    handle: Handler
    summary: str
    """One line; the handler's docstring is the description."""
    tag: str
    scope: Scope | None = None
    """The least scope that opens it; None: open to everybody."""
    body: type[msgspec.Struct] | None = None
    body_media: Sequence[str] = ()
    """Media types of a body that is not JSON; with `body`, those that it may have instead."""
    query: type[msgspec.Struct] | None = None
    answers: Mapping[int, type[msgspec.Struct] | str | None] = field(default_factory=dict)
    """Status -> shape of the JSON, or another media type, or None for no body."""
    errors: Sequence[ErrorCode] = ()
    """Besides those that every route of its kind has."""
    headers: Sequence[tuple[str, str]] = ()
    """Request headers: name, description."""
    long_work: bool = False
    """It may give the store much to do at once, and waits for it as long as that takes; so does
    whatever takes a file."""

    @property
    def public(self) -> bool:
        """Whether browsers may call it from other origins (CORS)."""
        return self.scope is Scope.DEVICE


@dataclass(frozen=True, slots=True)
class _Template:
    route: Route
    literals: tuple[str | None, ...]
    names: tuple[str, ...]
    verb: str


class Router:
    """Finds routes."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._templates: dict[int, list[_Template]] = {}
        for route in routes:
            if "{" in route.path:
                template = _template(route)
                self._templates.setdefault(len(template.literals), []).append(template)
            else:
                self._fixed.setdefault(route.path, {})[route.method] = route
        for found in self._templates.values():
            found.sort(key=lambda t: (sum(part is None for part in t.literals), -len(t.verb)))

    def find(self, method: str, raw_path: bytes) -> tuple[Route, Mapping[str, str]]:
        """The route and its parameters.

        Raises `ProblemError`: `route_unknown`, `method_not_allowed` with `Allow`, or
        `not_found` where a parameter can't be anybody's name.
        """
        by_method, params = self._resolve(raw_path)
        wanted = "GET" if method == "HEAD" else method
        route = by_method.get(wanted)
        if route is None:
            allow = ", ".join(methods(by_method))
            raise ProblemError(
                ErrorCode.METHOD_NOT_ALLOWED,
                f"This path takes {allow}.",
                headers={"allow": allow},
            )
        return route, params

    def at(self, raw_path: bytes) -> Mapping[str, Route]:
        """Method -> route of a path; raises `ProblemError` like `find`."""
        return self._resolve(raw_path)[0]

    def _resolve(self, raw_path: bytes) -> tuple[Mapping[str, Route], Mapping[str, str]]:
        path = raw_path.decode("latin-1")
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, {}
        segments = path.split("/")[1:]
        found: dict[str, Route] = {}
        params: Mapping[str, str] = {}
        shape: tuple[tuple[str | None, ...], str] | None = None
        for template in self._templates.get(len(segments), ()):
            if shape not in {None, (template.literals, template.verb)}:
                break
            matched = _match(template, segments)
            if matched is not None:
                shape = (template.literals, template.verb)
                found[template.route.method] = template.route
                params = matched
        if not found:
            raise ProblemError(ErrorCode.ROUTE_UNKNOWN, "No resource of this API has this path.")
        return found, params


def methods(by_method: Mapping[str, Route]) -> list[str]:
    """The methods that a path takes, HEAD and OPTIONS included."""
    return sorted({*by_method, "OPTIONS", *({"HEAD"} if "GET" in by_method else ())})


def _template(route: Route) -> _Template:
    path, verb = route.path, ""
    if "}:" in path:
        path, _, verb = path.rpartition(":")
    literals: list[str | None] = []
    names: list[str] = []
    for part in path.split("/")[1:]:
        if part.startswith("{"):
            literals.append(None)
            names.append(part[1:-1])
        else:
            literals.append(part)
    return _Template(route, tuple(literals), tuple(names), f":{verb}" if verb else "")


def _match(template: _Template, segments: Sequence[str]) -> Mapping[str, str] | None:
    if template.verb and not segments[-1].endswith(template.verb):
        return None
    values: list[str] = []
    for literal, segment in zip(template.literals, segments, strict=True):
        if literal is None:
            values.append(segment)
        elif literal != segment:
            return None
    if template.verb:
        values[-1] = values[-1].removesuffix(template.verb)
    return {name: _text(v) for name, v in zip(template.names, values, strict=True)}


def _text(segment: str) -> str:
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise ProblemError(ErrorCode.NOT_FOUND, "The path is not UTF-8.") from None
    if not text or _CONTROL.search(text):
        raise ProblemError(ErrorCode.NOT_FOUND, "No name in the path can be empty or have that.")
    return text
