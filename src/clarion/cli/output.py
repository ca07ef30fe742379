"""Where commands write: tables and bars for people, one JSON document for machines."""

from typing import Final

import orjson
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)


def _console(*, stderr: bool = False) -> Console:
    """A console; where nobody's window sets the width, tables get room."""
    console = Console(highlight=False, stderr=stderr)
    return console if console.is_terminal else Console(highlight=False, stderr=stderr, width=120)


OUT: Final = _console()
"""What was asked for."""
ERR: Final = _console(stderr=True)
"""How it goes, and what went wrong."""


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())


def print_error(sentence: str, details: tuple[str, ...] = ()) -> None:
    """One sentence on standard error, and a line for each detail."""
    ERR.print(f"[bold red]error:[/] {escape(sentence)}", soft_wrap=True)
    for line in details:
        ERR.print(f"  {escape(line)}", soft_wrap=True)


def progress(console: Console = ERR) -> Progress:
    """A bar with counts and time; on something that is no terminal only its last state shows."""
    return Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def number(value: float) -> str:
    """A count with separators between thousands."""
    return f"{value:,.0f}"
