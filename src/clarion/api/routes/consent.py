"""Consent, as a ledger that shows tampering; and the system's permission on devices."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
import polars as pl

from clarion.api.decoding import said_at
from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.naming import PEOPLE, person_of
from clarion.api.preferring import given_evidence
from clarion.api.problems import invalid
from clarion.api.routing import Api, Route
from clarion.api.shapes.consent import (
    ConsentBatch,
    ConsentHistory,
    ConsentLineView,
    ConsentRow,
    RecordedList,
    RecordedView,
    VerifiedView,
)
from clarion.api.shapes.imports import BadRowView
from clarion.api.shapes.people import RefusedRow
from clarion.api.uploads import FORMATS, MAX_BAD_SHOWN, bad_views, broken_file, format_of
from clarion.domain.consent import How
from clarion.domain.errors import ErrorCode
from clarion.ports.consent import (
    CONSENT_COLUMNS,
    ConsentLine,
)
from clarion.ports.keys import Scope
from clarion.stages.intake.consent import FIELDS, ConsentProgress, record_consents
from clarion.stages.intake.rows import Format, MalformedFileError

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00Z")
_US: Final = timedelta(microseconds=1)
_WAYS: Final = {how.label: how for how in How}
DRIFTED: Final = 100


async def record(api: Api, call: Exchange) -> Answer:
    """Record what people said: JSON, or a CSV, NDJSON or Parquet file of any length.

    Good rows are written, bad ones reported; a JSON body is one transaction, a file one for
    each 5,000 rows. Rows are written in order of `at`; what happened before the last
    entry of that person and category is refused, so that an old file undoes no withdrawal. What
    the last entry says already of the same instant is not written again. A row of a file without
    `how` is an `import`.
    """
    kind = format_of(call)
    if kind is not None:
        return await _file(api, call, kind)
    body = await call.json(ConsentBatch, api.deps.limits.max_batch_body)
    now = api.deps.clock.now()
    rows = _columns(body.consents, now)
    done = await api.deps.consents.record(call.caller.app, rows, now)
    written = sum(number > 0 for number in done.number)
    return json_answer(
        RecordedList(
            [
                RecordedView(given, None if change is None else change.label)
                for given, change in zip(done.number, done.change, strict=True)
            ],
            [
                RefusedRow(
                    each.row,
                    f"/{FIELDS.get(each.why, 'category')}",
                    each.why.value,
                    each.why.sentence,
                )
                for each in done.refused
            ],
            rows.height,
            written,
            rows.height - written - len(done.refused),
            len(done.refused),
            [],
        )
    )


async def _file(api: Api, call: Exchange, kind: Format) -> Answer:
    done, bad = ConsentProgress(), list[BadRowView]()
    pieces = call.pieces(api.deps.limits.max_import_body)
    deps, app = api.deps, call.caller.app
    try:
        async for done in record_consents(deps.consents, app, pieces, kind, deps.clock):
            bad += bad_views(done.bad, MAX_BAD_SHOWN - len(bad))
    except MalformedFileError as error:
        raise broken_file(error, done.rows_in) from None
    return json_answer(
        RecordedList([], [], done.rows_read, done.rows_in, done.rows_repeated, done.rows_bad, bad)
    )


def _columns(rows: Sequence[ConsentRow], now: datetime) -> pl.DataFrame:
    evidence, instants = [], []
    for index, row in enumerate(rows):
        path = f"/consents/{index}"
        if row.external_id is not None and row.user is not None:
            raise invalid(f"{path}/user", "Give either `external_id` or `user`, not both.")
        given = given_evidence(row.evidence, f"{path}/evidence")
        evidence.append(msgspec.json.encode(given).decode())
        instants.append((said_at(row.at, now, f"{path}/at") - _EPOCH) // _US)
    return pl.DataFrame(
        {
            "external_id": [row.external_id for row in rows],
            "user": [row.user for row in rows],
            "category": [row.category for row in rows],
            "asked": [row.change for row in rows],
            "at_us": instants,
            "how": [int(_WAYS[row.how]) for row in rows],
            "text": [row.text for row in rows],
            "language": [row.language for row in rows],
            "text_version": [row.text_version for row in rows],
            "evidence": evidence,
        },
        schema=CONSENT_COLUMNS,
    )


async def history(api: Api, call: Exchange) -> Answer:
    """All that a person said, oldest first, with the words that were shown."""
    person = await person_of(api, call)
    lines = await api.deps.consents.history(call.caller.app, person.id)
    return json_answer(ConsentHistory([line_view(line) for line in lines]))


def line_view(line: ConsentLine) -> ConsentLineView:
    """An entry as JSON."""
    return msgspec.convert(
        {
            "number": line.number,
            "category": line.category,
            "change": line.change.label,
            "how": line.how.label,
            "at": line.at,
            "recorded_at": line.recorded_at,
            "text": line.text,
            "language": line.language,
            "text_version": line.text_version,
            "evidence": dict(line.evidence),
            "hash": line.hash.hex(),
        },
        ConsentLineView,
    )


async def verify(api: Api, call: Exchange) -> Answer:
    """Walk the app's ledger: does every entry follow from the one before?"""
    app = call.caller.app
    found = await api.deps.consents.verify(app)
    drifted = await api.deps.consents.drifted(app, limit=DRIFTED)
    return json_answer(
        VerifiedView(
            holds=found.broken_at is None,
            entries=found.entries,
            head=found.head.hex(),
            broken_at=found.broken_at,
            because=found.because,
            drifted=list(drifted),
        )
    )


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/consent",
        handle=record,
        summary="Record consents",
        tag="Consent",
        scope=Scope.SEND,
        body=ConsentBatch,
        body_media=tuple(FORMATS),
        answers={200: RecordedList},
        errors=(ErrorCode.BODY_MALFORMED,),
    ),
    Route(
        method="GET",
        path="/v1/consent:verify",
        handle=verify,
        summary="Verify the ledger",
        tag="Consent",
        scope=Scope.ADMIN,
        answers={200: VerifiedView},
    ),
    *(
        Route(
            method="GET",
            path=f"{path}/consent",
            handle=history,
            summary=f"Show a person's consents {how}",
            tag="Consent",
            scope=Scope.SEND,
            answers={200: ConsentHistory},
        )
        for path, how in PEOPLE
    ),
)
