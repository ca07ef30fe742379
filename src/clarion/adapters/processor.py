"""Who yields the processor to whom."""

import contextlib
import os
from pathlib import Path
from typing import Final

SESSION_NICENESS: Final = 5
"""A third of a session's share. Sessions compete with everything else on the machine, where
what is left over for the lowest of them may be nothing for minutes."""


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
