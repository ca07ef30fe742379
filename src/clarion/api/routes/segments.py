"""Segments: people who have something in common, by name or as an expression."""

from typing import Final

from clarion.api import segmenting
from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.problems import ProblemError, field_problem, invalid, not_found
from clarion.api.routing import Api, Route
from clarion.api.shapes.segments import (
    CheckBody,
    CheckView,
    CountBody,
    CountRow,
    CountView,
    SegmentBody,
    SegmentList,
    SegmentVersionList,
    SegmentVersionView,
    SegmentView,
)
from clarion.domain.category import Category
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.domain.outcome import Reason
from clarion.domain.segments.checking import EVERYONE, SegmentAt, SegmentReferenceError
from clarion.domain.segments.expression import InList, InSegment, InTopic
from clarion.domain.segments.json_writing import to_json
from clarion.domain.segments.measure import named
from clarion.domain.segments.problems import SegmentFormError, SegmentTextError
from clarion.domain.segments.text_form import to_text
from clarion.ports.audience import AudienceUnavailableError, Reach
from clarion.ports.facts import FactsUnavailableError
from clarion.ports.keys import Scope
from clarion.ports.segments import (
    SegmentChangedError,
    SegmentDraft,
    SegmentInUseError,
    SegmentRecord,
    TooManySegmentsError,
)


async def read_all(api: Api, call: Exchange) -> Answer:
    """All segments in order of their names."""
    records = await api.deps.segments.all(call.caller.app)
    return json_answer(SegmentList([_view(record) for record in records]))


async def read_one(api: Api, call: Exchange) -> Answer:
    """A segment in both forms."""
    record = await api.deps.segments.get(call.caller.app, call.params["name"])
    if record is None:
        raise not_found("segment")
    return json_answer(_view(record))


async def read_versions(api: Api, call: Exchange) -> Answer:
    """Everything that was said under a name, the newest first; a removed segment's too."""
    kept = await api.deps.segments.versions(call.caller.app, call.params["name"])
    if not kept:
        raise not_found("segment")
    return json_answer(
        SegmentVersionList(
            [
                SegmentVersionView(
                    version=one.version,
                    text=to_text(one.expression),
                    expression=dict(to_json(one.expression)),
                    created_at=one.created_at,
                )
                for one in kept
            ]
        )
    )


async def put(api: Api, call: Exchange) -> Answer:
    """Make a segment, or replace what it means.

    Segments and messages that name it mean the new one from now on; a message chooses its people
    when its time has come. What it names has to exist, and no names may lead in a circle.
    """
    name = call.params["name"]
    if not segmenting.NAME.fullmatch(name):
        raise invalid("/name", "A name has 1 to 128 ASCII letters, digits, `_`, `.` and `-`.")
    body = await call.json(SegmentBody, api.deps.limits.max_body)
    source = segmenting.read_or_refuse(body.expression, "/expression")
    draft = SegmentDraft(name=name, expression=source.expression, description=body.description)
    now = api.deps.clock.now()
    try:
        record = await api.deps.segments.put(call.caller.app, draft, now, version=body.version)
    except SegmentReferenceError as error:
        raise segmenting.refusal(source.placed(error), "/expression") from None
    except SegmentChangedError as error:
        raise ProblemError(
            ErrorCode.STATE_CONFLICT,
            segmenting.sentence(str(error)),
            errors=[field_problem("/version", FieldCode.INVALID, f"There is {error.version}.")],
        ) from None
    except TooManySegmentsError as error:
        raise ProblemError(ErrorCode.STATE_CONFLICT, segmenting.sentence(str(error))) from None
    return json_answer(_view(record), 201 if record.created_at == now else 200)


async def delete(api: Api, call: Exchange) -> Answer:
    """Remove a segment that no other names, and no message that is yet to be planned."""
    try:
        there = await api.deps.segments.remove(call.caller.app, call.params["name"])
    except SegmentInUseError as error:
        raise ProblemError(ErrorCode.STATE_CONFLICT, segmenting.sentence(str(error))) from None
    if not there:
        raise not_found("segment")
    return Answer(204)


async def count(api: Api, call: Exchange) -> Answer:
    """Who is in a segment now, by network, and why some of them could not be sent to.

    A category adds consent to it, and pauses. Quiet hours, caps and local times are a matter of a
    message: a dry run counts them too.
    """
    body = await call.json(CountBody, api.deps.limits.max_body)
    app, now = call.caller.app, api.deps.clock.now()
    found = await segmenting.whole(api.deps.segments, app, body.segment, "/segment", now)
    segment = found or SegmentAt(expression=EVERYONE, lists={}, now=now)
    category = None if body.category is None else await _category(api, call, body.category)
    networks = await api.networks.of(app)
    try:
        reach = await api.deps.counts.count(app, segment, sendable=networks, category=category)
    except AudienceUnavailableError as error:
        raise FactsUnavailableError(str(error)) from error
    return json_answer(_count_view(reach, segment))


async def check(api: Api, call: Exchange) -> Answer:
    """Look at an expression: its normal form, or what is wrong with it and where."""
    body = await call.json(CheckBody, api.deps.limits.max_body)
    try:
        source = segmenting.read(body.expression)
        try:
            await api.deps.segments.resolve(
                call.caller.app, source.expression, api.deps.clock.now()
            )
        except SegmentReferenceError as error:
            raise source.placed(error) from error
    except (SegmentTextError, SegmentFormError) as error:
        return json_answer(
            CheckView(
                valid=False,
                text=None,
                expression=None,
                mistake=segmenting.mistake_view(error),
                segments=[],
                lists=[],
                topics=[],
            )
        )
    names = list(named(source.expression))
    return json_answer(
        CheckView(
            valid=True,
            text=to_text(source.expression),
            expression=dict(to_json(source.expression)),
            mistake=None,
            segments=sorted({one.name for one in names if isinstance(one, InSegment)}),
            lists=sorted({one.name for one in names if isinstance(one, InList)}),
            topics=sorted({one.name for one in names if isinstance(one, InTopic)}),
        )
    )


async def _category(api: Api, call: Exchange, slug: str) -> Category:
    rules = await api.deps.rulebook.of(call.caller.app, api.deps.clock.now())
    if slug not in rules.categories or slug in rules.archived:
        detail = f"The app has no category {slug!r}."
        raise ProblemError(
            ErrorCode.CATEGORY_UNKNOWN,
            detail,
            errors=[field_problem("/category", FieldCode.INVALID, detail)],
        )
    return rules.categories[slug]


def _view(record: SegmentRecord) -> SegmentView:
    draft = record.draft
    return SegmentView(
        name=draft.name,
        description=draft.description,
        text=to_text(draft.expression),
        expression=dict(to_json(draft.expression)),
        version=record.version,
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


def _count_view(reach: Reach, segment: SegmentAt) -> CountView:
    by_network: dict[str, int] = {}
    by_reason: dict[str, int] = {}
    for row in reach.rows:
        if row.reason is not Reason.ACCEPTED:
            by_reason[row.reason.label] = by_reason.get(row.reason.label, 0) + row.count
        elif row.network is not None:
            by_network[row.network.label] = row.count
    return CountView(
        people=reach.people,
        people_reachable=reach.people_reachable,
        devices=sum(row.count for row in reach.rows if row.network is not None),
        devices_reachable=sum(by_network.values()),
        rows=[
            CountRow(
                network=None if row.network is None else row.network.label,
                reason=row.reason.label,
                count=row.count,
            )
            for row in reach.rows
        ],
        by_network=by_network,
        by_reason=by_reason,
        counted_at=segment.now,
    )


_PATH: Final = "/v1/segments/{name}"

ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/segments",
        handle=read_all,
        summary="List segments",
        tag="Segments",
        scope=Scope.SEND,
        answers={200: SegmentList},
    ),
    Route(
        method="POST",
        path="/v1/segments/count",
        handle=count,
        summary="Count a segment",
        tag="Segments",
        scope=Scope.SEND,
        body=CountBody,
        answers={200: CountView},
        errors=(ErrorCode.CATEGORY_UNKNOWN, ErrorCode.FACTS_UNAVAILABLE),
    ),
    Route(
        method="POST",
        path="/v1/segments/check",
        handle=check,
        summary="Check an expression",
        tag="Segments",
        scope=Scope.SEND,
        body=CheckBody,
        answers={200: CheckView},
    ),
    Route(
        method="GET",
        path=_PATH,
        handle=read_one,
        summary="Show a segment",
        tag="Segments",
        scope=Scope.SEND,
        answers={200: SegmentView},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="GET",
        path=f"{_PATH}/versions",
        handle=read_versions,
        summary="Show what a segment said before",
        tag="Segments",
        scope=Scope.SEND,
        answers={200: SegmentVersionList},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="PUT",
        path=_PATH,
        handle=put,
        summary="Make or replace a segment",
        tag="Segments",
        scope=Scope.SEND,
        body=SegmentBody,
        answers={200: SegmentView, 201: SegmentView},
        errors=(ErrorCode.STATE_CONFLICT, ErrorCode.NOT_FOUND),
    ),
    Route(
        method="DELETE",
        path=_PATH,
        handle=delete,
        summary="Remove a segment",
        tag="Segments",
        scope=Scope.SEND,
        answers={204: None},
        errors=(ErrorCode.STATE_CONFLICT, ErrorCode.NOT_FOUND),
    ),
)
