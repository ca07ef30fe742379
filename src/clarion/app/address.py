"""Where the API is: its URL, and a free port when any will do."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from clarion.app.settings import Settings


def url_of(settings: Settings) -> str:
    """Where the API is reached on this machine."""
    return _url(settings.server.host, settings.server.port)


def push_origin(settings: Settings) -> str:
    """The origin of our own push endpoints: the one that is set, else where it listens."""
    return settings.push.url or _url(settings.push.host, settings.push.port)


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
