"""The one catalogue of errors that the public API can answer with.

A code is a promise to clients: it is never renamed, never given a second meaning, and never
used again once it is gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

TYPE_PREFIX: Final = "/errors/"
"""A problem's `type` is this path and the code, relative to the server (RFC 9457 section 3.1.1)."""


class ErrorCode(StrEnum):
    """What went wrong with a request, as a word that programs compare."""

    HTTP_MALFORMED = "http_malformed"
    JSON_MALFORMED = "json_malformed"
    BODY_MALFORMED = "body_malformed"
    HEADER_INVALID = "header_invalid"
    QUERY_INVALID = "query_invalid"
    CURSOR_INVALID = "cursor_invalid"
    KEY_MISSING = "key_missing"
    KEY_INVALID = "key_invalid"
    KEY_EXPIRED = "key_expired"
    KEY_REVOKED = "key_revoked"
    IDENTITY_TOKEN_REQUIRED = "identity_token_required"  # noqa: S105  a code, not a token
    IDENTITY_TOKEN_INVALID = "identity_token_invalid"  # noqa: S105  a code, not a token
    SCOPE_INSUFFICIENT = "scope_insufficient"
    ROUTE_UNKNOWN = "route_unknown"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    HEAD_TIMEOUT = "head_timeout"
    BODY_TIMEOUT = "body_timeout"
    NAME_TAKEN = "name_taken"
    STATE_CONFLICT = "state_conflict"
    IDEMPOTENCY_IN_FLIGHT = "idempotency_in_flight"
    BODY_TOO_LARGE = "body_too_large"
    MEDIA_TYPE_UNSUPPORTED = "media_type_unsupported"
    REQUEST_INVALID = "request_invalid"
    MESSAGE_REFUSED = "message_refused"
    CATEGORY_UNKNOWN = "category_unknown"
    CREDENTIAL_REFUSED = "credential_refused"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    RATE_LIMITED = "rate_limited"
    HEAD_TOO_LARGE = "head_too_large"
    INTERNAL_ERROR = "internal_error"
    STORE_UNAVAILABLE = "store_unavailable"
    FACTS_UNAVAILABLE = "facts_unavailable"
    NOT_READY = "not_ready"


class FieldCode(StrEnum):
    """What is wrong with one field of a request."""

    MISSING = "field_missing"
    UNKNOWN = "field_unknown"
    WRONG_TYPE = "field_type"
    INVALID = "field_invalid"
    TOO_LARGE = "field_too_large"
    COMBINATION = "combination_invalid"


MORE_FIELD_CODES: Final[Mapping[str, str]] = {
    "address_invalid": "This is no IP address.",
    "alias_taken": "Another person has this alias.",
    "attribute_too_large": "One attribute is larger than is kept.",
    "attributes_too_large": "All attributes together are larger than is kept.",
    "attributes_too_many": "There are more attributes than are kept.",
    "category_fixed": "People can't opt out of this category.",
    "category_unknown": "The app has no such category.",
    "consent_outdated": "The ledger has a later change for this person and category.",
    "country_unknown": "No country of ISO 3166-1 has this code.",
    "device_unknown": "The app has no such device.",
    "devices_limit": "The user has as many devices as one may have.",
    "endpoint_forbidden": "Nothing is sent to this host or port.",
    "environment_invalid": "The network has no such environment.",
    "event_too_old": "The event happened before what is remembered of events.",
    "id_invalid": "This is no id of that kind.",
    "keys_invalid": "These are not the keys of a Web Push subscription.",
    "language_invalid": "This is no language tag (BCP 47).",
    "link_forbidden": "Nobody may be led to this address, or no picture may be loaded from it.",
    "location_invalid": "These are not a latitude and a longitude.",
    "merge_limit": "The person has taken over as many others as one may.",
    "name_reserved": "The platform's own events have this name.",
    "network_unknown": "There is no such network.",
    "not_for_everything": "Everything at once can only be granted or withdrawn.",
    "nothing_to_confirm": "Only a provisional consent can be confirmed.",
    "number_invalid": "This is no number, or one that can't be kept.",
    "payload_too_large": "The network takes no payload of this length; shorten the field.",
    "permission_unknown": "There is no such permission state.",
    "platform_unknown": "There is no such platform.",
    "row_malformed": "The line can't be read.",
    "template_invalid": "The template can't be understood, or prints what nobody has.",
    "text_invalid": "The text is empty, or has a control character.",
    "text_too_long": "The text is longer than is kept.",
    "time_invalid": "This is no instant, or one that can't be.",
    "time_zone_unknown": "There is no such time zone (IANA).",
    "token_invalid": "This is no device token of that network.",
    "type_invalid": "The value has the wrong type.",
    "user_missing": "The consent names nobody.",
    "user_unknown": "The app has no such person.",
    "value_unknown": "This is none of the words that are taken here.",
}
"""What the fields of rows (registrations, imports, events, consents) and of messages may be
refused with besides."""


class Gravity(StrEnum):
    """How loud the log is about an error."""

    QUIET = "info"
    """The client's own affair."""
    NOTABLE = "warning"
    """Something outside is not well."""
    BUG = "error"
    """Ours to mend."""


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """What is the same about every error of one code."""

    status: int
    title: str
    retryable: bool = False
    """Whether the same request may succeed later without being changed."""
    gravity: Gravity = Gravity.QUIET


_C = ErrorCode
ERRORS: Final[dict[ErrorCode, ErrorKind]] = {
    _C.HTTP_MALFORMED: ErrorKind(400, "The request is not HTTP"),
    _C.JSON_MALFORMED: ErrorKind(400, "The body is not valid JSON"),
    _C.BODY_MALFORMED: ErrorKind(400, "The body can't be read"),
    _C.HEADER_INVALID: ErrorKind(400, "A header is not acceptable"),
    _C.QUERY_INVALID: ErrorKind(400, "A query parameter is not acceptable"),
    _C.CURSOR_INVALID: ErrorKind(400, "The cursor is not one that this list gave out"),
    _C.KEY_MISSING: ErrorKind(401, "An API key is required"),
    _C.KEY_INVALID: ErrorKind(401, "The API key is not valid"),
    _C.KEY_EXPIRED: ErrorKind(401, "The API key has expired"),
    _C.KEY_REVOKED: ErrorKind(401, "The API key was revoked"),
    _C.IDENTITY_TOKEN_REQUIRED: ErrorKind(401, "A signed identity token is required"),
    _C.IDENTITY_TOKEN_INVALID: ErrorKind(401, "The identity token is not valid"),
    _C.SCOPE_INSUFFICIENT: ErrorKind(403, "The API key's scope does not allow this"),
    _C.ROUTE_UNKNOWN: ErrorKind(404, "There is nothing at this path"),
    _C.NOT_FOUND: ErrorKind(404, "There is no such thing in this app"),
    _C.METHOD_NOT_ALLOWED: ErrorKind(405, "The path does not take this method"),
    _C.HEAD_TIMEOUT: ErrorKind(408, "The request's head did not arrive in time", retryable=True),
    _C.BODY_TIMEOUT: ErrorKind(408, "The body did not arrive in time", retryable=True),
    _C.NAME_TAKEN: ErrorKind(409, "The name is in use"),
    _C.STATE_CONFLICT: ErrorKind(409, "The present state does not allow this"),
    _C.IDEMPOTENCY_IN_FLIGHT: ErrorKind(
        409, "The first request with this idempotency key is still being worked on", retryable=True
    ),
    _C.BODY_TOO_LARGE: ErrorKind(413, "The body is too large"),
    _C.MEDIA_TYPE_UNSUPPORTED: ErrorKind(415, "The body's media type is not taken here"),
    _C.REQUEST_INVALID: ErrorKind(422, "The request is not acceptable"),
    _C.MESSAGE_REFUSED: ErrorKind(422, "A targeted network would refuse the message"),
    _C.CATEGORY_UNKNOWN: ErrorKind(422, "The app has no such category"),
    _C.CREDENTIAL_REFUSED: ErrorKind(422, "The credential can't work"),
    _C.IDEMPOTENCY_KEY_REUSED: ErrorKind(422, "The idempotency key came with another body"),
    _C.RATE_LIMITED: ErrorKind(429, "Too many requests", retryable=True),
    _C.HEAD_TOO_LARGE: ErrorKind(431, "The request's head is too large"),
    _C.INTERNAL_ERROR: ErrorKind(500, "A fault of the server", gravity=Gravity.BUG),
    _C.STORE_UNAVAILABLE: ErrorKind(
        503, "The store can't be reached", retryable=True, gravity=Gravity.NOTABLE
    ),
    _C.FACTS_UNAVAILABLE: ErrorKind(
        503, "The recorded outcomes can't be read", retryable=True, gravity=Gravity.NOTABLE
    ),
    _C.NOT_READY: ErrorKind(
        503, "The server is not ready", retryable=True, gravity=Gravity.NOTABLE
    ),
}
