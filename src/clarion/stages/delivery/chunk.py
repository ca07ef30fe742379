"""One chunk of a batch: who is still to be sent to, what the network said, what that comes to."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

import numpy as np

from clarion.domain.attempt import Settlement, Situation, settle
from clarion.domain.credential_health import Diagnosis
from clarion.domain.handoffs import (
    OUTCOME_ROW,
    Answers,
    BatchSent,
    BatchToSend,
    ChunkKind,
    Int64s,
    Recipients,
    UInt16s,
)
from clarion.domain.ids import MessageId
from clarion.domain.outcome import Outcome, Reason, Verdict
from clarion.domain.retry import policy_for
from clarion.ports.line import Burial, ChunkCommit, RetryBatch

Value = TypeVar("Value", int, str)
Rows = np.ndarray[tuple[int], np.dtype[np.void]]

TOO_LATE: Final = (int(Reason.DEADLINE_PASSED), int(Reason.HELD_PAST_DEADLINE))
WAITING: Final = (int(Reason.HELD_FOR_QUIET_HOURS), int(Reason.HELD_FOR_CAP))
"""No ends: these rows come again."""
NEVER_US = np.iinfo(np.int64).max


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Rows `low` <= i < `high` of a batch, at one instant."""

    batch: BatchToSend
    low: int
    high: int
    now: datetime
    recipients: Recipients = field(init=False)
    """The chunk's rows."""

    def __post_init__(self) -> None:
        """Cut them out once: whoever deals with the chunk asks for them."""
        object.__setattr__(self, "recipients", self.batch.recipients.rows(self.low, self.high))


def microseconds(instant: datetime) -> int:
    """Microseconds since the epoch."""
    return int(instant.timestamp() * 1_000_000)


def limits_us(batch: BatchToSend, now: datetime) -> list[int]:
    """Per message, past when nothing may be sent.

    The nearer of the sender's deadline and of the TTL. The TTL's clock runs from the recipient's
    first attempt: before it, a message that waited in our queue is as fresh as it ever was, and
    only the sender's deadline can make it too late.
    """
    first = now if batch.attempt == 0 else batch.first_attempt_at
    per_message: list[int] = []
    for message in batch.messages:
        limits = [NEVER_US]
        if message.expires_at is not None:
            limits.append(microseconds(message.expires_at))
        if message.ttl is not None:
            limits.append(microseconds(first + max(message.ttl, timedelta(seconds=1))))
        per_message.append(min(limits))
    return per_message


def deadlines_us(batch: BatchToSend, recipients: Recipients, now: datetime) -> Int64s:
    """The same per row."""
    column = np.array(limits_us(batch, now), np.int64)
    index = recipients.message
    return np.full(len(recipients), column[0]) if index is None else column[index]


def withhold(chunk: Chunk, reasons: UInt16s, canceled: Collection[MessageId]) -> None:
    """Add to `reasons` what time and the sender's withdrawal say; the first reason stays."""
    now_us = microseconds(chunk.now)
    if min(limits_us(chunk.batch, chunk.now)) <= now_us:  # no column is made where none is late
        deadline_us = deadlines_us(chunk.batch, chunk.recipients, chunk.now)
        reasons[(deadline_us <= now_us) & (reasons == 0)] = Reason.DEADLINE_PASSED
    if not canceled:
        return
    gone = np.array([message.id in canceled for message in chunk.batch.messages])
    index = chunk.recipients.message
    rows = np.full(len(reasons), gone[0]) if index is None else gone[index]
    reasons[rows & (reasons == 0)] = Reason.CANCELED_BY_SENDER


def withheld_outcomes(reasons: UInt16s) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """The outcome of rows that are not sent."""
    outcome = np.full(len(reasons), Outcome.SUPPRESSED, np.uint8)
    outcome[np.isin(reasons, TOO_LATE)] = Outcome.EXPIRED
    outcome[reasons == Reason.CANCELED_BY_SENDER] = Outcome.CANCELED
    outcome[reasons == Reason.BATCH_POISONED] = Outcome.FAILED
    outcome[np.isin(reasons, WAITING)] = 0
    return outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What the network said to the rows `index` of the chunk, and what it comes to."""

    index: Int64s
    answers: Answers
    settlement: Settlement | None
    """None: everybody of `index` was accepted."""
    diagnosis: Diagnosis
    credential_version: int


def settle_chunk(
    chunk: Chunk,
    answers: Answers,
    diagnosis: Diagnosis,
    deadline_us: Int64s,
    registered_us: Int64s,
    *,
    fraction: float,
) -> Settlement:
    """Apply the rule of `clarion.domain.attempt` to a chunk's answers."""
    batch = chunk.batch
    return settle(
        answers,
        Situation(
            attempt=batch.attempt,
            now_us=microseconds(chunk.now),
            spent_s=batch.spent_s,
            deadline_us=deadline_us,
            registered_us=registered_us,
            diagnosis=diagnosis,
            fraction=fraction,
        ),
        policy_for(batch.lane),
    )


def commit_of(chunk: Chunk, reasons: UInt16s, sent: Sent | None, done_at: datetime) -> ChunkCommit:
    """Everything that is to be recorded of a chunk."""
    batch, recipients = chunk.batch, chunk.recipients
    alike = sent is not None and _met_the_same(sent, recipients)
    rows = _rows(chunk, done_at, sent.answers if sent is not None and alike else None)
    notes: list[str] = []
    if not alike:
        rows["reason"] = reasons
        if recipients.message is not None:
            rows["message"] = recipients.message
        if sent is None or len(sent.index) < len(recipients):
            withheld = reasons != 0
            rows["outcome"][withheld] = withheld_outcomes(reasons[withheld])
        notes = [] if sent is None else _fill_sent(rows, sent)
    outcome = BatchSent(
        app=batch.app,
        kind=ChunkKind.SENT,
        messages=[message.id for message in batch.messages],
        rows=rows,
        notes=notes,
        provider_ids={} if sent is None else _provider_ids(sent),
        alike=alike,
    )
    if sent is None or sent.settlement is None:
        learned = None if sent is None else _by_device(recipients, sent, sent.answers.environment)
        return ChunkCommit(batch=batch, cursor=chunk.high, sent=outcome, environments=learned)
    faulty, settlement = sent.diagnosis is Diagnosis.FAULTY, sent.settlement
    return ChunkCommit(
        batch=batch,
        cursor=chunk.high,
        sent=outcome,
        retries=_retries(chunk, sent, settlement, done_at),
        burial=_burial(recipients, sent.index, settlement),
        new_tokens=_by_device(recipients, sent, sent.answers.new_token),
        environments=_by_device(recipients, sent, sent.answers.environment),
        quarantine=_fault_told(sent.answers, settlement) if faulty else None,
        faulty_version=sent.credential_version if faulty else None,
    )


def _met_the_same(sent: Sent, recipients: Recipients) -> bool:
    """Whether everybody of a chunk was accepted in the same words: then its rows are a run."""
    answers = sent.answers
    return (
        sent.settlement is None
        and 0 < len(sent.index) == len(recipients)
        and recipients.message is None
        and not answers.provider_reason
        and not answers.reason.any()
        and bool((answers.status == answers.status[0]).all())
    )


def _rows(chunk: Chunk, done_at: datetime, accepted: Answers | None) -> Rows:
    """A row for each recipient: who it is, and what all rows of the chunk have in common.

    `accepted` is what the network said to everybody alike; None: what they met is still to come.
    """
    batch, recipients = chunk.batch, chunk.recipients
    row = np.zeros(1, OUTCOME_ROW)
    row["at_us"] = microseconds(done_at)
    row["network"] = batch.network
    row["attempt"] = batch.attempt
    if accepted is not None:
        row["outcome"] = Outcome.ACCEPTED
        row["status"] = accepted.status[0]
    rows = row.repeat(len(recipients))
    rows["device"] = recipients.device
    rows["user"] = recipients.user
    return rows


def _fill_sent(rows: Rows, sent: Sent) -> list[str]:
    """Write the answers' columns; the notes that the rows point to."""
    answers, settlement, index = sent.answers, sent.settlement, sent.index
    rows["reason"][index] = answers.reason if settlement is None else settlement.reason
    rows["status"][index] = answers.status
    rows["outcome"][index] = Outcome.ACCEPTED if settlement is None else settlement.outcome
    rows["verdict"][index] = answers.verdict
    notes: dict[str, int] = {}
    for row, words in answers.provider_reason.items():
        rows["note"][index[row]] = notes.setdefault(words[:500], len(notes) + 1)
    return list(notes)


def _provider_ids(sent: Sent) -> dict[int, str]:
    ids = sent.answers.provider_id
    if ids is None:
        return {}
    pairs = enumerate(ids) if isinstance(ids, Sequence) else ids.items()
    return {int(sent.index[row]): name for row, name in pairs if name}


def _by_device(recipients: Recipients, sent: Sent, column: Mapping[int, Value]) -> dict[int, Value]:
    return {int(recipients.device[sent.index[row]]): value for row, value in column.items()}


def _retries(
    chunk: Chunk, sent: Sent, settlement: Settlement, done_at: datetime
) -> list[RetryBatch]:
    """Recipients to be tried again, in as few batches as messages and waits allow.

    Each is of one message, so that a pause or a withdrawal concerns whole batches.
    """
    again, recipients = settlement.outcome == 0, chunk.recipients
    if not again.any():
        return []
    held = settlement.held
    waits = np.ceil(settlement.delay_s)
    of = np.zeros(len(again), np.uint16)
    if recipients.message is not None:
        of = recipients.message[sent.index]
    kinds = np.unique(np.stack([of, held, waits])[:, again], axis=1).T
    took_s = (done_at - chunk.now).total_seconds()
    in_quarantine = sent.diagnosis is Diagnosis.FAULTY
    batches = []
    for message, waits_for_credential, wait in kinds.tolist():
        chosen = again & (of == message) & (held == bool(waits_for_credential)) & (waits == wait)
        rows = recipients.take(sent.index[chosen])
        batches.append(
            RetryBatch(
                message=chunk.batch.messages[int(message)],
                recipients=replace(rows, message=None),
                run_at=done_at + timedelta(seconds=wait),
                attempt=chunk.batch.attempt + (0 if waits_for_credential else 1),
                spent_s=chunk.batch.spent_s
                + (0.0 if waits_for_credential and in_quarantine else max(0.0, took_s) + wait),
            )
        )
    return batches


def _burial(recipients: Recipients, index: Int64s, settlement: Settlement) -> Burial | None:
    bury = settlement.bury
    if not bury.any():
        return None
    rows = index[bury]
    return Burial(
        device=recipients.device[rows],
        reason=[int(reason) for reason in settlement.reason[bury]],
        registered_us=recipients.registered_us[rows],
    )


def _fault_told(answers: Answers, settlement: Settlement) -> str:
    """The sentence that the operator reads: the network's own words, where it had any."""
    faults = np.isin(answers.verdict, (Verdict.ALERT_CONFIG, Verdict.SUSPECT_TOKEN))
    first = int(np.flatnonzero(faults)[0])
    words = answers.provider_reason.get(first, "")
    reason = Reason(int(settlement.reason[first])).label
    return f"{reason}: {words}" if words else reason
