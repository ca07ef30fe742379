"""A push service as strict as the RFCs, in the dress of any browser's or of ntfy.

Subscriptions are numbered and their endpoints signed, so that two processes with the same seed
agree on which exist, and none has to remember them. A few hundred real key pairs serve them all.
"""

import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from typing import Final, assert_never

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from clarion.domain.recent import Recent
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest, SimulatorCounts
from clarion.providers.webpush.errors import Profile
from clarion.wire import vapid
from clarion.wire.endpoint import EndpointError
from clarion.wire.push_headers import PushFields, PushHeaderError, check_content_encoding
from clarion.wire.webpush import MAX_BODY_OCTETS, ReceiverKey, WebPushError, decrypt

KEY_PAIRS: Final = 256
"""Real key pairs shared by all simulated subscriptions."""
KEPT_PER_ENDPOINT: Final = 16
_DIGITS: Final = 12
_HEX: Final = re.compile(r"[0-9a-f]+", re.ASCII)
_MAX_IDENTITIES: Final = 1024
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_DAY: Final = 86_400
_PATHS: Final = {
    Profile.GENERIC: "/push/", Profile.NTFY: "/up", Profile.AUTOPUSH: "/wpush/v2/",
    Profile.GOOGLE: "/fcm/send/", Profile.APPLE: "/Q", Profile.WNS: "/w/?token=",
}  # fmt: skip


class Refusal(Enum):
    """Why the service says no.

    Attributes:
        status: RFC 8030 sections 5 and 7, RFC 8292 section 4.2.
        reason: Apple's word.
        errno: Autopush's number, where it has one.
    """

    METHOD = 405, "MethodNotAllowed", None
    PATH = 404, "BadPath", 102
    DEAD = 410, "Unregistered", 106
    VAPID_MISSING = 401, "BadAuthorizationHeader", 109
    VAPID_KEY = 401, "BadVapidPublicKey", 109
    VAPID_TOKEN = 403, "BadJwtToken", 109
    OTHER_KEY = 403, "VapidPkHashMismatch", 109
    ENCODING = 400, "BadWebPushRequest", 110
    TTL = 400, "BadTtl", 111
    URGENCY = 400, "BadUrgency", None
    TOPIC = 400, "BadWebPushTopic", 113
    TOO_LARGE = 413, "PayloadTooLarge", 104
    THROTTLED = 429, "TooManyRequests", None
    UNAVAILABLE = 503, "ServiceUnavailable", 201

    def __init__(self, status: int, reason: str, errno: int | None) -> None:
        self.status, self.reason, self.errno = status, reason, errno


_VAPID: Final = frozenset({Refusal.VAPID_MISSING, Refusal.VAPID_KEY, Refusal.VAPID_TOKEN})
_STATUSES: Final[Mapping[Profile, Mapping[Refusal, int]]] = {
    Profile.NTFY: {Refusal.DEAD: 507},
    Profile.AUTOPUSH: dict.fromkeys((*_VAPID, Refusal.OTHER_KEY), 401),
    Profile.GOOGLE: {Refusal.VAPID_MISSING: 400, Refusal.VAPID_TOKEN: 401},
    Profile.APPLE: dict.fromkeys(_VAPID, 403),
    Profile.WNS: {Refusal.THROTTLED: 406, **dict.fromkeys(_VAPID, 403)},
}
"""Where a service differs from the RFC."""

_AUTOPUSH_HEADERS: Final = {
    Refusal.UNAVAILABLE: [(b"retry-after", b"120")],
    Refusal.DEAD: [(b"cache-control", b"max-age=86400")],
}
_GOOGLE: Final = {
    Refusal.VAPID_MISSING: "<HTML><BODY><H1>UnauthorizedRegistration</H1></BODY></HTML>",
    Refusal.PATH: "push subscription has unsubscribed or expired.\n",
    Refusal.DEAD: "NotRegistered",
    Refusal.OTHER_KEY: "the VAPID credentials in the authorization header do not correspond to "
    "the credentials used to create the subscriptions.\n",
}
_NTFY: Final = {
    Refusal.PATH: (40401, "page not found"),
    Refusal.DEAD: (
        50701,
        "cannot publish to UnifiedPush topic without previously active subscriber",
    ),
    Refusal.TOO_LARGE: (41303, "JSON body too large"),
    Refusal.THROTTLED: (42901, "limit reached: too many requests"),
    Refusal.UNAVAILABLE: (50001, "internal server error"),
}
_OF_FAULT: Final = {
    vapid.VapidFault.MISSING: Refusal.VAPID_MISSING,
    vapid.VapidFault.PUBLIC_KEY: Refusal.VAPID_KEY,
}
_OF_FIELD: Final = {
    "ttl": Refusal.TTL, "urgency": Refusal.URGENCY, "topic": Refusal.TOPIC,
    "content-encoding": Refusal.ENCODING,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class WebPushFaults:
    """What goes wrong. Shares are numbers from 0 to 1, the same in every run of one seed."""

    dead: float = 0.0
    """Share of subscriptions that are gone: 410 (ntfy: 507, nobody listens)."""
    other_key: float = 0.0
    """Share of subscriptions made with another VAPID key."""
    throttle: float = 0.0
    """Share of requests answered 429 (WNS: 406) with Retry-After."""
    unavailable: float = 0.0
    """Share of requests answered 503."""
    silent: float = 0.0
    """Share of requests never answered."""
    dropped: float = 0.0
    """Share of requests at which the connection is cut."""
    goaway_every: int = 0
    """GOAWAY after this many requests; 0 for never."""
    latency_s: tuple[float, float] = (0.0, 0.0)
    """Range of the delay of each answer."""
    retry_after_s: int = 30
    max_streams: int = 100


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a browser gives its site, and the private side that only the browser has."""

    endpoint: str
    receiver: ReceiverKey

    @property
    def keys(self) -> bytes:
        """p256dh (65 octets) followed by auth (16), as `Recipients.keys` has them."""
        return self.receiver.public + self.receiver.auth


@dataclass(frozen=True, slots=True)
class Delivery:
    """One accepted message; `plaintext` only where the simulator decrypts."""

    id: str
    topic: str | None
    urgency: str
    ttl: int
    plaintext: bytes | None


@dataclass(kw_only=True, slots=True)
class WebPushRecord:
    """What was delivered, for tests that count at the receiving end."""

    endpoints: int
    """How many endpoints are recorded; messages to further ones are only `unrecorded`."""
    deliveries: dict[str, deque[Delivery]] = field(default_factory=dict)
    """Path of the endpoint -> its last deliveries, oldest first."""
    accepted: Counter[str] = field(default_factory=Counter)
    """Path of the endpoint -> how many messages it accepted."""
    stored: dict[tuple[str, str], str] = field(default_factory=dict)
    """(path, Topic) -> the message that an offline browser would find: the last of its Topic."""
    unrecorded: int = 0

    def keep(self, path: str, delivery: Delivery) -> None:
        """Note one accepted message."""
        if path not in self.deliveries and len(self.deliveries) >= self.endpoints:
            self.unrecorded += 1
            return
        self.deliveries.setdefault(path, deque(maxlen=KEPT_PER_ENDPOINT)).append(delivery)
        self.accepted[path] += 1
        if delivery.topic is not None:
            self.stored[path, delivery.topic] = delivery.id


class _RefusedError(Exception):
    def __init__(self, refusal: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.refusal = refusal


class WebPushSimulator:
    """A local push service.

    Args:
        profile: In whose words it answers.
        faults: What goes wrong.
        application_key: 65 octets: the VAPID key that every subscription was made with
            (RFC 8292 section 4); None takes any key whose signature is right.
        decrypt: Decrypt each body with the subscription's private key, and refuse it with 400
            when that fails.
        record: Keep the deliveries of this many endpoints.
        seed: Decides endpoints, keys and chance.
    """

    def __init__(
        self,
        *,
        profile: Profile = Profile.GENERIC,
        faults: WebPushFaults | None = None,
        application_key: bytes | None = None,
        decrypt: bool = False,
        record: int = 0,
        seed: int = 0,
    ) -> None:
        self.profile = profile
        self.faults = WebPushFaults() if faults is None else faults
        self.application_key = application_key
        self.record = WebPushRecord(endpoints=record) if record else None
        self._decrypt = decrypt
        self._secret = blake2b(str(seed).encode(), person=b"clarion-webpush").digest()
        self._receivers: dict[int, ReceiverKey] = {}
        self._identities = Recent[tuple[str | None, str], vapid.VapidIdentity](_MAX_IDENTITIES)
        self._subscribed = 0
        self._requests = 0
        self._by_status: Counter[int] = Counter()

    @property
    def initial_max_streams(self) -> int:
        """As the faults say; Google's service announces about a hundred."""
        return self.faults.max_streams

    @property
    def speaks_http1(self) -> bool:
        """Push services take HTTP/1.1 too."""
        return True

    def closed(self, connection: int) -> None:
        """Nothing belongs to a connection here."""

    def counts(self) -> SimulatorCounts:
        """What was seen so far."""
        return SimulatorCounts(requests=self._requests, by_status=dict(self._by_status))

    def subscribe(self, count: int, origin: str) -> list[Subscription]:
        """The next `count` subscriptions; `origin` is where this simulator is served."""
        first, self._subscribed = self._subscribed, self._subscribed + count
        lead = origin.rstrip("/") + _PATHS[self.profile]
        numbers = range(first, self._subscribed)
        return [Subscription(lead + self._name(n), self._receiver(n)) for n in numbers]

    def answer(self, request: SimulatedRequest) -> SimulatedAnswer:
        """Judge one request."""
        self._requests += 1
        faults, fate = self.faults, self._lot(f"request {self._requests}")
        cut = faults.silent + faults.dropped
        if fate < cut:
            silent = fate < faults.silent
            return SimulatedAnswer(silent=silent, drop_connection=not silent)
        try:
            status, headers, body = self._accept(request, fate - cut)
        except _RefusedError as error:
            detail = str(error).encode(errors="replace").decode()
            status, headers, body = self._say(error.refusal, detail)
        self._by_status[status] += 1
        (low, high), every = faults.latency_s, faults.goaway_every
        return SimulatedAnswer(
            status=status,
            headers=headers,
            body=body,
            delay_s=low + (high - low) * self._lot(f"latency {self._requests}") if high else 0.0,
            goaway=b"" if every and self._requests % every == 0 else None,
        )

    def _accept(
        self, request: SimulatedRequest, fate: float
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if request.method != "POST":
            raise _RefusedError(Refusal.METHOD, "push messages are sent with POST")
        number = self._number(request.path)
        fields = _collect(request)
        self._authorise(request, fields, number)
        pushed = _check_fields(fields, request.body)
        plaintext = self._open(number, request.body)
        if fate < self.faults.throttle:
            raise _RefusedError(Refusal.THROTTLED, "too many messages")
        if fate < self.faults.throttle + self.faults.unavailable:
            raise _RefusedError(Refusal.UNAVAILABLE, "try again later")
        ttl = min(pushed.ttl, _DAY * (28 if self.profile is Profile.GOOGLE else 30))
        message = f"{self._requests:024x}"
        if self.record is not None:
            delivery = Delivery(message, pushed.topic, pushed.urgency, ttl, plaintext)
            self.record.keep(request.path, delivery)
        if self.profile is Profile.NTFY:
            said = {"id": message, "event": "message", "topic": request.path[1:]}
            return 200, [(b"content-type", b"application/json")], orjson.dumps(said)
        if self.profile is Profile.APPLE:
            return 201, [(b"apns-id", message.encode())], b""
        location = f"{request.scheme}://{request.authority}/m/{message}".encode()
        return 201, [(b"location", location), (b"ttl", str(ttl).encode())], b""

    def _number(self, path: str) -> int:
        """Which subscription a path names; the signature in it proves that it exists."""
        lead = _PATHS[self.profile]
        digits = path[len(lead) : len(lead) + _DIGITS]
        number = int(digits, 16) if _HEX.fullmatch(digits) else 0
        if path != lead + self._name(number):
            raise _RefusedError(Refusal.PATH, "there is no such subscription")
        if self._lot(f"dead {number}") < self.faults.dead:
            raise _RefusedError(Refusal.DEAD, "the subscription is gone")
        return number

    def _authorise(self, request: SimulatedRequest, fields: Mapping[str, str], number: int) -> None:
        bearer = fields.get("authorization"), f"{request.scheme}://{request.authority}/"
        known = self._identities.known(bearer)
        try:
            if known is None or known.expires_at < request.now:
                credentials = vapid.parse_authorization(bearer[0], fields.get("crypto-key"))
                origin = vapid.audience(bearer[1])
                known = vapid.verify(credentials, audience_origin=origin, now=request.now)
                self._identities.learn(bearer, known)
        except vapid.VapidError as error:
            refusal = _OF_FAULT.get(error.fault, Refusal.VAPID_TOKEN)
            raise _RefusedError(refusal, str(error)) from error
        except EndpointError as error:
            raise _RefusedError(Refusal.PATH, "there is no such authority") from error
        if self.profile is Profile.APPLE and known.subject is None:
            raise _RefusedError(Refusal.VAPID_TOKEN, "the token has no sub claim")
        bound = self.application_key
        other = bound is not None and known.public_key != bound
        if other or self._lot(f"key {number}") < self.faults.other_key:
            raise _RefusedError(Refusal.OTHER_KEY, "VAPID public key mismatch")

    def _open(self, number: int, body: bytes) -> bytes | None:
        if not self._decrypt or not body:
            return None
        try:
            return decrypt(body, self._receiver(number))
        except WebPushError as error:
            raise _RefusedError(Refusal.ENCODING, str(error)) from error

    def _say(self, refusal: Refusal, detail: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        status = _STATUSES.get(self.profile, {}).get(refusal, refusal.status)
        headers: list[tuple[bytes, bytes]] = []
        if refusal is Refusal.THROTTLED:
            headers.append((b"retry-after", str(self.faults.retry_after_s).encode()))
        match self.profile:
            case Profile.AUTOPUSH:
                said = orjson.dumps({"code": status, "errno": refusal.errno, "message": detail})
                headers.extend(_AUTOPUSH_HEADERS.get(refusal, ()))
            case Profile.APPLE:
                said = orjson.dumps({"reason": refusal.reason})
            case Profile.NTFY:
                code, error = _NTFY.get(refusal, (status * 100, detail))
                said = orjson.dumps({"code": code, "http": status, "error": error})
            case Profile.GOOGLE:
                said = _GOOGLE.get(refusal, detail).encode()
            case Profile.WNS:
                headers.append((b"x-wns-error-description", detail.encode("latin-1", "replace")))
                said = b""
            case Profile.GENERIC:
                said = detail.encode()
            case _:
                assert_never(self.profile)
        return status, headers, said

    def _name(self, number: int) -> str:
        mac = blake2b(b"%d" % number, key=self._secret, digest_size=16).hexdigest()
        return f"{number:0{_DIGITS}x}{mac}"

    def _receiver(self, number: int) -> ReceiverKey:
        pair = number % KEY_PAIRS
        receiver = self._receivers.get(pair)
        if receiver is None:
            octets = blake2b(f"pair {pair}".encode(), key=self._secret).digest()
            scalar = 1 + int.from_bytes(octets[:48], "big") % (_P256_ORDER - 1)
            private = ec.derive_private_key(scalar, ec.SECP256R1())
            receiver = self._receivers[pair] = ReceiverKey.from_private(private, octets[48:])
        return receiver

    def _lot(self, what: str) -> float:
        digest = blake2b(what.encode(), key=self._secret, digest_size=6).digest()
        return int.from_bytes(digest, "big") / (1 << 48)


def _collect(request: SimulatedRequest) -> dict[str, str]:
    """Fields by name; repeated ones joined, so that a second TTL is no number any more."""
    fields: dict[str, list[str]] = {}
    for name, value in request.headers:
        fields.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return {name: ", ".join(values) for name, values in fields.items()}


def _check_fields(fields: Mapping[str, str], body: bytes) -> PushFields:
    try:
        pushed = PushFields.parse(fields)
        if body:  # a push without content is legal (RFC 8030 section 5)
            check_content_encoding(fields.get("content-encoding"))
    except PushHeaderError as error:
        raise _RefusedError(_OF_FIELD.get(error.field, Refusal.TTL), str(error)) from error
    if len(body) > MAX_BODY_OCTETS:
        raise _RefusedError(Refusal.TOO_LARGE, f"more than {MAX_BODY_OCTETS} octets")
    return pushed
