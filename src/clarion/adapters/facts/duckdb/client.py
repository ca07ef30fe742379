"""Asks the owner of the facts. Implements `ports.audience.Audience` and `ports.facts.Facts`."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
import polars as pl

from clarion.adapters.facts.duckdb.audience_filling import empty, filled
from clarion.adapters.facts.duckdb.decision_reading import decided_of
from clarion.adapters.facts.duckdb.framing import Kind, read_frame, write_frame
from clarion.domain.category import Category
from clarion.domain.decided import Decided
from clarion.domain.decision_row import Action
from clarion.domain.event import ENGAGEMENTS, RESERVED
from clarion.domain.ids import AppId, DeviceId, MessageId, UserId
from clarion.domain.network import Network
from clarion.domain.outcome import Outcome, Reason
from clarion.domain.segments.checking import SegmentAt
from clarion.domain.segments.json_writing import to_json
from clarion.ports.audience import (
    AudiencePiece,
    AudienceScan,
    AudienceUnavailableError,
    Reach,
    ReachCount,
)
from clarion.ports.decisions import DecidedCount
from clarion.ports.erasure import FactsPage
from clarion.ports.facts import (
    AttemptFact,
    FactsUnavailableError,
    MessageCounts,
    OutcomeCount,
    SignalFact,
)
from clarion.ports.system import Clock

CONNECT_PATIENCE_S: Final = 8.0
PERCENTILES: Final = (50, 90, 95, 99)
IDLE_CONNECTIONS: Final = 4
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WHAT: Final = {kind: name.removeprefix(RESERVED) for name, kind in ENGAGEMENTS.items()}

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _RefusedError(Exception):
    """The owner can't answer; the sentence is its own."""


class FactsClient:
    """One per process; connections are kept and reused."""

    def __init__(self, socket: Path, clock: Clock) -> None:
        self._socket = socket
        self._clock = clock
        self._idle: list[Stream] = []

    async def scan(self, scan: AudienceScan) -> AsyncIterator[AudiencePiece]:
        """See `ports.audience.Audience.scan`."""
        question = {
            "what": "scan",
            "app": scan.app,
            "low": scan.low,
            "high": scan.high,
            "at_least": scan.at_least_xid,
            "fields": scan.fields,
            "unread": scan.unread,
            **_segment(scan.segment),
        }
        version, got = 0, False
        try:
            async with contextlib.aclosing(self._frames(question)) as frames:
                async for kind, payload in frames:
                    if kind is Kind.VERSION:
                        version = int(orjson.loads(payload)["registry"])
                        continue
                    got = True
                    rows = filled(pl.read_ipc_stream(payload), scan.fields)
                    yield AudiencePiece(xid=version, rows=rows)
        except (_RefusedError, OSError, asyncio.IncompleteReadError) as error:
            raise AudienceUnavailableError(_sentence(error)) from error
        if not got:
            yield AudiencePiece(xid=version, rows=empty(scan.fields))

    async def count(
        self,
        app: AppId,
        segment: SegmentAt | None,
        *,
        sendable: Collection[Network],
        category: Category | None = None,
        now: datetime = _EPOCH,
    ) -> Reach:
        """See `ports.audience.AudienceCounts.count`."""
        question = {
            "what": "count",
            "app": app,
            "sendable": sorted(int(network) for network in sendable),
            "now_us": (now - _EPOCH) // timedelta(microseconds=1),
            **_consent_of(category),
            **_segment(segment),
        }
        try:
            answer = await self._ask(question)
        except FactsUnavailableError as error:
            raise AudienceUnavailableError(str(error)) from error
        return Reach(
            people=answer["people"],
            people_reachable=answer["reachable"],
            rows=[
                ReachCount(
                    network=Network(network) if network else None,
                    reason=Reason(reason),
                    count=count,
                )
                for network, reason, count in answer["rows"]
            ],
            xid=answer["registry"],
        )

    async def version(self) -> int:
        """See `ports.audience.Audience.version`."""
        try:
            answer = await self._ask({"what": "version"})
        except FactsUnavailableError as error:
            raise AudienceUnavailableError(str(error)) from error
        return int(answer["registry"])

    async def counts(self, app: AppId, message: MessageId, *, at_least_xid: int) -> MessageCounts:
        """See `ports.facts.Facts.counts`."""
        answer = await self._ask(
            {"what": "counts", "app": app, "message": message, "at_least": at_least_xid}
        )
        return MessageCounts(
            outcomes=[
                OutcomeCount(
                    network=Network(network) if network else None,
                    outcome=Outcome(outcome),
                    reason=Reason(reason),
                    count=count,
                )
                for network, outcome, reason, count in answer["outcomes"]
            ],
            retried={Network(network): count for network, count in answer["retried"]},
            answered_at={
                percentile: datetime.fromtimestamp(at / 1e6, UTC)
                for percentile, at in zip(PERCENTILES, answer["answered_us"] or (), strict=False)
            },
            first_at=_instant(answer["first_us"]),
            last_at=_instant(answer["last_us"]),
        )

    async def trace(
        self, app: AppId, message: MessageId, user: UserId, *, at_least_xid: int
    ) -> Sequence[AttemptFact]:
        """See `ports.facts.Facts.trace`."""
        answer = await self._ask(
            {
                "what": "trace",
                "app": app,
                "message": message,
                "user": user,
                "at_least": at_least_xid,
            }
        )
        return [_attempt(row) for row in answer["rows"]]

    async def signals(self, app: AppId, message: MessageId, user: UserId) -> Sequence[SignalFact]:
        """See `ports.facts.Facts.signals`."""
        answer = await self._ask({"what": "signals", "app": app, "message": message, "user": user})
        return [
            SignalFact(
                device=None if device is None else DeviceId(device),
                what=_WHAT[kind],
                at=datetime.fromtimestamp(at_us / 1e6, UTC),
            )
            for device, kind, at_us in answer["rows"]
        ]

    async def decided(
        self, app: AppId, message: MessageId, *, at_least_xid: int
    ) -> AsyncIterator[Decided]:
        """See `ports.decisions.RecordedDecisions.decided`."""
        of = {"what": "decisions", "app": app, "message": message, "at_least": at_least_xid}
        async with contextlib.aclosing(self._pieces(of)) as found:
            async for piece in found:
                yield decided_of(app, message, piece)

    async def _pieces(self, question: Mapping[str, object]) -> AsyncGenerator[bytes]:
        """The pieces of a streamed answer from the facts."""
        try:
            async with contextlib.aclosing(self._frames(question)) as frames:
                async for kind, payload in frames:
                    if kind is Kind.ROWS:
                        yield payload
        except (_RefusedError, OSError, asyncio.IncompleteReadError) as error:
            raise FactsUnavailableError(_sentence(error)) from error

    async def counted(
        self, app: AppId, message: MessageId, *, at_least_xid: int
    ) -> Sequence[DecidedCount]:
        """See `ports.decisions.RecordedDecisions.counted`."""
        question = {"what": "decided", "app": app, "message": message}
        answer = await self._ask({**question, "at_least": at_least_xid})
        return [
            DecidedCount(
                action=Action(action),
                reason=Reason(reason),
                network=Network(network) if network else None,
                hour=_instant(hour_us),
                count=count,
            )
            for action, reason, network, hour_us, count in answer["rows"]
        ]

    async def decisions(
        self, app: AppId, message: MessageId, user: UserId, *, at_least_xid: int
    ) -> Sequence[Decided]:
        """See `ports.facts.Facts.decisions`."""
        of = {"what": "decisions", "app": app, "message": message, "user": user}
        of |= {"at_least": at_least_xid}
        async with contextlib.aclosing(self._pieces(of)) as found:
            return [decided_of(app, message, piece) async for piece in found]

    async def rate(self, app: AppId, message: MessageId) -> Sequence[tuple[datetime, int]]:
        """See `ports.facts.Facts.rate`."""
        answer = await self._ask({"what": "rate", "app": app, "message": message})
        return [(datetime.fromtimestamp(second, UTC), n) for second, n in answer["rows"]]

    async def verify(self, app: AppId, message: MessageId) -> Sequence[str]:
        """What contradicts one final outcome per device of a message; empty when all is well."""
        answer = await self._ask({"what": "doubled", "app": app, "message": message})
        return [f"device {device} has {n} final outcomes" for device, _, n in answer["rows"]]

    async def about(
        self, app: AppId, users: Sequence[UserId], *, at_least_xid: int
    ) -> AsyncIterator[FactsPage]:
        """See `ports.erasure.PersonFacts.about`."""
        question = {"what": "about", "app": app, "users": users, "at_least": at_least_xid}
        async with contextlib.aclosing(self._pieces(question)) as found:
            async for piece in found:
                yield FactsPage(**orjson.loads(piece))

    async def erase(
        self, app: AppId, users: Sequence[UserId], *, at_least_xid: int
    ) -> Mapping[str, int]:
        """See `ports.erasure.PersonFacts.erase`."""
        return await self._ask(
            {"what": "erase", "app": app, "users": users, "at_least": at_least_xid}
        )

    async def rebuild(self) -> int:
        """Have the audience read anew from the state store; how many rows that were.

        Askers see the old columns until the new ones are complete.
        """
        return int((await self._ask({"what": "rebuild"}))["rows"])

    async def rebuilding(self) -> tuple[int, int]:
        """Rows that a rebuild has read so far, and rows of users and devices that are shown."""
        answer = await self._ask({"what": "rebuilding"})
        return int(answer["rows"]), int(answer["there"])

    async def sizes(self) -> Mapping[str, int]:
        """Rows of users, device and outcome."""
        return await self._ask({"what": "sizes"})

    async def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        self._idle.clear()

    async def _ask(self, question: Mapping[str, object]) -> dict[str, Any]:
        try:
            return await self._answer(question)
        except (_RefusedError, OSError, asyncio.IncompleteReadError) as error:
            raise FactsUnavailableError(_sentence(error)) from error

    async def _answer(self, question: Mapping[str, object]) -> dict[str, Any]:
        stream, kind, payload = await self._asked(question)
        self._keep(stream)
        return _unpacked(kind, payload)

    async def _asked(self, question: Mapping[str, object]) -> tuple[Stream, Kind, bytes]:
        """Ask, and await the first frame; on a new connection where a kept one has died."""
        while True:
            kept = bool(self._idle)
            stream = self._idle.pop() if kept else await self._connect()
            try:
                await write_frame(stream[1], Kind.ASK, orjson.dumps(question))
                return stream, *await read_frame(stream[0])
            except (OSError, asyncio.IncompleteReadError):
                stream[1].close()
                if not kept:
                    raise
            except BaseException:  # cancelled: the answer would be read by the next question
                stream[1].close()
                raise

    async def _frames(self, question: Mapping[str, object]) -> AsyncGenerator[tuple[Kind, bytes]]:
        """The frames of a streamed answer. A stream left early closes its connection."""
        stream, kind, payload = await self._asked(question)
        finished = False
        try:
            while kind in {Kind.VERSION, Kind.ROWS}:
                yield kind, payload
                kind, payload = await read_frame(stream[0])
            finished = True
            _unpacked(kind, payload)
        finally:
            if finished:
                self._keep(stream)
            else:
                stream[1].close()

    def _keep(self, stream: Stream) -> None:
        if len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(stream)
        else:
            stream[1].close()

    async def _connect(self) -> Stream:
        """Connect, patiently: the owner may be starting."""
        give_up = self._clock.monotonic() + CONNECT_PATIENCE_S
        while True:
            try:
                return await asyncio.open_unix_connection(self._socket, limit=2**20)
            except (ConnectionRefusedError, FileNotFoundError) as error:
                if self._clock.monotonic() > give_up:
                    raise ConnectionRefusedError(
                        f"the owner of the facts does not listen on {self._socket}: "
                        "is the facts role running?"
                    ) from error
                await self._clock.sleep(0.1)


def _consent_of(category: Category | None) -> Mapping[str, object]:
    """The part of a question that says whose consent is needed."""
    if category is None:
        return {}
    bare = replace(category, quiet_hours=None, caps=())  # they are not what is asked
    return {"category": msgspec.to_builtins(bare)}


def _segment(segment: SegmentAt | None) -> Mapping[str, object]:
    """The part of a question that says who is meant."""
    if segment is None:
        return {}
    return {
        "segment": to_json(segment.expression),
        "lists": segment.lists,
        "now_us": (segment.now - _EPOCH) // timedelta(microseconds=1),
    }


def _unpacked(kind: Kind, payload: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(payload)
    if kind is Kind.REFUSED:
        raise _RefusedError(str(answer["why"]))
    return answer


def _sentence(error: Exception) -> str:
    if isinstance(error, _RefusedError):
        return str(error)
    if isinstance(error, asyncio.IncompleteReadError):
        return "the owner of the facts went away in the middle of an answer"
    return f"the owner of the facts can't be asked: {error}"


def _instant(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1e6, UTC)


def _attempt(row: Sequence[int | str | None]) -> AttemptFact:
    device, network, at_us, attempt, outcome, reason, status, words, provider_id = row
    return AttemptFact(
        device=DeviceId(int(device)) if device else None,
        network=Network(int(network)) if network else None,
        at=datetime.fromtimestamp(int(at_us or 0) / 1e6, UTC),
        attempt=int(attempt or 0),
        outcome=Outcome(int(outcome)) if outcome else None,
        reason=Reason(int(reason or 0)),
        status=int(status or 0),
        note=None if words is None else str(words),
        provider_id=None if provider_id is None else str(provider_id),
    )
