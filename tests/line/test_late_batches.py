"""A batch that comes later than planned is judged by the quiet hours that it was planned with."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest

from clarion.domain.category import Category, Kind
from clarion.domain.content import Content, Message
from clarion.domain.handoffs import BatchToSend, Recipients
from clarion.domain.ids import AppId, BatchId, CredentialId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.lateness import lateness_of
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.policy import Policy
from clarion.domain.quiet_windows import EVERY_DAY, QuietAction, QuietHours, Window
from clarion.domain.send_time import instant_us
from clarion.stages.delivery.chunk import Chunk, commit_of
from clarion.stages.delivery.lateness import give_way, put_off, with_put_off

EVENING = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
"""Nine in Paris, three in the afternoon in New York, five in the morning in Tokyo."""
ZONES = ("Europe/Paris", "America/New_York", "Asia/Tokyo")


def chunk_of(action: QuietAction, now: datetime) -> Chunk:
    """Three people, planned at a time when it was quiet for none of them."""
    night = Window(days=EVERY_DAY, start_min=22 * 60, end_min=7 * 60)
    policy = Policy(
        category=Category(slug="news", kind=Kind.SYSTEM, slot=3),
        quiet_hours=QuietHours(windows=(night,), action=action),
    )
    opens = EVENING + timedelta(hours=1)
    none = np.full(3, 65535, np.uint16)
    lateness, kind = lateness_of(
        policy, ZONES, (), (np.arange(3, dtype=np.uint16), none), np.full(3, instant_us(opens))
    )
    zeros = np.zeros(3, np.int64)
    message = Message(
        id=MessageId(str(UUID(int=1))), app=AppId(1), lane=Lane.CAMPAIGN, content=Content(title="A")
    )
    batch = BatchToSend(
        id=BatchId(1),
        app=AppId(1),
        lane=Lane.CAMPAIGN,
        network=Network.APNS,
        credential=CredentialId(1),
        messages=[message],
        recipients=Recipients(
            device=np.arange(1, 4),
            user=np.arange(11, 14),
            registered_us=zeros,
            environment=zeros.astype(np.uint8),
            tokens=[b"a", b"b", b"c"],
            quiet=kind,
        ),
        cursor=0,
        attempt=0,
        first_attempt_at=now,
        fence=1,
        planned_xid=1,
        lateness=lateness,
    )
    return Chunk(batch=batch, low=0, high=3, now=now)


LATE = EVENING + timedelta(hours=2)
"""Eleven in Paris, five in the afternoon in New York, seven in the morning in Tokyo."""


def test_in_time_nobody_waits() -> None:
    """Before the first closing nothing is even looked at."""
    chunk = chunk_of(QuietAction.HOLD, EVENING)
    reasons = np.zeros(3, np.uint16)

    assert not put_off(chunk, reasons, ())
    assert not reasons.any()


def test_who_has_quiet_hours_by_now_waits_for_their_end() -> None:
    """Paris waits until seven; the others get it."""
    chunk = chunk_of(QuietAction.HOLD, LATE)
    reasons = np.zeros(3, np.uint16)
    late = put_off(chunk, reasons, ())

    assert reasons.tolist() == [Reason.HELD_FOR_QUIET_HOURS, 0, 0]
    (paris,) = late
    assert paris.run_at == datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
    assert paris.open_until == datetime(2026, 3, 2, 21, 0, tzinfo=UTC)
    assert paris.recipients.user.tolist() == [11]
    commit = with_put_off(commit_of(chunk, reasons, None, LATE), late)
    assert commit.sent.rows["outcome"].tolist()[0] == 0, "not an end: it is sent later"
    assert len(commit.retries) == 1


def test_what_is_dropped_in_quiet_hours_is_dropped_when_it_is_late() -> None:
    """An end, with its reason."""
    reasons = np.zeros(3, np.uint16)

    assert not put_off(chunk_of(QuietAction.DROP, LATE), reasons, ())
    assert reasons.tolist() == [Reason.QUIET_HOURS, 0, 0]


def test_what_is_silent_in_quiet_hours_turns_silent_once() -> None:
    """As a batch of its own, at once, which is not cut again."""
    chunk = chunk_of(QuietAction.SILENT, LATE)
    (paris,) = put_off(chunk, np.zeros(3, np.uint16), ())

    assert paris.silenced
    assert paris.run_at == LATE
    again = replace(
        chunk.batch, messages=[paris.message], recipients=paris.recipients, variants=True
    )
    reasons = np.zeros(1, np.uint16)
    assert not put_off(replace(chunk, batch=again, high=1), reasons, ())


@pytest.mark.parametrize("action", list(QuietAction))
def test_a_withdrawn_message_waits_for_nothing(action: QuietAction) -> None:
    """It is recorded as withdrawn."""
    chunk = chunk_of(action, LATE)
    assert not put_off(chunk, np.zeros(3, np.uint16), [chunk.batch.messages[0].id])


def test_who_gave_way_is_told_so_unless_there_is_another_reason() -> None:
    """The first reason stays."""
    reasons = np.array([Reason.USER_OPTED_OUT, 0, 0], np.uint16)
    give_way(chunk_of(QuietAction.HOLD, EVENING), np.array([11, 13]), reasons)

    assert reasons.tolist() == [Reason.USER_OPTED_OUT, 0, Reason.GAVE_WAY]
