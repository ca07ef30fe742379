"""The platform as its own processes, and a hand that kills them."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import orjson
from tests.e2e.patience import PATIENCE_S, START_S

from clarion.cli.exits import Exit

POLL_S = 0.01


@dataclass(kw_only=True)
class Processes:
    """One `clarion serve` with its children; the log tells their process ids.

    Attributes:
        log: where all of them write, one JSON object a line.
        environment: settings, as variables.
        key: the first admin key, from the first start.
        killed: process ids that got SIGKILL.
    """

    log: Path
    environment: Mapping[str, str]
    key: str = ""
    killed: set[int] = field(default_factory=set)
    _supervisor: asyncio.subprocess.Process | None = None

    async def start(self, *, again: bool = False) -> None:
        """Start the supervisor, and wait until it says that the API answers.

        `again`: as long as a child of the one before still listens, as a service manager does.
        """
        give_up = time.monotonic() + START_S
        while not (line := await self._first_words(give_up)):
            ended = self._supervisor and self._supervisor.returncode
            assert again, f"the platform ended with {ended}: {self.tail()}"
            assert ended == Exit.UNREACHABLE, self.tail()
        self.key = orjson.loads(line)["key"] or self.key

    async def _first_words(self, give_up: float) -> bytes:
        """Start it; the line that tells that it runs, or nothing where it ends before."""
        said = self.log.with_suffix(".said")
        with self.log.open("ab") as stderr, said.open("wb") as stdout:
            self._supervisor = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "clarion.cli",
                "serve",
                "--json",
                "--with-parent",
                env={
                    **{n: v for n, v in os.environ.items() if not n.startswith("CLARION_")},
                    **self.environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=stdout,  # a pipe would end only with the last of the children
                stderr=stderr,
                start_new_session=True,
            )
        while not (line := said.read_bytes()).endswith(b"\n"):
            if self._supervisor.returncode is not None:
                return b""
            assert time.monotonic() < give_up, f"the platform did not start: {self.tail()}"
            await asyncio.sleep(POLL_S)
        return line

    def living(self, role: str) -> list[int]:
        """The ids of a role's processes that were started and not killed; `postgres` is one."""
        found = []
        for line in self.log.read_bytes().splitlines():
            try:
                said = orjson.loads(line)
            except orjson.JSONDecodeError:  # no line of ours, or one that is being written
                continue
            name = {"store.started": "postgres", "role.started": said.get("role")}.get(
                said["event"]
            )
            if name == role and said["pid"] not in self.killed and _lives(said["pid"]):
                found.append(said["pid"])
        return found

    async def kill(self, role: str, which: float, *, after_s: float) -> int:
        """SIGKILL to one process of a role, some time after one lives; its id.

        Args:
            role: of `clarion worker`, `postgres` or `supervisor`.
            which: a number in [0, 1) that chooses among several.
            after_s: seconds that they are left alone.
        """
        if role == "supervisor":
            await asyncio.sleep(after_s)
            return await self._kill_supervisor()
        give_up = time.monotonic() + PATIENCE_S
        while not (pids := self.living(role)):
            assert time.monotonic() < give_up, f"no {role} lives: {self.tail()}"
            await asyncio.sleep(POLL_S)
        await asyncio.sleep(after_s)
        pids = self.living(role) or pids
        pid = pids[int(which * len(pids))]
        self.killed.add(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return pid

    async def _kill_supervisor(self) -> int:
        """Kill it and start another, while the children of the first one still drain."""
        supervisor = self._supervisor
        assert supervisor is not None
        assert supervisor.returncode is None, self.tail()
        supervisor.kill()
        await supervisor.wait()
        await self.start(again=True)
        return supervisor.pid

    def tail(self) -> str:
        """The end of the log."""
        return self.log.read_text("utf-8", "replace")[-4000:]

    async def stop(self) -> None:
        """Drain all of them."""
        supervisor = self._supervisor
        if supervisor is None or supervisor.returncode is not None:
            return
        supervisor.terminate()
        try:
            async with asyncio.timeout(START_S):
                await supervisor.wait()
        except TimeoutError:
            supervisor.kill()
            await supervisor.wait()
            raise


def wait_until_ready(url: str) -> None:
    """Return once the platform has all that it needs: it says that it runs when the API answers."""
    give_up = time.monotonic() + START_S
    with httpx.Client(base_url=url, timeout=PATIENCE_S) as http:
        while True:
            try:
                answer = http.get("/readyz")
            except httpx.TransportError as error:
                said = str(error)
            else:
                if answer.is_success:
                    return
                said = answer.text
            assert time.monotonic() < give_up, f"the platform is not ready: {said}"
            time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@asynccontextmanager
async def platform_processes(
    folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[Processes]:
    """A running platform; it is drained at the end, whatever happened."""
    processes = Processes(
        log=folder / "platform.log",
        environment={
            "CLARION_PUSH_PORT": "0",
            **environment,
            "CLARION_LOG_FORMAT": "json",
        },
    )
    try:
        await processes.start()
        yield processes
    finally:
        await processes.stop()
