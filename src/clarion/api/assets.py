"""The browser SDK and the sample site: built files, served with what browsers need to know.

They are built from `web/sdk` and `examples/web` and committed, so that nothing but Python is needed
to serve them (docs/decisions/0011-built-browser-files.md).
"""

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

import msgspec

from clarion.api.exchange import Answer, Exchange, Headers
from clarion.api.problems import ProblemError
from clarion.domain.errors import ErrorCode

MEDIA: Final[Mapping[str, bytes]] = {
    ".js": b"text/javascript; charset=utf-8",
    ".ts": b"application/typescript; charset=utf-8",
    ".json": b"application/json",
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
}
FOR_EVER: Final = b"public, max-age=31536000, immutable"
SHORTLY: Final = b"public, max-age=3600, stale-while-revalidate=86400"
ASK_AGAIN: Final = b"no-cache"
"""Kept, but never used unasked: a worker that is out of date shows what nobody sends any more."""

_PAGE_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; "
    b"connect-src 'self' %b; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types clarion"
)
_FILE_POLICY: Final = b"default-src 'none'; connect-src *; frame-ancestors 'none'"
"""A worker obeys the policy that its own script came with: it calls the platform, wherever."""
_TAG: Final = re.compile(r'(?:W/)?"[^"]*"|\*')


class BuiltFile(msgspec.Struct, frozen=True):
    """What the build said of a file."""

    bytes: int
    integrity: str
    """For `<script integrity>` (SRI)."""


class Build(msgspec.Struct, frozen=True):
    """`build.json`, as the build wrote it."""

    version: str
    """The SDK's version and the first digits of what its files hash to."""
    files: dict[str, BuiltFile]
    sources: dict[str, str]
    """Path from the project's root -> SHA-256, hex: what they were built from."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, plain and compressed."""

    name: str
    plain: bytes
    small: bytes
    """The same by gzip."""
    digest: str

    @property
    def media(self) -> bytes:
        """Its media type."""
        return MEDIA["." + self.name.rpartition(".")[2]]


@cache
def build() -> Build:
    """What was built."""
    text = files("clarion.api").joinpath("static", "sdk", "build.json").read_bytes()
    return msgspec.json.decode(text, type=Build)


@cache
def load(folder: str) -> Mapping[str, Asset]:
    """The files of `sdk` or of `try`, by name; read once."""
    found = {}
    for entry in files("clarion.api").joinpath("static", folder).iterdir():
        if entry.is_file():
            plain = entry.read_bytes()
            small = gzip.compress(plain, 9, mtime=0)
            digest = sha256(plain).hexdigest()[:32]
            found[entry.name] = Asset(entry.name, plain, small, digest)
    return found


def find(folder: str, name: str) -> Asset:
    """A file; raises `ProblemError`, 404."""
    asset = load(folder).get(name)
    if asset is None:
        raise ProblemError(ErrorCode.ROUTE_UNKNOWN, "No file has this name.")
    return asset


def serve(
    asset: Asset,
    call: Exchange,
    caching: bytes,
    more: Headers = (),
    *,
    connect: str | None = None,
) -> Answer:
    """The file, or 304 where the caller has it (RFC 9110 section 13.1.2).

    Args:
        asset: the file.
        call: the request.
        caching: `Cache-Control`.
        more: further header fields.
        connect: an origin besides our own that a page speaks with.
    """
    page = asset.name.endswith(".html")
    small = accepts_gzip(call.header(b"accept-encoding") or "")
    tag = f'"{asset.digest}{"-gzip" if small else ""}"'
    headers: Headers = (
        (b"etag", tag.encode()),
        (b"vary", b"Accept-Encoding"),
        *(((b"content-encoding", b"gzip"),) if small else ()),
        *more,
    )
    policy = _PAGE_POLICY % (connect or "").encode() if page else _FILE_POLICY
    security: Headers = (
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", policy),
        (b"cache-control", caching),
        *(((b"x-frame-options", b"DENY"),) if page else ()),
    )
    if known(call.header(b"if-none-match"), tag):
        return Answer(304, b"", asset.media, headers, security)
    return Answer(200, asset.small if small else asset.plain, asset.media, headers, security)


def known(given: str | None, tag: str) -> bool:
    """Whether `If-None-Match` names the tag; compared weakly."""
    if given is None:
        return False
    named = {found.removeprefix("W/") for found in _TAG.findall(given)}
    return tag in named or "*" in named


def accepts_gzip(accepted: str) -> bool:
    """Whether gzip may be sent (RFC 9110 section 12.5.3)."""
    weights = {}
    for part in accepted.lower().split(","):
        coding, _, weight = part.partition(";")
        weights[coding.strip()] = weight.replace(" ", "").removeprefix("q=")
    weight = weights.get("gzip", weights.get("*", "0"))
    return weight.strip("0.") != "" or weight == ""
