"""The demo's child processes: the platform and the simulators, started and ended by their ids."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import orjson

START_S: Final = 180.0
STOP_S: Final = 180.0
"""As long as a start: who is told to end while it starts may have to finish that first."""
_TAIL_OCTETS: Final = 2000


class ChildFailedError(Exception):
    """A child process did not start; the sentence has the end of what it wrote."""


@dataclass(slots=True)
class _Running:
    name: str
    process: asyncio.subprocess.Process


class Children:
    """Child processes that live as long as the block; they are ended in reverse order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[_Running] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in reversed(self._running):
            await _end(child.process)

    async def start(
        self, name: str, arguments: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Start `clarion ARGUMENTS` and return the first line of JSON that it says.

        Args:
            name: of its log file.
            arguments: of the command line.
            variables: settings in the environment; the caller's own are not handed on.

        Raises:
            ChildFailedError: it ended or said nothing in time.
        """
        log = self._folder / f"{name}.log"
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "clarion.cli",
                *arguments,
                env=_environment(variables or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which ends them in order
            )
        self._running.append(_Running(name, process))
        return await _first_words(name, process, log)


def _environment(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Ours without settings, which are for the user's own platform, not for the demo's."""
    ours = dict(os.environ)  # noqa: TID251  (handed on to our own children)
    return {n: v for n, v in ours.items() if not n.startswith("CLARION_")} | dict(variables)


async def _first_words(name: str, process: asyncio.subprocess.Process, log: Path) -> dict[str, Any]:
    line = b""
    if process.stdout is not None:
        try:
            async with asyncio.timeout(START_S):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
    if line:
        said: dict[str, Any] = orjson.loads(line)
        return said
    written = _tail(log)
    ended = "ended" if process.returncode is not None else f"did not start within {START_S:.0f} s"
    raise ChildFailedError(f"the {name} process {ended}; it wrote: {written or 'nothing'}")


def _tail(log: Path) -> str:
    return log.read_bytes()[-_TAIL_OCTETS:].decode("utf-8", "replace").strip()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask to end, wait, and kill what does not."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
