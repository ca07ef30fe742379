"""Refusals of fields: a sentence for people, a pointer for programs."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import pytest

from clarion.api.decoding import decode, refuse
from clarion.api.openapi import build
from clarion.api.problems import ProblemError, field_problem
from clarion.api.routes import ROUTES
from clarion.api.shapes.categories import CategoryBody
from clarion.api.shapes.text import REFUSALS
from clarion.domain.errors import FieldCode


def patterns(value: object) -> Iterator[str]:
    """Every pattern below a value of the API's document."""
    if isinstance(value, Mapping):
        if isinstance(pattern := value.get("pattern"), str):
            yield pattern
        for inner in value.values():
            yield from patterns(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from patterns(inner)


def test_every_pattern_of_a_body_has_a_sentence_and_no_loose_end() -> None:
    """A pattern is no explanation; a final dollar takes more in Python than elsewhere."""
    found = set(patterns(msgspec.to_builtins(build(ROUTES)["components"])))
    assert found
    assert found <= set(REFUSALS)
    assert not [one for one in found if one.endswith("$") or r"\d" in one]


def test_a_text_of_the_wrong_form_is_refused_in_words() -> None:
    """Not with the pattern itself, and as a wrong value rather than a wrong type."""
    with pytest.raises(ProblemError) as raised:
        decode(b'{"slug": "News", "kind": "marketing", "name": "News"}', CategoryBody)
    (problem,) = raised.value.errors
    assert (problem.path, problem.code) == ("/slug", FieldCode.INVALID)
    assert problem.detail.startswith("Lower-case letters, digits")
    assert raised.value.detail == f"/slug: {problem.detail}"


def test_what_is_wrong_with_the_whole_is_told_without_a_place() -> None:
    """An empty pointer is the whole body (RFC 6901 section 5)."""
    with pytest.raises(ProblemError) as raised:
        refuse([field_problem("", FieldCode.COMBINATION, "Say something.")])
    assert raised.value.detail == "Say something."


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"names": {"de": {}}, "slug": "a", "kind": "call", "name": "A"}', "/names"),
        (b'{"names": {"de": 1}, "slug": "a", "kind": "call", "name": "A"}', "/names"),
        (b'{"slug": "a", "kind": "call"}', "/name"),
        (b'{"slug": "a", "kind": "call", "name": "A", "more": 1}', "/more"),
        (b'{"slug": "a", "kind": "call", "name": "A", "digest": {"at": 1}}', "/digest/at"),
    ],
)
def test_the_place_of_a_field_goes_as_deep_as_it_is_known(body: bytes, path: str) -> None:
    """Of a member whose name nobody tells it is the object; never a member without a name."""
    with pytest.raises(ProblemError) as raised:
        decode(body, CategoryBody)
    assert [problem.path for problem in raised.value.errors] == [path]
