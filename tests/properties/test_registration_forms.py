"""A few registrations go through the house as rows, many as columns: to the same end."""

import base64
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clarion.adapters.state.registration_rows import FewRows, ManyRows, Rows
from clarion.api.registration_rows import frame
from clarion.domain.conditions import Cell, Row
from clarion.domain.registration import COLUMNS
from clarion.stages.intake.register import Rules, judge
from clarion.wire.endpoint import NOBODY

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = Rules(zones=frozenset({"UTC"}), allow=NOBODY)
POINT = ec.derive_private_key(7, ec.SECP256R1()).public_key()
P256DH = base64.urlsafe_b64encode(
    POINT.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
).decode()
AUTH = base64.urlsafe_b64encode(b"sixteen octets..").decode()

_names = st.one_of(st.none(), st.sampled_from(["ada", "bob", "zo\u00eb", "\U0001f600"]))
_rows = st.fixed_dictionaries(
    {
        "external_id": _names,
        "network": st.sampled_from(["apns", "fcm", "webpush"]),
        "token": st.sampled_from(
            ["ab", "AB", "cd", "https://push.example/1", "https://10.0.0.1/1", None]
        ),
        "p256dh": st.sampled_from([P256DH, P256DH[:-4], None]),
        "auth": st.sampled_from([AUTH, "short", None]),
        "environment": st.sampled_from([None, "sandbox", "fid"]),
        "opted_out": st.sampled_from([None, True, False]),
        "model": st.sampled_from([None, "a", "b"]),
        "latitude": st.just(0.1),
        "longitude": st.one_of(st.none(), st.floats(-180, 180)),
        "last_active_at": st.one_of(
            st.none(), st.timedeltas(timedelta(days=-20_000), timedelta()).map(NOW.__add__)
        ),
        "attributes": st.sampled_from([None, '{"a":1}', '{"at":{"time":"20260301T000000Z"}}']),
        "user_language": st.sampled_from([None, "de", "pt_br"]),
        "user_opted_out": st.sampled_from([None, True, False]),
        "aliases": st.sampled_from([None, '{"crm":"7"}']),
    }
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_rows, min_size=1, max_size=7))
@example([{"external_id": "ada", "network": "webpush"}])  # a person, without a subscription
def test_both_forms_are_judged_alike(rows: list[Row]) -> None:
    """By all rules, those of addresses and keys of subscriptions included."""
    few, many = judge(rows, rules=RULES, now=NOW), judge(frame(rows), rules=RULES, now=NOW)
    assert few.problems == many.problems
    assert few.index.tolist() == many.index.tolist()
    assert isinstance(many.rows, pl.DataFrame)
    assert not isinstance(few.rows, pl.DataFrame)
    assert [{name: row.get(name) for name in COLUMNS} for row in few.rows] == many.rows.to_dicts()


@settings(max_examples=100, deadline=None)
@given(st.lists(_rows, min_size=1, max_size=7), st.data())
def test_both_forms_are_stored_alike(rows: list[Row], data: st.DataObject) -> None:
    """The same people and devices, in the same order, with the same words for the statements."""
    judged = judge(rows, rules=RULES, now=NOW)
    columns = judge(frame(rows), rules=RULES, now=NOW)
    if not judged.index.size:
        return
    assert isinstance(columns.rows, pl.DataFrame)
    assert not isinstance(judged.rows, pl.DataFrame)
    few, many = FewRows(judged.rows), ManyRows(columns.rows)
    (people, stands), (said, stood) = few.people(), many.people()
    assert stands.tolist() == stood.tolist()
    _same(people, said)
    whose = st.lists(st.integers(0, 3), min_size=few.height, max_size=few.height)
    person = np.array(data.draw(whose), np.int64)
    unknown = data.draw(st.lists(st.integers(0, few.height - 1), unique=True))
    (one, answers), (other, answered) = (
        given.devices(person, person > 1, unknown) for given in (few, many)
    )
    assert answers == answered
    _same(one, other)
    places = np.flatnonzero(np.arange(one.height) % 2)
    _same(one.take(places), other.take(places))


def _same(few: Rows, many: Rows) -> None:
    assert isinstance(many, ManyRows)
    assert few.height == many.height
    for name in many.frame.columns:
        one, other = few.text(name).split("\x1f"), many.text(name).split("\x1f")
        if name in {"latitude", "longitude"}:  # 1e-07 and 1e-7 are one number
            assert [_number(word) for word in one] == [_number(word) for word in other]
        else:
            assert one == other


def _number(word: str) -> Cell:
    return word if word in {"", "\x1e"} else float(word)
