"""Events come in: judged as columns and recorded once by id; the bad ones are reported."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from clarion.domain.attributes import FieldProblem
from clarion.domain.event import RAW_COLUMNS, CheckedEvents, EventRules, check, fresh_ids
from clarion.domain.ids import AppId
from clarion.domain.naming import POINTERS
from clarion.domain.registration import RowProblem
from clarion.ports.events import Events
from clarion.ports.system import Chance, Clock
from clarion.stages.intake.rows import BadRow, Format, Layout, RawBatch
from clarion.stages.intake.sources import ahead, batches

LAYOUT: Final = Layout(
    columns=RAW_COLUMNS,
    objects={"properties": "property"},
    nested={"alias": {"label": "alias_label", "value": "alias_value"}},
)
_FIELDS: Final = {path: path[1:].replace("/", ".") for path in POINTERS.values()}


@dataclass(frozen=True, kw_only=True, slots=True)
class EventIntake:
    """What taking events in needs."""

    events: Events
    clock: Clock
    chance: Chance
    keep: timedelta
    """So long ids are remembered."""
    create_people: bool = True
    """Whether an unknown external id becomes a person; else its events are refused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventProgress:
    """How far a file is, after each batch; the last one is the result."""

    rows_read: int = 0
    rows_in: int = 0
    """Events that are new."""
    rows_repeated: int = 0
    """Events that were there already."""
    rows_bad: int = 0
    bad: Sequence[BadRow] = field(default=())
    """Those of this batch, in order of the line."""
    xid: int = 0
    """The last transaction that recorded some."""


async def record_file(
    intake: EventIntake, app: AppId, source: Path | AsyncIterator[bytes], format_: Format
) -> AsyncIterator[EventProgress]:
    """Record a file of events. Running it again changes nothing more where events have ids.

    While a batch is being stored the next one is read; memory does not grow with the file. A batch
    that was reported is committed.

    Raises:
        MalformedFileError: the file can't be read on; everything before that line is recorded.
        StoreUnavailableError: a batch could not be stored; those reported are.
    """
    done = EventProgress()
    raw = ahead(batches(source, format_, LAYOUT))
    async with aclosing(raw), aclosing(ahead(_judged(intake, raw))) as judged:
        async for batch, checked in judged:
            done = await _stored(intake, app, batch, checked, done)
            yield done


async def record_rows(intake: EventIntake, app: AppId, rows: pl.DataFrame) -> EventProgress:
    """Record events that were given as columns of `RAW_COLUMNS`; lines count from 1.

    Raises:
        StoreUnavailableError: nothing was recorded.
    """
    batch = RawBatch(rows=rows, lines=range(1, rows.height + 1), bad=(), read=rows.height)
    return await _stored(intake, app, batch, _judge(intake, batch), EventProgress())


async def _judged(
    intake: EventIntake, raw: AsyncIterator[RawBatch]
) -> AsyncIterator[tuple[RawBatch, CheckedEvents]]:
    """Judged in a thread, so that this process goes on answering."""
    async for batch in raw:
        yield batch, await asyncio.to_thread(_judge, intake, batch)


def _judge(intake: EventIntake, batch: RawBatch) -> CheckedEvents:
    now = intake.clock.now()
    rows = batch.rows
    ids = rows["id"] if "id" in rows.columns else pl.Series("id", [None] * rows.height, pl.String())
    if missing := ids.null_count():
        made = fresh_ids(missing, now, intake.chance.token(10 * missing))
        ids = ids.scatter(ids.is_null().arg_true(), made)
        rows = rows.with_columns(ids.alias("id"))
    return check(rows, EventRules(now=now, keep=intake.keep))


async def _stored(
    intake: EventIntake,
    app: AppId,
    batch: RawBatch,
    checked: CheckedEvents,
    before: EventProgress,
) -> EventProgress:
    problems = list(checked.problems)
    recorded = repeated = xid = 0
    if checked.rows.height:
        done = await intake.events.record(
            app, checked.rows, create_people=intake.create_people, now=intake.clock.now()
        )
        recorded, repeated, xid = done.recorded, done.repeated, done.xid
        problems += [_unknown(checked, row) for row in done.unknown]
    bad = [*batch.bad, *(_bad(batch.lines[found.row], found.problem) for found in problems)]
    bad.sort(key=lambda row: row.line)
    return EventProgress(
        rows_read=before.rows_read + batch.read,
        rows_in=before.rows_in + recorded,
        rows_repeated=before.rows_repeated + repeated,
        rows_bad=before.rows_bad + len({row.line for row in bad}),
        bad=bad,
        xid=xid or before.xid,
    )


def _unknown(checked: CheckedEvents, row: int) -> RowProblem:
    given = checked.rows.row(row, named=True)
    code, detail, path = "user_unknown", "the app has no such user", "/external_id"
    if given["token"] is not None or given["device"] is not None:
        path = "/token" if given["device"] is None else "/device"
        code, detail = "device_unknown", "the app has no such device"
    elif given["user"] is not None:
        path = "/user"
    elif given["alias_value"] is not None:
        path = "/alias"
    problem = FieldProblem(path=path, code=code, detail=detail)
    return RowProblem(row=int(checked.index[row]), problem=problem)


def _bad(line: int, problem: FieldProblem) -> BadRow:
    path = problem.path
    name = _FIELDS.get(path, path.removeprefix("/"))
    if path.startswith("/properties/"):
        name = f"properties.{path.removeprefix('/properties/')}"
    return BadRow(line=line, field=name, code=problem.code, detail=problem.detail)
