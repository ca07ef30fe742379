"""The command line: `clarion COMMAND`; one file per command."""

from clarion.cli.entry import main

__all__ = ["main"]
