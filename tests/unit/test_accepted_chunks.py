"""A chunk that everybody accepted is recorded as the rule would have it, unasked."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import numpy as np
import pytest

from clarion.domain.content import Content, Message
from clarion.domain.credential_health import Diagnosis
from clarion.domain.handoffs import Answers, BatchToSend, Recipients
from clarion.domain.ids import AppId, BatchId, CredentialId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.outcome_runs import is_run, packed
from clarion.ports.line import ChunkCommit
from clarion.stages.delivery.chunk import Chunk, Sent, commit_of, deadlines_us, settle_chunk

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
COUNT: Final = 40


def chunk_of(*, variants: bool = False) -> Chunk:
    """Some recipients of one message, or of two in turns."""
    message = Message(
        id=MessageId(str(UUID(int=1))), app=AppId(1), lane=Lane.CAMPAIGN, content=Content(title="A")
    )
    turns = np.arange(COUNT, dtype=np.uint16) % 2
    batch = BatchToSend(
        id=BatchId(1),
        app=AppId(1),
        lane=Lane.CAMPAIGN,
        network=Network.APNS,
        credential=CredentialId(1),
        messages=[message, message] if variants else [message],
        recipients=Recipients(
            device=np.arange(COUNT) + 7,
            user=np.arange(COUNT) + 3,
            registered_us=np.zeros(COUNT, np.int64),
            environment=np.ones(COUNT, np.uint8),
            tokens=[b"a"] * COUNT,
            message=turns if variants else None,
        ),
        cursor=0,
        attempt=1,
        first_attempt_at=NOW,
        fence=1,
        planned_xid=1,
    )
    return Chunk(batch=batch, low=0, high=COUNT, now=NOW)


def recorded(chunk: Chunk, reasons: list[int], statuses: list[int], *, ruled: bool) -> ChunkCommit:
    """The commit where all who are sent to are accepted, by the rule or as known beforehand."""
    index = np.flatnonzero(np.array(reasons) == 0)
    answers = Answers(
        verdict=np.zeros(len(index), np.uint8),
        reason=np.zeros(len(index), np.uint16),
        status=np.array(statuses, np.uint16)[index],
        retry_after_s=np.full(len(index), np.nan, np.float32),
        dead_us=np.zeros(len(index), np.int64),
    )
    limits = deadlines_us(chunk.batch, chunk.recipients, NOW)[index]
    registered = chunk.recipients.registered_us[index]
    settlement = settle_chunk(chunk, answers, Diagnosis.HEALTHY, limits, registered, fraction=0.5)
    sent = Sent(
        index=index,
        answers=answers,
        settlement=settlement if ruled else None,
        diagnosis=Diagnosis.HEALTHY,
        credential_version=1,
    )
    return commit_of(chunk, np.array(reasons, np.uint16), sent, NOW)


@pytest.mark.parametrize("variants", [False, True], ids=["one message", "two in turns"])
@pytest.mark.parametrize("withheld", [0, 1, COUNT], ids=["nobody", "one", "everybody"])
@pytest.mark.parametrize("other", [200, 201], ids=["the same status", "another status"])
def test_the_rows_are_those_of_the_rule(*, variants: bool, withheld: int, other: int) -> None:
    """Row by row; and as octets, which nobody looks through where they are known to be alike."""
    chunk = chunk_of(variants=variants)
    reasons = [int(Reason.USER_OPTED_OUT)] * withheld + [0] * (COUNT - withheld)
    statuses = [200] * (COUNT - 1) + [other]

    known = recorded(chunk, reasons, statuses, ruled=False)
    ruled = recorded(chunk, reasons, statuses, ruled=True)

    assert (known.sent.rows == ruled.sent.rows).all()
    octets = packed(known.sent.rows, alike=known.sent.alike)
    assert octets == packed(ruled.sent.rows)
    assert known.sent.alike == (not variants and not withheld and other == 200)
    assert not known.sent.alike or is_run(octets)
    assert (known.cursor, known.retries, known.burial) == (ruled.cursor, (), ruled.burial)
