"""The command line's manners: help, one-sentence errors, exit codes."""

import sys
from pathlib import Path

import pytest

from clarion.cli.entry import application, run
from clarion.cli.exits import Exit

COMMANDS = [
    ["serve"],
    ["worker"],
    ["migrate"],
    ["keys"],
    ["keys", "create"],
    ["keys", "list"],
    ["keys", "rotate"],
    ["keys", "revoke"],
    ["doctor"],
    ["import"],
    ["send"],
    ["messages"],
    ["messages", "status"],
    ["messages", "pause"],
    ["messages", "resume"],
    ["messages", "cancel"],
    ["trace"],
    ["simulate"],
    ["simulate", "apns"],
    ["simulate", "fcm"],
    ["simulate", "webpush"],
    ["demo"],
]


def ended(*arguments: str) -> int:
    """Run a command in this process."""
    return run(arguments)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLARION_KEY", "CLARION_URL", "CLARION_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def test_help_lists_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """`clarion --help` is the table of contents."""
    assert ended("--help") == Exit.OK
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert command[0] in shown
    for code in Exit:
        assert f"{code.value}:" in shown


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """`--help` works on each, and every option has a sentence."""
    assert ended(*command, "--help") == Exit.OK
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: clarion {' '.join(command)}")


def test_bare_clarion_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Who types only the name is told what there is."""
    assert ended() == Exit.OK
    assert "Usage: clarion COMMAND" in capsys.readouterr().out


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints it, and nothing else."""
    assert ended("--version") == Exit.OK
    assert capsys.readouterr().out.strip() == application().version


@pytest.mark.parametrize(
    "arguments",
    [
        ["sned"],
        ["send", "--titel", "x"],
        ["simulate", "apns", "--dead", "many"],
        ["simulate", "apns", "--dead", "3"],
        ["simulate", "fcm", "--throttle", "-0.1"],
        ["simulate", "webpush", "--other-key", "nan"],
        ["simulate", "apns", "--latency-ms", "40-20"],
        ["simulate", "apns", "--latency-ms", "fast"],
        ["simulate", "fcm", "--reason", "BAD_MOOD"],
        ["worker"],
        ["worker", "--role", "cook"],
        ["demo", "--users", "3"],
        ["send", "--title", "to nobody"],
        ["import", "no-such-file.csv"],
        ["import", "archive.zip"],
        ["send", "--to", "ada", "--data", "no-such-file.json"],
        ["send", "--alias", "no-colon", "--title", "x"],
        ["keys", "create", "x", "--expires-days", "0"],
        ["keys", "rotate", "x", "--grace-hours", "-1"],
        ["keys", "rotate", "x", "--grace-hours", "nan"],
        ["keys", "rotate", "x", "--grace-hours", "inf"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_is_told_in_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, nothing on standard output, no traceback."""
    assert ended(*arguments) == Exit.USAGE
    said = capsys.readouterr()
    assert not said.out
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err


def test_wrong_settings_are_all_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each problem has its line, with the nearest known name."""
    monkeypatch.setenv("CLARION_SERVER_PROT", "1")
    monkeypatch.setenv("CLARION_SERVER_PORT", "many")
    assert ended("doctor") == Exit.USAGE
    said = capsys.readouterr().err
    assert "CLARION_SERVER_PROT" in said
    assert "did you mean CLARION_SERVER_PORT?" in said
    assert "CLARION_SERVER_PORT: " in said


def test_a_data_directory_that_cannot_be_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file stands where the directory should: exit code 2, with the setting and what to do."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("CLARION_DATA_DIR", str(file))
    assert ended("migrate") == Exit.USAGE
    said = capsys.readouterr().err
    assert f"data.dir: {file} can't be the data directory" in said
    assert "CLARION_DATA_DIR" in said


def test_a_server_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 4, with the address and how to start it."""
    arguments = ["send", "--to", "ada", "--title", "x", "--url", "http://127.0.0.1:9"]
    assert ended(*arguments) == Exit.UNREACHABLE
    said = capsys.readouterr().err
    assert "http://127.0.0.1:9 can't be reached" in said
    assert "clarion serve" in said


def test_an_address_without_a_scheme_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The option is named."""
    arguments = ["send", "--to", "ada", "--title", "x", "--url", "localhost:8080"]
    assert ended(*arguments) == Exit.USAGE
    assert "--url" in capsys.readouterr().err


def test_help_imports_no_engine() -> None:
    """The list of commands is quick: their modules are imported when they are called."""
    import subprocess  # noqa: PLC0415

    look = (
        "import sys; from clarion.cli.entry import run; run(['--help']);"
        "sys.exit(any(name in sys.modules for name in ('asyncpg', 'duckdb', 'polars', 'uvicorn')))"
    )
    done = subprocess.run([sys.executable, "-c", look], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
