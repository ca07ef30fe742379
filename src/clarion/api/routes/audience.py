"""The audience as a file."""

from typing import Final

from clarion.api import exporting, segmenting
from clarion.api.exchange import Exchange, Stream
from clarion.api.problems import ProblemError, field_problem, not_found
from clarion.api.routing import Api, Route
from clarion.api.shapes.audience import ExportQuery
from clarion.api.streaming import begun
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.domain.ids import AppId
from clarion.domain.segments.checking import SegmentAt, SegmentReferenceError
from clarion.domain.segments.expression import Expression, InList, InTopic
from clarion.domain.segments.fields import field_named
from clarion.domain.segments.problems import SegmentFault
from clarion.ports.audience import AudienceUnavailableError
from clarion.ports.facts import FactsUnavailableError
from clarion.ports.keys import Scope

MEDIA: Final = {"csv": b"text/csv", "parquet": b"application/vnd.apache.parquet"}


async def export(api: Api, call: Exchange) -> Stream:
    """Everybody, a segment, a list or a topic as a CSV or Parquet file.

    Each person is one row: the id, the external id, and the fields that were asked for. The file is
    written while it is sent; people who change meanwhile are in it as they were or as they are.
    """
    query = call.query(ExportQuery)
    fields = [name.strip() for name in query.fields.split(",") if name.strip()]
    for name in fields:
        try:
            field_named(name)
        except SegmentFault as error:
            raise _refused("fields", error.sentence) from None
    segment = await _segment(api, call.caller.app, query)
    tables = exporting.people(api.deps.audience, call.caller.app, segment, fields)
    pieces = exporting.as_csv(tables) if query.format == "csv" else exporting.as_parquet(tables)
    try:
        return Stream(await begun(pieces), MEDIA[query.format])
    except AudienceUnavailableError as error:
        raise FactsUnavailableError(str(error)) from error


async def _segment(api: Api, app: AppId, query: ExportQuery) -> SegmentAt | None:
    given = [name for name in ("segment", "list", "topic") if getattr(query, name) is not None]
    if len(given) > 1:
        raise _refused(given[1], "Give one of `segment`, `list` and `topic`.")
    now = api.deps.clock.now()
    if query.segment is not None:
        return await segmenting.whole(api.deps.segments, app, query.segment, "?segment", now)
    wanted: Expression
    if query.list is not None:
        wanted = InList(query.list)
    elif query.topic is not None:
        wanted = InTopic(query.topic)
    else:
        return None
    try:
        return await api.deps.segments.resolve(app, wanted, now)
    except SegmentReferenceError:
        raise not_found("list") from None


def _refused(name: str, detail: str) -> ProblemError:
    where = field_problem(f"?{name}", FieldCode.INVALID, detail)
    return ProblemError(ErrorCode.QUERY_INVALID, detail, errors=[where])


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/audience/export",
        handle=export,
        summary="Export people",
        tag="Audience",
        scope=Scope.SEND,
        query=ExportQuery,
        answers={200: "text/csv"},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.REQUEST_INVALID, ErrorCode.FACTS_UNAVAILABLE),
    ),
)
