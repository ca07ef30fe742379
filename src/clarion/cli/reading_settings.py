"""Settings for commands, with their problems as one error."""

from pathlib import Path

from clarion.app.settings import Settings, SettingsError, load
from clarion.cli.exits import CommandError


def read_settings(config: Path | None) -> Settings:
    """The settings from the file and the environment.

    Raises:
        CommandError: they can't be used; every problem is a detail.
    """
    try:
        return load(file=config)
    except SettingsError as error:
        raise CommandError(
            "the settings can't be used; correct these and try again", details=error.problems
        ) from error
