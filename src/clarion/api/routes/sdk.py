"""The browser SDK, its service worker and the sample site."""

from typing import Final

import msgspec

from clarion.api.assets import (
    ASK_AGAIN,
    FOR_EVER,
    SHORTLY,
    build,
    find,
    serve,
)
from clarion.api.exchange import Answer, Exchange, Headers, json_answer
from clarion.api.problems import ProblemError
from clarion.api.routing import Api, Route
from clarion.domain.errors import ErrorCode

_ANY_ORIGIN: Final[Headers] = (
    (b"access-control-allow-origin", b"*"),
    (b"cross-origin-resource-policy", b"cross-origin"),
)
_WHOLE_ORIGIN: Final = (b"service-worker-allowed", b"/")


class SdkFile(msgspec.Struct, frozen=True):
    """One file of the SDK."""

    path: str
    """Where it is for ever, as long as this version is served."""
    integrity: str
    bytes: int


class SdkView(msgspec.Struct, frozen=True):
    """What of the SDK is served."""

    version: str
    files: dict[str, SdkFile]
    push: str | None
    """Origin of our own push service, from which pages read what is sent to them; null: none."""


async def newest(api: Api, call: Exchange) -> Answer:  # noqa: ARG001  every handler takes both
    """The newest version; for a page that pins none. Kept for an hour."""
    return serve(find("sdk", call.path.rpartition("/")[2]), call, SHORTLY, _ANY_ORIGIN)


async def worker(api: Api, call: Exchange) -> Answer:  # noqa: ARG001  every handler takes both
    """The service worker.

    Registered by pages of this origin, or read by a worker of yours with `importScripts`.
    """
    return serve(find("sdk", "sw.js"), call, ASK_AGAIN, (*_ANY_ORIGIN, _WHOLE_ORIGIN))


async def versioned(api: Api, call: Exchange) -> Answer:  # noqa: ARG001  every handler takes both
    """A file of one version, kept for a year. Only the version that this server has."""
    name = call.path.rpartition("/")[2]
    if call.params["version"] != build().version or name not in build().files:
        raise ProblemError(
            ErrorCode.ROUTE_UNKNOWN, f"This server has version {build().version} of the SDK."
        )
    return serve(find("sdk", name), call, FOR_EVER, (*_ANY_ORIGIN, _WHOLE_ORIGIN))


async def describe(api: Api, call: Exchange) -> Answer:  # noqa: ARG001  every handler takes both
    """Version, addresses and integrity of the SDK's files, and where the push service is."""
    made = build()
    described = {
        name: SdkFile(f"/sdk/{made.version}/{name}", file.integrity, file.bytes)
        for name, file in made.files.items()
    }
    return json_answer(SdkView(made.version, described, api.deps.push_origin), headers=_ANY_ORIGIN)


async def sample(api: Api, call: Exchange) -> Answer:
    """The sample site: send a push to this browser."""
    name = call.path.removeprefix("/try").removeprefix("/") or "index.html"
    return serve(find("try", name), call, ASK_AGAIN, connect=api.deps.push_origin)


def _file(path: str, media: str, summary: str) -> Route:
    return Route(
        method="GET",
        path=path,
        handle=worker if path == "/sw.js" else newest,
        summary=summary,
        tag="Browser",
        answers={200: media, 304: None},
    )


_JS: Final = "text/javascript"
_TYPES: Final = "application/typescript"
_NAMES: Final = {"sdk.js": _JS, "sw.js": _JS, "inbox.js": _JS, "sdk.d.ts": _TYPES}
_SITE: Final = {
    "/try": "text/html",
    "/try/site.js": _JS,
    "/try/site.css": "text/css",
    "/try/icon.svg": "image/svg+xml",
}

ROUTES: Final = (
    _file("/sdk.js", _JS, "The page script"),
    _file("/inbox.js", _JS, "The inbox element"),
    _file("/sdk.d.ts", _TYPES, "Types of the page script"),
    _file("/sw.js", _JS, "The service worker"),
    Route(
        method="GET",
        path="/sdk.json",
        handle=describe,
        summary="Version and integrity of the SDK",
        tag="Browser",
        answers={200: SdkView},
    ),
    *(
        Route(
            method="GET",
            path=f"/sdk/{{version}}/{name}",
            handle=versioned,
            summary=f"A version of {name}",
            tag="Browser",
            answers={200: media, 304: None},
            errors=(ErrorCode.ROUTE_UNKNOWN,),
        )
        for name, media in _NAMES.items()
    ),
    *(
        Route(
            method="GET",
            path=path,
            handle=sample,
            summary="The sample site",
            tag="Browser",
            answers={200: media, 304: None},
        )
        for path, media in _SITE.items()
    ),
)
