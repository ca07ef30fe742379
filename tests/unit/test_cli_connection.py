"""What the command line tells of an answer that is a problem."""

import httpx
import pytest

from clarion.cli.connection import judged
from clarion.cli.exits import CommandError


@pytest.mark.parametrize(
    ("detail", "errors", "says", "more"),
    [
        ("There is no such field.", [("/policy/nonsense", "There is no such field.")],
         "/policy/nonsense: There is no such field", ()),
        ("/to: Say whom.", [("/to", "Say whom.")], "/to: Say whom", ()),
        ("Say something.", [("", "Say something.")], "Say something", ()),
        ("/a: Wrong.", [("/a", "Wrong."), ("/b", "Missing.")], "/a: Wrong", ("/b: Missing.",)),
    ],
)  # fmt: skip
def test_a_refusal_is_told_with_its_field(
    detail: str, errors: list[tuple[str, str]], says: str, more: tuple[str, ...]
) -> None:
    """Once, whether or not the sentence names the field already; others follow."""
    told = [{"path": path, "code": "field_invalid", "detail": what} for path, what in errors]
    answer = httpx.Response(422, json={"detail": detail, "errors": told})
    with pytest.raises(CommandError) as raised:
        judged(answer)
    assert str(raised.value) == says
    assert raised.value.details == more


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "status 502"),
        ("a proxy's own words", "status 502"),
        ({"title": "Bad Gateway", "errors": None, "more": {"x": 1}}, "Bad Gateway"),
        ({"detail": "The store is away.", "errors": ["a", 7]}, "The store is away"),
        ({"detail": "The store is away.", "errors": {"path": "/a"}}, "The store is away"),
    ],
)
def test_members_of_another_type_are_ignored(body: object, says: str) -> None:
    """RFC 9457 section 3.1; also what is no problem document at all is told by its status."""
    with pytest.raises(CommandError) as raised:
        judged(httpx.Response(502, json=body))
    assert str(raised.value).partition(";")[0] == says
    assert raised.value.details == ()
