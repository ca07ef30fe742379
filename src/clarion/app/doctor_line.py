"""Work that does not move: poisoned, held, or waiting for a credential in quarantine."""

from collections.abc import AsyncIterator
from typing import Final

from clarion.adapters.state.pool import reading
from clarion.app.container import Container
from clarion.app.doctor_finding import Finding, Level
from clarion.domain.handoffs import OUTCOME_ROW
from clarion.domain.outcome import Reason
from clarion.stages.delivery.sender import POISON_CLAIMS

_ROW: Final = OUTCOME_ROW.itemsize
_REASON: Final = 1 + dict(OUTCOME_ROW.fields or {})["reason"][1]
"""Where a row's reason begins, as PostgreSQL counts octets."""
_POISONED: Final = int(Reason.BATCH_POISONED).to_bytes(2, "little")

_STUCK: Final = """
select (select count(*) from batch where state in (1, 2) and claims >= $1) as tripping,
       (select coalesce(sum(octet_length(rows) / $2::int), 0) from chunk
        where kind = 1 and substring(rows from $3::int for 2) = $4) as poisoned,
       (select count(*) from shard s join message m on m.id = s.message_id
        where s.state = 3 and m.state = 2) as held,
       (select count(*) from credential where state = 2) as quarantined,
       (select count(*) from batch b join credential c on c.id = b.credential_id
        where b.state = 1 and c.state = 2) as waiting
"""


async def examine_line(container: Container) -> AsyncIterator[Finding]:
    """Count what waits for somebody to act, and say who has to do what."""
    async with reading(container.pool) as connection:
        stuck = await connection.fetchrow(_STUCK, POISON_CLAIMS - 1, _ROW, _REASON, _POISONED)
    hours = container.settings.retention.outcomes_hours
    yield _counted(
        "poisoned batches",
        stuck["tripping"] + stuck["poisoned"],
        f"{stuck['tripping']} batches were leased {POISON_CLAIMS - 1} times without progress; "
        f"{stuck['poisoned']} recipients ended as failed (batch_poisoned) in the last {hours} h",
        "look for delivery.batch_poisoned and stage.handler_failed in the senders' log, correct "
        "the cause, and send to these recipients again",
    )
    yield _counted(
        "held shards",
        stuck["held"],
        f"{stuck['held']} shards can't be read by this version",
        "start the newer version that wrote them, or cancel their messages",
    )
    yield _counted(
        "quarantine",
        stuck["quarantined"],
        f"{stuck['quarantined']} credentials are in quarantine, {stuck['waiting']} batches wait "
        "for them",
        "see what is said of each credential below: replace it, or correct the fault and "
        "reinstate it; nothing is lost meanwhile, but deadlines run",
    )


def _counted(what: str, count: int, found: str, advice: str) -> Finding:
    if not count:
        return Finding(what, Level.OK, "none")
    return Finding(what, Level.WARN, found, advice)
