"""Stock Firefox, headless, driven over raw Marionette."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from tests.e2e.desktop import desktop
from tests.e2e.patience import PATIENCE_S, START_S

PROGRAMS = ("firefox-esr", "firefox")


def program() -> str | None:
    """Where Firefox is installed, or None."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def preferences(server_url: str, permission: int = 1) -> Mapping[str, str | int | bool]:
    """What makes it use another push service, and what keeps it quiet."""
    return {
        "dom.push.serverURL": server_url,
        "dom.push.testing.allowInsecureServerURL": True,
        "dom.push.connection.enabled": True,
        "dom.push.retryBaseInterval": 500,
        "dom.push.requestTimeout": int(PATIENCE_S * 1000),
        "dom.serviceWorkers.idle_extended_timeout": int(PATIENCE_S * 1000),
        "permissions.default.desktop-notification": permission,
        "marionette.port": 0,
        "network.manage-offline-status": False,
        "browser.shell.checkDefaultBrowser": False,
        "browser.startup.page": 0,
        "toolkit.startup.max_resumed_crashes": -1,
        "datareporting.policy.dataSubmissionEnabled": False,
        "app.update.enabled": False,
        "app.normandy.enabled": False,
        "browser.safebrowsing.malware.enabled": False,
        "browser.safebrowsing.phishing.enabled": False,
        "browser.safebrowsing.downloads.enabled": False,
        "extensions.systemAddon.update.enabled": False,
        "services.settings.server": "data:,#remote-settings-dummy/v1",
        "toolkit.telemetry.enabled": False,
        "network.captive-portal-service.enabled": False,
        "network.connectivity-service.enabled": False,
    }


@dataclass
class Firefox:
    """A running browser with one window."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _number: int = field(default=0)

    async def command(self, name: str, **parameters: Any) -> Any:  # noqa: ANN401  JSON of any shape
        """One command of Marionette's protocol; its result."""
        self._number += 1
        message = orjson.dumps([0, self._number, name, parameters])
        self.writer.write(b"%d:%b" % (len(message), message))
        async with asyncio.timeout(PATIENCE_S):
            _, _, error, result = await self.read()
        if error is not None:
            raise RuntimeError(f"{name}: {error}")
        return result

    async def read(self) -> Any:  # noqa: ANN401  JSON of any shape
        """One message."""
        length = await self.reader.readuntil(b":")
        return orjson.loads(await self.reader.readexactly(int(length[:-1])))

    async def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401  JSON of any shape
        """Run the body of an async function in the page; what it returns."""
        wrapped = (
            "const done = arguments[arguments.length - 1];"
            "const args = Array.from(arguments).slice(0, -1);"
            f"(async () => {{ {script} }})().then(done, error => done({{error: String(error)}}));"
        )
        result = await self.command(
            "WebDriver:ExecuteAsyncScript", script=wrapped, args=list(arguments)
        )
        value = result["value"]
        if isinstance(value, dict) and "error" in value:
            raise RuntimeError(value["error"])
        return value

    async def open(self, url: str) -> str:
        """A new tab on an address, which is looked at from now on; its handle."""
        handle = str((await self.command("WebDriver:NewWindow", type="tab"))["handle"])
        await self.look(handle)
        await self.command("WebDriver:Navigate", url=url)
        return handle

    async def look(self, handle: str) -> None:
        """Look at a tab; commands go there."""
        await self.command("WebDriver:SwitchToWindow", handle=handle)

    async def chrome(self, script: str) -> Any:  # noqa: ANN401  JSON of any shape
        """Run a function's body in the browser itself, where the person's hand is."""
        await self.command("Marionette:SetContext", value="chrome")
        try:
            result = await self.command("WebDriver:ExecuteScript", script=script, args=[])
        finally:
            await self.command("Marionette:SetContext", value="content")
        return result["value"]

    async def click(self, script: str) -> None:
        """A trusted click on the element that a function's body gives, also in a shadow tree."""
        found = await self.command("WebDriver:ExecuteScript", script=script, args=[])
        (element,) = found["value"].values()
        await self.command("WebDriver:ElementClick", id=element)


@asynccontextmanager
async def firefox(
    profile: Path, server_url: str, dbus_address: str, *, permission: int = 1
) -> AsyncIterator[Firefox]:
    """Start it on a profile, which keeps its subscriptions from one start to the next.

    `permission` to show notifications, of every site: 0 is to be asked, 1 given, 2 refused.
    """
    found = program()
    assert found is not None
    lines = [
        f"user_pref({orjson.dumps(name).decode()}, {orjson.dumps(value).decode()});"
        for name, value in preferences(server_url, permission).items()
    ]
    port_file = _prepare(profile, "\n".join(lines))
    process = await asyncio.create_subprocess_exec(
        found, "--headless", "--no-remote", "--profile", str(profile), "--marionette",
        "--remote-allow-system-access", "about:blank",
        env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": dbus_address, "HOME": str(profile),
             "MOZ_CRASHREPORTER_DISABLE": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    browser = None
    try:
        browser = await _connect(process, port_file)
        yield browser
        with suppress(OSError, asyncio.IncompleteReadError, RuntimeError):
            await browser.command("Marionette:Quit", flags=["eForceQuit"])
        async with asyncio.timeout(PATIENCE_S):
            await process.wait()
    finally:
        if browser is not None:
            browser.writer.close()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def start_once(profile: Path) -> None:
    """Start and end it on a new profile: half of what a first start costs is spent then."""
    async with desktop() as screen, firefox(profile, "ws://127.0.0.1:9/", screen.address) as opened:
        await opened.open("about:blank")


@contextmanager
def profile_like(template: Path) -> Iterator[Path]:
    """A profile that no site has seen, for one test."""
    folder = Path(tempfile.mkdtemp(prefix="clarion-firefox-"))
    try:
        shutil.copytree(template, folder, dirs_exist_ok=True, symlinks=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _connect(process: asyncio.subprocess.Process, port_file: Path) -> Firefox:
    async with asyncio.timeout(START_S):
        while (port := _port_in(port_file)) is None:
            assert process.returncode is None, "Firefox has ended"
            await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        browser = Firefox(reader, writer)
        await browser.read()
    await browser.command("WebDriver:NewSession", strictFileInteractability=False)
    long_ms = int(PATIENCE_S * 1000)
    await browser.command("WebDriver:SetTimeouts", script=long_ms, pageLoad=long_ms)
    # Marionette turns the push connection off, as test profiles want it.
    await browser.command("Marionette:SetContext", value="chrome")
    await browser.command(
        "WebDriver:ExecuteScript",
        script="Services.prefs.setBoolPref('dom.push.connection.enabled', true)",
        args=[],
    )
    await browser.command("Marionette:SetContext", value="content")
    return browser


def _prepare(profile: Path, preferences: str) -> Path:
    """Write the preferences; where the browser will say which port it took."""
    profile.mkdir(exist_ok=True)
    (profile / "user.js").write_text(preferences)
    port_file = profile / "MarionetteActivePort"
    port_file.unlink(missing_ok=True)
    return port_file


def _port_in(port_file: Path) -> int | None:
    text = port_file.read_text().strip() if port_file.exists() else ""
    return int(text) if text else None
