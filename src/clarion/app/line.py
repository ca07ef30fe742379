"""The line as a table: which stage takes which hand-off and gives which.

Workers start from it, the diagram in the docs is drawn from it, and a test proves that no hand-off
goes backwards.
"""

from dataclasses import dataclass

from clarion.domain import handoffs


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the line."""

    name: str
    """Module under `clarion.stages`."""
    consumes: tuple[type, ...]
    produces: tuple[type, ...]
    role: str
    """The role whose processes run it."""


LINE: tuple[Stage, ...] = (
    Stage("delivery.urgent", (), (handoffs.BatchToSend, handoffs.BatchSent), "api"),
    Stage("planning.expand", (handoffs.CampaignDue,), (handoffs.ShardToPlan,), "planner"),
    Stage(
        "planning.plan",
        (handoffs.ShardToPlan,),
        (handoffs.BatchToSend, handoffs.BatchSent),
        "planner",
    ),
    Stage("delivery.sender", (handoffs.BatchToSend,), (handoffs.BatchSent,), "sender"),
    Stage("facts", (handoffs.BatchSent,), (), "facts"),
)
"""Retries leave delivery as new, smaller batches with a time of their own: the same hand-off again,
never an earlier one."""

ROLES: tuple[str, ...] = ("api", "planner", "sender", "facts")
