"""Sending over FCM HTTP v1: the access token that all processes share, and one batch a send."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode, urlsplit

import numpy as np
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from clarion.domain.content import Message
from clarion.domain.handoffs import Answers, Int64s, UInt16s
from clarion.domain.network import Network, TokenKind
from clarion.domain.outcome import Reason, Verdict
from clarion.ports.provider import (
    Credential,
    CredentialProblem,
    Outline,
    PayloadProblem,
    SendRequest,
    SharedTokens,
)
from clarion.ports.system import Clock
from clarion.ports.transport import HTTP_PORT, HTTPS_PORT, Origin, Transport, TransportError
from clarion.providers.fcm import payload
from clarion.providers.fcm.credential import PROJECT, problems, read_account, token_url_of
from clarion.providers.fcm.errors import (
    Columns,
    Ruling,
    after_refresh,
    clock_skew_s,
    granted,
    misconfigured,
    rule_token_endpoint,
    unreachable,
)
from clarion.wire.http2 import Batch, HeaderSet
from clarion.wire.jose import JoseError, Json, build_jwt, load_rs256_key
from clarion.wire.merge import fill_messages, longest_sizes

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_LIFE_S: Final = 3600
SPARE: Final = timedelta(minutes=5)
"""An access token is not used for its last five minutes."""
SECOND: Final = timedelta(seconds=1)
LONGEST_LIFE: Final = timedelta(hours=1)
LONGEST_TOKEN: Final = 4096

_TOO_LARGE: Final = Ruling(verdict=Verdict.FIX_PAYLOAD, reason=Reason.PAYLOAD_TOO_LARGE)
_UNWRITABLE: Final = Ruling(verdict=Verdict.FIX_PAYLOAD, reason=Reason.PAYLOAD_REFUSED)
_NO_TOKEN: Final = Ruling(verdict=Verdict.DROP_TOKEN, reason=Reason.TOKEN_INVALID)


@dataclass(frozen=True, kw_only=True, slots=True)
class FcmHosts:
    """Where FCM is, and where access tokens come from."""

    base: str = "https://fcm.googleapis.com"
    token: str | None = None
    """None: the `token_uri` of each service account, which must be Google's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Access:
    text: str
    minted_at: datetime
    expires_at: datetime

    def lasts(self, now: datetime) -> bool:
        return self.minted_at <= now + SPARE and now < self.expires_at - SPARE


@dataclass(kw_only=True, slots=True)
class _Session:
    """What this process knows about one version of one credential."""

    version: int
    project: str
    email: str
    key: RSAPrivateKey
    key_id: str | None
    token_url: str
    name: str
    access: _Access | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class _Job:
    """One send under way; arrays have one entry a recipient."""

    request: SendRequest
    session: _Session
    columns: Columns
    prepared: Mapping[int, payload.Prepared]
    """Index of a message -> the message; those that can't be sent are missing."""
    message: UInt16s
    filled: Sequence[bytes] | None = None
    """What follows each recipient's own token, where something is merged."""


def _session(credential: Credential, hosts: FcmHosts) -> _Session:
    account = read_account(credential.secret)
    project = credential.public.get("project_id") or account.get("project_id", "")
    if not PROJECT.fullmatch(project):
        raise ValueError("there is no project_id")
    token_url = token_url_of(account, hosts.token)
    identity = f"{account['private_key']} {token_url}".encode("utf-8", "replace")
    digest = hashlib.blake2b(identity, digest_size=8).hexdigest()
    return _Session(
        version=credential.version,
        project=project,
        email=account["client_email"],
        key=load_rs256_key(account["private_key"]),
        key_id=account.get("private_key_id"),
        token_url=token_url,
        name=f"fcm:{account['client_email']}:{digest}",
    )


class FcmProvider:
    """Firebase Cloud Messaging.

    A credential has the `secret` `service_account` (the JSON file as text) and, where it differs
    from the file's, the `public` `project_id`. `Recipients.environment` holds `TokenKind`.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        tokens: SharedTokens,
        clock: Clock,
        hosts: FcmHosts | None = None,
    ) -> None:
        self._transport, self._tokens, self._clock = transport, tokens, clock
        self._hosts = hosts or FcmHosts()
        base = urlsplit(self._hosts.base)
        tls = base.scheme != "http"  # plain for a simulator on this machine
        port = base.port or (HTTPS_PORT if tls else HTTP_PORT)
        self._origin = Origin(host=base.hostname or "", port=port, tls=tls)
        self._sessions: dict[int, _Session] = {}
        self._under_way, self._idle = 0, asyncio.Event()

    @property
    def network(self) -> Network:
        """FCM."""
        return Network.FCM

    def check_message(self, message: Message, now: datetime) -> Sequence[PayloadProblem]:
        """What FCM would refuse about the message for any recipient; empty when fine."""
        return payload.problems(message, now)

    def outline(self, message: Message, now: datetime) -> Outline:
        """Data and notification together, and what FCM hands on to Apple."""
        return Outline(payloads=payload.prepare(message, now).counted, limit=payload.MAX_BYTES)

    def check_credential(
        self, public: Mapping[str, str], secret: Mapping[str, str]
    ) -> Sequence[CredentialProblem]:
        """What is wrong with a credential, found without asking Google."""
        return problems(public, secret, token_url=self._hosts.token)

    def check_token(self, token: str, keys: bytes | None) -> str | None:
        """Why a text can't be a registration token or an installation id, or None."""
        if keys is not None:
            return "An FCM device has a token only, no keys."
        octets = token.encode("utf-8", "replace")
        if not octets or octets.translate(None, payload.TOKEN_OCTETS):
            return "An FCM token has letters, digits and the characters - _ . ~ : % only."
        return None if len(octets) <= LONGEST_TOKEN else f"More than {LONGEST_TOKEN} characters."

    async def send(self, request: SendRequest) -> Answers:
        """Send, and return what FCM said, in the order of the recipients."""
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
        except (JoseError, ValueError) as error:
            columns.put(everyone, misconfigured(f"the stored credential is unusable: {error}"))
            return columns.answers()
        job = _job(request, session, columns)
        rows = _sendable(job, everyone)
        refused: _Access | None = None
        for final in (False, True):
            if not len(rows):
                break
            access = await self._access(session, refused)
            if isinstance(access, Ruling):
                columns.put(rows, access)
                break
            rows, refused = await self._round(job, rows, access, final=final), access
        return columns.answers()

    def _session(self, credential: Credential) -> _Session:
        known = self._sessions.get(credential.id)
        if known is None or known.version != credential.version:
            known = self._sessions[credential.id] = _session(credential, self._hosts)
        return known

    async def _round(self, job: _Job, rows: Int64s, access: _Access, *, final: bool) -> Int64s:
        """Send to `rows`; the rows that wait for another access token."""
        headers = HeaderSet(
            path_prefix=f"/v1/projects/{job.session.project}/messages:send".encode(),
            headers=(
                (b"authorization", b"Bearer " + access.text.encode()),
                (b"content-type", b"application/json"),
            ),
        )
        batch = Batch(
            headers,
            [b""] * len(rows),
            bodies=_bodies(job, rows),
            keep_bodies=job.request.urgent,  # a campaign's ids would cost memory for each device
        )
        batch.on_written = job.request.on_wire
        try:
            await self._transport.send(self._origin, batch, urgent=job.request.urgent)
        except TransportError as error:  # the settings forbid the base URL
            job.columns.put(rows, misconfigured(str(error)))
            return rows[:0]
        rulings = job.columns.record(rows, batch, job.request.now)
        again = [row for row, r in rulings.items() if r.verdict is Verdict.REFRESH_AUTH]
        if not final:
            return np.array(again, np.int64)
        for row in again:
            ruling, status = after_refresh(rulings[row]), int(job.columns.status[row])
            job.columns.put(np.array([row], np.int64), ruling, status)
        return rows[:0]

    async def _access(self, session: _Session, refused: _Access | None) -> _Access | Ruling:
        """An access token that is not the refused one, or why there is none."""
        async with session.lock:
            now = self._clock.now()
            current = session.access
            if current is not None and current != refused and current.lasts(now):
                return current
            stored = await self._tokens.get(session.name, now - LONGEST_LIFE)
            shared = None if stored is None else _stored(stored)
            if shared is None or shared == refused or not shared.lasts(now):
                fresh = await self._exchange(session)
                if isinstance(fresh, Ruling):
                    return fresh
                # Whatever is as old as the useless one gives way; what came meanwhile stays.
                since = now - LONGEST_LIFE if shared is None else shared.minted_at + SECOND
                shared = _stored(
                    await self._tokens.mint(
                        session.name,
                        older_than=since,
                        value=_storable(fresh),
                        now=fresh.minted_at,
                    )
                )
            session.access = shared
            return shared

    async def _exchange(self, session: _Session) -> _Access | Ruling:
        """RFC 7523 section 2.1: an assertion for an access token; once more with a fresh clock."""
        first = await self._exchange_once(session)
        refused = isinstance(first, Ruling) and first.verdict is Verdict.ALERT_CONFIG
        return await self._exchange_once(session) if refused else first

    async def _exchange_once(self, session: _Session) -> _Access | Ruling:
        now = self._clock.now().replace(microsecond=0)
        issued = int(now.timestamp())
        claims: Mapping[str, Json] = {
            "iss": session.email,
            "scope": SCOPE,
            "aud": session.token_url,
            "iat": issued,
            "exp": issued + ASSERTION_LIFE_S,
        }
        assertion = build_jwt(claims, session.key, key_id=session.key_id)
        try:
            answer = await self._transport.request(
                "POST",
                session.token_url,
                headers=[("content-type", "application/x-www-form-urlencoded")],
                body=urlencode({"grant_type": GRANT, "assertion": assertion}).encode(),
            )
        except TransportError as error:
            return unreachable(f"token endpoint: {error}")
        grant = granted(answer.status, answer.body)
        if grant is not None:
            lasts = timedelta(seconds=min(grant[1], ASSERTION_LIFE_S))
            return _Access(text=grant[0], minted_at=now, expires_at=now + lasts)
        return rule_token_endpoint(answer.status, answer.body, clock_skew_s(answer.headers, now))


def _storable(access: _Access) -> str:
    minted, expires = access.minted_at.isoformat(), access.expires_at.isoformat()
    return f"{minted} {expires} {access.text}"


def _stored(value: str) -> _Access:
    minted, expires, text = value.split(" ", 2)
    return _Access(
        text=text,
        minted_at=datetime.fromisoformat(minted),
        expires_at=datetime.fromisoformat(expires),
    )


def _job(request: SendRequest, session: _Session, columns: Columns) -> _Job:
    message = request.recipients.message
    if message is None:
        message = np.zeros(len(request.recipients), np.uint16)
    prepared: dict[int, payload.Prepared] = {}
    for at, item in enumerate(request.messages):
        try:
            ready = payload.prepare(item, request.now)
        except payload.UnwritableError:
            columns.put(np.flatnonzero(message == at), _UNWRITABLE)
            continue
        if request.recipients.merge is None and ready.octets > payload.MAX_BYTES:
            columns.put(np.flatnonzero(message == at), _TOO_LARGE)
        else:
            prepared[at] = ready
    return _Job(request, session, columns, prepared, message)


def _sendable(job: _Job, rows: Int64s) -> Int64s:
    """The rows with a writable message, not too long, and a token that needs no escape in JSON."""
    merge = job.request.recipients.merge
    if merge is not None:
        counted = {at: item.counted for at, item in job.prepared.items()}
        over = longest_sizes(counted, job.message, merge) > payload.MAX_BYTES
        job.columns.put(rows[over], _TOO_LARGE)
        rows = rows[~over]
        tails = {at: item.tail for at, item in job.prepared.items()}
        job.filled = fill_messages(tails, job.message, merge)
    if len(job.prepared) < len(job.request.messages):
        rows = rows[np.isin(job.message[rows], list(job.prepared))]
    tokens, octets = job.request.recipients.tokens, payload.TOKEN_OCTETS
    if all(tokens) and not b"".join(tokens).translate(None, octets):
        return rows
    fine = np.array([bool(t) and not t.translate(None, octets) for t in tokens], np.bool_)
    job.columns.put(rows[~fine[rows]], _NO_TOKEN)
    return rows[fine[rows]]


def _bodies(job: _Job, rows: Int64s) -> list[bytes]:
    recipients, message = job.request.recipients, job.message[rows]
    kind = recipients.environment[rows]
    tokens = [recipients.tokens[row] for row in rows.tolist()]
    if job.filled is not None:
        return [
            payload.HEADS[of] + token + job.filled[row]
            for of, token, row in zip(kind.tolist(), tokens, rows.tolist(), strict=True)
        ]
    if (message == message[0]).all() and (kind == kind[0]).all():
        return job.prepared[int(message[0])].bodies(tokens, TokenKind(int(kind[0])))
    tails = {at: item.tail for at, item in job.prepared.items()}
    return [
        payload.HEADS[of] + token + tails[at]
        for of, token, at in zip(kind.tolist(), tokens, message.tolist(), strict=True)
    ]
