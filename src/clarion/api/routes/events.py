"""Events: what people do, one or millions."""

from datetime import timedelta
from typing import Any, Final

import msgspec
import polars as pl

from clarion.api.decoding import refuse, utc
from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.patience import waiting
from clarion.api.problems import FieldProblem, field_problem, invalid
from clarion.api.routes.users import demand_identity
from clarion.api.routing import Api, Route
from clarion.api.shapes.events import EventBatch, EventQuery, EventRow, EventsView
from clarion.api.shapes.imports import BadRowView
from clarion.api.uploads import FORMATS, MAX_BAD_SHOWN, bad_views, broken_file, format_of
from clarion.domain.conditions import Row
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.domain.event import RAW_COLUMNS
from clarion.ports.keys import Scope
from clarion.stages.intake.events import FEW, EventIntake, EventProgress, record_file, record_rows
from clarion.stages.intake.rows import Format, MalformedFileError
from clarion.telemetry.names import Metric


async def record(api: Api, call: Exchange) -> Answer:
    """Record what people did: JSON, or a CSV, NDJSON or Parquet file of any length.

    An event counts once by its id: in one request, in many at once, and when it is sent again. Bad
    events are reported by line and reason while good ones go in. The columns that segments ask see
    an event within a second. With a `device` key the body is JSON, and every event is of the person
    whom the identity token names, or of a device that is named by its token.
    """
    intake = _intake(api, call.query(EventQuery))
    kind = format_of(call)
    if kind is None:
        done, bad = await _json(api, call, intake)
    elif call.caller.scope is Scope.DEVICE:
        raise invalid("Content-Type", "With a `device` key send the events as JSON.")
    else:
        done, bad = await _file(api, call, intake, kind)
    for result, amount in (
        ("recorded", done.rows_in),
        ("repeated", done.rows_repeated),
        ("refused", done.rows_bad),
    ):
        api.deps.metrics.add(Metric.EVENTS, result, amount=amount)
    return json_answer(
        EventsView(done.rows_read, done.rows_in, done.rows_repeated, done.rows_bad, bad)
    )


def _intake(api: Api, query: EventQuery) -> EventIntake:
    return EventIntake(
        events=api.deps.events,
        clock=api.deps.clock,
        chance=api.deps.chance,
        keep=timedelta(days=api.deps.limits.events_days),
        create_people=query.unknown_users == "create",
    )


async def _json(
    api: Api, call: Exchange, intake: EventIntake
) -> tuple[EventProgress, list[BadRowView]]:
    limits = api.deps.limits
    body = await call.json(EventBatch, limits.max_batch_body)
    if len(body.events) > limits.max_rows:
        raise invalid("/events", f"At most {limits.max_rows} events.", FieldCode.TOO_LARGE)
    if call.caller.scope is Scope.DEVICE:
        refuse(_not_for_devices(body))
        for name in {event.external_id for event in body.events} - {None}:
            await demand_identity(api, call.caller, str(name), body.identity_token)
    events = body.events
    if len(events) > FEW:
        done = await record_rows(intake, call.caller.app, _frame(events))
    else:
        with waiting(api.patience):
            done = await record_rows(
                intake, call.caller.app, list(map(_row, range(len(events)), events))
            )
    return done, bad_views(done.bad, MAX_BAD_SHOWN)


async def _file(
    api: Api, call: Exchange, intake: EventIntake, kind: Format
) -> tuple[EventProgress, list[BadRowView]]:
    done, bad = EventProgress(), list[BadRowView]()
    pieces = call.pieces(api.deps.limits.max_import_body)
    try:
        async for done in record_file(intake, call.caller.app, pieces, kind):
            bad += bad_views(done.bad, MAX_BAD_SHOWN - len(bad))
    except MalformedFileError as error:
        raise broken_file(error, done.rows_in) from None
    return done, bad


def _not_for_devices(body: EventBatch) -> list[FieldProblem]:
    """A public key speaks for whoever proves to be there, and names nobody by number."""
    return [
        field_problem(
            f"/events/{place}/{name}",
            FieldCode.INVALID,
            "With a `device` key name the person by `external_id`, or by `network` and `token`.",
        )
        for place, event in enumerate(body.events)
        for name in ("alias", "user", "device")
        if getattr(event, name) is not None
    ]


def _row(place: int, event: EventRow) -> Row:
    """An event as cells of `RAW_COLUMNS`."""
    alias = event.alias
    return {
        "id": event.id,
        "external_id": event.external_id,
        "alias_label": None if alias is None else alias.label,
        "alias_value": None if alias is None else alias.value,
        "user": event.user,
        "device": event.device,
        "network": event.network,
        "token": event.token,
        "name": event.name,
        "at": None if event.at is None else utc(event.at, f"/events/{place}/at"),
        "value": event.value,
        "properties": _text(event.properties),
        "message": event.message,
    }


def _text(properties: dict[str, Any] | None) -> str | None:
    return None if properties is None else msgspec.json.encode(properties).decode()


def _frame(events: list[EventRow]) -> pl.DataFrame:
    columns: dict[str, list[object]] = {
        name: [getattr(event, name) for event in events]
        for name in RAW_COLUMNS
        if name not in {"alias_label", "alias_value", "properties", "at"}
    }
    aliases = [event.alias for event in events]
    columns["alias_label"] = [None if alias is None else alias.label for alias in aliases]
    columns["alias_value"] = [None if alias is None else alias.value for alias in aliases]
    columns["at"] = [
        None if event.at is None else utc(event.at, f"/events/{place}/at")
        for place, event in enumerate(events)
    ]
    columns["properties"] = [_text(event.properties) for event in events]
    return pl.DataFrame(columns, schema_overrides=dict(RAW_COLUMNS))


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/events",
        handle=record,
        summary="Record events",
        tag="Events",
        scope=Scope.DEVICE,
        body=EventBatch,
        body_media=tuple(FORMATS),
        query=EventQuery,
        answers={200: EventsView},
        errors=(ErrorCode.BODY_MALFORMED,),
    ),
)
