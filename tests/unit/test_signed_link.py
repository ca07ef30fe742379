"""Signed links: genuine for one key, one purpose and one text."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.wire.signed_link import TOKEN_CHARS, LinkClaim, claim_of, is_genuine, sign

CLAIMS = st.builds(
    LinkClaim,
    key=st.integers(0, 255),
    app=st.integers(0, 2**32 - 1),
    user=st.integers(0, 2**64 - 1),
    expires_s=st.integers(0, 2**32 - 1).map(lambda minutes: minutes * 60),
)
SECRET = bytes(range(32))


@given(CLAIMS)
def test_a_link_says_what_was_signed(claim: LinkClaim) -> None:
    """And is genuine for its own key and purpose only."""
    text = sign(claim, SECRET, b"page")
    assert len(text) == TOKEN_CHARS
    assert claim_of(text) == claim
    assert is_genuine(text, SECRET, b"page")
    assert not is_genuine(text, SECRET, b"pag")
    assert not is_genuine(text, bytes(32), b"page")


@given(CLAIMS, st.integers(0, TOKEN_CHARS - 1), st.sampled_from("AQgwx09-_é=\n"))
def test_no_other_text_is_genuine(claim: LinkClaim, place: int, letter: str) -> None:
    """Not even one that differs in the spare bits of its last character."""
    text = sign(claim, SECRET, b"page")
    other = text[:place] + letter + text[place + 1 :]
    assert other == text or not is_genuine(other, SECRET, b"page")


@given(st.text(max_size=100))
def test_any_text_can_be_asked_about(text: str) -> None:
    """What is not of our form says nothing."""
    assert claim_of(text) is None or len(text) == TOKEN_CHARS
    assert not is_genuine(text, SECRET, b"page")
