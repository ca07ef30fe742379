"""The funnel of asking, over all pairs of state and input."""

import numpy as np

from clarion.domain.permission import (
    PROMPT_TABLE,
    Permission,
    PromptInput,
    PromptState,
    permission_of,
    refused,
)


def test_every_state_can_be_reached_and_left() -> None:
    """No dead end: whoever reinstalls begins anew."""
    reached = {PromptState.NOT_SHOWN}
    for _ in PromptState:
        reached |= {to for (state, _), to in PROMPT_TABLE.items() if state in reached}
    assert reached == set(PromptState)
    assert {state for state, _ in PROMPT_TABLE} == set(PromptState)


def test_nothing_is_granted_before_a_prompt() -> None:
    """Only iOS's provisional authorisation comes without one."""
    for state in (PromptState.NOT_SHOWN, PromptState.PRIMER_SHOWN, PromptState.PRIMER_ACCEPTED):
        assert (state, PromptInput.GRANT) not in PROMPT_TABLE


def test_only_a_no_refuses() -> None:
    """Unknown, not asked, provisional and granted may be sent to."""
    states = np.array([int(state) for state in Permission], np.uint8)
    assert [Permission(s) for s in states[refused(states)]] == [
        Permission.DENIED,
        Permission.BLOCKED,
    ]
    assert permission_of(PromptState.PRIMER_DECLINED) is Permission.NOT_ASKED
    assert permission_of(PromptState.BLOCKED) is Permission.BLOCKED
