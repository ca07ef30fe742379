"""The conformance page names tests that exist, in rows of one form, and leaves no section out."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conformance.md"

LEVELS = {"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "RECOMMENDED", "-"}
ROLES = {"sender", "service", "user agent", "middlebox", "registry"}
EXCUSES = ("Not applicable: ", "Departure: ")

MUSTS = {
    "RFC 8030": {
        "3": 1, "4": 3, "4.1": 1, "5": 1, "5.1": 5, "5.2": 5, "5.3": 4, "5.4": 3, "6": 2, "6.1": 3,
        "6.2": 3, "6.3": 1, "7.1": 1, "7.2": 2, "7.3": 2, "7.3.1": 4, "8": 1, "8.1": 1, "8.2": 6,
    },
    "RFC 8188": {"2": 2, "2.1": 1, "4.1": 1, "4.2": 1, "4.3": 1, "4.4": 1},
    "RFC 8291": {"2.1": 1, "3.2": 1, "4": 6, "7": 2},
    "RFC 8292": {"2": 7, "3": 2, "3.2": 1, "4.1": 2, "4.2": 3, "6.2": 1},
}  # fmt: skip
"""How many sentences of each section have a MUST or MUST NOT, counted in the RFCs' text."""
SHOULDS = {
    "RFC 8030": {
        "3": 1, "4.1": 2, "5.1": 2, "5.2": 1, "5.4": 1, "6": 1, "6.1": 1, "6.2": 1, "7.2": 1,
        "8.4": 2,
    },
    "RFC 8188": {"2.1": 1, "4.3": 1},
    "RFC 8291": {"3.2": 1},
    "RFC 8292": {"2.1": 1, "2.2": 1, "3.2": 1},
}  # fmt: skip
"""The same of SHOULD and SHOULD NOT."""


class Row(NamedTuple):
    """One requirement."""

    document: str
    files: tuple[str, ...]
    """Where its tests may be."""
    section: str
    level: str
    role: str
    requirement: str
    shown: str

    @property
    def tests(self) -> list[str]:
        """What it names: functions, and titles in quotes."""
        return re.findall(r'`(test_[a-z0-9_]+|"[^`]+")`', self.shown)


def rows() -> list[Row]:
    """Every row of the page's tables."""
    found: list[Row] = []
    document, files = "", ()
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            document, files = line.removeprefix("## ").partition(",")[0], ()
        elif line.startswith("Tests: "):
            files = tuple(re.findall(r"`([^`]+)`", line))
        elif line.startswith("| ") and not line.startswith(("| Section |", "| --- |")):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert len(cells) == 5, line
            found.append(Row(document, files, *cells))
    return found


@cache
def defined(file: str) -> frozenset[str]:
    """The tests of a file."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.endswith(".ts"):
        titles = re.findall(r'^test\(("[^"]+")', text, re.MULTILINE)
        return frozenset(titles)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.parse(text).body if isinstance(node, functions))


@pytest.mark.parametrize("document", sorted({row.document for row in rows()}))
def test_every_test_that_the_page_names_exists(document: str) -> None:
    """A renamed test takes its row with it."""
    for row in (row for row in rows() if row.document == document):
        missing = set(row.tests).difference(*map(defined, row.files))
        assert missing == set(), row


def test_every_file_is_named_for_a_reason() -> None:
    """A file of which no row names a test shows nothing."""
    for document in {row.document for row in rows()}:
        of_it = [row for row in rows() if row.document == document]
        named = {test for row in of_it for test in row.tests}
        assert [file for file in of_it[0].files if not named & defined(file)] == []


@pytest.mark.parametrize("document", sorted({row.document for row in rows()}))
def test_every_row_says_who_is_bound_how_strongly_and_what_shows_it(document: str) -> None:
    """A test; or why there is none, or why we do something else."""
    for row in (row for row in rows() if row.document == document):
        assert row.level in LEVELS, row
        assert row.role in ROLES, row
        assert row.requirement, row
        assert row.tests or row.shown.startswith(EXCUSES), row


@pytest.mark.parametrize(
    ("counted", "levels"), [(MUSTS, {"MUST", "MUST NOT"}), (SHOULDS, {"SHOULD", "SHOULD NOT"})]
)
def test_no_sentence_of_the_four_rfcs_is_left_out(
    counted: dict[str, dict[str, int]], levels: set[str]
) -> None:
    """Section by section there are as many rows as the RFC has such sentences."""
    found = Counter((row.document, row.section) for row in rows() if row.level in levels)
    for document, sections in counted.items():
        wanted = {(document, section): number for section, number in sections.items()}
        told = {key: number for key, number in found.items() if key[0] == document}
        missing = {key: number for key, number in wanted.items() if told.get(key, 0) < number}
        assert missing == {}
        assert set(told) <= set(wanted), "a section has no such sentence"
