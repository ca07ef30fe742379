"""Sending over APNs: which connection, which provider token, which of Apple's two worlds."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from clarion.domain.content import Message
from clarion.domain.handoffs import Answers, Int64s, UInt8s, UInt16s
from clarion.domain.network import Environment, Network
from clarion.domain.outcome import Reason, Verdict
from clarion.ports.provider import (
    Credential,
    CredentialProblem,
    Outline,
    PayloadProblem,
    SendRequest,
    SharedTokens,
)
from clarion.ports.system import Chance, Clock
from clarion.ports.transport import Origin, Transport, TransportError
from clarion.providers.apns import credential, payload
from clarion.providers.apns.credential import (
    HEX,
    Bearer,
    Lot,
    Session,
    all_hex,
    lot_of,
    session_of,
    writable,
)
from clarion.providers.apns.errors import Columns, Ruling, misconfigured
from clarion.wire.http2 import Batch, Field, HeaderSet, literal_field
from clarion.wire.jose import Json, build_jwt, parse_jwt
from clarion.wire.merge import fill_messages

REFRESH_AFTER: Final = timedelta(minutes=50)
REFRESH_JITTER: Final = timedelta(minutes=5)
"""Apple wants a provider token refreshed between every 20 and every 60 minutes."""
MINT_APART: Final = timedelta(minutes=20)
USABLE: Final = timedelta(minutes=58)
LONGEST_TOKEN: Final = 400  # twice the longest Live Activity token seen
ROUNDS: Final = 3
"""A first try, one after renewing what was refused, one in the other environment."""

_NOBODY: Final = np.zeros(0, np.int64)
_LITERAL: Final = frozenset({b":path", b"authorization"})  # Apple's advice for HPACK
_TOO_LARGE: Final = Ruling(verdict=Verdict.FIX_PAYLOAD, reason=Reason.PAYLOAD_TOO_LARGE)
_UNWRITABLE: Final = Ruling(verdict=Verdict.FIX_PAYLOAD, reason=Reason.PAYLOAD_REFUSED)
_NOT_HEX: Final = Ruling(verdict=Verdict.DROP_TOKEN, reason=Reason.TOKEN_INVALID)


@dataclass(frozen=True, kw_only=True, slots=True)
class ApnsHosts:
    """Base URLs of Apple's two environments."""

    production: str = "https://api.push.apple.com"
    sandbox: str = "https://api.sandbox.push.apple.com"


@dataclass(slots=True)
class _Job:
    """One send under way; arrays have one entry a recipient."""

    request: SendRequest
    session: Session
    columns: Columns
    prepared: Mapping[int, payload.Prepared]
    """Index of a message -> the message; those that can't be sent are missing."""
    message: UInt16s
    world: UInt8s
    unknown: npt.NDArray[np.bool_]
    plain: bool
    """One message, and one environment that is known of everybody."""
    ids: UInt8s
    """Each recipient's `apns-id` as an encoded field, one row each."""
    lot: Lot | None
    """What is ready of the whole batch, where this is a chunk of one."""
    filled: Sequence[bytes] | None = None
    """Each recipient's own body, where something is merged."""


class ApnsProvider:
    """The Apple Push Notification service.

    A credential has `public` `topic` (the bundle id), optionally `environment` (`production` or
    `sandbox`: where tokens of unknown environment are tried first), and either `key_id` and
    `team_id` with the `secret` `private_key` (the `.p8` file), or the `secret`s `certificate` and
    `certificate_key` in PEM.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        tokens: SharedTokens,
        clock: Clock,
        chance: Chance,
        hosts: ApnsHosts | None = None,
    ) -> None:
        self._transport, self._tokens, self._clock, self._chance = transport, tokens, clock, chance
        urls = hosts or ApnsHosts()
        production, sandbox = urlsplit(urls.production), urlsplit(urls.sandbox)
        self._hosts = {Environment.PRODUCTION: production, Environment.SANDBOX: sandbox}
        self._sessions: dict[int, Session] = {}
        self._under_way, self._idle = 0, asyncio.Event()

    @property
    def network(self) -> Network:
        """APNs."""
        return Network.APNS

    def check_message(self, message: Message, now: datetime) -> Sequence[PayloadProblem]:
        """What Apple would refuse about the message for any recipient; empty when fine."""
        return payload.problems(message, now)

    def outline(self, message: Message, now: datetime) -> Outline:
        """The body, all of which counts."""
        body = payload.prepare(message, now).body
        return Outline(payloads=[body], limit=payload.limit(message.push_type))

    def check_credential(
        self, public: Mapping[str, str], secret: Mapping[str, str]
    ) -> Sequence[CredentialProblem]:
        """What is wrong with a credential, found without asking Apple."""
        return credential.problems(public, secret, self._clock.now())

    def check_token(self, token: str, keys: bytes | None) -> str | None:
        """Why a device token can't be one of Apple's, or None when it may be."""
        if keys is not None:
            return "An APNs device has a token only, no keys."
        if not token or len(token) % 2 or token.encode("utf-8", "replace").translate(None, HEX):
            return "An APNs device token is an even number of hexadecimal digits."
        return None if len(token) <= LONGEST_TOKEN else f"More than {LONGEST_TOKEN} digits."

    async def send(self, request: SendRequest) -> Answers:
        """Send, and return what Apple said, in the order of the recipients."""
        self._under_way += 1
        self._idle.clear()
        try:
            return await self._send(request)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def close(self) -> None:
        """Wait for what is under way; the connections are the transport's to close."""
        if self._under_way:
            await self._idle.wait()

    async def _send(self, request: SendRequest) -> Answers:
        columns = Columns.unanswered(len(request.recipients))
        everyone = np.arange(len(request.recipients))
        try:
            session = self._session(request.credential)
        except (ValueError, KeyError) as error:
            columns.put(everyone, misconfigured(f"the stored credential is unusable: {error}"))
            return columns.answers(None)
        job = _job(request, session, columns)
        rows = _sendable(job, everyone)
        for _ in range(ROUNDS):
            if not len(rows):
                break
            rows = await self._round(job, rows)
        ids = None
        if request.urgent:  # a campaign's are computed anew when somebody asks
            ids = payload.texts(job.ids)
        return columns.answers(ids)

    def _session(self, stored: Credential) -> Session:
        known = self._sessions.get(stored.id)
        if known is None or known.version != stored.version:
            known = self._sessions[stored.id] = session_of(stored)
        return known

    async def _round(self, job: _Job, rows: Int64s) -> Int64s:
        """Send to `rows`; the rows to try again, once what was refused has been renewed."""
        bearer = await self._bearer(job.session)
        generation = job.session.generation
        parts = [rows] if job.plain else _parts(job, rows)
        if len(parts) == 1:  # the usual case needs no task
            rulings = await self._part(job, rows, bearer)
        else:
            answered = await asyncio.gather(*(self._part(job, part, bearer) for part in parts))
            rulings = {row: ruling for part in answered for row, ruling in part.items()}
        if not rulings:
            return _NOBODY
        again, refused = job.columns.again(rulings, job.unknown, job.world)
        if refused:
            await self._renew(job.session, bearer, generation, refused)
        return np.array(sorted(again), np.int64)

    async def _part(self, job: _Job, rows: Int64s, bearer: Bearer | None) -> dict[int, Ruling]:
        """One batch: rows of one environment whose messages share their constant headers."""
        first, batch = int(rows[0]), _batch(job, rows, bearer)
        origin = self._origin(job.session, int(job.world[first]), suspect=bool(job.unknown[first]))
        batch.on_written = job.request.on_wire
        try:
            await self._transport.send(origin, batch, urgent=job.request.urgent)
        except TransportError as error:  # the certificate can't be used
            job.columns.put(rows, misconfigured(str(error)))
            return {}
        rulings = job.columns.record(rows, batch, ~job.unknown[rows], job.request.now)
        if job.plain:
            return rulings
        learnt = rows[job.unknown[rows] & (job.columns.status[rows] == 200)]  # noqa: PLR2004 - OK
        job.columns.environment.update(dict.fromkeys(learnt.tolist(), int(job.world[first])))
        return rulings

    def _origin(self, session: Session, world: int, *, suspect: bool) -> Origin:
        key = session.generation, world, suspect
        known = session.origins.get(key)
        if known is None:
            host = self._hosts[Environment(world)]
            # An error drops MAX_CONCURRENT_STREAMS to 1: doubtful tokens slow nobody else down.
            known = session.origins[key] = Origin(
                host=host.hostname or "",
                port=host.port or 443,
                certificate=session.certificate,
                partition=f"{session.name}#{session.generation}{' suspect' if suspect else ''}",
            )
        return known

    async def _bearer(self, session: Session) -> Bearer | None:
        """The provider token that all processes share; None with a certificate."""
        if session.key is None:
            return None
        async with session.lock:
            now = self._clock.now()
            current = session.bearer
            if current is None or session.refresh_at is None or now >= session.refresh_at:
                since = now - self._lifetime()
                if current is not None:
                    since = max(since, current.minted_at + timedelta(seconds=1))
                stored = await self._tokens.get(session.name, since)
                self._adopt(session, stored or await self._mint(session, session.key, since))
            return session.bearer

    def _lifetime(self) -> timedelta:
        return REFRESH_AFTER + REFRESH_JITTER * (self._chance.fraction() - 0.5)

    async def _mint(
        self, session: Session, key: EllipticCurvePrivateKey, older_than: datetime
    ) -> str:
        now = self._clock.now().replace(microsecond=0)
        claims: Mapping[str, Json] = {"iss": session.team, "iat": int(now.timestamp())}
        text = build_jwt(claims, key, key_id=session.key_id, typ=None)
        return await self._tokens.mint(session.name, older_than=older_than, value=text, now=now)

    def _adopt(self, session: Session, text: str) -> None:
        issued = parse_jwt(text).claims["iat"]
        now = self._clock.now()
        minted_at = datetime.fromtimestamp(issued if isinstance(issued, int) else 0, now.tzinfo)
        if session.bearer is None or session.bearer.text != text:
            session.previous, session.bearer = session.bearer, Bearer(text, minted_at)
        session.refresh_at = minted_at + self._lifetime()

    async def _renew(
        self, session: Session, refused: Bearer | None, generation: int, words: set[str]
    ) -> None:
        """After a refusal: a new connection, and another provider token where one may help."""
        async with session.lock:
            if session.generation == generation:
                session.generation += 1
                session.origins.clear()
            if session.key is None or refused is None or session.bearer is not refused:
                return
            now = self._clock.now()
            if "TooManyProviderTokenUpdates" in words:
                if session.previous and now - session.previous.minted_at < USABLE:
                    session.bearer, session.previous = session.previous, refused
                    session.refresh_at = min(now + MINT_APART, session.bearer.minted_at + USABLE)
            elif words & {"ExpiredProviderToken", "InvalidProviderToken"}:
                after = refused.minted_at + timedelta(seconds=1)
                stored = await self._tokens.get(session.name, after)
                young = timedelta(0) <= now - refused.minted_at < MINT_APART
                if stored is None and not young:  # Apple forbids two within 20 minutes
                    stored = await self._mint(session, session.key, after)
                if stored is not None:
                    self._adopt(session, stored)


def _job(request: SendRequest, session: Session, columns: Columns) -> _Job:
    recipients = request.recipients
    prepared: dict[int, payload.Prepared] = {}
    message = recipients.message
    if message is None:
        message = np.zeros(len(recipients), np.uint16)
    forms = writable(request, session)
    for at in range(len(request.messages)):
        ready = forms.get(at)
        if ready is None:
            columns.put(np.flatnonzero(message == at), _UNWRITABLE)
        elif recipients.merge is None and len(ready.body) > payload.limit(ready.push_type):
            columns.put(np.flatnonzero(message == at), _TOO_LARGE)
        else:
            prepared[at] = ready
    world = recipients.environment.astype(np.uint8)
    unknown = world == Environment.UNKNOWN
    plain = recipients.message is None and bool((world == world[:1]).all()) and not unknown.any()
    world[unknown] = session.environment or Environment.PRODUCTION
    lot = lot_of(request, session)
    if lot is None:
        ids = payload.id_fields(request.messages, message, recipients.device)
    else:
        ids = lot.ids[request.low : request.low + len(recipients)]
    return _Job(request, session, columns, prepared, message, world, unknown, plain, ids, lot)


def _parts(job: _Job, rows: Int64s) -> list[Int64s]:
    """Rows of one environment whose messages share their constant headers, together."""
    shapes: dict[tuple[str, str, bytes], int] = {}
    shape = np.zeros(len(job.request.messages), np.int64)
    for at, item in job.prepared.items():
        key = (item.push_type, item.topic_for(job.session.topic), item.priority)
        shape[at] = shapes.setdefault(key, len(shapes))
    code = (shape[job.message[rows]] * 4 + job.world[rows]) * 2 + job.unknown[rows]
    return [rows[code == value] for value in np.unique(code)]


@lru_cache(maxsize=64)
def _shared(headers: tuple[Field, ...]) -> HeaderSet:
    """The same set for the same fields: they are checked once."""
    return HeaderSet(path_prefix=b"/3/device/", headers=headers, literal=_LITERAL)


def _sendable(job: _Job, rows: Int64s) -> Int64s:
    """The rows with a writable message that is not too long, and a token that fits into a path."""
    merge = job.request.recipients.merge
    if merge is not None:
        bodies = {at: item.body for at, item in job.prepared.items()}
        job.filled = fill_messages(bodies, job.message, merge)
        limit = np.zeros(len(job.request.messages), np.int64)
        for at, item in job.prepared.items():
            limit[at] = payload.limit(item.push_type)
        octets = np.fromiter(map(len, job.filled), np.int64, len(job.filled))
        over = octets > limit[job.message]
        job.columns.put(rows[over], _TOO_LARGE)
        rows = rows[~over]
    if len(job.prepared) < len(job.request.messages):
        rows = rows[np.isin(job.message[rows], list(job.prepared))]
    tokens = job.request.recipients.tokens
    if (job.lot is not None and job.lot.tokens_fine) or all_hex(tokens):
        return rows
    fine = np.array([bool(t) and not t.translate(None, HEX) for t in tokens], np.bool_)
    job.columns.put(rows[~fine[rows]], _NOT_HEX)
    return rows[fine[rows]]


def _batch(job: _Job, rows: Int64s, bearer: Bearer | None) -> Batch:
    message = job.message[rows]
    some = job.prepared[int(message[0])]
    headers = [
        (b"apns-topic", some.topic_for(job.session.topic).encode()),
        (b"apns-push-type", some.push_type.encode()),
        (b"apns-priority", some.priority),
    ]
    if bearer is not None:
        headers.insert(0, (b"authorization", b"bearer " + bearer.text.encode()))
    tokens = job.request.recipients.tokens
    paths = list(tokens) if len(rows) == len(tokens) else [tokens[row] for row in rows.tolist()]
    extra = job.ids if len(rows) == len(tokens) else job.ids[rows]
    alike = bool((message == message[0]).all())
    headers += some.own_fields() if alike else []
    shared = _shared(tuple(headers))
    bodies = None if job.filled is None else [job.filled[row] for row in rows.tolist()]
    if alike and bodies is not None:
        return Batch(shared, paths, bodies=bodies, extra=extra)
    if alike:
        return Batch(shared, paths, body=some.body, extra=extra)
    # Many messages in one batch: what differs travels as literals, so that the peer's header
    # table is not filled with values that never come again.
    own = {
        at: b"".join(literal_field(name, value) for name, value in item.own_fields())
        for at, item in job.prepared.items()
    }
    which = message.tolist()
    fields = [own[at] + field.tobytes() for at, field in zip(which, extra, strict=True)]
    own_bodies = bodies or [job.prepared[at].body for at in which]
    return Batch(shared, paths, bodies=own_bodies, extra=fields)
