"""Every reason for which nothing is sent has the outcome that its number promises."""

from datetime import UTC, datetime
from typing import Final

import numpy as np
import pytest

from clarion.domain.outcome import Outcome, Reason
from clarion.domain.suppression import NotThere, left_out, unknown
from clarion.stages.delivery.chunk import withheld_outcomes

NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
WAITING: Final = {Reason.HELD_FOR_LOCAL_TIME, Reason.HELD_FOR_QUIET_HOURS, Reason.HELD_FOR_CAP}
OURS: Final = [r for r in Reason if 100 < r < 200 and r not in WAITING]
ENDED: Final = {
    Reason.BATCH_POISONED: Outcome.FAILED,
    Reason.CANCELED_BY_SENDER: Outcome.CANCELED,
    Reason.DEADLINE_PASSED: Outcome.EXPIRED,
    Reason.HELD_PAST_DEADLINE: Outcome.EXPIRED,
}
EXPECTED: Final = {**dict.fromkeys(OURS, Outcome.SUPPRESSED), **ENDED}


def test_every_reason_is_somebodys() -> None:
    """Nothing sent, or an answer of the network's, or a wait: a new member is none by itself."""
    answers = {r for r in Reason if 200 < r < 507} | {Reason.ACCEPTED}
    assert set(Reason) == set(EXPECTED) | answers | WAITING


@pytest.mark.parametrize("reason", EXPECTED, ids=lambda reason: reason.label)
def test_delivery_ends_whom_it_withholds_as_the_reason_says(reason: Reason) -> None:
    """What is withheld at the last moment."""
    assert withheld_outcomes(np.array([reason], np.uint16)).tolist() == [EXPECTED[reason]]


@pytest.mark.parametrize(
    "reason",
    [*OURS, Reason.DEADLINE_PASSED, Reason.HELD_PAST_DEADLINE],
    ids=lambda reason: reason.label,
)
def test_planning_ends_whom_it_leaves_out_as_the_reason_says(reason: Reason) -> None:
    """What is decided when the shard is planned: there nothing is withdrawn or poisoned yet."""
    one = np.ones(1, np.int64)
    rows = left_out(one, one, one.astype(np.uint8), np.array([reason], np.uint16), NOW)
    assert rows["outcome"].tolist() == [EXPECTED[reason]]


def test_who_is_not_there_ends_as_what_the_request_named() -> None:
    """A person, or a device; each row points to its name."""
    rows = unknown(
        [NotThere("ann", Reason.USER_UNKNOWN), NotThere("77", Reason.DEVICE_UNKNOWN)], NOW
    )
    assert rows["reason"].tolist() == [Reason.USER_UNKNOWN, Reason.DEVICE_UNKNOWN]
    assert rows["outcome"].tolist() == [Outcome.SUPPRESSED] * 2
    assert rows["note"].tolist() == [1, 2]
