"""The urgent path: a small group of messages is journalled and sent at the same time.

The process that accepts an urgent message sends it, and answers after the commit. When it dies
before the commit, the message may have been sent without an answer: the client's retry carries
the same idempotency key, and the device shows the message once. When it dies after the commit,
the lease runs out (or the supervisor gives it back) and a sender takes the batch over.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np

from clarion.domain.ids import AppId, CredentialId, MessageId
from clarion.domain.lanes import CHUNK_RECIPIENTS, Lane
from clarion.ports.journal import CredentialGoneError, Journal, JournalEntry, Looked
from clarion.ports.messages import (
    Acceptance,
    Accepted,
    InFlight,
    MaybeSentError,
    NewMessage,
)
from clarion.ports.store import StoreUnavailableError
from clarion.stages.delivery.chunk import Chunk
from clarion.stages.delivery.pacing import PacedOutError
from clarion.stages.delivery.sender import LEASE_S, DeliveryPorts, patiently, record, send_chunk
from clarion.stages.delivery.urgent_plan import UrgentPlan, plan_group, without_credentials
from clarion.stages.delivery.urgent_rules import Policies, waits
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent, Metric

_log = logging.getLogger(__name__)

GROUPS_IN_FLIGHT = 6
"""Groups that are looked up, being sent, or waiting for their commit. Only one of them is not on
the wire yet: what arrives meanwhile makes up the next, so groups are as large as the load makes
them, and the work per group is shared by the more messages the busier the machine is."""
REST_S = 0.015
"""A group that is not full starts at the earliest so long after a large one: what a group costs
whatever its size would else take the processor from the messages when there are thousands a
second."""
REST_FOR_MESSAGE_S = 0.002
"""After a small group, so much for each of its messages: hundreds a second do not wait."""
UNRECORDED_RECIPIENTS = 500
"""Sent by this process and not recorded yet: what a crash of it may repeat, at the most. A network
that answers slowly holds back new groups here, not the memory."""
URGENT_DEVICES = 100
"""Recipients of a group. A message that reaches more goes through the queue, chunk by chunk."""
NAMES_PER_MESSAGE = CHUNK_RECIPIENTS[Lane.TRANSACTIONAL]
NAMES_PER_GROUP = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waiting:
    new: NewMessage
    answer: asyncio.Future[Acceptance]
    since: float


@dataclass(kw_only=True)
class UrgentPath:
    """Implements `clarion.ports.messages.Acceptor` and `UrgentQueue`."""

    journal: Journal
    delivery: DeliveryPorts
    owner: str
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _keys: set[tuple[AppId, str]] = field(default_factory=set)
    _groups: set[asyncio.Task[None]] = field(default_factory=set)
    _sends: set[asyncio.Task[None]] = field(default_factory=set)
    _looking: bool = False
    _rest: asyncio.TimerHandle | None = None
    _unrecorded: int = 0

    async def accept(self, new: NewMessage, now: datetime) -> Acceptance:
        """See `clarion.ports.messages.Acceptor`."""
        key = None if new.idempotency is None else (new.message.app, new.idempotency.key)
        if key is not None and key in self._keys:
            return InFlight()
        if key is not None:
            self._keys.add(key)
        try:
            if not _is_urgent(new, now):
                return await self.journal.accept(new, now)
            return await self._join(new)
        finally:
            if key is not None:
                self._keys.discard(key)

    def enter(self, new: NewMessage) -> asyncio.Future[Acceptance]:
        """See `clarion.ports.messages.UrgentQueue`."""
        if new.idempotency is None:
            return self._join(new)
        key = (new.message.app, new.idempotency.key)
        if key in self._keys:
            answer: asyncio.Future[Acceptance] = asyncio.get_running_loop().create_future()
            answer.set_result(InFlight())
            return answer
        self._keys.add(key)
        answer = self._join(new)
        answer.add_done_callback(lambda _: self._keys.discard(key))
        return answer

    def _join(self, new: NewMessage) -> asyncio.Future[Acceptance]:
        """Wait in line for the next group, which starts at once where the last was a while ago."""
        answer: asyncio.Future[Acceptance] = asyncio.get_running_loop().create_future()
        since = self.delivery.clock.monotonic()
        self._waiting.append(_Waiting(new=new, answer=answer, since=since))
        self._start_groups()
        return answer

    def _start_groups(self) -> None:
        rested = self._rest is None or len(self._waiting) >= NAMES_PER_GROUP
        if self._waiting and rested and self._has_room():
            self._looking = True
            if self._rest is not None:
                self._rest.cancel()
            messages = self._next_group()
            rest_s = min(REST_S, len(messages) * REST_FOR_MESSAGE_S)
            self._rest = asyncio.get_running_loop().call_later(rest_s, self._rested)
            group = asyncio.create_task(self._work(messages))
            self._groups.add(group)
            group.add_done_callback(self._group_ended)

    def _rested(self) -> None:
        self._rest = None
        self._start_groups()

    def _has_room(self) -> bool:
        return (
            not self._looking
            and len(self._groups) < GROUPS_IN_FLIGHT
            and self._unrecorded + URGENT_DEVICES <= UNRECORDED_RECIPIENTS
        )

    def _on_the_wire(self) -> None:
        """The group that was looked up is sent, or ended before: the next one may start."""
        self._looking = False
        self._start_groups()

    def _group_ended(self, group: asyncio.Task[None]) -> None:
        self._groups.discard(group)
        self._start_groups()

    def _next_group(self) -> list[_Waiting]:
        """As many of the waiting messages as name no more people than a group may."""
        group = [self._waiting.popleft()]
        names = _names(group[0].new)
        while self._waiting and names + _names(self._waiting[0].new) <= NAMES_PER_GROUP:
            group.append(self._waiting.popleft())
            names += _names(group[-1].new)
        return group

    async def _work(self, group: Sequence[_Waiting]) -> None:
        on_wire = asyncio.get_running_loop().create_future()
        on_wire.add_done_callback(lambda _: self._on_the_wire())
        later: list[_Waiting] = []
        try:
            news = [waiting.new for waiting in group]
            async with self.journal.keys_held(news, self.delivery.clock.now()) as elsewhere:
                for index, answer in elsewhere.items():
                    _tell(group[index], answer)
                ours = [waiting for n, waiting in enumerate(group) if n not in elsewhere]
                if ours:
                    await self._accept_group(ours, later, on_wire)
        except Exception as error:  # noqa: BLE001  # each waiter gets it, and maps it
            for waiting in group:
                if waiting not in later:
                    _fail(waiting, error)
        finally:
            self._waiting.extendleft(reversed(later))  # not before: their keys were held
            if not on_wire.done():
                on_wire.set_result(None)

    async def _accept_group(
        self, group: Sequence[_Waiting], later: list[_Waiting], on_wire: asyncio.Future[None]
    ) -> None:
        now = self.delivery.clock.now()
        looked = await self.journal.look([waiting.new for waiting in group], now)
        for index, answer in looked.seen.items():
            _tell(group[index], answer)
        mine, wide, left = _share_out(looked, [waiting.new for waiting in group])
        later.extend(group[index] for index in left)
        if mine:
            await self._send_and_journal([group[n] for n in mine], mine, looked, on_wire)
        for index in wide:
            try:
                _tell(group[index], await self.journal.accept(group[index].new, now, held=True))
            except MaybeSentError as error:  # it says nothing of the others
                _fail(group[index], error)

    async def _send_and_journal(
        self,
        group: Sequence[_Waiting],
        indexes: Sequence[int],
        looked: Looked,
        on_wire: asyncio.Future[None],
    ) -> None:
        now = self.delivery.clock.now()
        news = [waiting.new for waiting in group]
        plan = plan_group(news, indexes, looked, now)
        ids = await self.journal.batch_ids(len(plan.drafts))
        plan.number(ids)
        entry = JournalEntry(
            news=news,
            batches=plan.batches,
            leased=plan.leased,
            skipped=plan.skipped,
            decided=plan.decided,
            sent=plan.sent,
            owner=self.owner,
            lease_s=LEASE_S,
        )
        written = asyncio.create_task(self._write(entry, now))
        self._send(plan, written, {w.new.message.id: w.since for w in group}, now)
        on_wire.set_result(None)
        try:
            await asyncio.shield(written)
        except StoreUnavailableError as error:
            _tell_failed(group, plan, error)
            return
        for waiting in group:
            _tell(waiting, Accepted())

    async def _write(self, entry: JournalEntry, now: datetime) -> Collection[CredentialId]:
        """Commit the group; the credentials that turned out to be deleted, without which it was.

        What was sent over them is on the wire already, as it may be with any message that is sent
        while its credential is being deleted.
        """
        gone: set[CredentialId] = set()
        while True:
            try:
                await self.journal.write(entry, now)
            except CredentialGoneError as error:
                gone.update(error.credentials)
                entry = without_credentials(entry, gone, now)
            else:
                return gone

    def _send(
        self,
        plan: UrgentPlan,
        written: asyncio.Task[Collection[CredentialId]],
        since: dict[MessageId, float],
        now: datetime,
    ) -> None:
        for batch, leased in zip(plan.batches, plan.leased, strict=True):
            if leased:
                chunk = Chunk(batch=batch, low=0, high=len(batch.recipients), now=now)
                self._unrecorded += len(batch.recipients)
                send = asyncio.create_task(self._send_chunk(chunk, written, since))
                self._sends.add(send)
                send.add_done_callback(partial(self._send_ended, len(batch.recipients)))

    def _send_ended(self, recipients: int, send: asyncio.Task[None]) -> None:
        self._unrecorded -= recipients
        self._sends.discard(send)
        if not send.cancelled() and (error := send.exception()) is not None:
            # The lease runs out, or the supervisor gives it back: a sender takes the batch over.
            log(_log, logging.ERROR, LogEvent.HANDLER_FAILED, error=error)
        self._start_groups()

    def _tell_waits(self, chunk: Chunk, since: dict[MessageId, float]) -> None:
        """The bytes of a chunk go to a connection: of each message the first ones count."""
        present = self.delivery.clock.monotonic()
        ids = [message.id for message in chunk.batch.messages if message.id in since]
        if ids:
            waits_s = [present - since.pop(message) for message in ids]
            lane = chunk.batch.lane.name.lower()
            self.delivery.metrics.observe_all(Metric.ACCEPT_TO_WIRE_SECONDS, waits_s, lane)

    async def _send_chunk(
        self,
        chunk: Chunk,
        written: asyncio.Task[Collection[CredentialId]],
        since: dict[MessageId, float],
    ) -> None:
        """Send beside the commit, record after it; without the commit there is no record.

        A commit whose answer was lost may have arrived: recording then finds the batch or not.
        """
        ports = self.delivery
        started = ports.clock.monotonic()
        of = chunk.batch.credential
        credential = await patiently(ports.clock, lambda: ports.credential(of))
        try:
            await ports.pacer.take(of, chunk.batch.network, len(chunk.batch.recipients))
        except PacedOutError as paced:
            await asyncio.wait([written])
            later = ports.clock.now() + timedelta(seconds=paced.wait_s)
            await patiently(ports.clock, lambda: ports.line.release(chunk.batch, later))
            return
        chunk = replace(chunk, now=ports.clock.now())  # its deadlines count after the wait
        nobody_left_out = np.zeros(len(chunk.batch.recipients), np.uint16)
        commit = await send_chunk(
            ports,
            chunk,
            credential,
            nobody_left_out,
            on_wire=lambda: self._tell_waits(chunk, since),
        )
        await asyncio.wait([written])
        error = written.exception()
        if isinstance(error, StoreUnavailableError) or (
            error is None and of not in written.result()
        ):
            await record(ports, commit, started)

    async def drain(self) -> None:
        """Wait until everything that was handed over is answered, and what was sent recorded."""
        while self._waiting or self._groups or self._sends:
            if self._rest is not None:
                self._rest.cancel()
                self._rested()
            await asyncio.wait([*self._groups, *self._sends])


def _tell_failed(group: Sequence[_Waiting], plan: UrgentPlan, error: StoreUnavailableError) -> None:
    """The commit failed, or had no answer: some may have been sent, or be in the queue by now."""
    goes = {message.id for batch in plan.batches for message in batch.messages}
    for waiting in group:
        maybe = waiting.new.message.id in goes
        _fail(waiting, MaybeSentError(str(error)) if maybe else error)


def _share_out(
    looked: Looked, news: Sequence[NewMessage]
) -> tuple[list[int], list[int], list[int]]:
    """Indexes of what this group sends, of what is for the queue, of what is for a later group."""
    devices = np.bincount(looked.rows.ix, minlength=len(news)).tolist()
    mine: list[int] = []
    wide: list[int] = []
    later: list[int] = []
    total, policies = 0, Policies(looked.rules)
    for index, new in enumerate(news):
        if index in looked.seen:
            continue
        if devices[index] > URGENT_DEVICES or waits(new, policies.of(new)):
            wide.append(index)
        elif total + devices[index] > URGENT_DEVICES:
            later.append(index)
        else:
            mine.append(index)
            total += devices[index]
    return mine, wide, later


def _names(new: NewMessage) -> int:
    target = new.target
    return len(target.users) + len(target.aliases) + len(target.devices)


def _is_urgent(new: NewMessage, now: datetime) -> bool:
    return (
        new.message.lane.urgent
        and not new.target.scanned
        and new.send_at <= now
        and _names(new) <= NAMES_PER_MESSAGE
    )


def _tell(waiting: _Waiting, answer: Acceptance) -> None:
    if not waiting.answer.done():  # the client may have gone away
        waiting.answer.set_result(answer)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
