"""Why the service says no: one row each, with the status, Mozilla's errno and a sentence.

The bodies are those that Mozilla's push service documents, so that senders which read them need
nothing new: `{"code":404,"errno":102,"error":"Not Found","message":"…"}`.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from http import HTTPStatus
from typing import Final

import orjson

DEAD_FOR: Final = b"max-age=86400"
"""How long an answer 410 may be remembered, as Mozilla's service says it."""


class Refusal(Enum):
    """A reason.

    Attributes:
        status: RFC 8030 sections 5 to 8, RFC 8292 section 4.2.
        errno: Mozilla's, where it has one.
        sentence: for the person who reads the sender's log.
    """

    NOT_FOUND = 404, 102, "There is no such resource."
    GONE = 410, 106, "The subscription has ended."
    METHOD = 405, None, "The resource does not take this method."
    TTL = 400, 111, "The TTL header is missing or is not a number of seconds."
    TOPIC = 400, 113, "The Topic header is not 1 to 32 characters of A-Z a-z 0-9 - _."
    URGENCY = 400, None, "The Urgency header is not one of very-low, low, normal, high."
    PREFER = 400, None, "The Prefer header can't be read."
    RECEIPTS = 400, None, "The receipt subscription in the Link header is none of ours."
    ENCODING = 400, 110, "The encryption headers don't fit the content."
    SAME_KEY = 400, 110, "One key must not both sign and encrypt (RFC 8292 section 3.2)."
    VAPID_MISSING = 401, 109, "The subscription is restricted to a key and the request has none."
    VAPID_UNREADABLE = 401, 109, "The VAPID credentials can't be read."
    VAPID_INVALID = 403, 109, "The VAPID credentials are not valid."
    TOO_LARGE = 413, 104, "The message is too large."
    HEAD_TOO_LARGE = 431, None, "The header fields are too large."
    RATE_SUBSCRIPTION = 429, None, "Too many messages for this subscription."
    RATE_ORIGIN = 429, None, "Too many requests from this sender."
    ADDRESS = 429, None, "Too many connections from this address."
    FULL = 429, None, "Too many messages wait for this subscription."
    BAD_REQUEST = 400, None, "The request can't be read."
    UNAUTHORIZED = 401, None, "The request names no device of ours."
    ORIGIN = 403, None, "Pages of this origin may not speak with the service."
    CONFLICT = 409, None, "The subscription exists with another key."
    TOO_MANY = 429, None, "The device has as many subscriptions as one may have."
    VERSION = 426, None, "Only version 13 of the WebSocket protocol is spoken here."
    TIMEOUT = 408, None, "The request did not arrive in time."
    BUSY = 503, 201, "The service can't take messages at the moment."
    BUG = 500, 999, "The request met a bug of the service."

    def __init__(self, status: int, errno: int | None, sentence: str) -> None:
        self.status, self.errno, self.sentence = status, errno, sentence


class RefusedError(Exception):
    """A request is refused; `detail` says more than the refusal's own sentence.

    Attributes:
        retry_after_s: how long the client is to wait; 0 where it is not told.
        allow: the methods that the resource takes, where it does not take the request's.
    """

    def __init__(
        self, refusal: Refusal, detail: str = "", *, retry_after_s: int = 0, allow: str = ""
    ) -> None:
        self.refusal = refusal
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.allow = allow
        super().__init__(detail or refusal.sentence)


OF_FIELD: Final[Mapping[str, Refusal]] = {
    "ttl": Refusal.TTL,
    "topic": Refusal.TOPIC,
    "urgency": Refusal.URGENCY,
    "prefer": Refusal.PREFER,
}
"""Which header is at fault, as `clarion.wire.push_headers` names it."""

RETRY_BUSY_S: Final = 5
_CHALLENGE: Final = ((b"www-authenticate", b"vapid"),)
_OF_REFUSAL: Final[Mapping[Refusal, Sequence[tuple[bytes, bytes]]]] = {
    Refusal.GONE: ((b"cache-control", DEAD_FOR),),
    # RFC 9110 section 11.6.1; RFC 8292 section 3 has its challenge without parameters.
    Refusal.VAPID_MISSING: _CHALLENGE,
    Refusal.VAPID_UNREADABLE: _CHALLENGE,
    Refusal.UNAUTHORIZED: ((b"www-authenticate", b"Bearer"),),
    # RFC 6455 section 4.4 and RFC 9110 section 15.5.22.
    Refusal.VERSION: (
        (b"sec-websocket-version", b"13"), (b"upgrade", b"websocket"), (b"connection", b"upgrade"),
    ),
}  # fmt: skip


def body_of(error: RefusedError) -> bytes:
    """The JSON that is answered."""
    refusal = error.refusal
    said = {
        "code": refusal.status,
        "errno": refusal.errno,
        "error": HTTPStatus(refusal.status).phrase,
        "message": error.detail or refusal.sentence,
    }
    return orjson.dumps(said)


def headers_of(error: RefusedError) -> list[tuple[bytes, bytes]]:
    """Header fields that go with a refusal."""
    fields = [(b"content-type", b"application/json")]
    fields += _OF_REFUSAL.get(error.refusal, ())
    if error.allow:
        fields.append((b"allow", error.allow.encode("ascii")))
    retry = error.retry_after_s or (RETRY_BUSY_S if error.refusal is Refusal.BUSY else 0)
    if retry:
        fields.append((b"retry-after", b"%d" % retry))
    return fields
