"""What keeps the state store small and its queue simple, while everything else goes on."""

from datetime import datetime
from typing import Protocol


class Upkeep(Protocol):
    """Each call is one short transaction of bounded size, safe beside any other work."""

    async def drop_messages(self, before: datetime, *, at_once: int) -> int:
        """Delete messages that ended before an instant; how many.

        Never one that has work left, nor one whose outcomes may not be in the facts yet.
        """
        ...

    async def drop_removals(self, before: datetime, fed_xid: int, *, at_once: int) -> int:
        """Delete marks of removed users and devices from before an instant; how many.

        Never one that the facts, complete below `fed_xid`, or an unsent batch still needs.
        """
        ...

    async def drop_keys(self, before: datetime, *, at_once: int) -> int:
        """Delete idempotency keys from before an instant; how many."""
        ...

    async def held_shards(self) -> int:
        """How many shards wait for a version that can read them."""
        ...

    async def untangle(self, now: datetime, *, at_once: int) -> int:
        """Cut work of several messages that a quarantine holds into work of one each; how much.

        A pause or a withdrawal of one message then does not wait for the others.
        """
        ...
