"""The conformance page names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conformance.md"


def named_tests() -> list[tuple[str, str]]:
    """Each (file, test) that the page names; a line `Tests: ...` says which file is meant."""
    found: list[tuple[str, str]] = []
    file = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        heading = re.fullmatch(r"Tests: `([^`]+)`", line)
        if heading:
            file = heading[1]
        found += [(file, test) for test in re.findall(r"`(test_[a-z0-9_]+)`", line)]
    return found


@pytest.mark.parametrize("file", sorted({file for file, _ in named_tests()}))
def test_every_test_that_the_page_names_exists(file: str) -> None:
    """A renamed test takes its row with it."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    defined = {node.name for node in tree.body if isinstance(node, functions)}
    assert {test for at, test in named_tests() if at == file} <= defined
