"""Whom a message is for: from the request's names, segments, lists and topics to a target."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, cast

from clarion.api.problems import FieldProblem, field_problem, invalid
from clarion.api.routing import Api
from clarion.api.shapes.messages import ToBody
from clarion.domain.content import Json
from clarion.domain.errors import FieldCode
from clarion.domain.ids import AppId, DeviceId
from clarion.domain.network import NETWORK_BY_LABEL
from clarion.domain.segments import json_form
from clarion.domain.segments.checking import SegmentReferenceError, in_form, in_text
from clarion.domain.segments.expression import (
    And,
    Expression,
    InList,
    InSegment,
    InTopic,
    Not,
    Or,
)
from clarion.domain.segments.json_writing import to_json
from clarion.domain.segments.problems import SegmentFormError, SegmentTextError
from clarion.domain.segments.text import Parsed, parse
from clarion.ports.messages import Target

_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")


def target_problems(to: ToBody, most: int) -> Iterator[FieldProblem]:
    """What is wrong with a target as such; `most` recipients may be named."""
    ways = [to.all, bool(to.named), to.chosen]
    if sum(ways) > 1:
        yield _combined("Name recipients, or choose them by `segment`, or ask for `all`: one of.")
    if not any(ways):
        yield _combined(
            "Name `users`, `aliases` or `devices`, choose by `segment`, `lists` or `topics`, or "
            "ask for `all`."
        )
    if to.exclude is not None and to.named:
        yield field_problem(
            "/to/exclude", FieldCode.COMBINATION, "Leave out who is named: there is no list to cut."
        )
    if to.named > most:
        yield field_problem("/to", FieldCode.TOO_LARGE, f"At most {most} named recipients.")


async def target_of(api: Api, app: AppId, to: ToBody, now: datetime) -> Target:
    """The target; raises `ProblemError` at the place of what can't be understood."""
    networks = [NETWORK_BY_LABEL[label] for label in to.networks]
    if not to.chosen and to.exclude is None:
        return Target(
            everybody=to.all,
            users=to.users,
            aliases=[(alias.label, alias.value) for alias in to.aliases],
            devices=[DeviceId(device) for device in to.devices],
            networks=networks,
        )
    parts: list[Expression] = []
    if to.segment is not None:
        parts.append(await _read(api, app, to.segment, "/to/segment", now))
    for at, name in enumerate(to.lists):
        parts.append(await _there(api, app, InList(name), f"/to/lists/{at}", now))
    parts += [InTopic(name) for name in to.topics]
    wanted = parts[0] if len(parts) == 1 else Or(tuple(parts)) if parts else None
    if to.exclude is not None:
        unwanted = Not(await _read(api, app, to.exclude, "/to/exclude", now))
        wanted = unwanted if wanted is None else And((wanted, unwanted))
    assert wanted is not None  # noqa: S101  chosen, or cut by `exclude`
    form = cast("dict[str, Json]", to_json(wanted))
    return Target(segment=form, networks=networks)


async def _read(
    api: Api, app: AppId, given: str | dict[str, Json], path: str, now: datetime
) -> Expression:
    """An expression that was given as a name, as text, or as JSON."""
    if isinstance(given, str):
        if given and _NAME.issuperset(given):
            return await _there(api, app, InSegment(given), path, now)
        return await _from_text(api, app, given, path, now)
    try:
        read = json_form.read_json(cast("json_form.Json", given), path)
        try:
            await api.deps.segments.resolve(app, read.expression, now)
        except SegmentReferenceError as error:
            raise in_form(error, read, path) from error
    except SegmentFormError as error:
        raise invalid(error.pointer, _sentence(error.fault.sentence)) from None
    return read.expression


async def _from_text(api: Api, app: AppId, text: str, path: str, now: datetime) -> Expression:
    try:
        parsed: Parsed = parse(text)
        try:
            await api.deps.segments.resolve(app, parsed.expression, now)
        except SegmentReferenceError as error:
            raise in_text(error, parsed) from error
    except SegmentTextError as error:
        raise invalid(path, _sentence(str(error))) from None
    return parsed.expression


async def _there(
    api: Api, app: AppId, reference: InSegment | InList, path: str, now: datetime
) -> Expression:
    try:
        await api.deps.segments.resolve(app, reference, now)
    except SegmentReferenceError as error:
        raise invalid(path, _sentence(str(error))) from None
    return reference


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _combined(detail: str) -> FieldProblem:
    return field_problem("/to", FieldCode.COMBINATION, detail)
