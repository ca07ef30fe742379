"""Whatever people type as a template, they get a text or one of three named errors."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.adapters.content.bounds import MAX_OUTPUT
from clarion.adapters.content.liquid import LiquidEngine
from clarion.ports.rendering import (
    RenderingFailedError,
    Scope,
    TemplateSyntaxError,
    VariableMissingError,
)

ENGINE = LiquidEngine()
SCOPE = Scope(language="ar", zone="Asia/Kolkata", now=datetime(2026, 1, 1, tzinfo=UTC))
PIECES = st.sampled_from([
    "{{", "}}", "{%", "%}", "{%-", "-%}", "{{-", "{#", "#}", " ", "\n", "|", ":", ",", ".", "..",
    "(", ")", "[", "]", "'", '"', "=", "==", "<", "contains", "and", "or", "user", "user.a",
    "user.list", "user['a']", "message.x", "now", "1", "-1", "1.5", "99999999999999999999", "nil",
    "true", "empty", "blank", "if", "elsif", "else", "endif", "unless", "endunless", "case",
    "when", "endcase", "for", "i", "in", "endfor", "limit:", "offset:", "reversed", "break",
    "continue", "assign", "capture", "endcapture", "render", "'p'", "with", "as", "cycle", "raw",
    "endraw", "comment", "endcomment", "increment", "decrement", "ifchanged", "endifchanged",
    "upcase", "default", "date", "'%Y'", "number", "plural", "other:", "currency", "'EUR'",
    "truncate", "slice", "split", "join", "map", "where", "sort", "sum", "times", "divided_by",
    "first", "last", "size", "uniq", "concat", "replace", "percent", "time", "é", "👩‍🚀", "\x00",
])  # fmt: skip
SOURCES = st.lists(PIECES, max_size=14).map(" ".join) | st.lists(
    st.lists(PIECES, max_size=6).map(lambda words: "{{ user.a | " + " ".join(words) + " }}")
    | st.lists(PIECES, max_size=6).map(lambda words: "{% " + " ".join(words) + " %}"),
    max_size=3,
).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(SOURCES, VALUES, VALUES, st.booleans())
def test_a_template_is_a_text_or_a_named_error(
    source: str,
    value: object,
    members: object,
    address: bool,  # noqa: FBT001  drawn
) -> None:
    """Nothing else comes out of the engine, and nothing longer than its bound."""
    try:
        template = ENGINE.compile(source, {"p": "{{ user.a }}"}, address=address)
        text = template.render({"user.a": value, "user.list": members}, SCOPE)
    except (TemplateSyntaxError, RenderingFailedError, VariableMissingError):
        return
    assert len(text.encode("utf-8", "replace")) <= MAX_OUTPUT
