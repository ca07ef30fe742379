"""Sending Web Push: group by origin and message, encrypt, sign once per origin, read answers."""

import asyncio
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from clarion.domain.content import Message
from clarion.domain.handoffs import Answers
from clarion.domain.ids import MessageId
from clarion.domain.merge import filled
from clarion.domain.network import Network
from clarion.domain.outcome import Reason, Verdict
from clarion.ports.provider import CredentialProblem, Outline, PayloadProblem, SendRequest
from clarion.ports.system import Chance, Clock
from clarion.ports.transport import EgressForbiddenError, Origin, Transport
from clarion.providers.webpush import credential, errors, payload
from clarion.providers.webpush.credential import MAX_ORIGINS, Identities, Identity, make_room
from clarion.wire.endpoint import NOBODY, AllowList, Refused, decide
from clarion.wire.http2 import Batch, HeaderSet
from clarion.wire.merge import fill
from clarion.wire.vapid import (
    VapidError,
)
from clarion.wire.webpush import (
    SubscriptionKeys,
    WebPushError,
    encrypt_batch,
    encrypt_batch_kept,
)

_MOST: Final = payload.MAX_PLAINTEXT
SLICE: Final = 50
"""Messages encrypted before the loop may do something else: about 6 ms with fresh keys."""

_POINT_OCTETS: Final = 65
_SALT_OCTETS: Final = 16
_WORTH_INDEXING: Final = 8
_ENDPOINT: Final = re.compile(rb"(https?://[^/?#@]+)/[!\"$-~]*")
"""Origin, then what follows it: visible ASCII without a fragment, as `:path` needs it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptsOf:
    """A push service that gives delivery receipts (RFC 8030 section 5.1), which we read."""

    origin: bytes
    """Of its endpoints."""
    resource: Callable[[MessageId], str]
    """The receipt subscription that hears of a message of ours: a URL."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WebPushSettings:
    """How this process speaks Web Push."""

    allow: AllowList = NOBODY
    """Hosts that the egress guard lets pass although their addresses are private."""
    subject: str | None = None
    """The VAPID contact of credentials that name none (RFC 8292 section 2.1)."""
    sender_key_lifetime_s: float = 0.0
    """0: a fresh key pair for each message (RFC 8291 section 3.1). More: one key pair per
    credential is kept that long and the secret shared with each subscription is remembered, which
    is ten times faster to send again; whoever steals the process's memory can then read every
    message of that lifetime, and a service can link messages by their common key id."""
    profiles: Mapping[str, errors.Profile] = field(default_factory=dict)
    """Host -> whose error table applies, where the name does not tell."""
    origins_at_once: int = 32
    """Batches of one `send` that may be on the wire together."""
    deadline_s: float = 30.0
    receipts: ReceiptsOf | None = None
    """The service that is asked for delivery receipts."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows of one origin and one message, with what their requests share."""

    origin: Origin
    url: bytes
    message: Message
    rows: list[int]
    text: bytes
    """The plaintext, with merge markers where the run has merge columns."""


@dataclass(frozen=True, slots=True)
class _Run:
    """One `send` under way."""

    request: SendRequest
    sender: Identity
    columns: errors.Columns
    texts: dict[tuple[int, bool], bytes] = field(default_factory=dict)
    """Plaintexts by the message's place, and whether the links that are filled in can be opened."""


class WebPushProvider:
    """Web Push as one delivery network; the transport's owner closes the transport."""

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        chance: Chance,
        settings: WebPushSettings | None = None,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._chance = chance
        self._settings = settings or WebPushSettings()
        self._identities = Identities(
            self._settings.subject, timedelta(seconds=self._settings.sender_key_lifetime_s)
        )
        self._origins: dict[bytes, Origin | str] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._under_way = 0

    @property
    def network(self) -> Network:
        """Web Push."""
        return Network.WEBPUSH

    def check_message(self, message: Message, now: datetime) -> Sequence[PayloadProblem]:
        """What no push service would take; see `payload.check`."""
        del now
        return payload.check(message)

    def outline(self, message: Message, now: datetime) -> Outline:
        """The JSON that is encrypted, with the longest site that a credential may have."""
        del now
        return Outline(payloads=payload.longest(message), limit=payload.MAX_PLAINTEXT)

    def check_credential(
        self, public: Mapping[str, str], secret: Mapping[str, str]
    ) -> Sequence[CredentialProblem]:
        """Whether key pair, contact and site can be used; the network is not asked."""
        return credential.problems(public, secret, self._settings.subject)

    def check_token(self, token: str, keys: bytes | None) -> str | None:
        """Why a subscription can't be sent to: its address, or its keys."""
        decision = _decide(token, self._settings.allow)
        if isinstance(decision, str):
            return decision
        try:
            _receiver(keys).prove()
        except WebPushError as error:
            return str(error)
        return None

    async def send(self, request: SendRequest) -> Answers:
        """Encrypt and send: one batch per origin and message, several on the wire together."""
        columns = errors.Columns(len(request.recipients))
        self._under_way += 1
        self._idle.clear()
        try:
            await self._send(request, columns)
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                self._idle.set()
        return columns.answers()

    async def close(self) -> None:
        """Wait until everything that was given to `send` has its answers."""
        await self._idle.wait()

    async def _send(self, request: SendRequest, columns: errors.Columns) -> None:
        try:
            sender = self._identities.of(request.credential)
        except VapidError as error:
            end = _end(Verdict.ALERT_CONFIG, Reason.CREDENTIAL_REJECTED, str(error))
            columns.put(range(len(request.recipients)), end)
            return
        run = _Run(request, sender, columns)
        gate = asyncio.Semaphore(self._settings.origins_at_once)
        async with asyncio.TaskGroup() as tasks:
            for group in self._groups(run):
                rows, bodies = await self._encrypt(run, group)
                if rows:
                    batch = self._batch(run, group, rows, bodies)
                    tasks.create_task(self._exchange(gate, run, group, rows, batch))

    def _groups(self, run: _Run) -> Iterator[_Group]:
        """Rows by origin and message with the plaintext; what can't be sent is answered here."""
        recipients = run.request.recipients
        found: dict[tuple[bytes, int, bool], list[int]] = {}
        kinds = zip(recipients.tokens, *_kinds(run.request), strict=True)
        for row, (token, message, led) in enumerate(kinds):
            match = _ENDPOINT.fullmatch(token)
            url = b"" if match is None else match[1]
            found.setdefault((url, message, led), []).append(row)
        for (url, message, led), rows in found.items():
            origin = self._origin(url)
            if isinstance(origin, str):
                end = _end(Verdict.FIX_PAYLOAD, Reason.ENDPOINT_FORBIDDEN, origin)
                run.columns.put(rows, end)
                continue
            text = self._plaintext(run, message, led=led)
            if isinstance(text, bytes):
                yield _Group(origin, url, run.request.messages[message], rows, text)
            else:
                run.columns.put(rows, text)

    def _origin(self, url: bytes) -> Origin | str:
        """Where an origin is reached, or why it may not be; remembered."""
        known = self._origins.get(url)
        if known is None:
            make_room(self._origins, MAX_ORIGINS)
            known = _decide(url.decode("ascii", "replace"), self._settings.allow)
            self._origins[url] = known
        return known

    def _plaintext(self, run: _Run, place: int, *, led: bool) -> bytes | errors.Judgement:
        """A message's plaintext, or how all its rows end when it can't be sent."""
        text = run.texts.get((place, led))
        if text is not None:
            return text
        message = run.request.messages[place]
        try:
            text = payload.render(message, run.sender.site, led=led)
        except payload.PayloadError as error:
            return _end(Verdict.FIX_PAYLOAD, Reason.PAYLOAD_REFUSED, str(error))
        excess = len(text) - payload.MAX_PLAINTEXT
        if excess > 0 and run.request.recipients.merge is None:
            problem = payload.too_large(message.content, excess)
            return _end(Verdict.FIX_PAYLOAD, Reason.PAYLOAD_TOO_LARGE, problem.detail)
        run.texts[place, led] = text
        return text

    def _filled(self, run: _Run, group: _Group) -> tuple[list[int], list[bytes]] | None:
        """Each row's own plaintext; rows whose text is too long are answered here."""
        merge = run.request.recipients.merge
        if merge is None:
            return None
        texts = fill(group.text, merge, group.rows)
        over = [row for row, t in zip(group.rows, texts, strict=True) if len(t) > _MOST]
        if not over:
            return group.rows, texts
        words = f"the payload has more than {_MOST} bytes for this recipient"
        run.columns.put(over, _end(Verdict.FIX_PAYLOAD, Reason.PAYLOAD_TOO_LARGE, words))
        fitting = [(r, t) for r, t in zip(group.rows, texts, strict=True) if len(t) <= _MOST]
        return [row for row, _ in fitting], [text for _, text in fitting]

    async def _encrypt(self, run: _Run, group: _Group) -> tuple[list[int], list[bytes]]:
        """Bodies for the rows whose keys can be used; the others get their answer here."""
        keys = run.request.recipients.keys
        rows, texts = self._filled(run, group) or (group.rows, None)
        good: list[int] = []
        bodies: list[bytes] = []
        for low in range(0, len(rows), SLICE):
            now = self._clock.now()
            kept = self._identities.kept_key(run.sender, now)
            receivers = []
            own: list[bytes] = []
            for at, row in enumerate(rows[low : low + SLICE], low):
                try:
                    receiver = _receiver(None if keys is None else keys[row])
                    if kept is None:
                        receiver.prove()
                    else:
                        kept.input_keying_material(receiver)
                except WebPushError as error:
                    end = _end(Verdict.DROP_TOKEN, Reason.TOKEN_INVALID, str(error))
                    run.columns.put([row], end)
                else:
                    good.append(row)
                    receivers.append(receiver)
                    if texts is not None:
                        own.append(texts[at])
            salts = self._chance.token(_SALT_OCTETS * len(receivers))
            plain = group.text if texts is None else own
            bodies.extend(
                encrypt_batch(plain, receivers, salts)
                if kept is None
                else encrypt_batch_kept(plain, receivers, salts, sender=kept, now=now)
            )
            await asyncio.sleep(0)
        return good, bodies

    def _batch(self, run: _Run, group: _Group, rows: list[int], bodies: list[bytes]) -> Batch:
        request = run.request
        tokens, cut = request.recipients.tokens, len(group.url)
        receipts = self._settings.receipts
        asks = receipts is not None and group.url == receipts.origin
        fields = payload.headers(group.message, request.now)
        if receipts is not None and asks:
            fields += payload.receipt_headers(receipts.resource(group.message.id))
        signed = run.sender.signed(group.url, self._clock.now()).value.encode()
        headers = HeaderSet(
            path_prefix=b"",
            headers=((b"authorization", signed), *fields),
            # What changes with every message would only push the rest out of the peer's table.
            literal=frozenset((b"topic", b"ttl")) if len(rows) < _WORTH_INDEXING else frozenset(),
        )
        return Batch(
            headers,
            [tokens[row][cut:] for row in rows],
            bodies=bodies,
            deadline_s=self._settings.deadline_s,
            # The answer's Location names the message at the service.
            keep_bodies=asks or request.urgent or self._profile(group.origin) is errors.Profile.WNS,
        )

    async def _exchange(
        self, gate: asyncio.Semaphore, run: _Run, group: _Group, rows: list[int], batch: Batch
    ) -> None:
        batch.on_written = run.request.on_wire
        async with gate:
            try:
                await self._transport.send(group.origin, batch, urgent=run.request.urgent)
            except EgressForbiddenError as error:
                end = _end(Verdict.FIX_PAYLOAD, Reason.ENDPOINT_FORBIDDEN, str(error))
                run.columns.put(rows, end)
                return
        self._read(run, group, rows, batch)

    def _read(self, run: _Run, group: _Group, rows: list[int], batch: Batch) -> None:
        columns, profile = run.columns, self._profile(group.origin)
        columns.accept(rows, batch.statuses)
        now = self._clock.now()
        for at, answer in batch.answers.items():
            end = errors.judge(profile, answer.status, answer.headers, answer.body, now)
            if end.verdict is Verdict.ALERT_CONFIG and run.sender.outworn(group.url, now):
                end = replace(end, verdict=Verdict.REFRESH_AUTH)
            columns.put([rows[at]], end)
            if end.verdict is Verdict.OK:
                columns.keep_id(rows[at], answer.headers)
        for at, failure in batch.failures.items():
            columns.put([rows[at]], errors.FAILURES[failure])

    def _profile(self, origin: Origin) -> errors.Profile:
        return self._settings.profiles.get(origin.host) or errors.profile_of(origin.host)


def _kinds(request: SendRequest) -> tuple[list[int], list[bool]]:
    """Per row, its message, and whether the links that begin with its own values can be opened."""
    recipients, count = request.recipients, len(request.recipients)
    messages = [0] * count if recipients.message is None else recipients.message.tolist()
    led = [payload.led_links(message.content) for message in request.messages]
    merge = recipients.merge
    if merge is None or not any(led):
        return messages, [True] * count
    return messages, [
        all(
            payload.is_web_address(filled(link, [column[row] for column in merge]))
            for link in links
        )
        for row, links in enumerate(map(led.__getitem__, messages))
    ]


def _decide(url: str, allow: AllowList) -> Origin | str:
    """Where a URL leads, or why it may not be called."""
    decision = decide(url, allow)
    if isinstance(decision, Refused):
        return decision.detail
    to = decision.url
    # RFC 8030 section 8 wants https; the operator's list may say otherwise of his own hosts.
    return Origin(host=to.host, port=to.port, guarded=not decision.listed, tls=to.scheme == "https")


def _receiver(keys: bytes | None) -> SubscriptionKeys:
    if keys is None:
        raise WebPushError("the subscription has no keys, so nothing can be encrypted for it")
    return SubscriptionKeys(keys[:_POINT_OCTETS], keys[_POINT_OCTETS:])


def _end(verdict: Verdict, reason: Reason, words: str) -> errors.Judgement:
    return errors.Judgement(verdict, reason, math.nan, words)
