"""Become the server: give up root, ask to be told when the parent dies, then exec.

Run as a program of its own, ``python -I -S pg_child.py PARENT UID GID PROGRAM ARGUMENT...``,
because code between fork and exec in a process with threads may deadlock. UID is -1 to stay.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def become(parent: int, uid: int, gid: int, argv: list[str]) -> None:
    """Replace this process by `argv`, which gets SIGINT when the thread that started us ends."""
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After the change of user, which would clear it; exec of an ordinary binary keeps it.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent:  # it died before we asked
            sys.exit("the parent is gone")
    os.execv(argv[0], argv)  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    become(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
