"""One person's row: read and written."""

from datetime import datetime

import asyncpg
import orjson

from clarion.adapters.state.consent_ledger import append, switches
from clarion.adapters.state.statements import statements
from clarion.domain.attributes import (
    AttributeChanges,
    Attributes,
    check_attributes,
    decode_attributes,
    encode_attributes,
)
from clarion.domain.ids import AppId, UserId
from clarion.ports.registry import AttributesRefusedError, PersonRecord


async def read_person(
    connection: asyncpg.Connection, app: AppId, user: UserId
) -> PersonRecord | None:
    """The person, or None."""
    row = await connection.fetchrow(statements("people")["get_person"], app, user)
    return None if row is None else person_record(row)


async def write_person(
    connection: asyncpg.Connection, new: PersonRecord, old: PersonRecord, now: datetime
) -> None:
    """Write what is known of a person, who was `old`; a turned switch is in the ledger too."""
    await connection.execute(
        statements("people")["update_person"],
        new.app,
        new.id,
        encode_attributes(new.attributes).encode(),
        new.language,
        new.time_zone,
        new.country,
        new.opted_out,
        now,
        new.opted_out != old.opted_out,
    )
    if new.opted_out != old.opted_out:
        turned = {new.id: (new.external_id or "", new.opted_out)}
        await append(connection, new.app, switches(turned, now), now)


def merge_attributes(known: Attributes, changes: AttributeChanges) -> Attributes:
    """What is known after the changes; None removes an attribute.

    Raises:
        AttributesRefusedError: together they would pass the limits.
    """
    if not changes:
        return known
    merged = {name: value for name, value in {**known, **changes}.items() if value is not None}
    problems = check_attributes(encode_attributes(merged), "/attributes")
    if problems:
        raise AttributesRefusedError(problems[0].detail)
    return merged


def person_record(row: asyncpg.Record) -> PersonRecord:
    """A row of `get_person` or `page_people`."""
    aliases = [] if row["aliases"] is None else orjson.loads(row["aliases"])
    return PersonRecord(
        id=UserId(row["id"]),
        app=AppId(row["app_id"]),
        external_id=row["external_id"],
        aliases=[(label, value) for label, value in aliases],
        attributes=decode_attributes(row["attributes"]),
        language=row["language"],
        time_zone=row["time_zone"],
        country=row["country"],
        opted_out=row["opted_out"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
