"""Answers askers: each connection asks one thing after another."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, cast

import msgspec
import orjson
import pyarrow as pa

from clarion.adapters.facts.duckdb import (
    audience_queries,
    decision_queries,
    person_queries,
    queries,
)
from clarion.adapters.facts.duckdb.framing import Kind, read_frame, write_frame
from clarion.adapters.facts.duckdb.stillness import OvertakenError
from clarion.domain.category import Category
from clarion.domain.ids import AppId
from clarion.domain.segments.checking import SegmentAt
from clarion.domain.segments.json_form import Json, read_json
from clarion.ports.audience import AudienceScan
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent

if TYPE_CHECKING:
    from clarion.adapters.facts.duckdb.owner import Owner

Piece = TypeVar("Piece")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger(__name__)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """An operation and its arguments."""

    what: str
    app: int = 0
    message: str = ""
    user: int = 0
    users: list[int] = []
    """All numbers of one person."""
    low: int = 0
    high: int = 0
    at_least: int = 0
    segment: dict[str, object] | None = None
    """The JSON form of a segment that names no other."""
    lists: dict[str, int] = {}
    """The ids of the lists that it names."""
    now_us: int = 0
    """What its ages count from."""
    fields: list[str] = []
    unread: list[str] = []
    """Columns that the asker has no use for."""
    sendable: list[int] = []
    category: Category | None = None
    """Whose consent is counted."""


_QUESTION = msgspec.json.Decoder(Question)


async def serve_asker(
    owner: "Owner", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer until the asker goes."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), closing(writer):
        while True:
            kind, payload = await read_frame(reader)
            if kind is not Kind.ASK:
                break
            try:
                await _answer(owner, _QUESTION.decode(payload), writer)
            except ConnectionError:
                raise
            except OvertakenError as error:
                await write_frame(writer, Kind.REFUSED, orjson.dumps({"why": str(error)}))
            except Exception as error:  # noqa: BLE001  # the edge: told to the asker, logged once
                log(_log, logging.ERROR, LogEvent.HANDLER_FAILED, error=error, stage="facts")
                await write_frame(writer, Kind.REFUSED, orjson.dumps({"why": str(error)}))


async def _answer(owner: "Owner", question: Question, writer: asyncio.StreamWriter) -> None:
    if question.what in {"version", "sizes", "rebuild", "rebuilding"}:
        await _tell(writer, await _about_owner(owner, question.what))
        return
    if not await _reached(owner, question):
        why = (
            f"the columns lag more than {owner.settings.lag_limit_s:g} s behind the state store: "
            "they are being filled, the state store is away, or the facts process is overloaded"
        )
        await write_frame(writer, Kind.REFUSED, orjson.dumps({"why": why}))
        return
    if question.what in {"scan", "decisions", "about"}:
        await _stream(owner, question, writer)
        return
    if question.what == "count":
        async with owner.registry.still.scanning() as whole:
            counted = {"registry": owner.version, **await _counted(owner, question)}
            whole()
        await _tell(writer, counted)
        return
    await _tell(writer, await _asked(owner, question))


async def _about_owner(owner: "Owner", what: str) -> Mapping[str, object]:
    """What needs no change to be there first."""
    if what == "version":
        return {"registry": owner.version}
    if what == "rebuild":
        await owner.rebuild()
        return {"rows": owner.registry.reread}
    sizes = await owner.threads.run(partial(queries.sizes, owner.store))
    if what == "sizes":
        return sizes
    return {"rows": owner.registry.reread, "there": sizes["users"] + sizes["device"]}


async def _counted(owner: "Owner", question: Question) -> Mapping[str, object]:
    """The version is taken before the count begins, so it is never newer than what is counted."""
    work = partial(
        audience_queries.count,
        owner.store,
        app=question.app,
        segment=_segment(question),
        sendable=question.sendable,
        category=question.category,
        now_us=question.now_us,
    )
    return await owner.threads.run(work)


def _segment(question: Question) -> SegmentAt | None:
    if question.segment is None:
        return None
    return SegmentAt(
        expression=read_json(cast("Json", question.segment)).expression,
        lists=question.lists,
        now=_EPOCH + timedelta(microseconds=question.now_us),
    )


async def _reached(owner: "Owner", question: Question) -> bool:
    if question.what in {"scan", "count"}:
        return await owner.reach_registry(question.at_least)
    there = await owner.reach_outcomes(question.at_least)
    if there and question.what == "about":  # everything that is held, so nothing may be on its way
        return await owner.reach_events(question.at_least)
    return there


async def _asked(owner: "Owner", question: Question) -> Mapping[str, object]:
    of = {"app": question.app, "message": question.message}
    match question.what:
        case "erase":
            return await owner.threads.run(
                partial(person_queries.erase, owner.store, app=question.app, users=question.users)
            )
        case "counts":
            return await owner.threads.run(partial(queries.counts, owner.store, **of))  # type: ignore[arg-type]  # app and message by name
        case "trace":
            rows = await owner.threads.run(
                partial(queries.trace, owner.store, **of, user=question.user)  # type: ignore[arg-type]  # as above
            )
        case "signals":
            rows = await owner.threads.run(
                partial(queries.signals, owner.store, **of, user=question.user)  # type: ignore[arg-type]  # as above
            )
        case "decided":
            rows = await owner.threads.run(partial(decision_queries.counted, owner.store, **of))  # type: ignore[arg-type]  # as above
        case "rate":
            rows = await owner.threads.run(partial(queries.rate, owner.store, **of))  # type: ignore[arg-type]  # as above
        case "doubled":
            rows = await owner.threads.run(partial(queries.doubled, owner.store, **of))  # type: ignore[arg-type]  # as above
        case _:
            raise ValueError(f"nothing is known of {question.what!r}")
    return {"rows": rows}


async def _stream(owner: "Owner", question: Question, writer: asyncio.StreamWriter) -> None:
    """Send the pieces as they come; a slow asker holds the scan, not the memory.

    The version is taken before the scan's transaction begins, so it is never newer than its rows.
    """
    if question.what != "scan":
        await write_frame(writer, Kind.VERSION, orjson.dumps({"registry": owner.version}))
        pieces = (
            person_queries.about(owner.store, app=question.app, users=question.users)
            if question.what == "about"
            else decision_queries.pieces(
                owner.store, app=question.app, message=question.message, user=question.user
            )
        )
        await _send(owner, writer, pieces, bytes)
        await _tell(writer, {})
        return
    async with owner.registry.still.scanning() as whole:
        await write_frame(writer, Kind.VERSION, orjson.dumps({"registry": owner.version}))
        asked = AudienceScan(
            app=AppId(question.app),
            low=question.low,
            high=question.high,
            segment=_segment(question),
            fields=tuple(question.fields),
            unread=tuple(question.unread),
        )
        await _send(owner, writer, audience_queries.scan(owner.store, asked), _as_stream)
        whole()
    await _tell(writer, {})


async def _send(
    owner: "Owner",
    writer: asyncio.StreamWriter,
    pieces: Generator[Piece],
    octets: Callable[[Piece], bytes | memoryview],
) -> None:
    def following() -> bytes | memoryview | None:
        piece = next(pieces, None)
        return None if piece is None else octets(piece)

    try:
        while (piece := await owner.threads.run(following)) is not None:
            await write_frame(writer, Kind.ROWS, piece)
    finally:
        await owner.threads.run(pieces.close)


def _as_stream(piece: pa.RecordBatch) -> memoryview:
    """A piece as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, piece.schema) as stream:
        stream.write_batch(piece)
    return memoryview(sink.getvalue())


async def _tell(writer: asyncio.StreamWriter, answer: Mapping[str, object]) -> None:
    await write_frame(writer, Kind.ANSWER, orjson.dumps(answer))
