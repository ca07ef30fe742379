"""A judge as strict as FCM: credentials first, then project, JSON, fields, target, quota."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final
from urllib.parse import parse_qsl

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest, SimulatorCounts
from clarion.wire.jose import JoseError, Jwt, parse_jwt, verify_jwt

GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES: Final = frozenset(
    f"https://www.googleapis.com/auth/{name}" for name in ("firebase.messaging", "cloud-platform")
)
TOKEN_LIFE_S: Final = 3599
MAX_LIFE_S: Final = 3600
LEEWAY_S: Final = 300
"""How far an assertion's clock may be from ours."""
MAX_TTL_S: Final = 28 * 86400
MAX_BYTES: Final = 4096
JSON: Final = (b"content-type", b"application/json; charset=UTF-8")
TARGETS: Final = ("token", "fid", "topic", "condition")

_NOTHING: Final = (frozenset[str](), 0.0)
_SEND: Final = re.compile(r"/v1/projects/([^/]+)/messages:send")
_TARGET: Final = re.compile(r"[A-Za-z0-9_:.~%\-]{1,4096}")
_DURATION: Final = re.compile(r"(\d{1,12})(\.\d{1,9})?s")
_NAMES: Final = frozenset(
    {"name", "data", "notification", "android", "android_v2", "androidV2", "webpush", "apns",
     "fcm_options", "fcmOptions", *TARGETS}
)  # fmt: skip
_STATUS: Final = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE",
}  # fmt: skip
FAULTS: Final = {
    "THIRD_PARTY_AUTH_ERROR": 401, "SENDER_ID_MISMATCH": 403, "PERMISSION_DENIED": 403,
    "UNAVAILABLE": 503, "INTERNAL": 500, "QUOTA_EXCEEDED": 429, "INVALID_ARGUMENT": 400,
}  # fmt: skip
"""What `FcmFaults.reason` may be, with its status."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FcmAccount:
    """A registered service account."""

    email: str
    public_pem: str
    projects: frozenset[str]
    """Projects it may send to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FcmFaults:
    """What goes wrong. Shares are of tokens, chosen by a hash: the same in every run."""

    dead: float = 0.0
    """Answered 404 UNREGISTERED."""
    invalid: float = 0.0
    """Answered 400 INVALID_ARGUMENT about the registration token."""
    foreign: float = 0.0
    """Answered 403 SENDER_ID_MISMATCH."""
    throttle: float = 0.0
    """Share of requests answered 429."""
    unavailable: float = 0.0
    """Share of requests answered 503."""
    silent: float = 0.0
    """Share of requests never answered."""
    dropped: float = 0.0
    """Share of requests at which the connection is cut."""
    goaway_every: int = 0
    """GOAWAY after this many requests on a connection; 0 for never."""
    quota_per_minute: int = 0
    """Size of the project's bucket; 0 for no limit."""
    retry_after_s: int = 0
    """What the throttled are told to wait; 0 leaves the header out."""
    latency_s: tuple[float, float] = (0.0, 0.0)
    """Range of the delay of each answer."""
    reason: str = ""
    """A fault that every request meets: a key of `FAULTS`."""
    max_streams: int = 100
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FcmRecord:
    """What was delivered, for tests that count at the receiving end."""

    deliveries: Counter[str] = field(default_factory=Counter)
    """Token -> accepted requests."""
    tags: dict[str, set[str]] = field(default_factory=dict)
    """Token -> the distinct display ids (`android.notification.tag`) among them."""


class _RefusedError(Exception):
    def __init__(
        self, status: int, message: str, *, code: str = "", where: str = "", wait_s: int = 0
    ) -> None:
        super().__init__(message)
        self.status = status
        details: list[dict[str, object]] = []
        if code:
            kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
            details.append({"@type": kind, "errorCode": code})
        if where:
            violations = [{"field": where, "description": message}]
            kind = "type.googleapis.com/google.rpc.BadRequest"
            details.append({"@type": kind, "fieldViolations": violations})
        error = {"code": status, "message": message, "status": _STATUS[status], "details": details}
        self.said = orjson.dumps({"error": error})
        self.headers = [(b"retry-after", str(wait_s).encode())] if wait_s else []


def _fraction(seed: int, text: str) -> float:
    digest = blake2b(text.encode(), digest_size=6, key=seed.to_bytes(8, "big", signed=True))
    return int.from_bytes(digest.digest(), "big") / (1 << 48)


def _wrong(where: str, message: str) -> _RefusedError:
    return _RefusedError(400, f"Invalid value at '{where}' {message}", where=where)


def _block(whole: Mapping[str, object], name: str, where: str) -> Mapping[str, object]:
    found = whole.get(name, {})
    if not isinstance(found, dict):
        raise _wrong(f"{where}.{name}", "(object expected)")
    return found


def _check_data(block: Mapping[str, object], where: str) -> int:
    """Octets of a data block whose values must all be text."""
    octets = 0
    for at, (key, value) in enumerate(_block(block, "data", where).items()):
        if not isinstance(value, str):
            raise _wrong(f"{where}.data[{at}].value", f"(TYPE_STRING), {orjson.dumps(value)!r}")
        if key in {"from", "message_type"} or key.startswith(("google", "gcm")):
            raise _RefusedError(400, f"Invalid data payload key: {key}", code="INVALID_ARGUMENT")
        octets += len(key.encode()) + len(value.encode())
    return octets


def _check_message(message: Mapping[str, object]) -> str:
    """The target of a message whose fields are all right."""
    for name in message.keys() - _NAMES:
        raise _wrong(f"message.{name}", f'Unknown name "{name}": Cannot find field.')
    octets = _check_data(message, "message")
    for name, value in _block(message, "notification", "message").items():
        if name not in {"title", "body", "image"} or not isinstance(value, str):
            raise _wrong(f"message.notification.{name}", "(TYPE_STRING)")
        octets += len(name) + len(value.encode())
    if octets > MAX_BYTES:
        raise _RefusedError(400, "Android message is too big", code="INVALID_ARGUMENT")
    android = _block(message, "android", "message")
    _check_data(android, "message.android")
    _check_android(android)
    _check_web(_block(message, "webpush", "message"))
    apns = _block(message, "apns", "message")
    if len(orjson.dumps(_block(apns, "payload", "message.apns"))) > MAX_BYTES:
        raise _RefusedError(400, "APNS payload is too big", code="INVALID_ARGUMENT")
    targets = [name for name in TARGETS if name in message]
    if len(targets) != 1:
        raise _wrong("message", "Exactly one of token, fid, topic or condition is required.")
    target = message[targets[0]]
    if not isinstance(target, str):
        raise _wrong(f"message.{targets[0]}", "(TYPE_STRING)")
    return target


def _check_android(android: Mapping[str, object]) -> None:
    priority, ttl = android.get("priority", "NORMAL"), android.get("ttl", "0s")
    if priority not in {"NORMAL", "HIGH", "normal", "high"}:
        raise _wrong("message.android.priority", "(TYPE_ENUM)")
    duration = _DURATION.fullmatch(ttl) if isinstance(ttl, str) else None
    if duration is None:
        raise _wrong("message.android.ttl", "(Duration), Field 'ttl', Illegal duration format")
    if int(duration[1]) > MAX_TTL_S:
        raise _RefusedError(400, "Invalid ttl: must be at most four weeks", code="INVALID_ARGUMENT")


def _check_web(web: Mapping[str, object]) -> None:
    for name, value in _block(web, "headers", "message.webpush").items():
        if not isinstance(value, str):
            raise _wrong(f"message.webpush.headers[{name}].value", "(TYPE_STRING)")
    link = _block(web, "fcm_options", "message.webpush").get("link", "https://")
    if not isinstance(link, str) or not link.startswith("https://"):
        raise _RefusedError(400, "webpush link must be https", code="INVALID_ARGUMENT")


class FcmSimulator:
    """FCM HTTP v1 and Google's token endpoint at `/token`, on one port.

    Args:
        accounts: Registered service accounts. Without `any_key`, no other gets an access token.
        tokens: Registration tokens and installation ids -> the project they belong to. Without
            `any_token`, no other exists.
        token_url: What an assertion's `aud` must be; empty takes any.
        any_token: Take every well-formed target in every project.
        any_key: Take every assertion and every access token.
        faults: What goes wrong.
        record: Keep what was delivered, at the price of memory per token.
    """

    speaks_http1 = True

    def __init__(  # noqa: PLR0913 - each is one independent choice of whoever starts a simulator
        self,
        *,
        accounts: Iterable[FcmAccount] = (),
        tokens: Mapping[str, str] | None = None,
        token_url: str = "",
        any_token: bool = False,
        any_key: bool = False,
        faults: FcmFaults | None = None,
        record: bool = False,
    ) -> None:
        self.accounts = {account.email: account for account in accounts}
        self.tokens = dict(tokens or {})
        self.unregistered: set[str] = set()
        """Tokens that were registered once."""
        self.faults = faults or FcmFaults()
        self.initial_max_streams = self.faults.max_streams
        self.record = FcmRecord() if record else None
        self._token_url, self._any_token, self._any_key = token_url, any_token, any_key
        self._issued: dict[str, tuple[frozenset[str], float]] = {}
        self._connections: Counter[int] = Counter()
        self._buckets: dict[str, tuple[float, float]] = {}
        self._requests = 0
        self._by_status: Counter[int] = Counter()

    def closed(self, connection: int) -> None:
        """Forget a connection."""
        self._connections.pop(connection, None)

    def counts(self) -> SimulatorCounts:
        """What was seen so far."""
        return SimulatorCounts(requests=self._requests, by_status=dict(self._by_status))

    def revoke(self) -> None:
        """Forget every access token: the next request of each gets 401."""
        self._issued.clear()

    def answer(self, request: SimulatedRequest) -> SimulatedAnswer:
        """Judge one request."""
        self._requests += 1
        if request.path == "/token":
            return self._token(request)
        if self._hit("silent", self.faults.silent):
            return SimulatedAnswer(silent=True)
        if self._hit("dropped", self.faults.dropped):
            return SimulatedAnswer(drop_connection=True)
        status, headers = 200, [JSON]
        try:
            body = self._send(request)
        except _RefusedError as refusal:
            status, body = refusal.status, refusal.said
            headers += refusal.headers
        return self._reply(request.connection, status, headers, body)

    def _reply(
        self, connection: int, status: int, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> SimulatedAnswer:
        self._by_status[status] += 1
        self._connections[connection] += 1
        every, (low, high) = self.faults.goaway_every, self.faults.latency_s
        return SimulatedAnswer(
            status=status,
            headers=headers,
            body=body,
            delay_s=low + (high - low) * self._fate("latency") if high else 0.0,
            goaway=b"" if every and self._connections[connection] % every == 0 else None,
        )

    def _fate(self, what: str) -> float:
        return _fraction(self.faults.seed, f"{what} {self._requests}")

    def _hit(self, what: str, share: float) -> bool:
        return share > 0 and self._fate(what) < share

    def _token(self, request: SimulatedRequest) -> SimulatedAnswer:
        """RFC 7523: verify the assertion and grant an access token."""
        form = dict(parse_qsl(request.body.decode("latin-1")))
        error, why = "unsupported_grant_type", "Invalid grant_type."
        if request.method == "POST" and form.get("grant_type") == GRANT:
            try:
                projects = self._assertion(form.get("assertion", ""), request.now.timestamp())
            except JoseError as fault:
                error, why = "invalid_grant", str(fault)
            else:
                text = f"ya29.{blake2b(str(self._requests).encode(), digest_size=24).hexdigest()}"
                self._issued[text] = projects, request.now.timestamp() + TOKEN_LIFE_S
                granted = {"access_token": text, "expires_in": TOKEN_LIFE_S, "token_type": "Bearer"}
                return self._reply(request.connection, 200, [JSON], orjson.dumps(granted))
        said = orjson.dumps({"error": error, "error_description": why})
        return self._reply(request.connection, 400, [JSON], said)

    def _assertion(self, text: str, now: float) -> frozenset[str]:
        """The projects that an assertion opens. Raises `JoseError` with Google's words."""
        jwt = parse_jwt(text)
        account = self.accounts.get(str(jwt.claims.get("iss")))
        if account is None:
            if self._any_key:
                return frozenset()
            raise JoseError("Invalid grant: account not found")
        public = load_pem_public_key(account.public_pem.encode())
        if not isinstance(public, RSAPublicKey):
            raise JoseError("Invalid JWT Signature.")
        try:
            verify_jwt(text, public)
        except JoseError as error:
            raise JoseError("Invalid JWT Signature.") from error
        self._check_claims(jwt, now)
        return account.projects

    def _check_claims(self, jwt: Jwt, now: float) -> None:
        issued, expires = jwt.claims.get("iat"), jwt.claims.get("exp")
        if not (isinstance(issued, int) and isinstance(expires, int)):
            raise JoseError("Invalid JWT: iat and exp are required.")
        if not issued - LEEWAY_S <= now <= expires + LEEWAY_S or expires - issued > MAX_LIFE_S:
            raise JoseError("Invalid JWT: Token must be a short-lived token in a fair timeframe.")
        if self._token_url and jwt.claims.get("aud") != self._token_url:
            raise JoseError("Invalid JWT: Failed audience check.")
        if not SCOPES & set(str(jwt.claims.get("scope")).split()):
            raise JoseError("Invalid OAuth scope or ID token audience provided.")

    def _send(self, request: SimulatedRequest) -> bytes:
        path = _SEND.fullmatch(request.path)
        if path is None or request.method != "POST":
            raise _RefusedError(404, "Requested entity was not found.")
        project = path[1]
        self._authorise(request, project)
        if self.faults.reason:
            code = self.faults.reason
            named = "" if code == "PERMISSION_DENIED" else code
            raise _RefusedError(FAULTS[code], code.capitalize(), code=named)
        try:
            whole = orjson.loads(request.body)
        except orjson.JSONDecodeError as error:
            raise _wrong("message", "Invalid JSON payload received.") from error
        if not isinstance(whole, dict) or not isinstance(whole.get("message"), dict):
            raise _wrong("message", "Message is required.")
        only_checked = whole.get("validate_only", whole.get("validateOnly", False))
        if not isinstance(only_checked, bool):
            raise _wrong("validate_only", "(TYPE_BOOL)")
        message = whole["message"]
        target = _check_message(message)
        if not {"topic", "condition"} & message.keys():
            self._check_target(target, project)
        self._check_quota(project, request.now.timestamp())
        if self.record is not None and not only_checked:
            android = _block(message, "android", "message")
            tag = str(_block(android, "notification", "message.android").get("tag", ""))
            self.record.deliveries[target] += 1
            self.record.tags.setdefault(target, set()).add(tag)
        number = f"0:{self._requests:016d}%31bd1c9631bd1c96"
        return orjson.dumps({"name": f"projects/{project}/messages/{number}"})

    def _authorise(self, request: SimulatedRequest, project: str) -> None:
        value = dict(request.headers).get(b"authorization", b"").decode("latin-1")
        projects, expires = self._issued.get(value.removeprefix("Bearer "), _NOTHING)
        if self._any_key and value.startswith("Bearer "):
            return
        if expires < request.now.timestamp() or not value.startswith("Bearer "):
            raise _RefusedError(401, "Request had invalid authentication credentials.")
        if not any(project in account.projects for account in self.accounts.values()):
            raise _RefusedError(404, "Requested entity was not found.")
        if project not in projects:
            raise _RefusedError(403, "Permission 'cloudmessaging.messages.create' denied.")

    def _check_target(self, target: str, project: str) -> None:
        bad = "The registration token is not a valid FCM registration token"
        lot, faults = _fraction(self.faults.seed, target), self.faults
        if lot < faults.dead or target in self.unregistered:
            raise _RefusedError(404, "Requested entity was not found.", code="UNREGISTERED")
        home = project if self._any_token else self.tokens.get(target)
        if home is None or not _TARGET.fullmatch(target) or lot < faults.dead + faults.invalid:
            raise _RefusedError(400, bad, code="INVALID_ARGUMENT")
        if home != project or lot < faults.dead + faults.invalid + faults.foreign:
            raise _RefusedError(403, "SenderId mismatch", code="SENDER_ID_MISMATCH")

    def _check_quota(self, project: str, now: float) -> None:
        full, wait = self.faults.quota_per_minute, self.faults.retry_after_s
        if self._hit("throttle", self.faults.throttle):
            raise _RefusedError(429, "Quota exceeded.", code="QUOTA_EXCEEDED", wait_s=wait)
        if self._hit("unavailable", self.faults.unavailable):
            raise _RefusedError(503, "Unavailable.", code="UNAVAILABLE", wait_s=wait)
        if full:
            left, since = self._buckets.get(project, (float(full), now))
            left = min(full, left + (now - since) * full / 60)
            self._buckets[project] = max(0.0, left - 1), now
            if left < 1:
                raise _RefusedError(429, "Quota exceeded.", code="QUOTA_EXCEEDED", wait_s=wait)
