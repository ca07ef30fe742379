"""The lives of messages and of pieces of work, over all pairs of state and input."""

from itertools import product

import pytest

from clarion.domain.campaign import (
    BATCH_TABLE,
    MESSAGE_TABLE,
    BatchInput,
    BatchState,
    MessageInput,
    MessageState,
)

_S, _M = MessageState, MessageInput
_B, _I = BatchState, BatchInput

MESSAGES = {
    _S.SCHEDULED: {_M.DUE: _S.SENDING, _M.PAUSE: _S.PAUSED, _M.CANCEL: _S.CANCELED},
    _S.SENDING: {_M.PAUSE: _S.PAUSED, _M.CANCEL: _S.CANCELING, _M.DONE: _S.FINISHED},
    _S.PAUSED: {_M.RESUME: _S.SENDING, _M.CANCEL: _S.CANCELING, _M.DONE: _S.FINISHED},
    _S.CANCELING: {_M.DONE: _S.CANCELED},
    _S.FINISHED: {},
    _S.CANCELED: {},
}
WORK = {
    _B.READY: {_I.CLAIM: _B.LEASED, _I.HOLD: _B.HELD, _I.DROP: _B.DONE},
    _B.LEASED: {
        _I.RELEASE: _B.READY,
        _I.LEASE_EXPIRED: _B.READY,
        _I.HOLD: _B.HELD,
        _I.COMPLETE: _B.DONE,
    },
    _B.HELD: {_I.RESUME: _B.READY, _I.DROP: _B.DONE},
    _B.DONE: {},
}


@pytest.mark.parametrize(("state", "what"), list(product(MessageState, MessageInput)))
def test_a_message_moves_as_written_or_not_at_all(state: MessageState, what: MessageInput) -> None:
    """What the table does not have is refused."""
    assert MESSAGE_TABLE.get((state, what)) == MESSAGES[state].get(what)


@pytest.mark.parametrize(("state", "what"), list(product(BatchState, BatchInput)))
def test_work_moves_as_written_or_not_at_all(state: BatchState, what: BatchInput) -> None:
    """What the table does not have is refused."""
    assert BATCH_TABLE.get((state, what)) == WORK[state].get(what)


def test_every_message_can_end() -> None:
    """From each state some way leads to one that nothing leaves."""
    ends = {s for s in MessageState if not any(state is s for state, _ in MESSAGE_TABLE)}
    reach = set(ends)
    for _ in MessageState:
        reach |= {state for (state, _), after in MESSAGE_TABLE.items() if after in reach}
    assert ends == {MessageState.FINISHED, MessageState.CANCELED}
    assert reach == set(MessageState)


def test_a_withdrawn_message_is_never_sent_again() -> None:
    """Nothing leads from canceling or canceled back to sending."""
    reach = {MessageState.CANCELING}
    for _ in MessageState:
        reach |= {after for (state, _), after in MESSAGE_TABLE.items() if state in reach}
    assert reach == {MessageState.CANCELING, MessageState.CANCELED}


def test_no_work_is_lost() -> None:
    """From each state but done, some way leads to a sender (or to a recorded end)."""
    reach = {BatchState.LEASED, BatchState.DONE}
    for _ in BatchState:
        reach |= {state for (state, _), after in BATCH_TABLE.items() if after in reach}
    assert reach == set(BatchState)
