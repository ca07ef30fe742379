"""Where the API is: its URL, and a free port when any will do."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final
from urllib.parse import urlsplit

import msgspec

from clarion.app.settings import Settings

_THIS_MACHINE: Final = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0", "::", ""})  # noqa: S104  read, not bound
"""Hosts of a listener that a browser beside it reaches under several names."""


def url_of(settings: Settings) -> str:
    """Where the API is reached on this machine."""
    return _url(settings.server.host, settings.server.port)


def push_origin(settings: Settings) -> str:
    """The origin of our own push endpoints: the one that is set, else where it listens."""
    return settings.push.url or _url(settings.push.host, settings.push.port)


def own_origins(settings: Settings) -> frozenset[str]:
    """The origins under which browsers see pages that the API itself serves."""
    server = settings.server
    found = {url_of(settings)}
    if server.host in _THIS_MACHINE:
        found |= {_url(host, server.port) for host in ("127.0.0.1", "localhost", "::1")}
    if server.public_url is not None:
        public = urlsplit(server.public_url)
        found.add(f"{public.scheme}://{public.netloc}".lower())
    # Browsers leave a scheme's own port out (RFC 6454 section 6.2).
    return frozenset(found | {origin.removesuffix(":80") for origin in found})


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


@contextmanager
def port_held(settings: Settings) -> Iterator[Settings]:
    """With `server.port` or `push.port` 0, the settings with a free port that stays ours.

    It is bound and never listened on, which keeps others away and lets our own processes, however
    often they start, listen on it (all set SO_REUSEADDR).

    Raises:
        OSError: `server.host` or `push.host` is none of this machine's addresses.
    """
    with ExitStack() as holders:
        server, push = settings.server, settings.push
        if not server.port:
            server = msgspec.structs.replace(server, port=_hold(holders, server.host))
        if not push.port and push.processes:
            push = msgspec.structs.replace(push, port=_hold(holders, push.host))
        yield msgspec.structs.replace(settings, server=server, push=push)


def _hold(holders: ExitStack, host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = holders.enter_context(socket.socket(family, socket.SOCK_STREAM))
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((host, 0))
    port: int = holder.getsockname()[1]
    return port
