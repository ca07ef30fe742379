"""A worker slot: lease a batch, send it chunk by chunk, record each chunk before the next.

At any moment a slot has sent at most one chunk that is not recorded. A process that dies
therefore repeats at most `slots x chunk` recipients, with the ids that let a device show each
message once.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np

from clarion.domain.credential_health import Diagnosis
from clarion.domain.handoffs import BatchToSend, Int64s, UInt16s
from clarion.domain.ids import CredentialId, MessageId
from clarion.domain.lanes import CHUNK_RECIPIENTS, Lane
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.ports.line import ChunkAck, ChunkCommit, ClaimedBatch, SendLine
from clarion.ports.policies import Rulebook
from clarion.ports.provider import Credential, Provider, SendRequest
from clarion.ports.store import StoreUnavailableError
from clarion.ports.system import Chance, Clock
from clarion.stages.delivery.chunk import (
    Chunk,
    Sent,
    commit_of,
    deadlines_us,
    microseconds,
    settle_chunk,
    withhold,
)
from clarion.stages.delivery.health import CredentialHealth
from clarion.stages.delivery.lateness import await_winner, give_way, put_off, with_put_off
from clarion.stages.delivery.overlay import Asking, Overlay
from clarion.stages.delivery.pacing import PacedOutError, Pacer
from clarion.stages.delivery.telling import (
    tell_claimed,
    tell_failed,
    tell_leasing_failed,
    tell_poison,
    tell_recorded,
)
from clarion.telemetry.logs import log
from clarion.telemetry.metrics import Metrics
from clarion.telemetry.names import LogEvent

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

LEASE_S = 300.0
"""Longer than a chunk can take when every network is silent: a batch that is still being sent must
not be sent by another. Work of a process that is known to be dead does not wait for it."""
POISON_CLAIMS = 4
"""A batch that was leased this often without progress may take its sender down: split it."""
GIVE_UP_CLAIMS = 10
"""One recipient alone that was leased this often is set aside. A split loses nobody, and is made
sooner; but senders may die a few times in a row of something else, as of an operator's kills."""
STORE_PATIENCE_S = 30.0
RELEASE_S = 5.0
LONGEST_REST_S = 5.0
"""After an error in leasing that nobody foresaw; a process that is told to stop waits no longer."""
LOOK_KEEPS_S = 0.05
"""How old the look at opt-outs that came with a chunk's commit may be when the next chunk begins,
counted from before that commit; after a slow commit or a pause the registry is asked anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryPorts:
    """What delivery needs from the world."""

    line: SendLine
    providers: Mapping[Network, Provider]
    credential: Callable[[CredentialId], Awaitable[Credential | None]]
    clock: Clock
    chance: Chance
    health: CredentialHealth
    overlay: Overlay
    rulebook: Rulebook
    pacer: Pacer
    metrics: Metrics


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """What one worker slot takes, and how much of it at a time."""

    owner: str
    """The slot's own name, below its process's: no other slot leases under it."""
    lanes: Sequence[Lane]
    chunk: int


async def send_next(ports: DeliveryPorts, slot: Slot, stop: asyncio.Event) -> bool:
    """Lease one batch and send it; False when nothing is ready."""
    avoid = ports.health.avoid(ports.clock.monotonic())
    claimed = await ports.line.claim(
        slot.owner, slot.lanes, ports.clock.now(), LEASE_S, avoid=avoid
    )
    if claimed is None:
        return False
    tell_claimed(ports.metrics, claimed)
    try:
        if claimed.paused:
            await ports.line.release(claimed.batch, ports.clock.now())
        elif _is_poison(claimed):
            await _isolate(ports, claimed)
        else:
            await _send_batch(ports, slot, claimed, stop)
    except StoreUnavailableError:
        raise  # the loop waits for the store, and gives the lease back then
    except PacedOutError as paced:
        later = ports.clock.now() + timedelta(seconds=paced.wait_s)
        await ports.line.release(claimed.batch, later)
    except Exception as error:  # noqa: BLE001  # the edge of the process
        # A bug, or a batch that can't be sent: it goes back, and is split when it comes again.
        tell_failed(ports.metrics, claimed, error)
        again = ports.clock.now() + timedelta(seconds=RELEASE_S)
        await ports.line.release(claimed.batch, again, failed=True)
    return True


def _is_poison(claimed: ClaimedBatch) -> bool:
    left = len(claimed.batch.recipients) - claimed.batch.cursor
    return claimed.claims >= (POISON_CLAIMS if left > 1 else GIVE_UP_CLAIMS)


async def _isolate(ports: DeliveryPorts, claimed: ClaimedBatch) -> None:
    """Halve a poison batch until the one recipient that does it is alone, and say so."""
    tell_poison(ports.metrics, claimed)
    batch = claimed.batch
    left = len(batch.recipients) - batch.cursor
    if left > 1:
        await ports.line.split(claimed, ports.clock.now())
        return
    now = ports.clock.now()
    chunk = Chunk(batch=batch, low=batch.cursor, high=len(batch.recipients), now=now)
    reasons = np.full(left, Reason.BATCH_POISONED, np.uint16)
    await record(ports, commit_of(chunk, reasons, None, now), ports.clock.monotonic())


async def _send_batch(
    ports: DeliveryPorts, slot: Slot, claimed: ClaimedBatch, stop: asyncio.Event
) -> None:
    batch = claimed.batch
    credential = await ports.credential(batch.credential)
    canceled: Collection[MessageId] = claimed.canceled
    seen_at = -math.inf
    step = min(slot.chunk, CHUNK_RECIPIENTS[batch.lane])
    for low in range(batch.cursor, len(batch.recipients), step):
        high = min(low + step, len(batch.recipients))
        # Waiting comes before looking: what is known of opt-outs and deadlines is never older
        # than the bytes. What ended meanwhile waits for nothing.
        if not _ended(batch, canceled, ports.clock.now()):
            await ports.pacer.take(batch.credential, batch.network, high - low)
        started = ports.clock.monotonic()
        chunk = Chunk(batch=batch, low=low, high=high, now=ports.clock.now())
        changed = await ports.overlay.reasons(
            chunk.recipients,
            batch.planned_xid,
            looked=started - seen_at < LOOK_KEEPS_S,
            asking=await _asking(ports, chunk),
        )
        give_way(chunk, claimed.gave_way.out, changed)
        late = [
            *await_winner(chunk, claimed.gave_way, changed, canceled),
            *put_off(chunk, changed, canceled),
        ]
        commit = await send_chunk(ports, chunk, credential, changed, canceled)
        commit = with_put_off(commit, late)
        if high == len(batch.recipients):
            await record(ports, commit, started)
            return
        asked_at = ports.clock.monotonic()
        ack, learnt = await _record_and_look(ports, commit, started)
        if not ack.recorded:
            return
        seen_at = asked_at if learnt else -math.inf
        if commit.quarantine is not None or ack.paused or stop.is_set():
            await ports.line.release(batch, ports.clock.now())
            return
        canceled = ack.canceled
        batch = replace(batch, cursor=high)


async def _asking(ports: DeliveryPorts, chunk: Chunk) -> Asking:
    batch = chunk.batch
    rules = await ports.rulebook.of(batch.app, chunk.now)
    return Asking(
        categories=[rules.categories.get(message.category) for message in batch.messages],
        now_us=microseconds(chunk.now),
    )


async def _record_and_look(
    ports: DeliveryPorts, commit: ChunkCommit, started: float
) -> tuple[ChunkAck, bool]:
    """Commit a chunk after which another follows; the same question looks at the registry for it.

    The second value tells whether the next chunk may go by that look.
    """
    look = ports.overlay.look()
    if look is not None:
        commit = replace(commit, look_since_xid=look.since_xid)
    ack = await record(ports, commit, started)
    return ack, ports.overlay.learn(look, ack.changes)


def _ended(batch: BatchToSend, canceled: Collection[MessageId], now: datetime) -> bool:
    """Whether nothing of a batch may be sent any more."""
    return all(
        message.id in canceled or (message.expires_at is not None and message.expires_at <= now)
        for message in batch.messages
    )


async def send_chunk(
    ports: DeliveryPorts,
    chunk: Chunk,
    credential: Credential | None,
    reasons: UInt16s,
    canceled: Collection[MessageId] = (),
    on_wire: Callable[[], None] | None = None,
) -> ChunkCommit:
    """Send what may be sent of a chunk; what is to be recorded of it.

    `reasons` says who may no longer be sent to, and is completed in place. `on_wire` is called as
    bytes go to a connection (`clarion.ports.provider.SendRequest`).
    """
    withhold(chunk, reasons, canceled)
    if credential is None:
        reasons[reasons == 0] = Reason.CREDENTIAL_MISSING
    index = np.flatnonzero(reasons == 0)
    if credential is None or not len(index):
        return commit_of(chunk, reasons, None, ports.clock.now())
    sent = await _send_rows(ports, chunk, credential, index, on_wire)
    return commit_of(chunk, reasons, sent, ports.clock.now())


async def _send_rows(
    ports: DeliveryPorts,
    chunk: Chunk,
    credential: Credential,
    index: Int64s,
    on_wire: Callable[[], None] | None,
) -> Sent:
    batch, recipients = chunk.batch, chunk.recipients
    everybody = len(index) == len(recipients)
    rows = recipients if everybody else recipients.take(index)
    request = SendRequest(
        credential=credential,
        messages=batch.messages,
        recipients=rows,
        urgent=batch.lane.urgent,
        now=ports.clock.now(),
        on_wire=on_wire,
        batch=batch.recipients if everybody and len(rows) < len(batch.recipients) else None,
        low=chunk.low,
    )
    answers = await ports.providers[batch.network].send(request)
    diagnosis = ports.health.judge(
        credential.id, credential.version, answers, ports.clock.monotonic()
    )
    if diagnosis is Diagnosis.FAULTY:
        ports.health.forget(credential.id, credential.version)
    settlement = None
    if answers.verdict.any():
        settlement = settle_chunk(
            chunk,
            answers,
            diagnosis,
            deadlines_us(batch, recipients, chunk.now)[index],
            rows.registered_us,
            fraction=ports.chance.fraction(),
        )
    return Sent(
        index=index,
        answers=answers,
        settlement=settlement,
        diagnosis=diagnosis,
        credential_version=credential.version,
    )


async def record(ports: DeliveryPorts, commit: ChunkCommit, started: float) -> ChunkAck:
    """Commit a chunk, patiently: what was sent and is not recorded would be sent again.

    `started` is the monotonic time at which work on the chunk began.
    """
    ack = await patiently(
        ports.clock, lambda: ports.line.commit(commit, ports.clock.now(), LEASE_S)
    )
    tell_recorded(ports.metrics, commit, ack, ports.clock.monotonic() - started)
    return ack


async def patiently(clock: Clock, ask: Callable[[], Awaitable[Result]]) -> Result:
    """Ask the store, again and again while it is away.

    Raises:
        StoreUnavailableError: it stayed away.
    """
    give_up = clock.monotonic() + STORE_PATIENCE_S
    wait = 0.05
    while True:
        try:
            return await ask()
        except StoreUnavailableError:
            if clock.monotonic() + wait > give_up:
                raise
            await clock.sleep(wait)
            wait = min(2 * wait, 1.0)


async def serve_slot(ports: DeliveryPorts, slot: Slot, stop: asyncio.Event) -> None:
    """Send batches until told to stop; then finish and record the chunk under way.

    Nothing that goes wrong with leasing ends the process: another slot may be in the middle of a
    chunk, all of which would be sent again.
    """
    idle, failures = 0.01, 0
    in_doubt = False
    """A lease may be ours without our knowledge, and nobody else would end it soon."""
    while not stop.is_set():
        try:
            if in_doubt:
                await ports.line.abandon(slot.owner)
                in_doubt = False
            busy = await send_next(ports, slot, stop)
            failures = 0
        except StoreUnavailableError as error:
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))
            busy, idle, in_doubt = False, 0.5, True
        except Exception as error:  # noqa: BLE001  # the edge of the process
            tell_leasing_failed(ports.metrics, slot.owner, error)
            busy, idle, in_doubt = False, min(LONGEST_REST_S, 0.5 * 2**failures), True
            failures = min(failures + 1, 16)
        if busy:
            idle = 0.01
            continue
        await ports.clock.sleep(idle)
        idle = min(2 * idle, 0.2)
