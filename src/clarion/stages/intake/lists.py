"""People join or leave a list or a topic: one, or a file of millions."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from clarion.domain.attributes import FieldProblem
from clarion.domain.ids import AppId
from clarion.domain.naming import NAMING, POINTERS, check_names
from clarion.ports.lists import Circle, Lists, Members, TopicBounds
from clarion.ports.system import Clock
from clarion.stages.intake.rows import BadRow, Format, Layout, RawBatch
from clarion.stages.intake.sources import ahead, batches

LAYOUT: Final = Layout(
    columns=NAMING,
    objects={},
    nested={"alias": {"label": "alias_label", "value": "alias_value"}},
)
_FIELDS: Final = {path: path[1:].replace("/", ".") for path in POINTERS.values()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Joining:
    """What a change of members needs, and which change it is."""

    lists: Lists
    clock: Clock
    circle: Circle
    join: bool = True
    """False: they leave."""
    create_people: bool = False
    """Whether an unknown external id becomes a person."""
    bounds: TopicBounds | None = None
    """How many topics there may be; None: any number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JoiningProgress:
    """How far a file is, after each batch; the last one is the result."""

    rows_read: int = 0
    changed: int = 0
    """People who were not what they are now."""
    rows_bad: int = 0
    bad: Sequence[BadRow] = field(default=())
    """Those of this batch, in order of the line."""


async def change_from_file(
    joining: Joining, app: AppId, source: Path | AsyncIterator[bytes], format_: Format
) -> AsyncIterator[JoiningProgress]:
    """Let the people of a file join or leave. Running it again changes nothing more.

    Raises:
        MalformedFileError: the file can't be read on; everything before that line is done.
        StoreUnavailableError: a batch could not be stored; those reported are.
    """
    done = JoiningProgress()
    async with aclosing(ahead(batches(source, format_, LAYOUT))) as raw:
        async for batch in raw:
            done = await _changed(joining, app, batch, done)
            yield done


async def change_rows(joining: Joining, app: AppId, rows: pl.DataFrame) -> JoiningProgress:
    """The same of people given as columns of `NAMING`; lines count from 1.

    Raises:
        StoreUnavailableError: nothing was changed.
    """
    batch = RawBatch(rows=rows, lines=range(1, rows.height + 1), bad=(), read=rows.height)
    return await _changed(joining, app, batch, JoiningProgress())


async def _changed(
    joining: Joining, app: AppId, batch: RawBatch, before: JoiningProgress
) -> JoiningProgress:
    rows, index, problems = check_names(batch.rows)
    bad = [*batch.bad, *(_bad(batch.lines[found.row], found.problem) for found in problems)]
    changed = 0
    if rows.height:
        members = Members(
            rows=rows,
            join=joining.join,
            create_people=joining.create_people,
            bounds=joining.bounds,
        )
        done = await joining.lists.change_members(app, joining.circle, members, joining.clock.now())
        changed = done.changed
        bad += [
            BadRow(
                line=batch.lines[int(index[row])],
                field="",
                code="user_unknown",
                detail="the app has no such user",
            )
            for row in done.unknown
        ]
    bad.sort(key=lambda row: row.line)
    return JoiningProgress(
        rows_read=before.rows_read + batch.read,
        changed=before.changed + changed,
        rows_bad=before.rows_bad + len({row.line for row in bad}),
        bad=bad,
    )


def _bad(line: int, problem: FieldProblem) -> BadRow:
    name = _FIELDS.get(problem.path, problem.path.removeprefix("/"))
    return BadRow(line=line, field=name, code=problem.code, detail=problem.detail)
