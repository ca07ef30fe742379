"""`clarion serve`: the whole platform on one machine."""

import errno
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape

from clarion.app.names_known import ADVICE, sentence
from clarion.app.settings import Settings
from clarion.app.supervise import Started
from clarion.app.supervise import serve as supervise
from clarion.cli.exits import CommandError, Exit
from clarion.cli.options import AsJson, ConfigFile
from clarion.cli.output import OUT
from clarion.cli.reading_settings import read_settings
from clarion.cli.running import ends_with_parent, engine_failures, run_loop, stop_on_signals
from clarion.telemetry.logs import start_logging


def serve(
    *,
    config: ConfigFile = None,
    json: AsJson = False,
    with_parent: Annotated[bool, Parameter(negative=(), show=False)] = False,
) -> int:
    """Start the platform: engines, API and workers. Ctrl-C drains and stops it.

    The first start makes the app named by `api.operator_app` and its first admin key, and shows
    the key once. With `--json` the first line of output tells address and key to a machine.
    """
    settings = read_settings(config)
    start_logging(settings.log.level, settings.log.format)
    server, push = settings.server, settings.push
    _check_port(
        server.host,
        server.port,
        "choose another port with CLARION_SERVER_PORT "
        "(0 takes a free one), or another address with CLARION_SERVER_HOST",
    )
    if push.processes:
        _check_port(
            push.host,
            push.port,
            "choose another port with CLARION_PUSH_PORT (0 takes a free one), "
            "another address with CLARION_PUSH_HOST, or run no push service with "
            "CLARION_PUSH_PROCESSES=0",
        )
    with engine_failures():
        run_loop(_serve(settings, config, as_json=json, with_parent=with_parent))
    return Exit.OK


def _check_port(host: str, port: int, advice: str) -> None:
    """Whether one can listen there; the role's own process would only say so in the log."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise CommandError(
                f"{host}:{port} can't be listened on ({error.strerror}); "
                + ("stop what listens there (another Clarion?), or " if taken else "")
                + advice,
                Exit.UNREACHABLE,
            ) from error


async def _serve(
    settings: Settings, config: Path | None, *, as_json: bool, with_parent: bool
) -> None:
    stop = stop_on_signals()

    tell = _tell_machine if as_json else _tell

    @contextmanager
    def started(what: Started) -> Iterator[None]:
        try:
            with tell(what):
                yield
        except OSError as error:
            raise CommandError(f"nobody reads what it says ({error.strerror})") from error

    async with ends_with_parent(stop, wanted=with_parent):
        await supervise(settings, stop, started=started, config=config)


@contextmanager
def _tell_machine(what: Started) -> Iterator[None]:
    """The key is stored before its line ends: a line that was read is a key to use."""
    import orjson  # noqa: PLC0415  (people need none)

    key = None if what.first_key is None else what.first_key.text
    said = {
        "event": "started",
        "url": what.url,
        "data_dir": str(what.data_dir),
        "key": key,
        "unknown_names": what.unknown_names,
    }
    print(orjson.dumps(said).decode(), end="", flush=True)
    yield
    print(flush=True)


@contextmanager
def _tell(what: Started) -> Iterator[None]:
    OUT.print()
    OUT.print(f"[bold green]Clarion is running[/] at [bold]{what.url}[/]")
    OUT.print(f"  data in {escape(str(what.data_dir))}; Ctrl-C stops it", soft_wrap=True)
    if what.unknown_names:
        OUT.print(f"[bold red]Attention[/]: {sentence(what.unknown_names)}; {ADVICE}.")
    if what.first_key is None:
        OUT.print(f"  another key: {_command()} keys create NAME --scope admin\n", soft_wrap=True)
        yield
        return
    key = what.first_key.text
    # No box: one that is narrower than the key would cut it off, and it's shown only once.
    OUT.print("\n[yellow]First admin key[/], shown this once (we keep only its hash):")
    OUT.print(f"[bold]{key}[/]\n", soft_wrap=True)
    yield
    OUT.print("[bold]A push to your own browser[/], in two clicks:")
    OUT.print(f"{what.url}/try#key={key}\n", soft_wrap=True)
    OUT.print("[bold]Try this next[/], in another terminal:\n")
    print(_activation() + TRY_NEXT.format(url=what.url, key=key), flush=True)


def _command() -> str:
    """How to call `clarion` from the folder that `make run` was called in."""
    script = Path(sys.argv[0])
    if shutil.which("clarion") is not None or script.name != "clarion":
        return "clarion"
    return shlex.quote(str(script))


def _activation() -> str:
    """The line that puts `clarion` on the path, where it isn't: `make run` calls it by its path."""
    script = Path(sys.prefix) / "bin" / "activate"
    if shutil.which("clarion") is not None or not script.exists():
        return ""
    return f"  . {shlex.quote(str(script))}\n"


TRY_NEXT = """\
  export CLARION_URL={url}
  export CLARION_KEY={key}

  # a device of a person registers
  curl -s $CLARION_URL/v1/devices -H "Authorization: Bearer $CLARION_KEY" \\
    -H 'Content-Type: application/json' \\
    -d '{{"network": "fcm", "token": "a-first-device", "external_id": "ada", "language": "en"}}'

  # a message to that person
  curl -s $CLARION_URL/v1/messages -H "Authorization: Bearer $CLARION_KEY" \\
    -H 'Content-Type: application/json' \\
    -d '{{"to": {{"users": ["ada"]}}, "title": "Hello", "body": "It works."}}'

  # and what became of it (until you give a credential: suppressed, credential_missing)
  clarion send --to ada --title Hello --wait

  # or see it all at work, on simulated networks
  clarion demo
"""
"""What a first start says. A test runs the quickstart, which begins with the same commands."""
