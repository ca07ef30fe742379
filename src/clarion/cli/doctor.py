"""`clarion doctor`: checks everything and says what to do."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Final

from rich.markup import escape

from clarion.app.doctor import Finding, Level, examine
from clarion.cli.exits import Exit
from clarion.cli.options import AsJson, ConfigFile
from clarion.cli.output import OUT, print_json
from clarion.cli.reading_settings import read_settings
from clarion.cli.running import engine_failures, run_loop

_STYLES: Final = {
    Level.OK: "[green]  ok[/]",
    Level.WARN: "[yellow]warn[/]",
    Level.FAIL: "[bold red]fail[/]",
}


def doctor(*, config: ConfigFile = None, json: AsJson = False) -> int:
    """Check settings, disk, permissions, engines, clocks, credentials and the way out.

    Each line is ok, warn or fail, with what to do; the exit code is 1 when something fails. It
    works while the platform runs and while it does not, and changes nothing.
    """
    settings = read_settings(config)
    with engine_failures():
        findings = run_loop(_collect(examine(settings), show=not json))
    failed = sum(finding.level is Level.FAIL for finding in findings)
    warned = sum(finding.level is Level.WARN for finding in findings)
    if json:
        print_json({"failed": failed, "warned": warned, "findings": [asdict(f) for f in findings]})
    else:
        OUT.print(f"\n{len(findings)} checks: {failed} failed, {warned} to look at")
    return Exit.FINDINGS if failed else Exit.OK


async def _collect(examination: AsyncIterator[Finding], *, show: bool) -> list[Finding]:
    findings: list[Finding] = []
    async for finding in examination:
        findings.append(finding)
        if show:
            _show(finding)
    return findings


def _show(finding: Finding) -> None:
    OUT.print(
        f"{_STYLES[finding.level]}  [bold]{escape(finding.what)}[/]: {escape(finding.found)}",
        soft_wrap=True,
    )
    if finding.advice:
        OUT.print(f"      {escape(finding.advice)}", soft_wrap=True, style="dim")
