"""Events come in once, whoever they are of and however often they are sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast
from uuid import UUID

import polars as pl
import pytest
from tests.e2e.registry_world import NOW, World, open_world, phone

from clarion.adapters.state.events import WARY_BATCHES, PostgresEvents
from clarion.adapters.system import SystemChance
from clarion.domain.conditions import Row
from clarion.domain.event import RAW_COLUMNS, fresh_ids
from clarion.stages.intake.events import EventIntake, EventProgress, record_file, record_rows
from clarion.stages.intake.rows import Format
from clarion.testing.clock import ManualClock

MESSAGE: Final = "0195c000-0000-7000-8000-000000000001"


@dataclass(frozen=True, kw_only=True)
class Inbox:
    """A registry with an inbox of events."""

    world: World
    events: PostgresEvents
    clock: ManualClock
    as_rows: bool
    """Whether events are given one by one, as a few are, or as columns."""

    def intake(self, *, create: bool = True) -> EventIntake:
        """What the stage needs."""
        return EventIntake(
            events=self.events,
            clock=self.clock,
            chance=SystemChance(),
            keep=timedelta(days=30),
            create_people=create,
        )

    async def send(self, *events: Mapping[str, object], create: bool = True) -> EventProgress:
        """Record events given as raw columns."""
        if self.as_rows:
            given: list[Row] = [cast("Row", event) for event in events]
            return await record_rows(self.intake(create=create), self.world.app, given)
        names = {name for event in events for name in event}
        rows = pl.DataFrame(
            {name: [event.get(name) for event in events] for name in names},
            schema={name: kind for name, kind in RAW_COLUMNS.items() if name in names},
        )
        return await record_rows(self.intake(create=create), self.world.app, rows)

    async def kept(self) -> list[tuple[object, ...]]:
        """Whose events are in the inbox, by name."""
        rows = await self.world.pool.fetch(
            """select coalesce(u.external_id, 'user ' || u.id) as who, e.name
               from event e join users u on u.id = e.user_id order by 1, 2"""
        )
        return [tuple(row) for row in rows]


@pytest.fixture(params=["rows", "columns"])
async def inbox(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Inbox]:
    """An empty one, which is given few events at a time, or many."""
    async with open_world(database_url) as world:
        yield Inbox(
            world=world,
            events=PostgresEvents(world.pool),
            clock=ManualClock(NOW),
            as_rows=request.param == "rows",
        )


def event(number: int, who: str = "ann", **more: object) -> dict[str, object]:
    """An event of a person, with an id of its own."""
    given = {"id": str(UUID(int=number)), "external_id": who, "name": "purchase", "at": NOW}
    return {**given, **more}


async def test_a_person_is_named_in_five_ways(inbox: Inbox) -> None:
    """External id, alias, id, device id, and a device's token all lead to the person."""
    done = await inbox.world.register(
        phone("1", external_id="ann", aliases='{"crm": "7"}'), phone("2", external_id="bob")
    )
    ways: list[dict[str, object]] = [
        {"external_id": "ann"},
        {"alias_label": "crm", "alias_value": "7"},
        {"user": int(done.user[0])},
        {"device": int(done.device[0])},
        {"network": "FCM", "token": "token-1"},
    ]
    events = [
        {"id": str(UUID(int=n)), "name": f"way {n}", **way} for n, way in enumerate(ways, start=1)
    ]
    sent = await inbox.send(*events)

    assert (sent.rows_in, sent.bad) == (5, [])
    assert await inbox.kept() == [("ann", f"way {n}") for n in range(1, 6)]
    devices = await inbox.world.pool.fetch("select device_id from event order by name")
    assert [row[0] for row in devices] == [None] * 3 + [int(done.device[0])] * 2


async def test_an_id_counts_once(inbox: Inbox) -> None:
    """In one batch, in a later one, and in many that come at once."""
    first = await inbox.send(event(1), event(1, name="again"), event(2))
    second = await inbox.send(event(2), event(3))
    at_once = await asyncio.gather(
        *(inbox.send(*(event(n, who=f"p{n % 7}") for n in range(100, 400))) for _ in range(4))
    )

    assert (first.rows_in, first.rows_repeated) == (2, 1)
    assert (second.rows_in, second.rows_repeated) == (1, 1)
    assert sum(done.rows_in for done in at_once) == 300
    assert sum(done.rows_repeated for done in at_once) == 900
    assert await inbox.world.count("event") == 303


async def test_repeats_count_once_in_every_batch_that_follows_one(inbox: Inbox) -> None:
    """Batches with repeats and without, for longer than repeats are expected after one."""
    done = [
        await inbox.send(*(event(n) for n in range(start, start + 5)))
        for step in range(2 * WARY_BATCHES)
        for start in ([10 * step] if step % WARY_BATCHES else [10 * step, 10 * step + 3])
    ]
    assert sum(one.rows_repeated for one in done) == 4
    assert sum(one.rows_in for one in done) == await inbox.world.count("event")


async def test_an_id_of_version_7_counts_once_whatever_the_day(inbox: Inbox) -> None:
    """Its own time says where it is remembered; another id is another event on another day."""
    earlier = NOW - timedelta(days=3)
    (made,) = fresh_ids(1, NOW, bytes(10))
    await inbox.send(event(1, id=made), event(2))
    again = await inbox.send(event(1, id=made, at=earlier), event(2, at=earlier))

    assert (again.rows_in, again.rows_repeated) == (1, 1)


async def test_two_apps_may_use_one_id(inbox: Inbox) -> None:
    """An app's ids are its own."""
    other = await inbox.world.apps.create("other", now=NOW)
    await inbox.send(event(1))
    rows = pl.DataFrame([event(1)])
    done = await record_rows(inbox.intake(), other.id, rows)

    assert (done.rows_in, done.rows_repeated) == (1, 0)


async def test_events_without_ids_are_taken_each_time(inbox: Inbox) -> None:
    """Nobody can tell a repeat from another one."""
    plain = {"external_id": "ann", "name": "purchase", "at": NOW}
    assert (await inbox.send(plain, plain)).rows_in == 2
    assert (await inbox.send(plain)).rows_in == 1


async def test_bad_events_are_reported_while_good_ones_go_in(inbox: Inbox) -> None:
    """Each with its line, its field and its reason."""
    done = await inbox.send(
        event(1),
        event(2, id="7"),
        event(3, name=None),
        event(4, name="clarion.bought"),
        event(5, name="clarion.opened"),
        event(6, message=MESSAGE),
        event(7, at=NOW + timedelta(days=2)),
        event(8, at=NOW - timedelta(days=31)),
        event(9, user=1),
        event(10, external_id=None),
        event(11, properties='{"a": {"b": 1}}'),
        event(12, value=float("inf")),
        event(13, external_id=None, alias_label="crm"),
        event(14, external_id=None, token="t"),
        event(15, id=fresh_ids(1, NOW - timedelta(days=40), bytes(10))[0]),
    )
    assert done.rows_in == 1
    assert [(row.line, row.field, row.code) for row in done.bad] == [
        (2, "id", "id_invalid"),
        (3, "name", "field_missing"),
        (4, "name", "name_reserved"),
        (5, "message", "field_missing"),
        (6, "message", "field_unknown"),
        (7, "at", "time_invalid"),
        (8, "at", "event_too_old"),
        (9, "external_id", "field_unknown"),
        (10, "external_id", "field_missing"),
        (11, "properties.a", "type_invalid"),
        (12, "value", "number_invalid"),
        (13, "external_id", "field_missing"),
        (13, "alias.label", "field_missing"),
        (14, "network", "field_missing"),
        (15, "id", "id_invalid"),
    ]


async def test_unknown_people_are_made_or_refused(inbox: Inbox) -> None:
    """An external id may become a person; whoever is named otherwise has to be there."""
    refused = await inbox.send(event(1), event(2, who="bob"), create=False)
    made = await inbox.send(
        event(1),
        event(2, who="bob"),
        event(3, external_id=None, user=999),
        event(4, external_id=None, device=999),
        event(5, external_id=None, alias_label="crm", alias_value="7"),
    )
    assert [(row.line, row.code) for row in refused.bad] == [
        (1, "user_unknown"),
        (2, "user_unknown"),
    ]
    assert made.rows_in == 2
    assert [(row.field, row.code) for row in made.bad] == [
        ("user", "user_unknown"),
        ("device", "device_unknown"),
        ("alias", "user_unknown"),
    ]


async def test_what_is_ahead_by_less_than_a_day_happens_now(inbox: Inbox) -> None:
    """A clock that runs fast does not hide an event from the windows that end now."""
    await inbox.send(event(1, at=NOW + timedelta(hours=3)))
    assert await inbox.world.pool.fetchval("select at from event") == NOW


@pytest.mark.parametrize("form", [Format.NDJSON, Format.CSV])
async def test_a_file_says_the_same_in_every_form(inbox: Inbox, form: Format) -> None:
    """Awkward texts arrive as they are; a broken line is only itself."""
    properties = {"text": 'a "b", c\\ é', "list": [1, "x"], "n": 1.5, "yes": True}
    line = {
        "id": str(UUID(int=1)),
        "external_id": 'A, "B"',
        "name": "it, so",
        "at": NOW.isoformat(),
        "value": 2.5,
    }
    if form is Format.NDJSON:
        body = json.dumps({**line, "properties": properties}) + "\n{}\nno\n"
    else:
        cells = ['"' + str(cell).replace('"', '""') + '"' for cell in line.values()]
        told = json.dumps({"text": properties["text"], "list": [1, "x"]}).replace('"', '""')
        body = f"{','.join(line)},properties,properties.n,properties.yes:boolean\n"
        body += f'{",".join(cells)},"{told}",,true\n,,,,,,,\nshort\n'
        properties.pop("n")

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 7):
            yield body[at : at + 7].encode()

    done = [p async for p in record_file(inbox.intake(), inbox.world.app, pieces(), form)]
    row = await inbox.world.pool.fetchrow("select name, value, at, properties from event")

    assert (done[-1].rows_read, done[-1].rows_in, done[-1].rows_bad) == (3, 1, 2)
    assert row is not None
    assert (row["name"], row["value"], row["at"]) == ("it, so", 2.5, NOW)
    assert json.loads(row["properties"]) == properties
    assert [name for name, _ in await inbox.kept()] == ['A, "B"']
