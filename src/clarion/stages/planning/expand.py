"""Hand-off 1 to 2: messages whose time has come become shards."""

from datetime import datetime

from clarion.ports.plan_line import PlanLine

DUE_AT_ONCE = 100


async def expand_due(line: PlanLine, now: datetime) -> int:
    """Turn what is due into shards; how many messages."""
    return await line.expand_due(now, limit=DUE_AT_ONCE)
