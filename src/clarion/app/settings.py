"""The settings: one frozen tree, read once, from a TOML file and the environment.

It starts with no configuration at all. `section.name` in the file is `CLARION_SECTION_NAME` in the
environment, which wins; a secret may also be named by `CLARION_SECTION_NAME_FILE`, whose content
is taken. Unknown names are refused, with the nearest known one.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec

from clarion.app.setting_tree import Secret, Settings

__all__ = ["Secret", "Setting", "Settings", "SettingsError", "load", "reference_page", "table"]

PREFIX: Final = "CLARION_"
FILE_VARIABLE: Final = "CLARION_CONFIG"
NOT_SETTINGS: Final = frozenset({FILE_VARIABLE, "CLARION_KEY", "CLARION_URL"})
"""Variables of ours that are not part of the tree: the file, and what the command line uses."""


class SettingsError(Exception):
    """The settings can't be used; one sentence a line, each naming the setting."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as the reference page shows it."""

    name: str
    """`section.name`."""
    variable: str
    kind: Any
    default: str
    sentence: str

    @property
    def secret(self) -> bool:
        """Whether it may be read from a file named by `<variable>_FILE`."""
        return Secret in get_args(self.kind)

    @property
    def by_environment(self) -> bool:
        """Whether one variable can hold it (a table of names can only be in the file)."""
        return get_origin(self.kind) is not dict


def table() -> Sequence[Setting]:
    """Every setting in the order of the tree."""
    return tuple(_settings())


def reference_page() -> str:
    """`docs/reference/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Everything has a default: Clarion starts with no configuration at all. A TOML file named",
        f"by `{FILE_VARIABLE}` (or `--config`) sets `name` in `[section]`; an environment variable",
        "wins over the file. Lists are comma-separated in a variable. A secret can also come from",
        "a file: add `_FILE` to its variable. Unknown names are refused.",
    ]
    section = ""
    for setting in table():
        if setting.name.partition(".")[0] != section:
            section = setting.name.partition(".")[0]
            lines += ["", f"## `[{section}]`", "", "| Setting | Default | What it does |"]
            lines.append("| --- | --- | --- |")
        variable = f"<br>`{setting.variable}`" if setting.by_environment else ""
        name = setting.name.partition(".")[2]
        lines.append(f"| `{name}`{variable} | {setting.default} | {setting.sentence} |")
    return "\n".join(lines) + "\n"


def load(environ: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """Read the file and the environment.

    `file` wins over `CLARION_CONFIG`. Raises `SettingsError` with every problem that was found.
    """
    env = os.environ if environ is None else environ
    path = file if file is not None else _path(env.get(FILE_VARIABLE))
    tree = {} if path is None else _read(path)
    problems = [*_unknown_names(tree), *_overlay(tree, env)]
    if problems:
        raise SettingsError(problems)
    try:
        settings = msgspec.convert(tree, Settings, dec_hook=_hook)
    except msgspec.ValidationError as error:
        raise SettingsError([f"{error}".replace("$.", "")]) from None
    if settings.data.dir is not None:
        return settings
    data = msgspec.structs.replace(settings.data, dir=default_data_dir(env))
    return msgspec.structs.replace(settings, data=data)


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Where data is kept when nothing is said."""
    if os.geteuid() == 0:
        return Path("/var/lib/clarion")
    base = environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "clarion"


def _settings() -> Iterator[Setting]:
    for section, kind in get_type_hints(Settings).items():
        hints = get_type_hints(kind, include_extras=True)
        for field in msgspec.structs.fields(kind):
            bare, meta = get_args(hints[field.name])[:2]
            yield Setting(
                name=f"{section}.{field.name}",
                variable=f"{PREFIX}{section}_{field.name}".upper(),
                kind=bare,
                default=_shown(field.default if field.default is not msgspec.NODEFAULT else {}),
                sentence=str(meta.description),
            )


def _shown(default: object) -> str:
    if default is None or default in ((), {}):
        return "none"
    if isinstance(default, tuple):
        return f"`{', '.join(default)}`"
    return f"`{default}`"


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise SettingsError([f"{path}: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: {error}"]) from error


def _unknown_names(tree: Mapping[str, Any]) -> Iterator[str]:
    known = [setting.name for setting in table()]
    sections = list(get_type_hints(Settings))
    for section, members in tree.items():
        if section not in sections:
            yield f"unknown section [{section}]{_nearest(section, sections)}"
        elif not isinstance(members, dict):
            yield f"{section} is a section: write [{section}]"
        else:
            for name in members:
                if f"{section}.{name}" not in known:
                    yield f"unknown setting {section}.{name}{_nearest(f'{section}.{name}', known)}"


def _overlay(tree: dict[str, Any], environ: Mapping[str, str]) -> Iterator[str]:
    """Write the environment over the tree; yields what is wrong with it."""
    known = {s.variable: s for s in table() if s.by_environment}
    files = {f"{variable}_FILE": s for variable, s in known.items() if s.secret}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        setting = known.get(variable) or files.get(variable)
        if setting is None:
            yield f"unknown variable {variable}{_nearest(variable, [*known, *files])}"
            continue
        try:
            value = _value(setting, Path(text).read_text().strip() if variable in files else text)
        except OSError as error:
            yield f"{variable}: {text}: {error.strerror}"
        except (msgspec.ValidationError, UnicodeDecodeError) as error:
            yield f"{variable}: {error}"
        else:
            section, _, name = setting.name.partition(".")
            members = tree.setdefault(section, {})
            if isinstance(members, dict):
                members[name] = value


def _value(setting: Setting, text: str) -> object:
    """The text of a variable as the file would have given it."""
    if get_origin(setting.kind) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if setting.secret or Path in {setting.kind, *get_args(setting.kind)}:
        return text
    value: object = msgspec.convert(text, setting.kind, strict=False)
    return value


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _hook(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    raise TypeError(f"a text was expected for {kind.__name__}")
