"""Events come in: judged as columns and recorded once by id; the bad ones are reported."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from clarion.domain.attributes import FieldProblem
from clarion.domain.conditions import Row
from clarion.domain.event import RAW_COLUMNS, EventRules, check, fresh_ids
from clarion.domain.event_row import check_event
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
FEW: Final = 64
"""Up to so many events cost less one by one than as columns."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    """What was given: the line of each row, and what could not be read."""

    lines: Sequence[int]
    bad: Sequence[BadRow]
    read: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judged:
    """The events that may be recorded, and what is wrong with the others."""

    rows: pl.DataFrame | Sequence[Row]
    """Columns of `clarion.domain.event.COLUMNS`, or rows of such cells."""
    index: Sequence[int]
    """Where each of `rows` stood in what was given."""
    problems: Sequence[RowProblem]


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


async def record_rows(
    intake: EventIntake, app: AppId, rows: pl.DataFrame | Sequence[Row]
) -> EventProgress:
    """Record events that were given as columns of `RAW_COLUMNS`, or as rows; lines count from 1.

    Up to `FEW` of them cost less as rows.

    Raises:
        StoreUnavailableError: nothing was recorded.
    """
    judged = _judge(intake, rows) if isinstance(rows, pl.DataFrame) else _judge_each(intake, rows)
    read = _Read(lines=range(1, len(rows) + 1), bad=(), read=len(rows))
    return await _stored(intake, app, read, judged, EventProgress())


async def _judged(
    intake: EventIntake, raw: AsyncIterator[RawBatch]
) -> AsyncIterator[tuple[_Read, _Judged]]:
    """Judged in a thread, so that this process goes on answering."""
    async for batch in raw:
        judged = await asyncio.to_thread(_judge, intake, batch.rows)
        yield _Read(lines=batch.lines, bad=batch.bad, read=batch.read), judged


def _judge(intake: EventIntake, rows: pl.DataFrame) -> _Judged:
    now = intake.clock.now()
    ids = rows["id"] if "id" in rows.columns else pl.Series("id", [None] * rows.height, pl.String())
    if missing := ids.null_count():
        made = fresh_ids(missing, now, intake.chance.token(10 * missing))
        ids = ids.scatter(ids.is_null().arg_true(), made)
        rows = rows.with_columns(ids.alias("id"))
    checked = check(rows, EventRules(now=now, keep=intake.keep))
    return _Judged(rows=checked.rows, index=checked.index.to_list(), problems=checked.problems)


def _judge_each(intake: EventIntake, rows: Sequence[Row]) -> _Judged:
    now = intake.clock.now()
    rules = EventRules(now=now, keep=intake.keep)
    judged = [check_event(_with_id(intake, row, now), rules) for row in rows]
    good = [place for place, one in enumerate(judged) if not one.problems]
    return _Judged(
        rows=[judged[place].row for place in good],
        index=good,
        problems=[
            RowProblem(row=place, problem=problem)
            for place, one in enumerate(judged)
            for problem in one.problems
        ],
    )


def _with_id(intake: EventIntake, row: Row, now: datetime) -> Row:
    if row.get("id") is not None:
        return row
    return {**row, "id": fresh_ids(1, now, intake.chance.token(10))[0]}


async def _stored(
    intake: EventIntake,
    app: AppId,
    batch: _Read,
    checked: _Judged,
    before: EventProgress,
) -> EventProgress:
    problems = list(checked.problems)
    recorded = repeated = xid = 0
    if len(checked.rows):
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


def _unknown(checked: _Judged, row: int) -> RowProblem:
    rows = checked.rows
    given = rows.row(row, named=True) if isinstance(rows, pl.DataFrame) else rows[row]
    code, detail, path = "user_unknown", "the app has no such user", "/external_id"
    if given.get("token") is not None or given.get("device") is not None:
        path = "/token" if given.get("device") is None else "/device"
        code, detail = "device_unknown", "the app has no such device"
    elif given.get("user") is not None:
        path = "/user"
    elif given.get("alias_value") is not None:
        path = "/alias"
    problem = FieldProblem(path=path, code=code, detail=detail)
    return RowProblem(row=checked.index[row], problem=problem)


def _bad(line: int, problem: FieldProblem) -> BadRow:
    path = problem.path
    name = _FIELDS.get(path, path.removeprefix("/"))
    if path.startswith("/properties/"):
        name = f"properties.{path.removeprefix('/properties/')}"
    return BadRow(line=line, field=name, code=problem.code, detail=problem.detail)
