"""What every benchmark needs: the machine, pinned children and their CPU time, rounds, the line.

A figure that holds on a noisy machine is the CPU time of a process, not the clock on the wall;
ratios come from rounds taken in turns, ours and the peer's, in one run.
"""

import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class ChildRun:
    """A child process that has ended: its CPU seconds, its peak memory and what it printed."""

    user_s: float
    system_s: float
    peak_rss_mib: float
    output: str

    @property
    def cpu_s(self) -> float:
        """User and system time together."""
        return self.user_s + self.system_s


def machine() -> dict[str, str | int]:
    """What the figures were measured on; no name of a machine or a person."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": len(cores()),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
    }


def cores() -> list[int]:
    """The cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cpu_of_child(argv: Sequence[str], *, core: int | None = None) -> ChildRun:
    """Runs a command to its end and returns what it cost.

    Args:
        argv: The command.
        core: The only core it may use, where the system can pin.

    Raises:
        RuntimeError: It ended with an error; the message carries what it printed.
    """
    with _pinned(core):
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stderr is not None
    output = child.stdout.read()
    complaint = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    child.stderr.close()
    if child.returncode:
        raise RuntimeError(f"{argv[0]} ended with {child.returncode}: {complaint}{output}")
    # ru_maxrss is in KiB on Linux and in octets on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return ChildRun(usage.ru_utime, usage.ru_stime, usage.ru_maxrss / unit, output)


@contextmanager
def server(
    argv: Sequence[str], *, core: int | None = None, port: int | None = None
) -> Iterator[int]:
    """A child that serves on loopback; yields its port once it listens, and stops it at the end.

    Args:
        argv: The command. Without a given port, the last number on its first line is the port.
        core: The only core it may use, where the system can pin.
        port: The port it was told to use, if it does not say so itself.

    Raises:
        RuntimeError: It ended, or did not listen in time.
    """
    with _pinned(core):
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        if port is None:
            numbers = re.findall(r"\d+", child.stdout.readline())
            if not numbers:
                raise RuntimeError(f"{argv[0]} ended before it listened")
            port = int(numbers[-1])
        _await_port(port, child)
        yield port
    finally:
        child.terminate()
        child.wait(10)
        child.stdout.close()


def _await_port(port: int, child: "subprocess.Popen[str]") -> None:
    for _ in range(200):
        if child.poll() is not None:
            raise RuntimeError(f"the server ended with {child.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


@contextmanager
def _pinned(core: int | None) -> Iterator[None]:
    """Children started meanwhile stay on that core: they inherit it from this thread."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def median_of_rounds(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Runs each measurement once per round, in turns, and returns the median of each."""
    results: dict[str, list[float]] = {name: [] for name in runs}
    for at in range(rounds):
        # Every other round goes backwards, so that none always follows the same neighbour.
        for name in list(runs) if at % 2 == 0 else list(runs)[::-1]:
            results[name].append(runs[name]())
    return {name: statistics.median(values) for name, values in results.items()}


def program(name: str) -> str | None:
    """Where a peer's program is installed, or None."""
    return shutil.which(name)


def program_version(name: str) -> str | None:
    """The first line of what an installed program says of its version, or None."""
    path = program(name)
    if path is None:
        return None
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return said.stdout.partition("\n")[0].strip() or "unknown"


def distribution(name: str) -> str | None:
    """The version of an installed Python distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def emit(
    name: str,
    figures: Mapping[str, float],
    ratios: Mapping[str, float],
    peers: Mapping[str, str | None],
) -> None:
    """Prints the result as the last line: one JSON object.

    Args:
        name: The benchmark.
        figures: Measured values; the unit stands in the name.
        ratios: Ours over the peer's; a missing peer has none.
        peers: Version of each peer, or None for one that is not installed.
    """
    line = {
        "benchmark": name,
        "figures": {key: _rounded(value) for key, value in figures.items()},
        "ratios": {key: _rounded(value) for key, value in ratios.items()},
        "peers": {key: value or "missing" for key, value in peers.items()},
        "machine": machine(),
    }
    print(json.dumps(line), flush=True)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
