"""Ports that are chosen now and bound later, by another process."""

import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _SLICES, _SLICE = 12_000, 16, 1_000


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that nobody is given who asks for any.

    The system gives whoever connects, and whoever binds to port 0, one of its own range: a port of
    that range may be taken before we come to bind it. Each process of a test run has ports of its
    own beyond it.
    """
    for port in itertools.islice(_OWN, _SLICE):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")


def _own_ports() -> Iterator[int]:
    """The ports of this process, one after another, from a place that two runs hardly share."""
    first = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768
    lowest = _LOWEST if first >= _LOWEST + _SLICES * _SLICE else 1_024
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _SLICES
    ports = [lowest + worker * _SLICE + number for number in range(_SLICE)]
    start = os.getpid() * 37 % _SLICE
    return itertools.cycle(ports[start:] + ports[:start])


_OWN = _own_ports()
