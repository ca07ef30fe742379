"""The settings tree: defaults, file, environment, refusals, secrets, and its reference page."""

from pathlib import Path

import pytest

from clarion.app.settings import Secret, SettingsError, load, reference_page, table


def test_it_starts_with_no_configuration_at_all() -> None:
    """Nothing needs to be said."""
    settings = load({})
    assert settings.server.port == 8080
    assert settings.server.host == "127.0.0.1"
    assert settings.database.url is None
    assert settings.data_dir.is_absolute()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A variable is nearer to the operator than a file."""
    file = tmp_path / "clarion.toml"
    file.write_text('[server]\nport = 81\nhost = "0.0.0.0"\n[log]\nlevel = "debug"\n')
    settings = load({"CLARION_CONFIG": str(file), "CLARION_SERVER_PORT": "82"})
    assert settings.server.port == 82
    assert settings.server.host == "0.0.0.0"  # noqa: S104  a value to compare, nothing listens
    assert settings.log.level == "debug"


def test_an_unknown_name_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    """A typo in the file or in the environment never passes silently."""
    file = tmp_path / "clarion.toml"
    file.write_text("[server]\nprot = 81\n[databaze]\nurl = 'x'\n")
    with pytest.raises(SettingsError) as caught:
        load({"CLARION_DATABAZE_URL": "postgresql://x"}, file)
    assert caught.value.problems == (
        "unknown setting server.prot; did you mean server.port?",
        "unknown section [databaze]; did you mean database?",
        "unknown variable CLARION_DATABAZE_URL; did you mean CLARION_DATABASE_URL?",
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CLARION_SERVER_PORT", "70000"),
        ("CLARION_SERVER_PORT", "many"),
        ("CLARION_LOG_LEVEL", "loud"),
        ("CLARION_FAULTS_SHARE", "nan"),
        ("CLARION_FAULTS_SHARE", "1.5"),
        ("CLARION_API_RATE_PER_S", "inf"),
    ],
)
def test_a_value_outside_its_limits_is_refused_by_name(variable: str, value: str) -> None:
    """The problem names the setting."""
    with pytest.raises(SettingsError) as caught:
        load({variable: value})
    section, _, name = variable.removeprefix("CLARION_").lower().partition("_")
    sentence = str(caught.value)
    assert variable in sentence or f"{section}.{name}" in sentence


def test_a_file_that_is_no_toml_or_not_there_is_named(tmp_path: Path) -> None:
    """The sentence has the path."""
    file = tmp_path / "clarion.toml"
    with pytest.raises(SettingsError, match=r"clarion\.toml: No such file"):
        load({}, file)
    file.write_text("= = =")
    with pytest.raises(SettingsError, match=r"clarion\.toml: "):
        load({}, file)


def test_a_secret_comes_from_a_file_and_shows_itself_nowhere(tmp_path: Path) -> None:
    """`_FILE` names a file; neither repr nor str of the tree has the value."""
    file = tmp_path / "url"
    file.write_text("postgresql://clarion:hunter2@db/clarion\n")
    settings = load({"CLARION_DATABASE_URL_FILE": str(file)})
    assert settings.database.url == Secret("postgresql://clarion:hunter2@db/clarion")
    assert settings.database.url is not None
    assert settings.database.url.reveal().endswith("@db/clarion")
    assert "hunter2" not in f"{settings!r} {settings} {settings.database.url}"


def test_lists_are_comma_separated_in_the_environment() -> None:
    """Blanks around a part do not count."""
    settings = load({"CLARION_EGRESS_ALLOW_HOSTS": "push.lan, 10.0.0.7 ,"})
    assert settings.egress.allow_hosts == ("push.lan", "10.0.0.7")


def test_identity_secrets_come_from_the_file(tmp_path: Path) -> None:
    """A table of names has no variable, only a section."""
    file = tmp_path / "clarion.toml"
    file.write_text('[identity.secrets]\nshop = "s3cret"\n')
    assert load({}, file).identity.secrets == {"shop": Secret("s3cret")}


def test_every_setting_has_a_sentence_and_no_two_share_a_variable() -> None:
    """The reference page is complete."""
    settings = table()
    assert all(setting.sentence.endswith((".", ").")) for setting in settings)
    assert len({setting.variable for setting in settings}) == len(settings)
    page = reference_page()
    assert all(setting.name.partition(".")[2] in page for setting in settings)
