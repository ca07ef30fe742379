"""The commands' table, and how errors become one sentence and an exit code."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from cyclopts import App, CycloptsError, Group

from clarion.cli.exits import EXIT_PAGE, CommandError, Exit
from clarion.cli.output import ERR, print_error

_RUN: Final = Group("Run the platform", sort_key=1)
_USE: Final = Group("Use a running platform", sort_key=2)
_TRY: Final = Group("Try it", sort_key=3)
_COMMANDS: Final = {
    "serve": ("clarion.cli.serve:serve", _RUN, "Start the platform: engines, API and workers."),
    "worker": ("clarion.cli.worker:worker", _RUN, "Run one role of the platform."),
    "migrate": ("clarion.cli.migrate:migrate", _RUN, "Bring the database's schema up to date."),
    "keys": ("clarion.cli.keys:app", _RUN, "Make, list, rotate and revoke API keys."),
    "consent": ("clarion.cli.consent:app", _RUN, "Import consents; verify the ledger."),
    "doctor": ("clarion.cli.doctor:doctor", _RUN, "Check everything, and say what to do."),
    "import": ("clarion.cli.import_file:import_file", _USE, "Import people and devices."),
    "events": ("clarion.cli.events:app", _USE, "Record what people did, from a file."),
    "audience": ("clarion.cli.audience:app", _USE, "Export people; read the columns anew."),
    "send": ("clarion.cli.send:send", _USE, "Send a message."),
    "messages": ("clarion.cli.messages:app", _USE, "How far is it? Pause, resume, cancel."),
    "dry-run": ("clarion.cli.dry_run:dry_run", _USE, "Try a message without sending it."),
    "replay": ("clarion.cli.replay:replay", _USE, "Decide again about a message, by other rules."),
    "segments": ("clarion.cli.segments:app", _USE, "List, show, count and write segments."),
    "trace": ("clarion.cli.trace:trace", _USE, "Why did this person get it, or not?"),
    "simulate": ("clarion.cli.simulate:app", _TRY, "Run a push network on this machine."),
    "demo": ("clarion.cli.demo:demo", _TRY, "See the main job on 100,000 people."),
}
"""Name -> where the command is, its group, and its sentence in the list."""


def application() -> App:
    """The command line. A command's module is imported when it is called."""
    app = App(
        name="clarion",
        help=(
            "Clarion: push notifications on your own machine, from a device token to a recorded "
            "outcome.\n\nStart with `clarion serve`, or see it all at work with `clarion demo`."
        ),
        version=version("clarion"),
        help_epilogue=EXIT_PAGE,
        help_format="markdown",
        help_on_error=False,
    )
    for name, (path, group, sentence) in _COMMANDS.items():
        app.command(path, name=name, group=group, help=sentence)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code."""
    app = application()
    try:
        ended = app(
            list(arguments),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
            console=None,
        )
    except CycloptsError as error:
        command = " ".join(["clarion", *(error.command_chain or ())])
        print_error(str(error).strip(), (f"`{command} --help` shows what it takes.",))
        return Exit.USAGE
    except CommandError as error:
        print_error(str(error), error.details)
        return error.code
    except KeyboardInterrupt:
        ERR.print("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough (`clarion keys list | head`).
        sys.stderr.close()
        return Exit.OK
    return int(ended) if isinstance(ended, int) else Exit.OK
