"""Consents come in from a file: judged as columns, written into the ledger batch by batch."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from clarion.domain.attributes import FieldProblem
from clarion.domain.consent_intake import Refusal
from clarion.domain.consent_rows import RAW_COLUMNS, check
from clarion.domain.ids import AppId
from clarion.ports.consent import Consents
from clarion.ports.system import Clock
from clarion.stages.intake.rows import BadRow, Format, Layout, RawBatch
from clarion.stages.intake.sources import ahead, batches

AT_ONCE: Final = 5_000
"""Rows of one transaction: whoever else writes into the app's ledger waits for its end."""
LAYOUT: Final = Layout(
    columns=RAW_COLUMNS,
    objects={"evidence": "piece of evidence"},
    nested={},
    texts=frozenset({"evidence"}),
)
FIELDS: Final = {
    Refusal.USER_MISSING: "external_id",
    Refusal.USER_UNKNOWN: "user",
    Refusal.OUTDATED: "at",
    Refusal.NOTHING_TO_CONFIRM: "change",
    Refusal.NOT_FOR_EVERYTHING: "change",
}
"""What a refusal is about; the others are about the category."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsentProgress:
    """How far a file is, after each batch; the last one is the result."""

    rows_read: int = 0
    rows_in: int = 0
    """Entries that were written."""
    rows_repeated: int = 0
    """What the ledger said already, of the same instant."""
    rows_bad: int = 0
    bad: Sequence[BadRow] = field(default=())
    """Those of this batch, in order of the line."""


async def record_consents(
    consents: Consents,
    app: AppId,
    source: Path | AsyncIterator[bytes],
    format_: Format,
    clock: Clock,
) -> AsyncIterator[ConsentProgress]:
    """Record a file of consents. Running it again changes nothing more where rows have `at`.

    A batch is written in order of `at`, `AT_ONCE` rows a transaction, and the next one is read
    meanwhile; memory does not grow with the file. A batch that was reported is committed.

    Raises:
        MalformedFileError: the file can't be read on; everything before that line is recorded.
        StoreUnavailableError: a batch could not be stored; those reported are.
    """
    done = ConsentProgress()
    async with aclosing(ahead(batches(source, format_, LAYOUT))) as raw:
        async for batch in raw:
            done = await _recorded(consents, app, batch, done, clock)
            yield done


async def _recorded(
    consents: Consents, app: AppId, batch: RawBatch, before: ConsentProgress, clock: Clock
) -> ConsentProgress:
    now = clock.now()
    checked = await asyncio.to_thread(check, batch.rows, now)
    bad = [*batch.bad, *(_bad(batch.lines[each.row], each.problem) for each in checked.problems)]
    written = repeated = 0
    order = checked.rows["at_us"].arg_sort()
    for low in range(0, checked.rows.height, AT_ONCE):
        chosen = order[low : low + AT_ONCE]
        done = await consents.record(app, checked.rows[chosen], now)
        new = sum(number > 0 for number in done.number)
        written += new
        repeated += len(done.number) - new - len(done.refused)
        bad += [
            BadRow(
                line=batch.lines[int(checked.index[int(chosen[each.row])])],
                field=FIELDS.get(each.why, "category"),
                code=each.why.value,
                detail=each.why.sentence,
            )
            for each in done.refused
        ]
    bad.sort(key=lambda row: row.line)
    return ConsentProgress(
        rows_read=before.rows_read + batch.read,
        rows_in=before.rows_in + written,
        rows_repeated=before.rows_repeated + repeated,
        rows_bad=before.rows_bad + len({row.line for row in bad}),
        bad=bad,
    )


def _bad(line: int, problem: FieldProblem) -> BadRow:
    name = problem.path.removeprefix("/").replace("/", ".")
    return BadRow(line=line, field=name, code=problem.code, detail=problem.detail)
