"""Finishes erasures: when a person is gone from the state, the facts go too."""

from datetime import timedelta
from typing import Final

from clarion.ports.erasure import Erasure, Erasures, OpenErasure, PersonFacts
from clarion.ports.system import Clock

AT_ONCE: Final = 100
LEFT_BEHIND: Final = timedelta(minutes=1)
"""Younger ones are still in the hands of whoever began them."""


async def finish(
    erasures: Erasures, facts: PersonFacts, open_one: OpenErasure, clock: Clock
) -> Erasure:
    """Remove the facts of one person who is gone from the state, and complete the proof.

    Raises:
        FactsUnavailableError: the erasure stays open.
    """
    removed = await facts.erase(open_one.app, open_one.users, at_least_xid=open_one.xid)
    return await erasures.finish(open_one.id, removed, clock.now())


async def finish_all(erasures: Erasures, facts: PersonFacts, clock: Clock) -> int:
    """Finish what was left open, oldest first; how many were.

    Raises:
        FactsUnavailableError: the rest stays open.
    """
    waiting = await erasures.unfinished(clock.now() - LEFT_BEHIND, AT_ONCE)
    for each in waiting:
        await finish(erasures, facts, each, clock)
    return len(waiting)
