"""Recipients come out of a batch row as they went in."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.adapters.state.few_recipients import MOST, is_few
from clarion.adapters.state.recipient_columns import (
    decode,
    encode_frame,
    encode_recipients,
    frame_of,
    recipients_of,
    without,
)
from clarion.domain.handoffs import Recipients

IDS = st.integers(0, 2**63 - 1)


@st.composite
def recipients(draw: st.DrawFn) -> Recipients:
    """Some recipients of any network, also none."""
    n = draw(st.integers(0, 30))
    ids = st.lists(IDS, min_size=n, max_size=n)
    keys = st.lists(st.binary(min_size=81, max_size=81), min_size=n, max_size=n)
    small = st.lists(st.integers(0, 2), min_size=n, max_size=n)
    with_keys, with_messages = draw(st.booleans()) and n > 0, draw(st.booleans())
    texts = st.sampled_from(
        ["", "Zoë", '"quoted"', "\U0001f468\u200d\U0001f469", "\u05e9\u05dc\u05d5\u05dd"]
    )
    merge = st.lists(st.lists(texts | st.text(), min_size=n, max_size=n), min_size=1, max_size=3)
    return Recipients(
        device=np.array(draw(ids), np.int64),
        user=np.array(draw(ids), np.int64),
        registered_us=np.array(draw(ids), np.int64),
        environment=np.array(draw(small), np.uint8),
        tokens=draw(st.lists(st.binary(max_size=200), min_size=n, max_size=n)),
        keys=draw(keys) if with_keys else None,
        message=np.array(draw(small), np.uint16) if with_messages else None,
        merge=draw(st.none() | merge),
    )


def same(left: Recipients, right: Recipients) -> bool:
    """Whether two sets of recipients are equal in every column and type."""
    numeric = all(
        np.array_equal(a, b) and a.dtype == b.dtype
        for a, b in (
            (left.device, right.device),
            (left.user, right.user),
            (left.registered_us, right.registered_us),
            (left.environment, right.environment),
        )
    )
    messages = (left.message is None) == (right.message is None) and (
        left.message is None
        or right.message is None
        or (np.array_equal(left.message, right.message) and right.message.dtype == np.uint16)
    )
    keys = (left.keys or None) == (right.keys or None)  # no rows need no column of keys
    merge = left.merge == right.merge
    return numeric and messages and keys and merge and list(left.tokens) == list(right.tokens)


@given(some=recipients())
def test_what_is_encoded_is_decoded(some: Recipients) -> None:
    """Every column, byte by byte."""
    assert same(decode(encode_frame(frame_of(some))), some)


@given(some=recipients())
def test_a_few_are_decoded_alike_without_arrow(some: Recipients) -> None:
    """Every column, byte by byte; merged texts are what Arrow is still for."""
    blob = encode_recipients(some)
    assert is_few(blob) == (some.merge is None)
    assert same(decode(blob), some)


@given(some=recipients(), data=st.data())
def test_what_was_damaged_is_not_read_as_something_else(
    some: Recipients, data: st.DataObject
) -> None:
    """Octets that are missing or too many are told, as an exception that sets the batch aside."""
    blob = encode_recipients(replace(some, merge=None))
    cut = blob[: data.draw(st.integers(4, len(blob) - 1))]
    for damaged in (cut, blob + b"\0"):
        with pytest.raises(ValueError, match=r"cut short|length|buffer"):
            decode(damaged)


def test_many_are_kept_in_arrow() -> None:
    """A schema costs nothing beside thousands of rows, and more programs read it."""
    ids = np.arange(MOST + 1)
    many = Recipients(
        device=ids,
        user=ids,
        registered_us=ids,
        environment=ids.astype(np.uint8),
        tokens=[b"ab"] * len(ids),
    )
    assert not is_few(encode_recipients(many))
    assert is_few(encode_recipients(many.rows(0, MOST)))


@given(some=recipients())
def test_people_leave_a_few_as_they_leave_many(some: Recipients) -> None:
    """Whichever way the rows are kept, nothing of who is erased stays in them."""
    gone = some.user[:2].tolist()
    few, many = (without(blob, gone, 1) for blob in (encode_recipients(some), _arrow(some)))
    assert (few is None) == (many is None)
    if few is not None and many is not None:
        assert few.size == many.size
        assert same(decode(few.octets), decode(many.octets))


def _arrow(some: Recipients) -> bytes:
    return encode_frame(frame_of(some))


@given(some=recipients(), data=st.data())
def test_a_slice_survives_the_way_too(some: Recipients, data: st.DataObject) -> None:
    """Retries are encoded from slices: offsets into shared columns must not leak."""
    low = data.draw(st.integers(0, len(some)))
    high = data.draw(st.integers(low, len(some)))
    part = recipients_of(frame_of(some).slice(low, high - low))
    assert same(decode(encode_frame(frame_of(part))), some.rows(low, high))


@given(some=recipients(), data=st.data())
def test_chosen_rows_keep_their_order(some: Recipients, data: st.DataObject) -> None:
    """`take` is what a retry of some rows is made of."""
    rows = data.draw(st.lists(st.integers(0, max(0, len(some) - 1)), max_size=len(some)))
    taken = some.take(np.array(rows, np.int64))
    assert taken.device.tolist() == [some.device.tolist()[row] for row in rows]
    assert list(taken.tokens) == [some.tokens[row] for row in rows]
    assert same(decode(encode_frame(frame_of(taken))), taken)


def test_columns_that_say_nothing_are_left_out() -> None:
    """Only Web Push has keys: the others' batches do not carry a column of nulls."""
    rows = pl.DataFrame({"device": [1, 2], "keys": pl.Series([None, None], dtype=pl.Binary)})
    assert pl.read_ipc_stream(encode_frame(rows)).columns == ["device"]


def test_texts_that_repeat_are_kept_once() -> None:
    """Whole sentences in a few languages: their octets are in a batch once each."""
    sentences = ["Your parcel is on its way. " * 20, "Ihr Paket ist unterwegs. " * 20]
    rows = pl.DataFrame({"device": range(1000), "merge_0": sentences * 500})
    assert len(encode_frame(rows)) < 30_000
