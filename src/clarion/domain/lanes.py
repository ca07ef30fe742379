"""Lanes: what waits behind what. A call never waits behind a campaign."""

from enum import IntEnum


class Lane(IntEnum):
    """Urgency class of a message; a lower number is leased first."""

    CALL = 0
    TRANSACTIONAL = 1
    CAMPAIGN = 2
    BULK = 3

    @property
    def urgent(self) -> bool:
        """Whether the lane owns reserved connections and worker slots."""
        return self <= Lane.TRANSACTIONAL


CHUNK_RECIPIENTS = {Lane.CALL: 10, Lane.TRANSACTIONAL: 10, Lane.CAMPAIGN: 500, Lane.BULK: 500}
"""How many recipients a process may have sent to without having recorded it."""
