"""The state store: version, schema, clock, and work that nobody seems to do."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final

from clarion.adapters.state.migrate import pending
from clarion.adapters.state.pool import reading
from clarion.adapters.state.suppression import kept_names
from clarion.app.container import Container
from clarion.app.doctor_finding import Finding, Level
from clarion.app.names_known import ADVICE, UNTOLD_ADVICE, sentence, untold_sentence

OLDEST_MAJOR: Final = 15
SKEW_WARN: Final = timedelta(seconds=2)
SKEW_FAIL: Final = timedelta(seconds=30)
SKEW_ADVICE: Final = "keep the clock right with NTP: leases, deadlines and tokens are told by it"

_SILENT: Final = """
select owner, count(*) as pieces, min(leased_until) as since
from (
    select owner, leased_until from batch where state = 2 and leased_until < $1
    union all
    select owner, leased_until from shard where state = 2 and leased_until < $1
) as silent
group by owner order by since
"""
_WAITING: Final = """
select count(*) filter (where state = 1 and run_at < $1) as due,
       count(*) filter (where state = 3) as held,
       min(run_at) filter (where state = 1) as oldest
from batch where state in (1, 3)
"""
_LATE: Final = timedelta(minutes=5)


async def examine_schema(dsn: str) -> Finding:
    """Whether the schema is the one that this version works with."""
    versions = await pending(dsn)
    if versions:
        found = f"the schema lacks {', '.join(versions)}"
        return Finding("schema", Level.FAIL, found, "run `clarion migrate`, or `clarion serve`")
    return Finding("schema", Level.OK, "up to date")


async def examine_state(container: Container) -> AsyncIterator[Finding]:
    """Version and clock of the server, and the queue."""
    async with reading(container.pool) as connection:
        version = str(await connection.fetchval("show server_version")).split()[0]
        before = container.clock.now()
        theirs: datetime = await connection.fetchval("select clock_timestamp()")
        after = container.clock.now()
        silent = await connection.fetch(_SILENT, after)
        waiting = await connection.fetchrow(_WAITING, after)
    yield _version(version)
    yield skew("clock of the state store", theirs - (before + (after - before) / 2))
    for row in silent:
        found = f"{row['owner']} holds {row['pieces']} pieces of work and was not heard of since "
        found += f"{row['since']:%Y-%m-%d %H:%M:%S} UTC"
        advice = "a running planner gives them back in seconds: start `clarion serve`"
        yield Finding("silent process", Level.WARN, found, advice)
    if not silent:
        yield Finding("leases", Level.OK, "no work is held by a silent process")
    late = waiting["oldest"] is not None and after - waiting["oldest"] > _LATE
    found = f"{waiting['due']} batches are due, {waiting['held']} are held"
    advice = "are senders running? is a credential in quarantine?" if late else ""
    yield Finding("queue", Level.WARN if late else Level.OK, found, advice)


async def examine_names(container: Container) -> AsyncIterator[Finding]:
    """Whether erased names on suppression lists are known again."""
    kept = await kept_names(container.pool)
    if kept.unknown:
        yield Finding("erased names", Level.FAIL, sentence(kept.unknown), ADVICE)
    if kept.untold:
        yield Finding("erased names", Level.WARN, untold_sentence(kept.untold), UNTOLD_ADVICE)
    if kept.unknown or kept.untold:
        return
    by_old = f"; {kept.old} by an old master key, which has to stay" if kept.old else ""
    yield Finding("erased names", Level.OK, f"those on suppression lists are known again{by_old}")


def skew(what: str, ahead: timedelta) -> Finding:
    """How far another clock is ahead of ours."""
    off = abs(ahead)
    level = Level.FAIL if off > SKEW_FAIL else Level.WARN if off > SKEW_WARN else Level.OK
    direction = "ahead of" if ahead > timedelta(0) else "behind"
    found = f"{off.total_seconds():.3f} s {direction} this machine's"
    return Finding(what, level, found, "" if level is Level.OK else SKEW_ADVICE)


def _version(version: str) -> Finding:
    major = int(version.partition(".")[0])
    if major < OLDEST_MAJOR:
        advice = f"use PostgreSQL {OLDEST_MAJOR} or newer"
        return Finding("state store", Level.FAIL, f"PostgreSQL {version} is too old", advice)
    return Finding("state store", Level.OK, f"PostgreSQL {version}")
