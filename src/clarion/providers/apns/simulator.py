"""A judge as strict as Apple: it verifies every request and can be told what to do wrong.

The order of checks follows the test server of jchambers/pushy; Apple documents none.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from clarion.domain.network import Environment
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest, SimulatorCounts
from clarion.wire.jose import JoseError, parse_jwt, verify_jwt

TOKEN_LIFE_S: Final = 3600
UPDATE_EVERY_S: Final = 1200
"""A second provider token on one connection within 20 minutes is one too many."""
COLLAPSE_BYTES: Final = 64
REASONS: Final = {
    "ServiceUnavailable": 503, "InternalServerError": 500, "Shutdown": 503,
    "TooManyRequests": 429, "TooManyProviderTokenUpdates": 429, "PayloadTooLarge": 413,
    "MethodNotAllowed": 405, "BadPath": 404, "ExpiredProviderToken": 403,
    "InvalidProviderToken": 403, "MissingProviderToken": 403, "Forbidden": 403,
    "UnrelatedKeyIdInToken": 403, "BadEnvironmentKeyIdInToken": 403, "BadCertificate": 403,
}  # fmt: skip
"""Reason -> status; all others are 400."""

Headers = Mapping[bytes, bytes]

_UUID: Final = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NO_ID: Final = b"00000000-0000-0000-0000-000000000000"
_DEVICE: Final = re.compile(r"[0-9a-fA-F]{64}|[0-9a-fA-F]{160,200}")  # Live Activity: longer
_SUFFIXES: Final = {
    b"alert": b"", b"background": b"", b"mdm": b"", b"voip": b".voip", b"pushtotalk": b".voip-ptt",
    b"complication": b".complication", b"fileprovider": b".pushkit.fileprovider",
    b"location": b".location-query", b"liveactivity": b".push-type.liveactivity",
    b"widgets": b".push-type.widgets", b"controls": b".push-type.controls",
}  # fmt: skip
_PRIORITIES: Final = {b"background": {b"5"}, b"voip": {b"10"}}


@dataclass(frozen=True, kw_only=True, slots=True)
class ApnsKey:
    """A registered provider token key: what Apple knows about a `.p8` file."""

    key_id: str
    team_id: str
    public_pem: str
    topics: frozenset[str] = frozenset()
    """Bundle ids that the key may send to; empty means all of the team's."""
    environment: Environment = Environment.UNKNOWN
    """The only environment the key is for; UNKNOWN means both."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApnsFaults:
    """What goes wrong. Shares are of device tokens, chosen by a hash: the same in every run."""

    dead: float = 0.0
    """Answered 410 with a timestamp in milliseconds."""
    invalid: float = 0.0
    """Answered 400 BadDeviceToken."""
    sandbox: float = 0.0
    """Belong to the sandbox: BadDeviceToken in production, and the others in the sandbox."""
    throttle: float = 0.0
    """Share of requests answered 429 TooManyRequests."""
    unavailable: float = 0.0
    """Share of requests answered 503."""
    silent: float = 0.0
    """Share of requests never answered."""
    dropped: float = 0.0
    """Share of requests at which the connection is cut."""
    goaway_every: int = 0
    """GOAWAY after this many requests on a connection; 0 for never."""
    goaway_after_errors: int = 0
    """GOAWAY after this many errors on a connection (410 is none); 0 for never."""
    latency_s: tuple[float, float] = (0.0, 0.0)
    """Range of the delay of each answer."""
    reason: str = ""
    """A configuration fault: every request gets this reason, e.g. `TopicDisallowed`."""
    max_streams: int = 1000
    """MAX_CONCURRENT_STREAMS after the first authorised answer."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ApnsRecord:
    """What was delivered, for tests that count at the receiving end."""

    deliveries: Counter[str] = field(default_factory=Counter)
    ids: dict[str, set[str]] = field(default_factory=dict)
    shown: dict[str, set[str]] = field(default_factory=dict)
    """Device token -> accepted requests, their distinct `apns-id`s and distinct collapse ids."""
    stored: dict[tuple[str, str], str] = field(default_factory=dict)
    """(device token, topic) -> the one notification an offline device would find: the last."""


@dataclass(kw_only=True, slots=True)
class _Connection:
    requests: int = 0
    errors: int = 0
    streams: int = 1
    team: str = ""
    key: str = ""
    bearer: bytes = b""
    bearer_since: datetime | None = None


class _RefusedError(Exception):
    def __init__(self, reason: str, status: int = 0, timestamp: int = 0) -> None:
        super().__init__(reason)
        self.status = status or REASONS.get(reason, 400)
        stamp = {"timestamp": timestamp} if timestamp else {}
        self.said = orjson.dumps({"reason": reason, **stamp})


def _fraction(seed: int, text: str) -> float:
    digest = blake2b(text.encode(), digest_size=6, key=seed.to_bytes(8, "big", signed=True))
    return int.from_bytes(digest.digest(), "big") / (1 << 48)


def _collect(request: SimulatedRequest) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in request.headers:
        if name in headers and name.startswith((b"apns-", b"authorization")):
            raise _RefusedError("DuplicateHeaders")
        headers[name] = value
    return headers


def _check_headers(method: str, headers: Headers) -> None:
    push_type = headers.get(b"apns-push-type", b"alert")
    topic, urgency = headers.get(b"apns-topic", b""), headers.get(b"apns-priority", b"10")
    takes = _PRIORITIES.get(push_type, {b"1", b"5", b"10"})
    for fine, reason in (
        (_UUID.fullmatch(headers.get(b"apns-id", _NO_ID)), "BadMessageId"),
        (method == "POST", "MethodNotAllowed"),
        (topic, "MissingTopic"),
        (len(headers.get(b"apns-collapse-id", b"")) <= COLLAPSE_BYTES, "BadCollapseId"),
        (headers.get(b"apns-expiration", b"0").isdigit(), "BadExpirationDate"),
        (push_type in _SUFFIXES, "InvalidPushType"),
        (urgency in takes, "BadPriority"),
        (topic.endswith(_SUFFIXES.get(push_type, b"")), "BadTopic"),
    ):
        if not fine:
            raise _RefusedError(reason)


def _check_body(body: bytes, headers: Headers) -> None:
    if not body:
        raise _RefusedError("PayloadEmpty")
    voip = headers.get(b"apns-push-type") == b"voip"
    if len(body) > (5120 if voip else 4096):
        raise _RefusedError("PayloadTooLarge")
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        payload = None
    if not isinstance(payload, dict) or not isinstance(payload.get("aps", {}), dict):
        raise _RefusedError("PayloadEmpty")  # Apple names no reason for a body that is not JSON


class ApnsSimulator:
    """Apple's provider API for one environment.

    Args:
        keys: Registered keys. Without `any_key`, no other signs a valid provider token.
        tokens: Device token (hex) -> bundle ids it belongs to. Without `any_token`, no other
            token exists.
        certificates: DER of client certificates -> bundle ids they may send to.
        environment: PRODUCTION or SANDBOX.
        any_token: Take every well-formed device token for every topic.
        any_key: Take every provider token that is one by its form; its signature is unchecked.
        faults: What goes wrong.
        record: Keep what was delivered, at the price of memory per device token.
    """

    def __init__(  # noqa: PLR0913 - each is one independent choice of whoever starts a simulator
        self,
        *,
        keys: Iterable[ApnsKey] = (),
        tokens: Mapping[str, frozenset[str]] | None = None,
        certificates: Mapping[bytes, frozenset[str]] | None = None,
        environment: Environment = Environment.PRODUCTION,
        any_token: bool = False,
        any_key: bool = False,
        faults: ApnsFaults | None = None,
        record: bool = False,
    ) -> None:
        self.keys = {key.key_id: key for key in keys}
        self.tokens = {token.lower(): topics for token, topics in (tokens or {}).items()}
        self.expired: dict[str, int] = {}
        """Device token -> when it died, milliseconds."""
        self.certificates = dict(certificates or {})
        self.faults = faults or ApnsFaults()
        self.record = ApnsRecord() if record else None
        self._environment, self._any_token, self._any_key = environment, any_token, any_key
        self._connections: dict[int, _Connection] = {}
        self._public = {i: load_pem_public_key(k.public_pem.encode()) for i, k in self.keys.items()}
        self._verified: dict[bytes, tuple[str, str, float]] = {}
        self._requests = 0
        self._by_status: Counter[int] = Counter()

    @property
    def initial_max_streams(self) -> int:
        """One stream until the first valid provider token has been answered."""
        return 1

    @property
    def speaks_http1(self) -> bool:
        """Apple refuses HTTP/1.1."""
        return False

    def closed(self, connection: int) -> None:
        """Forget a connection."""
        self._connections.pop(connection, None)

    def counts(self) -> SimulatorCounts:
        """What was seen so far."""
        return SimulatorCounts(requests=self._requests, by_status=dict(self._by_status))

    def answer(self, request: SimulatedRequest) -> SimulatedAnswer:
        """Judge one request."""
        self._requests += 1
        connection = self._connections.setdefault(request.connection, _Connection())
        connection.requests += 1
        if self._hit("silent", self.faults.silent):
            return SimulatedAnswer(silent=True)
        if self._hit("dropped", self.faults.dropped):
            return SimulatedAnswer(drop_connection=True)
        headers: dict[bytes, bytes] = {}
        refusal = None
        try:
            headers = _collect(request)
            device = self._judge(request, headers, connection)
            if self.record is not None:
                self._keep(self.record, device, headers)
        except _RefusedError as error:
            refusal = error
        return self._reply(headers, connection, refusal)

    def _judge(self, request: SimulatedRequest, headers: Headers, at: _Connection) -> str:
        _check_headers(request.method, headers)
        suffix = _SUFFIXES[headers.get(b"apns-push-type", b"alert")]
        bundle = headers[b"apns-topic"].removesuffix(suffix).decode("latin-1")
        device = self._device(request, bundle)
        self._authorise(request, headers, at, bundle)
        if self.faults.reason:
            raise _RefusedError(self.faults.reason)
        _check_body(request.body, headers)
        if self._hit("throttle", self.faults.throttle):
            raise _RefusedError("TooManyRequests")
        if self._hit("unavailable", self.faults.unavailable):
            raise _RefusedError("ServiceUnavailable")
        return device

    def _device(self, request: SimulatedRequest, bundle: str) -> str:
        if request.path in {"/3/device", "/3/device/"}:
            raise _RefusedError("MissingDeviceToken")
        if not request.path.startswith("/3/device/"):
            raise _RefusedError("BadPath")
        device = request.path.removeprefix("/3/device/").lower()
        if not _DEVICE.fullmatch(device):
            raise _RefusedError("BadDeviceToken")
        lot = self._check_alive(device, int(request.now.timestamp() * 1000))
        if lot < self.faults.dead + self.faults.invalid:
            raise _RefusedError("BadDeviceToken")
        if not self._any_token:
            topics = self.tokens.get(device)
            if topics is None:
                raise _RefusedError("BadDeviceToken")
            if bundle not in topics:
                raise _RefusedError("DeviceTokenNotForTopic")
        return device

    def _check_alive(self, device: str, now_ms: int) -> float:
        lot, faults = _fraction(self.faults.seed, device), self.faults
        elsewhere = lot >= 1 - faults.sandbox
        if faults.sandbox and elsewhere != (self._environment is Environment.SANDBOX):
            raise _RefusedError("BadDeviceToken")
        if lot < faults.dead:  # it dies when it is first sent to, after it was registered
            self.expired.setdefault(device, now_ms)
        if device in self.expired:
            raise _RefusedError("Unregistered", 410, self.expired[device])
        return lot

    def _authorise(
        self, request: SimulatedRequest, headers: Headers, at: _Connection, bundle: str
    ) -> None:
        if request.peer_certificate is not None:
            topics = self.certificates.get(request.peer_certificate)
            if topics is None:
                raise _RefusedError("BadCertificate")
            if bundle not in topics:
                raise _RefusedError("TopicDisallowed")
            return
        value = headers.get(b"authorization", b"")
        if value[:7].lower() != b"bearer ":
            raise _RefusedError("MissingProviderToken")
        bearer = value[7:].strip()
        key_id, team, issued = self._signer(bearer)
        if at.team not in {"", team}:
            raise _RefusedError("InvalidProviderToken")
        if at.key not in {"", key_id}:
            raise _RefusedError("UnrelatedKeyIdInToken")
        if request.now.timestamp() - issued > TOKEN_LIFE_S:
            raise _RefusedError("ExpiredProviderToken")
        self._check_scope(key_id, bundle)
        at.team, at.key = team, key_id
        if at.bearer != bearer:
            since = at.bearer_since
            if since is not None and (request.now - since).total_seconds() < UPDATE_EVERY_S:
                raise _RefusedError("TooManyProviderTokenUpdates")
            at.bearer, at.bearer_since = bearer, request.now

    def _signer(self, bearer: bytes) -> tuple[str, str, float]:
        known = self._verified.get(bearer)
        if known is not None:
            return known
        try:
            text = bearer.decode("ascii")
            jwt = parse_jwt(text)
            key_id, team = jwt.header.get("kid"), jwt.claims.get("iss")
            issued = jwt.claims.get("iat")
            if not (isinstance(key_id, str) and isinstance(team, str) and type(issued) is int):
                raise JoseError("kid, iss and iat are required")
            if not self._any_key:
                public = self._public.get(key_id)
                if not isinstance(public, EllipticCurvePublicKey):
                    raise JoseError("unknown key id")
                verify_jwt(text, public)
                if self.keys[key_id].team_id != team:
                    raise JoseError("another team's key")
        except ValueError as error:  # JoseError and UnicodeDecodeError alike
            raise _RefusedError("InvalidProviderToken") from error
        if len(self._verified) > 1000:  # noqa: PLR2004 - a bound, so that hostile tokens cost no memory
            self._verified.clear()
        self._verified[bearer] = key_id, team, float(issued)
        return self._verified[bearer]

    def _check_scope(self, key_id: str, bundle: str) -> None:
        key = self.keys.get(key_id)
        if key is None:
            return
        if key.environment not in {Environment.UNKNOWN, self._environment}:
            raise _RefusedError("BadEnvironmentKeyIdInToken")
        if key.topics and bundle not in key.topics:
            raise _RefusedError("InvalidProviderToken")

    def _keep(self, record: ApnsRecord, device: str, headers: Headers) -> None:
        sent = headers.get(b"apns-id", b"").decode()
        record.deliveries[device] += 1
        record.ids.setdefault(device, set()).add(sent)
        record.shown.setdefault(device, set()).add(headers.get(b"apns-collapse-id", b"").decode())
        record.stored[device, headers[b"apns-topic"].decode("latin-1")] = sent

    def _reply(
        self, headers: Headers, at: _Connection, refusal: _RefusedError | None
    ) -> SimulatedAnswer:
        fields = [(b"apns-id", headers.get(b"apns-id") or self._new_id())]
        status, said, streams, goaway = 200, b"", self.faults.max_streams, None
        if refusal is not None:
            status, said, streams = refusal.status, refusal.said, at.streams
        elif self._environment is Environment.SANDBOX:
            fields.append((b"apns-unique-id", self._new_id()))
        if status not in {200, 410}:  # Apple does not count 410 as an error
            at.errors, streams = at.errors + 1, 1
            if self.faults.goaway_after_errors and at.errors % self.faults.goaway_after_errors == 0:
                goaway = said
        if self.faults.goaway_every and at.requests % self.faults.goaway_every == 0:
            goaway = b'{"reason":"Shutdown"}'
        announce = streams if streams != at.streams else None
        at.streams = streams
        self._by_status[status] += 1
        low, high = self.faults.latency_s
        return SimulatedAnswer(
            status=status,
            headers=fields,
            body=said,
            delay_s=low + (high - low) * self._fate("latency") if high else 0.0,
            max_streams=announce,
            goaway=goaway,
        )

    def _fate(self, what: str) -> float:
        return _fraction(self.faults.seed, f"{what} {self._requests}")

    def _hit(self, what: str, share: float) -> bool:
        return share > 0 and self._fate(what) < share

    def _new_id(self) -> bytes:
        digest = blake2b(str(self._requests).encode(), digest_size=16).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}".encode()
