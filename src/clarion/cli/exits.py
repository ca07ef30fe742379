"""How a command ends: exit codes, and errors that are one sentence."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    """All is well."""
    FINDINGS = 1
    """Done, but something needs a look: bad rows, a failed check, a message nobody took."""
    USAGE = 2
    """The command, a file or a setting is wrong; nothing was done."""
    REFUSED = 3
    """The server refused the request."""
    UNREACHABLE = 4
    """The server or an engine can't be reached, or did not answer in time."""
    INTERRUPTED = 130
    """Ctrl-C."""


EXIT_PAGE = """\
Exit codes:

- 0: all is well
- 1: done, with findings (bad rows, a failed check, a message that reached nobody)
- 2: the command, a file or a setting is wrong; nothing was done
- 3: the server refused
- 4: the server or an engine can't be reached
- 130: interrupted
"""


class CommandError(Exception):
    """A command can't go on. The sentence says what is wrong and what to do.

    Attributes:
        code: how the process ends.
        details: further lines, one for each field or setting.
    """

    def __init__(
        self, sentence: str, code: Exit = Exit.USAGE, details: tuple[str, ...] = ()
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.details = details
