"""Entries of the consent ledger: appended in the caller's unit of work, read back as they were."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import orjson

from clarion.adapters.state.statements import statements
from clarion.domain.consent import (
    Change,
    Entry,
    Erased,
    How,
    Personal,
    entry_hash,
    genesis,
)
from clarion.domain.ids import AppId, UserId

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ALL_CATEGORIES: Final = 0
"""The category of an entry about everything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewLine:
    """An entry before it has a number."""

    user: UserId
    external: str
    """Empty for whoever has none."""
    category: int
    """Id, or `ALL_CATEGORIES`."""
    change: Change
    how: How
    at_us: int
    text: str = ""
    language: str = ""
    text_version: str = ""
    evidence: Mapping[str, str]


async def append(
    connection: asyncpg.Connection, app: AppId, lines: Sequence[NewLine], now: datetime
) -> Sequence[int]:
    """Append entries, whose people the caller has locked; their numbers.

    The chain stays locked until the caller's unit of work ends: it comes last.
    """
    if not lines:
        return []
    sql = statements("consent")
    salts = [row["salt"] for row in await connection.fetch(sql["salts"], len(lines))]
    await connection.execute(sql["hold_chain"], app)
    head = await connection.fetchrow(sql["head"], app)
    number, previous = (0, genesis(app)) if head is None else (head["number"], head["hash"])
    entries, earlier, hashes = [], [], []
    for line, salt in zip(lines, salts, strict=True):
        number += 1
        entry = Entry(
            number=number,
            category=line.category,
            change=line.change,
            at_us=line.at_us,
            how=line.how,
            text=line.text,
            language=line.language,
            text_version=line.text_version,
            personal=Personal(
                user=line.user, external=line.external, evidence=line.evidence, salt=salt
            ),
        )
        earlier.append(previous)
        previous = entry_hash(previous, entry)
        entries.append(entry)
        hashes.append(previous)
    await connection.execute(
        sql["append"],
        app,
        now,
        [entry.number for entry in entries],
        [line.user for line in lines],
        [entry.category for entry in entries],
        [int(entry.change) for entry in entries],
        [int(entry.how) for entry in entries],
        [EPOCH + timedelta(microseconds=entry.at_us) for entry in entries],
        [entry.text for entry in entries],
        [entry.language for entry in entries],
        [entry.text_version for entry in entries],
        [_personal_json(entry.personal) for entry in entries],
        [entry.personal.digest() for entry in entries],
        earlier,
        hashes,
    )
    return [entry.number for entry in entries]


def switches(turned: Mapping[UserId, tuple[str, bool]], now: datetime) -> Sequence[NewLine]:
    """Entries for people whose global opt-out was changed through the API.

    Args:
        turned: person -> the app's name of the person, and whether opted out now.
        now: the present instant.
    """
    return [
        NewLine(
            user=user,
            external=external,
            category=ALL_CATEGORIES,
            change=Change.WITHDRAWN if out else Change.GRANTED,
            how=How.API,
            at_us=(now - EPOCH) // timedelta(microseconds=1),
            evidence={},
        )
        for user, (external, out) in turned.items()
    ]


def _personal_json(personal: Personal | Erased) -> bytes:
    if isinstance(personal, Erased):
        raise TypeError("a new entry is never erased")
    return orjson.dumps(
        {
            "external": personal.external,
            "evidence": dict(personal.evidence),
            "salt": personal.salt.hex(),
        }
    )


def entry_of(row: asyncpg.Record) -> tuple[Entry, bytes, bytes]:
    """A row as the entry that was hashed, with its previous hash and its hash."""
    personal: Personal | Erased = Erased(hash=row["personal_hash"])
    if row["personal"] is not None:
        held = orjson.loads(row["personal"])
        personal = Personal(
            user=row["user_id"] or 0,
            external=held["external"],
            evidence=held["evidence"],
            salt=bytes.fromhex(held["salt"]),
        )
    entry = Entry(
        number=row["number"],
        category=row["category"],
        change=Change(row["change"]),
        at_us=row["at_us"],
        how=How(row["how"]),
        text=row["text"],
        language=row["language"],
        text_version=row["text_version"],
        personal=personal,
    )
    return entry, row["previous_hash"], row["hash"]
