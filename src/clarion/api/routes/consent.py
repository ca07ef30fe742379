"""Consent, as a ledger that shows tampering; and the system's permission on devices."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
import polars as pl

from clarion.api.decoding import number, utc
from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.naming import PEOPLE, device_of, person_of
from clarion.api.preferring import given_evidence
from clarion.api.problems import ProblemError, invalid, not_found
from clarion.api.routing import Api, Route
from clarion.api.shapes.consent import (
    ConsentBatch,
    ConsentHistory,
    ConsentLineView,
    ConsentRow,
    DevicePromptBody,
    FunnelQuery,
    FunnelStep,
    FunnelView,
    PromptBody,
    PromptView,
    RecordedList,
    RecordedView,
    VerifiedView,
)
from clarion.api.shapes.imports import BadRowView
from clarion.api.shapes.people import DeviceToken, RefusedRow
from clarion.api.uploads import FORMATS, MAX_BAD_SHOWN, bad_views, broken_file, format_of
from clarion.domain.consent import How
from clarion.domain.consent_rows import AHEAD
from clarion.domain.errors import ErrorCode
from clarion.domain.ids import DeviceId
from clarion.domain.permission import PromptInput
from clarion.ports.consent import (
    CONSENT_COLUMNS,
    ConsentLine,
    PromptPlace,
    PromptRefusedError,
)
from clarion.ports.keys import Scope
from clarion.stages.intake.consent import FIELDS, ConsentProgress, record_consents
from clarion.stages.intake.rows import Format, MalformedFileError

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00Z")
_US: Final = timedelta(microseconds=1)
_WAYS: Final = {how.label: how for how in How}
DRIFTED: Final = 100
FUNNEL_DAYS: Final = 30


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
        instants.append((_instant(row.at, now, f"{path}/at") - _EPOCH) // _US)
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


def _instant(given: datetime | None, now: datetime, path: str) -> datetime:
    """When it was said; a clock that runs ahead is not believed."""
    if given is None:
        return now
    at = utc(given, path)
    if at > now + AHEAD:
        raise invalid(path, "The instant lies more than a day in the future.")
    return min(at, now)


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


async def read_prompt(api: Api, call: Exchange) -> Answer:
    """Where a device stands: what the system lets the app show, and how far asking has come."""
    place = await api.deps.permissions.place(call.caller.app, _device(call))
    if place is None:
        raise not_found("device")
    return json_answer(_place(place))


async def step(api: Api, call: Exchange) -> Answer:
    """Tell one step of asking for the permission."""
    return await _step(api, call, await call.json(PromptBody, api.deps.limits.max_body))


async def step_of_device(api: Api, call: Exchange) -> Answer:
    """The same from the device itself, which its own token proves."""
    body = await call.json(DevicePromptBody, api.deps.limits.max_body)
    device = await device_of(api, call, DeviceToken(body.network, body.token))
    return await _step(api, call, body, device.id)


async def _step(
    api: Api, call: Exchange, body: PromptBody, device: DeviceId | None = None
) -> Answer:
    now = api.deps.clock.now()
    at = _instant(body.at, now, "/at")
    named = _device(call) if device is None else device
    try:
        place = await api.deps.permissions.step(
            call.caller.app, named, PromptInput(body.what), at, now
        )
    except PromptRefusedError as error:
        raise ProblemError(ErrorCode.STATE_CONFLICT, f"{error}.".capitalize()) from None
    if place is None:
        raise not_found("device")
    return json_answer(_place(place))


async def funnel(api: Api, call: Exchange) -> Answer:
    """How asking for the permission went, counted over the app's devices."""
    query = call.query(FunnelQuery)
    now = api.deps.clock.now()
    until = now if query.until is None else utc(query.until, "?until")
    since = (
        until - timedelta(days=FUNNEL_DAYS) if query.since is None else utc(query.since, "?since")
    )
    steps, permissions = await api.deps.permissions.funnel(call.caller.app, since, until)
    return json_answer(
        FunnelView(
            since,
            until,
            [FunnelStep(each.what.value, each.times, each.devices) for each in steps],
            {permission.label: count for permission, count in permissions.items()},
        )
    )


def _device(call: Exchange) -> DeviceId:
    return DeviceId(number(call.params["id"], "device"))


def _place(place: PromptPlace) -> PromptView:
    return PromptView(place.state.value, place.permission.label, place.permission_at)


_PROMPT: Final = "/v1/devices/{id}/prompt"

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
    Route(
        method="GET",
        path=_PROMPT,
        handle=read_prompt,
        summary="Show a device's permission",
        tag="Permission",
        scope=Scope.SEND,
        answers={200: PromptView},
    ),
    Route(
        method="POST",
        path=_PROMPT,
        handle=step,
        summary="Tell a step of asking for the permission",
        tag="Permission",
        scope=Scope.SEND,
        body=PromptBody,
        answers={200: PromptView},
        errors=(ErrorCode.STATE_CONFLICT,),
    ),
    Route(
        method="POST",
        path="/v1/devices:prompt",
        handle=step_of_device,
        summary="Tell a step from the device itself",
        tag="Permission",
        scope=Scope.DEVICE,
        body=DevicePromptBody,
        answers={200: PromptView},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.STATE_CONFLICT),
    ),
    Route(
        method="GET",
        path="/v1/prompts",
        handle=funnel,
        summary="Show the prompt funnel",
        tag="Permission",
        scope=Scope.SEND,
        query=FunnelQuery,
        answers={200: FunnelView},
        errors=(ErrorCode.REQUEST_INVALID,),
    ),
)
