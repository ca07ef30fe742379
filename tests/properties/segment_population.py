"""Puts random people into DuckDB's tables, as the feeds do."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import duckdb
from tests.oracles.segments import Device, Person

from clarion.adapters.facts.duckdb.halves import halves
from clarion.adapters.facts.duckdb.segment_fields import instant
from clarion.domain.network import NETWORK_BY_LABEL
from clarion.domain.segments.fields import PERMISSIONS

APP = 7
Row = dict[str, object]

_MADE = {
    "attributes": "?::json::variant",
    "properties": "?::json::variant",
    "app_version/key": "version_key(?)",
    "os_version/key": "version_key(?)",
}
_KEYS = {"app_version/key": "app_version_key", "os_version/key": "os_version_key"}


def numbered(people: Sequence[Person]) -> list[Person]:
    """The same people with ids of their own, and their devices too."""
    found: list[Person] = []
    device = 0
    for number, person in enumerate(people, 1):
        mine: list[Device] = []
        for one in person.devices:
            device += 1
            mine.append(replace(one, id=device))
        found.append(replace(person, id=number, devices=mine))
    return found


def fill(cursor: duckdb.DuckDBPyConnection, people: Sequence[Person]) -> None:
    """Empty the tables, and write these people; nobody of another app is among them."""
    tables: dict[str, list[Row]] = {
        "users": [_person(person) for person in people],
        "device": [_device(person.id, one) for person in people for one in person.devices],
        "event": [row for person in people for row in _events(person)],
        "engagement": [row for person in people for row in _done(person)],
        "list_member": [
            {"app": APP, "list_id": one, "user_id": person.id}
            for person in people
            for one in person.lists
        ],
        "topic_member": [
            {"app": APP, "topic": one, "user_id": person.id}
            for person in people
            for one in person.topics
        ],
    }
    for table, rows in tables.items():
        cursor.execute(f"delete from {table}")  # noqa: S608  # our own names
        if rows:
            _insert(cursor, table, rows)


def _insert(cursor: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    """All rows in one statement; a version's key is made where its text goes in."""
    names = list(rows[0])
    held = ", ".join(_MADE.get(name, "?") for name in names)
    cursor.execute(
        f"insert into {table} ({', '.join(_KEYS.get(name, name) for name in names)}) values "  # noqa: S608  # our own names
        + ", ".join([f"({held})"] * len(rows)),
        [row[name] for row in rows for name in names],
    )


def _person(person: Person) -> Row:
    row: Row = {"id": person.id, "app": APP, "bucket": person.id % 1024, **person.known}
    row["created_at"] = row.pop("created")
    return row | {"attributes": json.dumps(person.attributes)}


def _device(user: int, device: Device) -> Row:
    row: Row = {"id": device.id, "app": APP, "bucket": user % 1024, "user_id": user, **device.known}
    registered = row.pop("registered")
    assert isinstance(registered, datetime)
    row["registered_us"] = instant(registered)
    row["last_active_at"] = row.pop("last_active")
    row["network"] = int(NETWORK_BY_LABEL[str(row["network"])])
    row["permission"] = PERMISSIONS.index(str(row["permission"]))
    row["latitude"], row["longitude"] = device.place or (None, None)
    row["app_version/key"], row["os_version/key"] = row["app_version"], row["os_version"]
    return row | {
        "dead": device.dead,
        "environment": 0,
        "token": f"token-{device.id}",
        "attributes": json.dumps(device.attributes),
    }


def _events(person: Person) -> list[Row]:
    return [
        {
            "app": APP,
            "bucket": person.id % 1024,
            "user_id": person.id,
            "name": event.name,
            "at_us": instant(event.at),
            "properties": json.dumps(event.properties),
        }
        for event in person.events
    ]


def _done(person: Person) -> list[Row]:
    return [
        {
            "app": APP,
            "user_id": person.id,
            "message_high": halves(done.message)[0],
            "message_low": halves(done.message)[1],
            "category": done.category,
            "kind": int(done.signal),
            "at_us": instant(done.at),
        }
        for done in person.done
    ]
