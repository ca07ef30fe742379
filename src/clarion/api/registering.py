"""From the JSON of people and devices to the registry's changes, judged by the domain's rules."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType

from clarion.api.decoding import refuse, utc
from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.grouping import store_rows
from clarion.api.problems import FieldProblem, field_problem, invalid
from clarion.api.routing import Api
from clarion.api.shapes.people import (
    AttributeChanges,
    DevicePatch,
    DeviceRow,
    DeviceView,
    LocationBody,
    PersonBody,
    PersonRow,
    PersonView,
    RefusedRow,
    RegisteredList,
    RegisteredView,
)
from clarion.domain.attributes import (
    MAX_TEXT_OCTETS,
    AttributeValue,
    decode_attributes,
    encode_attributes,
)
from clarion.domain.conditions import Cell, Row
from clarion.domain.device import KEEP, DeviceChange, DeviceState, Keep
from clarion.domain.errors import FieldCode
from clarion.domain.ids import UserId
from clarion.domain.network import Environment, Network, TokenKind
from clarion.domain.person import PersonChange
from clarion.domain.registration_row import check_row
from clarion.ports.registry import DeviceRecord, PersonRecord

_DEVICE_TEXTS = ("platform", "os", "os_version", "model", "app_version")
_DEVICE_NAMES = (
    "external_id",
    "user",
    "network",
    "token",
    "environment",
    "opted_out",
    "permission",
)
_PLACE = ("language", "time_zone", "country")


def judge(row: Row, zones: frozenset[str], now: datetime, *, strip: str = "") -> Row:
    """One row in canonical form; raises `ProblemError` with every field that is wrong.

    `strip` is taken off the front of each problem's path.
    """
    judged = check_row(row, zones=zones, now=now)
    refuse([field_problem(p.path.removeprefix(strip), p.code, p.detail) for p in judged.problems])
    return judged.row


async def register_rows(
    api: Api, call: Exchange, rows: Sequence[Row], *, strip: str = ""
) -> Answer:
    """Store the good rows of a batch in one unit of work; the answer tells of the others."""
    if len(rows) > api.deps.limits.max_rows:
        raise invalid("", f"At most {api.deps.limits.max_rows} rows.", FieldCode.TOO_LARGE)
    done = await store_rows(api.deps, call.caller.app, rows)
    refused = [
        RefusedRow(p.row, p.problem.path.removeprefix(strip), p.problem.code, p.problem.detail)
        for p in done.problems
    ]
    items = [
        RegisteredView(device, user, created)
        for device, user, created in zip(
            done.device.tolist(), done.user.tolist(), done.created, strict=True
        )
    ]
    return json_answer(RegisteredList(items, refused))


def person_change(
    body: PersonBody, external_id: str | None, zones: frozenset[str], now: datetime
) -> PersonChange:
    """What a request says about a person; raises `ProblemError` with every field that is wrong."""
    refuse(_alias_problems(body.aliases))
    row: dict[str, Cell] = {f"user_{name}": _given(getattr(body, name)) for name in _PLACE}
    row |= _who(external_id) | {"user_attributes": attributes_text(body.attributes)}
    canonical = judge(row, zones, now, strip="/user")
    return PersonChange(
        attributes=attribute_changes(body.attributes),
        aliases=body.aliases,
        language=_kept(body.language, canonical.get("user_language")),
        time_zone=_kept(body.time_zone, canonical.get("user_time_zone")),
        country=_kept(body.country, canonical.get("user_country")),
        opted_out=KEEP if body.opted_out is UNSET else body.opted_out,
    )


def device_change(body: DevicePatch, zones: frozenset[str], now: datetime) -> DeviceChange:
    """What a request says about a known device."""
    seen = body.last_active_at
    active = None if seen is UNSET or seen is None else utc(seen, "/last_active_at")
    place = None if body.location is UNSET else body.location
    row: dict[str, Cell] = {n: _given(getattr(body, n)) for n in (*_DEVICE_TEXTS, *_PLACE)}
    row |= _who(None) | {
        "attributes": attributes_text(body.attributes),
        "last_active_at": active,
        "latitude": None if place is None else place.latitude,
        "longitude": None if place is None else place.longitude,
    }
    canonical = judge(row, zones, now)
    texts = {
        name: _kept(getattr(body, name), canonical.get(name)) for name in (*_DEVICE_TEXTS, *_PLACE)
    }
    return DeviceChange(
        user=KEEP if body.user is UNSET else UserId(body.user),
        attributes=attribute_changes(body.attributes),
        opted_out=KEEP if body.opted_out is UNSET else body.opted_out,
        latitude=KEEP if body.location is UNSET else None if place is None else place.latitude,
        longitude=KEEP if body.location is UNSET else None if place is None else place.longitude,
        last_active_at=KEEP if seen is UNSET else active,
        **texts,
    )


def device_row(body: DeviceRow, path: str) -> Row:
    """A registration as the columns that intake takes; `path` points to it in the request."""
    row: dict[str, Cell] = {name: getattr(body, name) for name in _DEVICE_NAMES}
    row |= {name: getattr(body, name) for name in (*_DEVICE_TEXTS, *_PLACE)}
    seen = body.last_active_at
    row["last_active_at"] = None if seen is None else utc(seen, f"{path}/last_active_at")
    row |= {"attributes": attributes_text(body.attributes), "aliases": _text(body.aliases)}
    if body.keys is not None:
        row |= {"p256dh": body.keys.p256dh, "auth": body.keys.auth}
    if body.location is not None:
        row |= {"latitude": body.location.latitude, "longitude": body.location.longitude}
    return row


def person_row(body: PersonRow) -> Row:
    """A person of a batch as the columns that intake takes."""
    row: dict[str, Cell] = {"external_id": body.external_id, "user_opted_out": body.opted_out}
    row |= {f"user_{name}": getattr(body, name) for name in _PLACE}
    row |= {"user_attributes": attributes_text(body.attributes), "aliases": _text(body.aliases)}
    return row


def attributes_text(changes: AttributeChanges) -> str | None:
    """Attributes as the JSON text that the domain judges; None when there are none."""
    return msgspec.json.encode(changes).decode() if changes else None


def _text(aliases: Mapping[str, str | None]) -> str | None:
    return msgspec.json.encode(aliases).decode() if aliases else None


def attribute_changes(changes: AttributeChanges) -> Mapping[str, AttributeValue | None]:
    """Judged attributes as values; null removes one."""
    if not changes:
        return {}
    removed: dict[str, AttributeValue | None] = {n: None for n, v in changes.items() if v is None}
    return removed | dict(decode_attributes(msgspec.json.encode(changes)))


def person_view(record: PersonRecord) -> PersonView:
    """A person as JSON."""
    return PersonView(
        id=record.id,
        external_id=record.external_id,
        aliases=dict(record.aliases),
        attributes=msgspec.Raw(encode_attributes(record.attributes).encode()),
        language=record.language,
        time_zone=record.time_zone,
        country=record.country,
        opted_out=record.opted_out,
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


def device_view(record: DeviceRecord, *, with_token: bool) -> DeviceView:
    """A device as JSON."""
    alive = record.state is DeviceState.ACTIVE
    place = None
    if record.latitude is not None and record.longitude is not None:
        place = LocationBody(record.latitude, record.longitude)
    return DeviceView(
        id=record.id,
        user=record.user,
        network=record.network.label,
        token=record.token if with_token else None,
        environment=_environment(record),
        state="active" if alive else "dead",
        state_reason=None if alive else record.state_reason.label,
        opted_out=record.opted_out,
        platform=record.platform,
        os=record.os,
        os_version=record.os_version,
        model=record.model,
        app_version=record.app_version,
        language=record.language,
        time_zone=record.time_zone,
        country=record.country,
        location=place,
        attributes=msgspec.Raw(encode_attributes(record.attributes).encode()),
        permission=record.permission.label,
        permission_at=record.permission_at,
        last_active_at=record.last_active_at,
        registered_at=record.registered_at,
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


def _environment(record: DeviceRecord) -> str | None:
    if record.network is Network.APNS:
        return Environment(record.environment).name.lower()
    if record.network is Network.FCM:
        return TokenKind(record.environment).name.lower()
    return None


def _who(external_id: str | None) -> dict[str, Cell]:
    """Whom a row is about: the rules want a name; a person who is known by id has any."""
    return {"user": 1} if external_id is None else {"external_id": external_id}


def _given(value: str | UnsetType | None) -> str | None:
    return None if value is UNSET else value


def _kept(value: str | UnsetType | None, canonical: Cell) -> str | Keep | None:
    if value is UNSET:
        return KEEP
    return None if value is None else str(canonical)


def _alias_problems(aliases: Mapping[str, str | None]) -> list[FieldProblem]:
    detail = f"A label and a value have at most {MAX_TEXT_OCTETS} octets of UTF-8."
    return [
        field_problem(f"/aliases/{label}", "text_too_long", detail)
        for label, value in aliases.items()
        if max(len(label.encode()), len((value or "").encode())) > MAX_TEXT_OCTETS
    ]
