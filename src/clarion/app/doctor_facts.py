"""The columnar engine: does its owner answer, and how far is it behind?"""

from collections.abc import AsyncIterator
from typing import Final

from clarion.adapters.state.pool import reading
from clarion.app.container import Container
from clarion.app.doctor_finding import Finding, Level
from clarion.ports.audience import AudienceUnavailableError

PATIENCE_S: Final = 5.0
LAG_WARN_S: Final = 2.0
LOOK_EVERY_S: Final = 0.05
_HORIZON: Final = "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


async def examine_facts(container: Container) -> AsyncIterator[Finding]:
    """Ask the owner, and wait until it has what the state store had when we came."""
    if not container.paths.facts_socket.exists():
        found = "their owner does not run here: the platform is stopped"
        yield Finding("facts", Level.WARN, found, "start it with `clarion serve`")
        return
    clock = container.clock
    try:
        async with reading(container.pool) as connection:
            horizon = int(await connection.fetchval(_HORIZON))
        started = clock.monotonic()
        reached = await container.facts.version()
        while reached < horizon and clock.monotonic() - started < PATIENCE_S:
            await clock.sleep(LOOK_EVERY_S)
            reached = await container.facts.version()
    except AudienceUnavailableError as error:
        advice = "is the facts role running? `clarion serve` starts it again by itself"
        yield Finding("facts", Level.FAIL, str(error), advice)
        return
    lag_s = clock.monotonic() - started
    if reached < horizon:
        found = f"more than {PATIENCE_S:.0f} s behind the state store"
        advice = "an import may be running; if it stays, look at the facts role's log"
        yield Finding("facts", Level.WARN, found, advice)
    else:
        level = Level.WARN if lag_s > LAG_WARN_S else Level.OK
        yield Finding("facts", level, f"answering, {lag_s:.2f} s behind the state store")
