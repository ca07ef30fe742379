"""Settings of what is kept, and for how long; a section of the tree in `setting_tree`."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

LONGEST_CAP_DAYS: Final = 31
"""No cap looks back further (`clarion.domain.frequency`)."""


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long the state store and the facts keep what is over."""

    messages_days: Annotated[
        int,
        Meta(description="Days that a message is kept after it ended.", ge=1, le=36_500),
    ] = 30
    removals_days: Annotated[
        int,
        Meta(
            description="Days that the mark of a removed user or device is kept; a facts file "
            "that is restored from an older copy must be rebuilt.",
            ge=1,
            le=36_500,
        ),
    ] = 30
    events_days: Annotated[
        int,
        Meta(
            description="Days that the ids of events are remembered; older events are refused.",
            ge=2,
            le=3_650,
        ),
    ] = 30
    outcomes_hours: Annotated[
        int,
        Meta(
            description="Hours that recorded outcomes are kept besides the facts, in case their "
            "file is lost.",
            ge=1,
            le=876_000,
        ),
    ] = 1
    facts_outcomes_days: Annotated[
        int,
        Meta(
            description="Days that the facts keep outcomes: what became of each recipient. At "
            f"least as long as a cap may look back ({LONGEST_CAP_DAYS} days).",
            ge=1,
            le=36_500,
        ),
    ] = 400
    facts_decisions_days: Annotated[
        int,
        Meta(
            description="Days that the facts keep decisions: what a trace and a replay are made "
            f"of. At least as long as a cap may look back ({LONGEST_CAP_DAYS} days).",
            ge=1,
            le=36_500,
        ),
    ] = 400
    facts_events_days: Annotated[
        int,
        Meta(
            description="Days that the facts keep events and engagement, by when they happened: "
            "segments look back no further. At least `events_days`.",
            ge=1,
            le=36_500,
        ),
    ] = 400

    def __post_init__(self) -> None:
        """Rules that two settings keep together.

        Raises:
            ValueError: one is shorter than what has to be looked back to.
        """
        for name in ("facts_outcomes_days", "facts_decisions_days"):
            days: int = getattr(self, name)
            if days < LONGEST_CAP_DAYS:
                raise ValueError(
                    f"retention.{name} is {days}, and a cap may look back {LONGEST_CAP_DAYS} days: "
                    f"keep at least {LONGEST_CAP_DAYS}"
                )
        if self.facts_events_days < self.events_days:
            raise ValueError(
                f"retention.facts_events_days is {self.facts_events_days}, and events are accepted "
                f"for {self.events_days} days (retention.events_days): keep at least as many"
            )
