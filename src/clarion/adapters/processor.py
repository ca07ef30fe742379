"""Who yields the processor to whom."""

import contextlib
import ctypes
import os
import platform
import struct
import sys
from pathlib import Path
from typing import Final

SESSION_NICENESS: Final = 5
"""A third of a session's share. Sessions compete with everything else on the machine, where
what is left over for the lowest of them may be nothing for minutes."""

SHORT_TURN_NS: Final = 100_000
"""The shortest that Linux grants (0.1 ms); the usual turn is 0.7 to 2.8 ms, by the processors."""

_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
"""The number of the system call, by machine: most C libraries have no function for it."""
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")
"""size, policy, flags, nice, priority, runtime, deadline, period: sched_setattr(2)."""


def yield_to_others(pid: int, niceness: int) -> None:
    """Lower the priority of a process to this niceness (0 to 19), and of a session that it leads.

    Linux may schedule sessions (sched(7), "The autogroup feature"): each has the same share then,
    and niceness counts only among the processes of one. Every role and every process of the state
    store is a session of its own, so it is lowered to `SESSION_NICENESS` there. Where the system
    schedules no sessions, there is no such file or it has no effect. A process that somebody has
    started in a session of theirs leaves that one alone.

    Raises:
        OSError: the process has ended, or is another user's.
    """
    os.setpriority(os.PRIO_PROCESS, pid, niceness)
    if os.getsid(pid) != pid:
        return
    with contextlib.suppress(OSError):  # no such feature, or it was changed a moment ago
        Path(f"/proc/{pid}/autogroup").write_text(f"{SESSION_NICENESS}", encoding="ascii")


def take_short_turns(pid: int) -> None:
    """Let a process have the processor soon after it wakes up, for a short turn at a time.

    Linux gives the processor to whoever has not had its share and whose turn would end first, and
    lets a short turn interrupt a longer one (sched_setattr(2): from Linux 6.12 on, `sched_runtime`
    of an ordinary process is the length of its turns). The share stays what it was. An older Linux
    and other systems change nothing, nor does a process lose a policy that somebody has given it.

    Raises:
        OSError: the process has ended, is another user's, or may not be told so here.
    """
    call = _SCHED_SETATTR.get(platform.machine())
    if sys.platform != "linux" or call is None or os.sched_getscheduler(pid) != os.SCHED_OTHER:
        return
    niceness = os.getpriority(os.PRIO_PROCESS, pid)
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, niceness, 0, SHORT_TURN_NS, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(call, pid, wanted, 0) != 0:
        raise OSError(ctypes.get_errno(), "sched_setattr")
