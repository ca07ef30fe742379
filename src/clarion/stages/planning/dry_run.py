"""The whole pipeline of a message without dispatch: who, why not, when, and what they would read.

Nothing is written. People are read in the ranges of buckets that planning reads, the next range
while this one is decided about in a thread, so whoever else is served by the process does not wait.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

import polars as pl

from clarion.domain.content import Message
from clarion.domain.decision import decide
from clarion.domain.decision_row import inputs
from clarion.domain.frequency import Ledger
from clarion.domain.ids import BUCKETS, AppId
from clarion.domain.network import Network
from clarion.domain.policy import Policy
from clarion.domain.segments.checking import SegmentAt
from clarion.domain.segments.json_form import Json, read_json
from clarion.domain.send_time import instant_us
from clarion.ports.audience import Audience, AudienceScan
from clarion.ports.frequency import RANGE_BUCKETS, FrequencyBook, Usage
from clarion.ports.messages import Target
from clarion.ports.plan_line import Addressees
from clarion.ports.rendering import ContentRenderer
from clarion.ports.segments import Segments
from clarion.stages.planning.forecast import Forecast
from clarion.stages.planning.shard import LOOKS_BACK, unread


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRunPorts:
    """What a dry run reads."""

    line: Addressees
    audience: Audience
    frequency: FrequencyBook
    segments: Segments
    words: ContentRenderer
    of_country: Mapping[str, str] = field(default_factory=dict)
    """Country -> time zone, for people of whom only the country is known."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One at a time in a process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """The message that is tried."""

    app: AppId
    message: Message
    target: Target
    policy: Policy
    at: datetime
    """When it would be planned."""
    samples: int
    """How many people to show with what they would read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """All devices of some people."""

    rows: pl.DataFrame
    usage: Usage | None
    of_country: Mapping[str, str]
    unknown: int = 0


async def dry_run(ports: DryRunPorts, trial: Trial) -> Forecast:
    """Try a message.

    Raises:
        AudienceUnavailableError: the columns can't be read now.
        StoreUnavailableError: the store can't be reached.
        SegmentReferenceError: the target names what does not exist.
        ContentRefusedError: a text is not a template.
    """
    async with ports.turn:
        words = ports.words.prepare(trial.message)
        able = tuple(await ports.line.credentials(trial.app))
        found = Forecast.of(trial.policy, trial.message, words, trial.at, trial.samples)
        pieces = _pieces(ports, trial, () if words is None else words.fields)
        ahead = asyncio.ensure_future(anext(pieces, None))
        try:
            while (piece := await ahead) is not None:
                ahead = asyncio.ensure_future(anext(pieces, None))
                await asyncio.to_thread(_judge, found, trial, piece, able)
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)
            await pieces.aclose()  # type: ignore[attr-defined]  # a generator
    return found


async def _pieces(
    ports: DryRunPorts, trial: Trial, fields: tuple[str, ...]
) -> AsyncIterator[_Piece]:
    if not trial.target.scanned:
        resolved = await ports.line.resolve(trial.app, trial.target, fields)
        usage = await _usage(ports, trial, 0, BUCKETS)
        yield _Piece(
            rows=resolved.rows,
            usage=usage,
            of_country=ports.of_country,
            unknown=len(resolved.unknown),
        )
        return
    segment = await _segment(ports, trial)
    for low in range(0, BUCKETS, RANGE_BUCKETS):
        high = low + RANGE_BUCKETS
        scan = AudienceScan(
            app=trial.app,
            low=low,
            high=high,
            segment=segment,
            fields=fields,
            unread=unread(ports.of_country),
        )
        rows = pl.concat([piece.rows async for piece in ports.audience.scan(scan)])
        if len(rows):
            usage = await _usage(ports, trial, low, high)
            yield _Piece(rows=rows, usage=usage, of_country=ports.of_country)


async def _segment(ports: DryRunPorts, trial: Trial) -> SegmentAt | None:
    if trial.target.segment is None:
        return None
    wanted = read_json(cast("Json", trial.target.segment)).expression
    return await ports.segments.resolve(trial.app, wanted, trial.at)


async def _usage(ports: DryRunPorts, trial: Trial, low: int, high: int) -> Usage | None:
    if not trial.policy.binding_caps:
        return None
    return await ports.frequency.read(trial.app, (low, high), trial.at - LOOKS_BACK)


def _judge(found: Forecast, trial: Trial, piece: _Piece, able: tuple[Network, ...]) -> None:
    found.unknown += piece.unknown
    if not len(piece.rows):
        return
    read = inputs(
        piece.rows,
        trial.policy,
        targeted=trial.target.networks,
        able=able,
        of_country=piece.of_country,
    )
    ledger = Ledger.empty() if piece.usage is None else piece.usage.ledger
    said = decide(read, trial.policy, now_us=instant_us(trial.at), usage=ledger)
    found.add(piece.rows, read, said, piece.usage)
