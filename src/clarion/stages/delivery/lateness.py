"""Whose part can't go out now: who has quiet hours, and who gives way to another message."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

import numpy as np

from clarion.domain.handoffs import Int64s, UInt16s
from clarion.domain.ids import MessageId
from clarion.domain.lateness import closing, judged
from clarion.domain.outcome import Reason
from clarion.domain.quiet_hours import QuietTimes, QuietVerdict
from clarion.domain.send_time import instant
from clarion.domain.silence import silenced
from clarion.ports.line import ChunkCommit, GivenWay, RetryBatch
from clarion.stages.delivery.chunk import Chunk, microseconds

LOOKS_AGAIN: Final = timedelta(minutes=1)
WINNER_LATE: Final = timedelta(days=1)
"""A more important message that is later than this (it is paused, say) has lost its place."""


def give_way(chunk: Chunk, people: Int64s, reasons: UInt16s) -> None:
    """Add to `reasons` whose part a more important message has taken."""
    if len(people):
        gone = np.isin(chunk.recipients.user, people) & (reasons == 0)
        reasons[gone] = Reason.GAVE_WAY


def await_winner(
    chunk: Chunk, places: GivenWay, reasons: UInt16s, canceled: Collection[MessageId]
) -> Sequence[RetryBatch]:
    """Who waits until it is known whether a more important message goes out to them.

    `reasons` says of them that they wait for a cap; or, where their own message would be over by
    then, that their part gave way.
    """
    if places.awaited_at is None or chunk.now - places.awaited_at > WINNER_LATE:
        return []
    batch, recipients = chunk.batch, chunk.recipients
    if any(message.id in canceled for message in batch.messages):
        return []
    waits = np.isin(recipients.user, places.awaited) & (reasons == 0)
    again = max(places.awaited_at, chunk.now) + LOOKS_AGAIN
    again = max(again, chunk.now + (chunk.now - places.awaited_at) / 2)
    index = np.zeros(len(recipients), np.uint16)
    if recipients.message is not None:
        index = recipients.message
    made = []
    for place in np.unique(index[waits]).tolist():
        message, mine = batch.messages[place], waits & (index == place)
        run_at = again
        if message.expires_at is not None:
            run_at = min(again, message.expires_at - LOOKS_AGAIN)
        if run_at <= chunk.now:
            reasons[mine] = Reason.GAVE_WAY
            continue
        reasons[mine] = Reason.HELD_FOR_CAP
        made.append(
            RetryBatch(
                message=message,
                recipients=replace(recipients.take(np.flatnonzero(mine)), message=None),
                run_at=run_at,
                attempt=batch.attempt,
                spent_s=batch.spent_s,
            )
        )
    return made


def put_off(
    chunk: Chunk, reasons: UInt16s, canceled: Collection[MessageId]
) -> Sequence[RetryBatch]:
    """Who waits for the end of their quiet hours; `reasons` says of them that they wait.

    What is dropped in quiet hours is dropped, and what is silent then is sent silently, at once,
    as a batch of its own. Withdrawn messages wait for nothing.
    """
    batch, now_us = chunk.batch, microseconds(chunk.now)
    lateness, recipients = batch.lateness, chunk.recipients
    if lateness is None or recipients.quiet is None or chunk.now < lateness.open_until:
        return []
    if any(message.id in canceled for message in batch.messages):
        return []
    found = judged(lateness, recipients.quiet, now_us)
    asked = reasons == 0
    shut = asked & (found.verdict >= QuietVerdict.DROPPED)
    reasons[shut] = Reason.QUIET_HOURS
    waits = asked & ~shut & ((found.verdict == QuietVerdict.HELD) | _turns_silent(chunk, found))
    reasons[waits] = Reason.HELD_FOR_QUIET_HOURS
    return _batches(chunk, found, np.flatnonzero(waits))


def _turns_silent(chunk: Chunk, found: QuietTimes) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Rows that are due silently now and were not made so."""
    quietly = [silenced(message) == message for message in chunk.batch.messages]
    index = chunk.recipients.message
    already = np.full(len(found.silent), quietly[0]) if index is None else np.array(quietly)[index]
    turning: np.ndarray[tuple[int], np.dtype[np.bool_]] = found.silent & ~already
    return turning


def _batches(chunk: Chunk, found: QuietTimes, rows: Int64s) -> list[RetryBatch]:
    batch, recipients = chunk.batch, chunk.recipients
    index = np.zeros(len(recipients), np.uint16)
    if recipients.message is not None:
        index = recipients.message
    kinds = np.unique(
        np.stack([index[rows].astype(np.int64), found.send_us[rows], found.silent[rows]]), axis=1
    ).T
    made = []
    for place, send_us, silent in kinds.tolist():
        mine = rows[
            (index[rows] == place)
            & (found.send_us[rows] == send_us)
            & (found.silent[rows] == bool(silent))
        ]
        message = batch.messages[int(place)]
        made.append(
            RetryBatch(
                message=silenced(message) if silent else message,
                recipients=replace(recipients.take(mine), message=None),
                run_at=instant(int(send_us)),
                attempt=batch.attempt,
                spent_s=batch.spent_s,
                open_until=closing(found.open_until_us[mine]),
                silenced=bool(silent),
            )
        )
    return made


def with_put_off(commit: ChunkCommit, late: Sequence[RetryBatch]) -> ChunkCommit:
    """The commit with those who wait."""
    return replace(commit, retries=[*commit.retries, *late]) if late else commit
