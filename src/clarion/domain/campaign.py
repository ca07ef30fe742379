"""The life of a message and of the pieces of work it becomes: tables of states."""

from enum import IntEnum, StrEnum


class MessageState(IntEnum):
    """Where a message is."""

    SCHEDULED = 1
    """Waits for its time; due when `send_at` has passed."""
    SENDING = 2
    """Being planned and sent."""
    PAUSED = 3
    """Held by the operator; what is planned stays planned."""
    CANCELING = 4
    """Withdrawn; what was not sent is being recorded as canceled."""
    FINISHED = 5
    """Every recipient has an outcome."""
    CANCELED = 6
    """Withdrawn, and every recipient has an outcome."""


class MessageInput(StrEnum):
    """What happens to a message."""

    DUE = "due"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    DONE = "done"
    """The last piece of its work is recorded (what was on the wire when it was paused, too)."""


MESSAGE_TABLE: dict[tuple[MessageState, MessageInput], MessageState] = {
    (MessageState.SCHEDULED, MessageInput.DUE): MessageState.SENDING,
    (MessageState.SCHEDULED, MessageInput.PAUSE): MessageState.PAUSED,
    (MessageState.SCHEDULED, MessageInput.CANCEL): MessageState.CANCELED,
    (MessageState.SENDING, MessageInput.PAUSE): MessageState.PAUSED,
    (MessageState.SENDING, MessageInput.CANCEL): MessageState.CANCELING,
    (MessageState.SENDING, MessageInput.DONE): MessageState.FINISHED,
    (MessageState.PAUSED, MessageInput.RESUME): MessageState.SENDING,
    (MessageState.PAUSED, MessageInput.CANCEL): MessageState.CANCELING,
    (MessageState.PAUSED, MessageInput.DONE): MessageState.FINISHED,
    (MessageState.CANCELING, MessageInput.DONE): MessageState.CANCELED,
}
"""What is absent is refused. A paused message that was never due resumes to `SENDING` only
through its schedule: resuming sets it back to waiting when its time has not come."""


class BatchState(IntEnum):
    """Where a piece of work (shard or batch) is."""

    READY = 1
    LEASED = 2
    HELD = 3
    DONE = 4


class BatchInput(StrEnum):
    """What happens to a piece of work."""

    CLAIM = "claim"
    RELEASE = "release"
    LEASE_EXPIRED = "lease_expired"
    HOLD = "hold"
    RESUME = "resume"
    COMPLETE = "complete"
    """All of it is recorded, or two halves took over."""
    DROP = "drop"
    """Its message was withdrawn before anybody was chosen (shards only)."""


BATCH_TABLE: dict[tuple[BatchState, BatchInput], BatchState] = {
    (BatchState.READY, BatchInput.CLAIM): BatchState.LEASED,
    (BatchState.READY, BatchInput.HOLD): BatchState.HELD,
    (BatchState.LEASED, BatchInput.RELEASE): BatchState.READY,
    (BatchState.LEASED, BatchInput.LEASE_EXPIRED): BatchState.READY,
    (BatchState.LEASED, BatchInput.HOLD): BatchState.HELD,
    (BatchState.LEASED, BatchInput.COMPLETE): BatchState.DONE,
    (BatchState.READY, BatchInput.DROP): BatchState.DONE,
    (BatchState.HELD, BatchInput.RESUME): BatchState.READY,
    (BatchState.HELD, BatchInput.DROP): BatchState.DONE,
}
