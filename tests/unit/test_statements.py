"""The named SQL files."""

from importlib import resources

import pytest

from clarion.adapters.state.statements import statements

FILES = sorted(
    file.name.removesuffix(".sql")
    for file in resources.files("clarion.adapters.state").joinpath("sql").iterdir()
    if file.name.endswith(".sql")
)


@pytest.mark.parametrize("file", FILES)
def test_every_statement_has_a_name_and_a_sentence(file: str) -> None:
    """The loader refuses a file that breaks the rule."""
    found = statements(file)
    assert found
    assert all(text.startswith("-- ") for text in found.values())
