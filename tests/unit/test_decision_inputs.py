"""From rows of a scan to a decision that can be read, and read again."""

from datetime import UTC, datetime

import numpy as np
import polars as pl

from clarion.domain.category import Category, DefaultState, Kind
from clarion.domain.decision import decide, ledger_of
from clarion.domain.decision_row import Action, Flag, inputs, inputs_of, record
from clarion.domain.explanation import explain
from clarion.domain.frequency import Cap, CapAction, Ledger
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.policy import Policy
from clarion.domain.quiet_windows import QuietHours, Window
from clarion.domain.send_time import instant_us
from clarion.domain.zones import DAY_US

NOW = instant_us(datetime(2026, 6, 1, 21, 0, tzinfo=UTC))
POLICY = Policy(
    category=Category(slug="news", kind=Kind.MARKETING, slot=2),
    quiet_hours=QuietHours(windows=(Window(days=127, start_min=1320, end_min=420),)),
    caps=(Cap(count=2, window=7 * DAY_US, action=CapAction.DROP),),
    app_zone="Europe/Paris",
)


def rows() -> pl.DataFrame:
    """Three devices of two people, and somebody who never said yes."""
    text = '[{"from":"19:00","to":"20:00"}]'
    return pl.DataFrame(
        {
            "device": [1, 2, 3, 4],
            "user": [1, 1, 2, 3],
            "network": [1, 3, 2, 2],
            "dead": [False] * 4,
            "device_opted_out": [False] * 4,
            "user_opted_out": [False] * 4,
            "suppressed": [False] * 4,
            "granted": [4, 4, 4, None],
            "denied": [0, 0, 0, 0],
            "daily": [0, 0, 0, 0],
            "weekly": [0, 0, 0, 0],
            "paused_until_us": [None, None, NOW, None],
            "quiet_hours": [None, None, text, None],
            "permission": [4, 0, 4, 4],
            "time_zone": ["Europe/Paris", "Europe/Paris", "America/New_York", None],
            "zone_source": [1, 1, 2, 0],
            "country": ["FR", "FR", None, "DE"],
        },
        schema_overrides={
            "network": pl.UInt8,
            "permission": pl.UInt8,
            "zone_source": pl.UInt8,
        },
    )


def test_rows_of_a_scan_are_decided_recorded_and_explained() -> None:
    """Paris is held to seven, New York sent at once, whoever did not say yes is skipped."""
    read = inputs(
        rows(), POLICY, targeted=(), able=tuple(Network), of_country={"DE": "Europe/Berlin"}
    )
    assert read.has(Flag.GRANTED).tolist() == [True, True, True, False]
    found = decide(read, POLICY, now_us=NOW, usage=Ledger.empty())
    assert [Action(a) for a in found.action] == [Action.HOLD, Action.HOLD, Action.SEND, Action.SKIP]
    kept = record(read, found, NOW, variant=1, language=np.arange(4, dtype=np.uint16))
    assert kept["language"].tolist() == [0, 1, 2, 3]
    held = explain(kept[0], POLICY, read.zone_names, read.persons)
    assert "2026-06-02 05:00:00Z (Tue 07:00 in Europe/Paris)" in held
    assert "22:00 to 07:00; hold" in held
    asked = explain(kept[3], POLICY, read.zone_names, read.persons)
    assert "No yes of the person to the category is on record" in asked
    again, usage = inputs_of(kept, read.zone_names, read.persons)
    assert decide(again, POLICY, now_us=NOW, usage=usage).reason.tolist() == found.reason.tolist()


def test_replay_with_another_policy_shows_who_would_fare_otherwise() -> None:
    """Without quiet hours all of them go; with an opt-in by default the third does too."""
    read = inputs(rows(), POLICY, targeted=(), able=tuple(Network), of_country={})
    kept = record(read, decide(read, POLICY, now_us=NOW, usage=Ledger.empty()), NOW)
    again, usage = inputs_of(kept, read.zone_names, read.persons)
    open_ = Policy(
        category=Category(slug="n", kind=Kind.SYSTEM, slot=2, default_state=DefaultState.IN)
    )
    found = decide(again, open_, now_us=NOW, usage=usage)
    assert [Action(a) for a in found.action] == [Action.SEND] * 4


def test_one_entry_a_person_and_instant_goes_into_the_ledger() -> None:
    """Two devices at one instant are one disturbance over two networks."""
    read = inputs(rows(), POLICY, targeted=(), able=tuple(Network), of_country={})
    entries = ledger_of(read, decide(read, POLICY, now_us=NOW, usage=Ledger.empty()), POLICY)
    assert entries.user.tolist() == [1, 2]
    assert entries.networks.tolist() == [0b1010, 0b100]
    assert entries.priority.tolist() == [5, 5]


def test_what_a_cap_had_counted_is_told() -> None:
    """With the number, and what would have to change."""
    sent = Ledger(
        user=np.array([2, 2]),
        at_us=np.array([NOW - DAY_US, NOW - 2 * DAY_US]),
        networks=np.array([4, 4], np.uint8),
        category=np.array([2, 2], np.uint8),
        priority=np.array([5, 5], np.uint8),
    )
    read = inputs(rows(), POLICY, targeted=(), able=tuple(Network), of_country={})
    found = decide(read, POLICY, now_us=NOW, usage=sent)
    assert found.reason[2] == Reason.FREQUENCY_CAPPED
    text = explain(record(read, found, NOW)[2], POLICY, read.zone_names, read.persons)
    assert "2 of 2 per 7d over all (full)" in text
    assert "A higher cap" in text


def test_no_rows_are_no_trouble() -> None:
    """A shard may be empty."""
    read = inputs(rows().clear(), POLICY, targeted=(), able=(), of_country={})
    assert len(decide(read, POLICY, now_us=NOW, usage=Ledger.empty()).action) == 0
