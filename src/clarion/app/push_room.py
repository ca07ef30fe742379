"""How many devices one process of the push service can hold: each of them is an open file."""

import resource
from typing import Final

from clarion.app.setting_push import Push

SPARE_FILES: Final = 256
"""File descriptors besides connections: the store's, logs."""
_NO_LIMIT: Final = 1 << 20


def files_allowed() -> int:
    """As many open files as the system lets a process of this user have at most."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _NO_LIMIT if hard == resource.RLIM_INFINITY else hard


def room_for(push: Push, files: int) -> int:
    """Connections that one process holds, given as many files."""
    return max(1, min(push.connections, files - SPARE_FILES))
