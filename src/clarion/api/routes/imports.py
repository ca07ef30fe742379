"""Bulk import: a file of registrations as the body of one request."""

from typing import Final

from clarion.api.exchange import Answer, Exchange, json_answer, unsupported
from clarion.api.routing import Api, Route
from clarion.api.shapes.imports import BadRowView, ImportView
from clarion.api.uploads import FORMATS, MAX_BAD_SHOWN, bad_views, broken_file
from clarion.domain.errors import ErrorCode
from clarion.ports.keys import Scope
from clarion.stages.intake.bulk import Progress, import_rows
from clarion.stages.intake.rows import MalformedFileError
from clarion.telemetry.names import LogEvent, Metric


async def take(api: Api, call: Exchange) -> Answer:
    """Import devices and people while the body arrives.

    Good rows are stored batch by batch; bad ones are reported by line and reason, the first 1,000
    of them in the answer. Importing a file again changes nothing more, so a broken upload is
    simply sent again. Memory does not grow with the file.
    """
    kind = FORMATS.get(call.media_type())
    if kind is None:
        raise unsupported(*FORMATS)
    limits = api.deps.limits
    bad: list[BadRowView] = []
    done: Progress | None = None
    try:
        rows = import_rows(
            api.deps.devices,
            call.caller.app,
            call.pieces(limits.max_import_body),
            kind,
            rules=api.deps.rules,
            clock=api.deps.clock,
        )
        async for done in rows:
            bad += bad_views(done.bad, MAX_BAD_SHOWN - len(bad))
    except MalformedFileError as error:
        stored = 0 if done is None else done.rows_in
        raise broken_file(error, stored) from None
    read, stored, refused = (0, 0, 0) if done is None else _counts(done)
    api.deps.metrics.add(Metric.IMPORT_ROWS, "stored", amount=stored)
    api.deps.metrics.add(Metric.IMPORT_ROWS, "refused", amount=refused)
    call.note(LogEvent.IMPORT_FINISHED, rows_read=read, rows_in=stored, rows_bad=refused)
    return json_answer(ImportView(read, stored, refused, bad))


def _counts(done: Progress) -> tuple[int, int, int]:
    return done.rows_read, done.rows_in, done.rows_bad


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/imports",
        handle=take,
        summary="Import a file",
        tag="Imports",
        scope=Scope.SEND,
        body_media=tuple(FORMATS),
        answers={200: ImportView},
        errors=(ErrorCode.BODY_MALFORMED,),
    ),
)
