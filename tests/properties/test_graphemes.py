"""Text is cut where a person sees an edge, and directions that were opened are closed."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from clarion.adapters.content.graphemes import clusters
from clarion.domain.graphemes import (
    ELLIPSIS,
    closers,
    cut,
    cut_octets,
    isolated,
    length,
    octets_utf8,
)

WHOLE = [
    "👨‍👩‍👧‍👦", "👍🏽", "🇫🇷", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣",
    "e\u0301\u0327", "क्‍ष", "नि", "각", "\u1100\u1161\u11a8", "ส้ำ",
    "\r\n", "❤️‍🔥", "a", " ", "…",
]  # fmt: skip
TEXTS = st.lists(
    st.sampled_from([*WHOLE, "\u2067", "\u2066", "\u2069", "\u202b", "\u202c", "\u200f", "ש", "ع"])
    | st.characters(exclude_categories=["Cs"]),
    max_size=25,
).map("".join)


@pytest.mark.parametrize("text", WHOLE)
def test_what_people_see_as_one_is_one_cluster(text: str) -> None:
    """Families, skin tones, flags, keycaps, accents, syllables."""
    assert len(clusters(text)) == 1


@given(TEXTS)
def test_clusters_joined_are_the_text(text: str) -> None:
    """Nothing is lost, and plain ASCII takes the short way to the same answer."""
    assert "".join(clusters(text)) == text
    assert list(clusters(text)) == regex.findall(r"\X", text)


@given(TEXTS, st.integers(0, 12))
def test_a_cut_text_has_at_most_so_many_characters_and_cuts_none(text: str, most: int) -> None:
    """The ellipsis counts; controls of direction do not."""
    short = cut(text, most, clusters)
    assert length(short, clusters) <= max(most, 0) or short == text
    if short != text:
        kept = short.rstrip("\u2069\u202c").removesuffix(ELLIPSIS)
        found = clusters(text)
        starts = ["".join(found[:n]) for n in range(len(found) + 1)]
        whole = {form.rstrip("\u2069\u202c") for t in starts for form in (t, t.rstrip())}
        assert kept.rstrip("\u2069\u202c") in whole


@given(TEXTS, st.integers(0, 60))
def test_a_budget_of_octets_is_kept(text: str, most: int) -> None:
    """Whatever the text, the encoded beginning fits."""
    short = cut_octets(text, most, octets_utf8, clusters)
    assert octets_utf8(short) <= most or short == text
    assert octets_utf8(short) <= max(most, 0)


@given(TEXTS, st.integers(0, 12))
def test_what_a_cut_leaves_open_is_closed(text: str, most: int) -> None:
    """Nothing that stands behind a cut text is turned around by it."""
    short = cut(text, most, clusters)
    if short != text:
        assert closers(short) == ""


def test_right_to_left_text_in_an_isolate_is_cut_inside_it() -> None:
    """The ellipsis stands in the isolate, and the isolate ends."""
    assert cut(isolated("شمس كبيرة"), 4, clusters) == "\u2068شمس…\u2069"


def test_no_room_for_the_ellipsis_means_none() -> None:
    """A cluster is worth more than three dots."""
    assert cut("👍🏽👍🏽", 1, clusters, "...") == "👍🏽"
    assert cut("abc", 0, clusters) == ""
    assert cut_octets("👍🏽👍🏽", 8, octets_utf8, clusters) == ""
    assert cut_octets("ab", 1, octets_utf8, clusters) == "a"
