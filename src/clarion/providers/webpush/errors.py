"""What the push services' answers mean, row by row.

A service is known by its host. Its own table comes first, then RFC 8030's, then the hundreds.
Every table maps (status, what `_WORDS` finds in the answer) to a verdict and a reason.

A 401 or 403 that may concern one subscription alone (made with another VAPID key) is
`SUSPECT_TOKEN`: how many it hits decides. A 401 of a service that we do not know is about itself
alone: a client may register any endpoint, and must not be able to quarantine a credential.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np
import orjson

from clarion.domain.content import Json
from clarion.domain.handoffs import Answers
from clarion.domain.outcome import MAX_RETRY_AFTER_S, Reason, Verdict
from clarion.wire.http2 import Failure
from clarion.wire.push_headers import PushHeaderError, parse_retry_after

Headers = Sequence[tuple[bytes, bytes]]

MAX_WORDS: Final = 200
"""Characters of a service's own words that are kept."""

_MAX_BODY: Final = 16_384


class Profile(StrEnum):
    """Whose habits a push service has."""

    GENERIC = "generic"
    """RFC 8030 to the letter, and UnifiedPush hosts, ntfy's codes included."""
    NTFY = "ntfy"
    AUTOPUSH = "autopush"
    GOOGLE = "google"
    APPLE = "apple"
    WNS = "wns"


_HOSTS: Final = {
    "fcm.googleapis.com": Profile.GOOGLE,
    "android.googleapis.com": Profile.GOOGLE,
    "ntfy.sh": Profile.NTFY,
}
_DOMAINS: Final = {
    ".push.services.mozilla.com": Profile.AUTOPUSH,
    ".google.com": Profile.GOOGLE,
    ".push.apple.com": Profile.APPLE,
    ".notify.windows.com": Profile.WNS,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an error table."""

    verdict: Verdict
    reason: Reason


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one answer means; `retry_after_s` is NaN where the service does not say."""

    verdict: Verdict
    reason: Reason
    retry_after_s: float
    words: str
    """The service's own words, shortened; may be empty."""


class Columns:
    """The answers under construction; a row that nobody writes to is a lost connection."""

    def __init__(self, rows: int) -> None:
        self.verdict = np.full(rows, Verdict.RETRY, np.uint8)
        self.reason = np.full(rows, Reason.CONNECTION_LOST, np.uint16)
        self.status = np.zeros(rows, np.uint16)
        self.retry_after_s = np.full(rows, np.nan, np.float32)
        self.words: dict[int, str] = {}
        self.ids: dict[int, str] = {}

    def put(self, rows: Sequence[int], end: Judgement) -> None:
        """Write the same end into some rows."""
        for row in rows:
            self.verdict[row] = end.verdict
            self.reason[row] = end.reason
            self.retry_after_s[row] = end.retry_after_s
            if end.words:
                self.words[row] = end.words

    def accept(self, rows: Sequence[int], statuses: Sequence[int]) -> None:
        """Write the statuses of the rows' requests; any 2xx is success (ntfy says 200)."""
        index, status = np.array(rows, np.int64), np.array(statuses, np.uint16)
        self.status[index] = status
        taken = index[(status >= 200) & (status < 300)]  # noqa: PLR2004 - RFC 9110 section 15.3
        self.verdict[taken] = Verdict.OK
        self.reason[taken] = Reason.ACCEPTED

    def keep_id(self, row: int, headers: Headers) -> None:
        """Keep the message resource (RFC 8030 section 5) or Apple's id of an accepted message."""
        name = _header(headers, b"location") or _header(headers, b"apns-id")
        if name:
            self.ids[row] = name

    def answers(self) -> Answers:
        """The columns as the port has them."""
        return Answers(
            verdict=self.verdict,
            reason=self.reason,
            status=self.status,
            retry_after_s=self.retry_after_s,
            dead_us=np.zeros(len(self.verdict), np.int64),
            provider_reason=self.words,
            provider_id=self.ids,
        )


Table = Mapping[tuple[int, str | None], Row]

_ACCEPTED: Final = Row(Verdict.OK, Reason.ACCEPTED)
_MALFORMED: Final = Row(Verdict.FIX_PAYLOAD, Reason.REQUEST_MALFORMED)
_REFUSED: Final = Row(Verdict.FIX_PAYLOAD, Reason.PAYLOAD_REFUSED)
_TOO_LARGE: Final = Row(Verdict.FIX_PAYLOAD, Reason.PAYLOAD_TOO_LARGE)
_FORBIDDEN: Final = Row(Verdict.FIX_PAYLOAD, Reason.ENDPOINT_FORBIDDEN)
_GONE: Final = Row(Verdict.DROP_TOKEN, Reason.TOKEN_UNREGISTERED)
_INVALID: Final = Row(Verdict.DROP_TOKEN, Reason.TOKEN_INVALID)
_REJECTED: Final = Row(Verdict.ALERT_CONFIG, Reason.CREDENTIAL_REJECTED)
_BLOCKED: Final = Row(Verdict.ALERT_CONFIG, Reason.TOPIC_DISALLOWED)
_OTHER_KEY: Final = Row(Verdict.SUSPECT_TOKEN, Reason.TOKEN_OF_ANOTHER_SENDER)
_THROTTLED: Final = Row(Verdict.RETRY_AFTER, Reason.THROTTLED)
_UNAVAILABLE: Final = Row(Verdict.RETRY, Reason.PROVIDER_UNAVAILABLE)
_UNAVAILABLE_UNTIL: Final = Row(Verdict.RETRY_AFTER, Reason.PROVIDER_UNAVAILABLE)
_ERROR: Final = Row(Verdict.RETRY, Reason.PROVIDER_ERROR)
_TIMED_OUT: Final = Row(Verdict.RETRY, Reason.ANSWER_TIMED_OUT)

RFC_8030: Final[Table] = {
    (400, None): _MALFORMED,
    (401, None): Row(Verdict.FIX_PAYLOAD, Reason.CREDENTIAL_REJECTED),  # see above
    (403, None): _OTHER_KEY,  # RFC 8292 section 4.2: a bad signature or another key
    (404, None): _GONE,  # RFC 8030 section 7.3
    (405, None): _MALFORMED,
    (408, None): _TIMED_OUT,
    (410, None): _GONE,
    (413, None): _TOO_LARGE,  # never for 4096 octets or fewer (section 7.2)
    (414, None): _FORBIDDEN,
    (429, None): _THROTTLED,  # section 8.4
    (500, None): _ERROR,
    (502, None): _UNAVAILABLE,
    (503, None): _UNAVAILABLE,
    (504, None): _UNAVAILABLE,
    # ntfy: nobody has subscribed to this topic yet. A 5xx on purpose: the endpoint is fine.
    (507, None): _UNAVAILABLE_UNTIL,
    (507, "50701"): _UNAVAILABLE_UNTIL,
    (400, "40009"): _INVALID,  # no topic of ntfy can have this name
    (413, "41301"): _TOO_LARGE,
    (413, "41303"): _TOO_LARGE,
    (429, "42901"): _THROTTLED,
    (429, "42908"): _THROTTLED,
    (500, "50001"): _ERROR,
}

AUTOPUSH: Final[Table] = {
    (400, "101"): _REFUSED,
    (400, "108"): _INVALID,  # the router type is a part of the endpoint
    (400, "110"): _REFUSED,
    (400, "111"): _MALFORMED,
    (400, "112"): _MALFORMED,
    (400, "114"): _MALFORMED,
    (400, "113"): _MALFORMED,
    (401, "109"): _REJECTED,
    (401, "109 mismatch"): _OTHER_KEY,
    (404, "102"): _INVALID,
    (410, "103"): _GONE,
    (410, "105"): _GONE,
    (410, "106"): _GONE,
    (413, "104"): _TOO_LARGE,
    (500, "999"): _ERROR,
    (502, "900"): _UNAVAILABLE,
    (502, "901"): _UNAVAILABLE,
    (502, "902"): _UNAVAILABLE,
    (502, "903"): _UNAVAILABLE,
    (503, "201"): _UNAVAILABLE_UNTIL,
    (503, "202"): _UNAVAILABLE,
    (403, None): _REJECTED,  # not in its documents: it says 401 where RFC 8292 suggests 403
}

GOOGLE: Final[Table] = {
    (400, "UnauthorizedRegistration"): _REJECTED,
    (400, "InvalidTokenFormat"): _MALFORMED,
    (401, None): _REJECTED,
    (403, "MismatchSenderId"): _OTHER_KEY,
    (403, "do not correspond to the credentials"): _OTHER_KEY,
    (403, "invalid push subscription endpoint"): _OTHER_KEY,
    (410, "NotRegistered"): _GONE,
    (410, "unsubscribed or expired"): _GONE,
}

APPLE: Final[Table] = {
    (400, "BadTtl"): _MALFORMED,
    (400, "BadUrgency"): _MALFORMED,
    (400, "BadWebPushRequest"): _REFUSED,
    (400, "BadWebPushTopic"): _MALFORMED,
    (400, "IdleTimeout"): Row(Verdict.RETRY, Reason.CONNECTION_LOST),
    (403, None): _REJECTED,
    (403, "BadAuthorizationHeader"): _REJECTED,
    (403, "BadJwtToken"): _REJECTED,
    (403, "BadVapidPublicKey"): _REJECTED,
    (403, "VapidPkHashMismatch"): _OTHER_KEY,
    (404, "BadPath"): _INVALID,
    (405, "MethodNotAllowed"): _MALFORMED,
    (410, "Unregistered"): _GONE,
    (410, "ExpiredToken"): _GONE,
    (413, "PayloadTooLarge"): _TOO_LARGE,
    (429, "TooManyRequests"): _THROTTLED,
    (500, "InternalServerError"): _ERROR,
    (503, "ServiceUnavailable"): _UNAVAILABLE,
    (503, "Shutdown"): _UNAVAILABLE,
}

WNS: Final[Table] = {
    # The word of a 2xx is X-WNS-Status; `dropped` is accepted, and reported with its word.
    (200, "channelthrottled"): _THROTTLED,
    (201, "channelthrottled"): _THROTTLED,
    (406, None): _THROTTLED,
    (410, "domain blocked"): _BLOCKED,  # the sender is blocked for abuse: no token is dead
    (503, None): _UNAVAILABLE_UNTIL,
}

TABLES: Final[Mapping[Profile, Table]] = {
    Profile.GENERIC: RFC_8030,
    Profile.NTFY: RFC_8030,
    Profile.AUTOPUSH: AUTOPUSH,
    Profile.GOOGLE: GOOGLE,
    Profile.APPLE: APPLE,
    Profile.WNS: WNS,
}

_HUNDREDS: Final[Mapping[int, Row]] = {
    2: _ACCEPTED,
    3: _FORBIDDEN,  # the egress guard follows no redirect
    4: _MALFORMED,
    5: _ERROR,
}

_APPLE_BY_REASON: Final = {word: row for (_, word), row in APPLE.items() if word is not None}
"""Apple lists statuses and reasons apart, so that a reason is believed under any status."""

FAILURES: Final[Mapping[Failure, Judgement]] = {
    failure: Judgement(Verdict.RETRY, reason, math.nan, "")
    for failure, reason in (
        (Failure.REFUSED, Reason.CONNECTION_REFUSED),
        (Failure.GOAWAY_ABOVE, Reason.CONNECTION_LOST),
        (Failure.RESET, Reason.CONNECTION_LOST),
        (Failure.DEADLINE, Reason.ANSWER_TIMED_OUT),
        (Failure.CONNECTION_LOST, Reason.CONNECTION_LOST),
    )
}
"""What it means that there was no answer; Topic keeps a repeat from being shown twice."""


def profile_of(host: str) -> Profile:
    """Whose service a host is, by name; anything unknown is judged by the RFC."""
    name = host.lower().rstrip(".")
    if name in _HOSTS:
        return _HOSTS[name]
    for domain, profile in _DOMAINS.items():
        if name.endswith(domain):
            return profile
    return Profile.GENERIC


def judge(profile: Profile, status: int, headers: Headers, body: bytes, now: datetime) -> Judgement:
    """What an answer means. Never raises, whatever the service sent.

    Args:
        profile: Whose tables apply (`profile_of`).
        status: The HTTP status.
        headers: Regular fields, names in lower case.
        body: As much as was read of it.
        now: To turn a Retry-After date into seconds (RFC 9110 section 10.2.3).
    """
    word, words = _WORDS[profile](headers, body)
    if 200 <= status < 300:  # noqa: PLR2004 - RFC 9110 section 15.3
        word = words = _header(headers, b"x-wns-status") if profile is Profile.WNS else ""
    row = _find(profile, status, word)
    wait = _retry_after_s(headers, now)
    verdict = row.verdict
    if verdict is Verdict.RETRY and not math.isnan(wait):
        verdict = Verdict.RETRY_AFTER
    return Judgement(verdict, row.reason, wait, _clean(words))


def _find(profile: Profile, status: int, word: str | None) -> Row:
    own = TABLES[profile]
    if profile is Profile.APPLE and word in _APPLE_BY_REASON:
        return _APPLE_BY_REASON[word]
    keys = ((status, word), (status, None)) if word is not None else ((status, None),)
    for table in (own, RFC_8030):
        for key in keys:
            if key in table:
                return table[key]
    return _HUNDREDS.get(status // 100, _ERROR)


def _retry_after_s(headers: Headers, now: datetime) -> float:
    """Seconds to wait; NaN when the service does not say, or says what is no Retry-After."""
    text = _header(headers, b"retry-after")
    try:
        return min(parse_retry_after(text, now).total_seconds(), MAX_RETRY_AFTER_S)
    except PushHeaderError:
        return math.nan


def _header(headers: Headers, wanted: bytes) -> str:
    for name, value in headers:
        if name == wanted:
            return value.decode("latin-1")
    return ""


def _members(body: bytes) -> Mapping[str, Json]:
    """The body as a JSON object; empty when it is anything else."""
    try:
        value: Json = orjson.loads(body[:_MAX_BODY])
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(body: bytes) -> str:
    return body[:_MAX_BODY].decode("utf-8", "replace")


def _autopush_word(headers: Headers, body: bytes) -> tuple[str | None, str]:
    del headers
    members = _members(body)
    errno, message = members.get("errno"), members.get("message")
    words = message if isinstance(message, str) else _text(body)
    if not isinstance(errno, int):
        return None, words
    mismatch = errno == 109 and "key mismatch" in words.lower()  # noqa: PLR2004 - errno 109: VAPID
    return ("109 mismatch" if mismatch else str(errno)), f"{errno} {words}"


def _apple_word(headers: Headers, body: bytes) -> tuple[str | None, str]:
    del headers
    reason = _members(body).get("reason")
    return (reason, reason) if isinstance(reason, str) else (None, _text(body))


def _google_word(headers: Headers, body: bytes) -> tuple[str | None, str]:
    """Google answers HTML or a sentence: its rows are known by a phrase."""
    del headers
    text = _text(body)
    plain = re.sub(r"<[^<>]*>", " ", text)
    for _, phrase in GOOGLE:
        if phrase is not None and phrase.lower() in plain.lower():
            return phrase, plain
    return None, plain


def _wns_word(headers: Headers, body: bytes) -> tuple[str | None, str]:
    described = _header(headers, b"x-wns-error-description")
    blocked = "domain" in described.lower() and "block" in described.lower()
    return ("domain blocked" if blocked else None), described or _text(body)


def _generic_word(headers: Headers, body: bytes) -> tuple[str | None, str]:
    """Ntfy writes `{"code": 50701, "http": 507, "error": ...}`; others write what they like."""
    del headers
    members = _members(body)
    code, error = members.get("code"), members.get("error")
    if isinstance(code, int) and isinstance(error, str):
        return str(code), f"{code} {error}"
    return None, _text(body)


_WORDS: Final[Mapping[Profile, Callable[[Headers, bytes], tuple[str | None, str]]]] = {
    Profile.GENERIC: _generic_word,
    Profile.NTFY: _generic_word,
    Profile.AUTOPUSH: _autopush_word,
    Profile.GOOGLE: _google_word,
    Profile.APPLE: _apple_word,
    Profile.WNS: _wns_word,
}


def _clean(words: str) -> str:
    """One line without control characters or lone surrogates, fit for a log and a database."""
    printable = "".join(c if c.isprintable() else " " for c in words[: 4 * MAX_WORDS])
    return " ".join(printable.split())[:MAX_WORDS]
