"""Pagination cursors."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.wire import cursor
from clarion.wire.cursor import CursorError
from clarion.wire.jose import base64url_decode, base64url_encode

KEY = bytes(range(32))
SCOPE = "app_1/messages?order=created_at"
POSITIONS = st.lists(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    max_size=4,
)  # fmt: skip


@given(POSITIONS)
def test_position_makes_the_round_trip(position: list[str | int | float | bool | None]) -> None:
    """The next page starts exactly where the last one ended."""
    text = cursor.encode(position, scope=SCOPE, key=KEY)
    assert cursor.decode(text, scope=SCOPE, key=KEY) == position


@given(st.data())
def test_any_changed_bit_is_refused(data: st.DataObject) -> None:
    """Version, tag and position are all protected."""
    octets = bytearray(base64url_decode(cursor.encode(["a", 1], scope=SCOPE, key=KEY)))
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CursorError):
        cursor.decode(base64url_encode(bytes(octets)), scope=SCOPE, key=KEY)


def test_cursor_of_another_list_or_key_is_refused() -> None:
    """A cursor shows nothing of another tenant's list."""
    text = cursor.encode(["a"], scope=SCOPE, key=KEY)
    for scope, key in ((SCOPE + "x", KEY), ("", KEY), (SCOPE, KEY[::-1])):
        with pytest.raises(CursorError, match="altered or belongs to another list"):
            cursor.decode(text, scope=scope, key=key)


def test_cursor_of_another_version_is_refused_as_such() -> None:
    """A client is told to start again rather than that it cheated."""
    octets = bytearray(base64url_decode(cursor.encode([1], scope=SCOPE, key=KEY)))
    octets[0] = 2
    with pytest.raises(CursorError, match="another version"):
        cursor.decode(base64url_encode(bytes(octets)), scope=SCOPE, key=KEY)


@given(st.text(max_size=60))
def test_garbage_is_refused_with_our_error(text: str) -> None:
    """Whatever a client makes up."""
    with pytest.raises(CursorError):
        cursor.decode(text, scope=SCOPE, key=KEY)


def test_limits_are_told() -> None:
    """Short keys, positions that are no JSON and endless cursors."""
    with pytest.raises(CursorError, match="31 octets; it needs 32"):
        cursor.encode([1], scope=SCOPE, key=KEY[:31])
    with pytest.raises(CursorError, match="NaN"):
        cursor.encode([math.nan], scope=SCOPE, key=KEY)
    with pytest.raises(CursorError, match="too long"):
        cursor.encode(["a" * 4096], scope=SCOPE, key=KEY)
    with pytest.raises(CursorError, match="longer than any"):
        cursor.decode("A" * 4097, scope=SCOPE, key=KEY)
