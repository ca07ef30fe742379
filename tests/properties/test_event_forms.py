"""A few events go through the house as rows, many as columns: to the same end."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clarion.domain.conditions import Row
from clarion.domain.event import COLUMNS, RAW_COLUMNS, EventRules, check
from clarion.domain.event_row import check_event

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = EventRules(now=NOW, keep=timedelta(days=30))
STAMPS = st.integers(-40, 3).map(
    lambda days: f"{int((NOW + timedelta(days=days)).timestamp() * 1000):012x}"
)
IDS = st.one_of(
    STAMPS.map(lambda stamp: f"{stamp[:8]}-{stamp[8:]}-7000-8000-00000000000a"),
    STAMPS.map(lambda stamp: f"{stamp[:8]}-{stamp[8:]}-4000-8000-00000000000A"),
    st.sampled_from(["seven", "", "00000000-0000-0000-0000-00000000000é"]),
)

_rows = st.fixed_dictionaries(
    {"id": IDS},
    optional={
        "external_id": st.sampled_from(["ann", "", "zo\u00eb", "a\x07", "x" * 300, None]),
        "alias_label": st.sampled_from(["crm", None]),
        "alias_value": st.sampled_from(["7", None]),
        "user": st.sampled_from([1, None]),
        "device": st.sampled_from([2, None]),
        "network": st.sampled_from(["APNS", "fcm", "pigeon", None]),
        "token": st.sampled_from(["AB", "cd", "", None]),
        "name": st.sampled_from(["buy", "clarion.opened", "clarion.x", "", "n" * 200, None]),
        "at": st.one_of(
            st.none(),
            st.timedeltas(timedelta(days=-40), timedelta(days=2)).map(NOW.__add__),
        ),
        "value": st.sampled_from([1.5, -0.0, float("inf"), None]),
        "properties": st.sampled_from(
            [None, '{"a":1}', '{"at":{"time":"20260301T000000Z"}}', "[]", '{"a":{"b":1}}', "{"]
        ),
        "message": st.sampled_from([None, "0195C000-0000-7000-8000-000000000001", "none"]),
    },
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_rows, min_size=1, max_size=5))
@example([{"id": "0195c000-0000-7000-8000-00000000000a", "external_id": "ann", "name": "buy"}])
def test_both_forms_are_judged_alike(rows: list[Row]) -> None:
    """By all rules, with the same words, to the same cells."""
    frame = pl.DataFrame(
        {name: [row.get(name) for row in rows] for name in RAW_COLUMNS},
        schema=dict(RAW_COLUMNS),
    )

    many = check(frame, RULES)
    few = [check_event(row, RULES) for row in rows]

    assert [(place, problem) for place, one in enumerate(few) for problem in one.problems] == [
        (found.row, found.problem) for found in many.problems
    ]
    good = [one.row for one in few if not one.problems]
    assert [{name: row.get(name) for name in COLUMNS} for row in good] == many.rows.to_dicts()
