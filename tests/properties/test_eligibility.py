"""The rule over columns says of each row what the rule for one person says."""

from collections.abc import Collection
from dataclasses import asdict, replace

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles.eligibility import Row, decide_one

from clarion.domain.eligibility import reasons
from clarion.domain.handoffs import UInt16s
from clarion.domain.network import Network
from clarion.domain.outcome import Reason

NETWORKS = st.sets(st.sampled_from(Network))
ROWS = st.builds(
    Row,
    device=st.integers(0, 3),
    network=st.sampled_from([int(network) for network in Network]),
    dead=st.booleans(),
    device_opted_out=st.booleans(),
    user_opted_out=st.booleans(),
).map(lambda row: replace(row, network=0, dead=False) if row.device == 0 else row)

SCHEMA = {
    "device": pl.Int64,
    "network": pl.UInt8,
    "dead": pl.Boolean,
    "device_opted_out": pl.Boolean,
    "user_opted_out": pl.Boolean,
}


def frame(rows: list[Row]) -> pl.DataFrame:
    """Rows as columns of the audience."""
    return pl.DataFrame([asdict(row) for row in rows], schema=SCHEMA)


def decide(
    rows: pl.DataFrame, *, targeted: Collection[Network], sendable: Collection[Network]
) -> UInt16s:
    """The rule over rows."""
    network = rows["network"].to_numpy()
    return reasons(
        user_opted_out=rows["user_opted_out"].to_numpy(),
        device=rows["device"].to_numpy(),
        dead=rows["dead"].to_numpy(),
        device_opted_out=rows["device_opted_out"].to_numpy(),
        wanted=np.isin(network, [int(n) for n in (targeted or tuple(Network))]),
        able=np.isin(network, [int(n) for n in sendable]),
    )


@given(rows=st.lists(ROWS), targeted=NETWORKS, sendable=NETWORKS)
def test_columns_say_what_the_rule_for_one_says(
    rows: list[Row], targeted: set[Network], sendable: set[Network]
) -> None:
    """Row by row, whatever the audience."""
    reasons = decide(frame(rows), targeted=targeted, sendable=sendable)
    assert reasons.tolist() == [int(decide_one(row, targeted, sendable)) for row in rows]
    assert reasons.dtype == np.uint16


@given(rows=st.lists(ROWS, min_size=1), targeted=NETWORKS, sendable=NETWORKS)
def test_whoever_opted_out_is_told_so_and_not_sent_to(
    rows: list[Row], targeted: set[Network], sendable: set[Network]
) -> None:
    """Consent comes first: no other rule hides it."""
    silent = [replace(row, user_opted_out=True) for row in rows]
    reasons = decide(frame(silent), targeted=targeted, sendable=sendable)
    assert set(reasons.tolist()) == {int(Reason.USER_OPTED_OUT)}


@given(rows=st.lists(ROWS), sendable=NETWORKS)
def test_naming_no_network_means_all_of_them(rows: list[Row], sendable: set[Network]) -> None:
    """An empty target excludes nobody."""
    nobody = decide(frame(rows), targeted=(), sendable=sendable)
    everybody = decide(frame(rows), targeted=tuple(Network), sendable=sendable)
    assert nobody.tolist() == everybody.tolist()


@given(rows=st.lists(ROWS), sendable=NETWORKS)
def test_nothing_is_planned_for_a_network_without_a_credential(
    rows: list[Row], sendable: set[Network]
) -> None:
    """Whoever is accepted has a device, alive, on a network that can be sent over."""
    reasons = decide(frame(rows), targeted=(), sendable=sendable).tolist()
    for row, reason in zip(rows, reasons, strict=True):
        if reason == Reason.ACCEPTED:
            assert Network(row.network) in sendable
            assert row.device
            assert not row.dead
