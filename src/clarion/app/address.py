"""Where the API is: its URL, and a free port when any will do."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from clarion.app.settings import Settings


def url_of(settings: Settings) -> str:
    """Where the API is reached on this machine."""
    host = settings.server.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.server.port}"


@contextmanager
def port_held(settings: Settings) -> Iterator[Settings]:
    """With `server.port` 0, the settings with a free port that stays ours.

    It is bound and never listened on, which keeps others away and lets our own processes, however
    often they start, listen on it (all set SO_REUSEADDR).

    Raises:
        OSError: `server.host` is none of this machine's addresses.
    """
    if settings.server.port:
        yield settings
        return
    host = settings.server.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, 0))
        server = msgspec.structs.replace(settings.server, port=holder.getsockname()[1])
        yield msgspec.structs.replace(settings, server=server)
