"""What changed since the plan binds at dispatch: the overlay over a real registry."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import numpy as np
import pytest

from clarion.adapters.state.pool import open_pool
from clarion.adapters.state.send_line import MANY_CHANGES, PostgresSendLine
from clarion.domain.category import Category, Kind
from clarion.domain.handoffs import Recipients
from clarion.domain.ids import AppId
from clarion.domain.outcome import Reason
from clarion.ports.line import RegistryChanges
from clarion.stages.delivery.overlay import Asking, Overlay

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Registry:
    """People 1 to n with one device each, and what was planned of them."""

    pool: asyncpg.Pool
    app: AppId
    planned: Recipients
    xid: int
    overlay: Overlay

    async def reasons(self) -> list[int]:
        """Why each planned recipient may no longer be sent to."""
        found = await self.overlay.reasons(self.planned, self.xid)
        return [int(reason) for reason in found]

    async def device(self, row: int, change: str) -> None:
        """Change the device of a planned row."""
        await self.pool.execute(
            f"update device set {change}, xid = pg_current_xact_id() where id = $1",  # noqa: S608  a test's own text
            int(self.planned.device[row]),
        )


async def registry_of(pool: asyncpg.Pool, count: int) -> Registry:
    """A registry with `count` devices, planned as it is now."""
    app = await pool.fetchval(
        "insert into app (name, created_at) values ('shop', $1) returning id", NOW
    )
    rows = await pool.fetch(
        """with people as (
               insert into users (app_id, external_id, created_at, updated_at)
               select $1, 'u' || g, $2, $2 from generate_series(1, $3::int) g
               returning id, external_id)
           insert into device (app_id, user_id, network, token, token_key, registered_at,
                               created_at, updated_at)
           select $1, id, 1, external_id, decode(md5(external_id), 'hex'), $2, $2, $2 from people
           returning id, user_id""",
        app,
        NOW,
        count,
    )
    zeros = np.zeros(count, np.int64)
    planned = Recipients(
        device=np.array([row["id"] for row in rows], np.int64),
        user=np.array([row["user_id"] for row in rows], np.int64),
        registered_us=zeros,
        environment=zeros.astype(np.uint8),
        tokens=[b""] * count,
    )
    xid = await pool.fetchval("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    return Registry(
        pool=pool,
        app=AppId(app),
        planned=planned,
        xid=xid,
        overlay=Overlay(PostgresSendLine(pool)),
    )


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Connections to the test's own database."""
    pool = await open_pool(database_url)
    yield pool
    await pool.close()


async def test_nothing_changed_means_everybody_is_sent_to(pool: asyncpg.Pool) -> None:
    """Not one reason, however often it is asked."""
    registry = await registry_of(pool, 3)
    assert await registry.reasons() == [0, 0, 0]
    assert await registry.reasons() == [0, 0, 0]


async def test_an_opt_out_after_the_plan_wins(pool: asyncpg.Pool) -> None:
    """Also one that comes between two chunks of the same batch."""
    registry = await registry_of(pool, 3)
    await registry.reasons()
    await registry.device(1, "opted_out = true")
    assert await registry.reasons() == [0, Reason.DEVICE_OPTED_OUT, 0]


async def test_opting_in_again_wins_over_the_opt_out(pool: asyncpg.Pool) -> None:
    """The later change counts."""
    registry = await registry_of(pool, 2)
    await registry.device(0, "opted_out = true")
    assert await registry.reasons() == [Reason.DEVICE_OPTED_OUT, 0]
    await registry.device(0, "opted_out = false")
    assert await registry.reasons() == [0, 0]


async def test_a_device_that_moved_is_not_sent_its_old_owners_message(pool: asyncpg.Pool) -> None:
    """The device row keeps its id when its token moves to another person: the person counts."""
    registry = await registry_of(pool, 2)
    await registry.device(0, f"user_id = {registry.planned.user[1]}")
    assert await registry.reasons() == [Reason.DEVICE_MOVED, 0]
    await registry.device(0, f"user_id = {registry.planned.user[0]}")
    assert await registry.reasons() == [0, 0]


async def test_the_dead_and_the_removed_are_left_out(pool: asyncpg.Pool) -> None:
    """A tombstone, and a row that is no more."""
    registry = await registry_of(pool, 3)
    await registry.device(0, "state = 2")
    gone = int(registry.planned.device[2])
    await pool.execute("delete from device where id = $1", gone)
    await pool.execute(
        "insert into removal (kind, id, app_id) values (2, $1, $2)", gone, registry.app
    )
    assert await registry.reasons() == [Reason.DEVICE_DEAD, 0, Reason.USER_DELETED]


async def test_a_person_who_opted_out_is_told_so_before_all_else(pool: asyncpg.Pool) -> None:
    """Consent of the person stands above the state of the device."""
    registry = await registry_of(pool, 2)
    await pool.execute("update users set opted_out = true where id = $1", registry.planned.user[0])
    await registry.device(0, "state = 2")
    assert await registry.reasons() == [Reason.USER_OPTED_OUT, 0]


async def test_an_import_that_changes_a_lot_hides_no_opt_out(pool: asyncpg.Pool) -> None:
    """Past some thousand changes it asks for the batch's own devices only."""
    registry = await registry_of(pool, MANY_CHANGES + 10)
    await pool.execute("update device set language = 'de', xid = pg_current_xact_id()")
    await registry.device(7, "opted_out = true")
    reasons = await registry.reasons()
    assert reasons[7] == Reason.DEVICE_OPTED_OUT
    assert sum(reasons) == Reason.DEVICE_OPTED_OUT


async def test_batches_planned_at_other_times_share_what_is_known(pool: asyncpg.Pool) -> None:
    """A batch that was planned before the first one's floor asks again from its own."""
    registry = await registry_of(pool, 2)
    await registry.device(1, "opted_out = true")
    later = await pool.fetchval("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    young = await registry.overlay.reasons(registry.planned, later)
    assert young.tolist() == [0, 0]
    assert await registry.reasons() == [0, Reason.DEVICE_OPTED_OUT]


async def fresh_look(registry: Registry, since: int) -> RegistryChanges:
    """What a commit's answer would bring."""
    found = await PostgresSendLine(registry.pool).changes(since)
    assert found is not None
    return found


async def test_a_look_that_came_with_a_commit_binds_the_next_chunk(pool: asyncpg.Pool) -> None:
    """The store is not asked a second time for what it has just said."""
    registry = await registry_of(pool, 3)
    assert await registry.reasons() == [0] * len(registry.planned)
    look = registry.overlay.look()
    assert look is not None
    await registry.device(0, "opted_out = true")
    assert registry.overlay.learn(look, await fresh_look(registry, look.since_xid))
    await registry.device(1, "opted_out = true")
    found = await registry.overlay.reasons(registry.planned, registry.xid, looked=True)
    assert found[:2].tolist() == [Reason.DEVICE_OPTED_OUT, 0]


async def test_a_look_that_overlaps_another_is_left(pool: asyncpg.Pool) -> None:
    """Nobody could say which of the two is newer."""
    registry = await registry_of(pool, 3)
    await registry.reasons()
    first = registry.overlay.look()
    second = registry.overlay.look()
    assert first is not None
    assert second is not None
    assert not registry.overlay.learn(first, await fresh_look(registry, first.since_xid))
    assert not registry.overlay.learn(second, await fresh_look(registry, second.since_xid))
    third = registry.overlay.look()
    assert third is not None
    await registry.reasons()
    assert not registry.overlay.learn(third, await fresh_look(registry, third.since_xid))


async def test_before_anything_is_known_no_look_is_brought_along(pool: asyncpg.Pool) -> None:
    """The first chunk of a process asks for itself."""
    registry = await registry_of(pool, 3)
    assert registry.overlay.look() is None
    assert not registry.overlay.learn(None, None)


MARKETING = Category(slug="marketing", kind=Kind.MARKETING, slot=2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("granted = 4", 0),
        ("granted = 0", Reason.CONSENT_MISSING),
        ("granted = 4, denied = 4", Reason.CATEGORY_OPTED_OUT),
        ("granted = 4, paused_until = '2100-01-01'", Reason.PAUSED_BY_PERSON),
        ("granted = 4, suppressed = true", Reason.SUPPRESSION_LIST),
    ],
)
async def test_what_a_person_says_after_the_plan_wins(
    pool: asyncpg.Pool, change: str, reason: int
) -> None:
    """Consent is what it is when the bytes go, not when the columns were read."""
    registry = await registry_of(pool, 2)
    user = int(registry.planned.user[0])
    await pool.execute(f"update users set {change} where id = $1", user)  # noqa: S608  a test's own text
    await registry.device(0, "opted_out = false")  # whatever changes a person touches the devices

    found = await registry.overlay.reasons(
        registry.planned, registry.xid, asking=Asking(categories=[MARKETING], now_us=0)
    )

    assert found.tolist() == [reason, 0]
