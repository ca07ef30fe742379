"""How one recipient's part of a message ended, and why.

The numbers are stored in facts for years: they are never reused or renumbered.
"""

from enum import IntEnum
from typing import Final


class Outcome(IntEnum):
    """The one end that every recipient of every message has."""

    ACCEPTED = 1
    """The network took the message."""
    DEAD = 2
    """The network says that the token is no more."""
    REFUSED = 3
    """The network refuses this message for good."""
    SUPPRESSED = 4
    """We decided not to send."""
    EXPIRED = 5
    """The message's deadline passed before it could be sent."""
    CANCELED = 6
    """The sender withdrew the message before it was sent."""
    FAILED = 7
    """Every attempt failed and the retry policy gave up."""


class Reason(IntEnum):
    """Why. Hundreds group the codes by outcome."""

    ACCEPTED = 0

    USER_OPTED_OUT = 101
    DEVICE_OPTED_OUT = 102
    DEVICE_DEAD = 103
    USER_HAS_NO_DEVICE = 104
    DEVICE_MOVED = 105
    USER_UNKNOWN = 106
    DEVICE_UNKNOWN = 107
    USER_DELETED = 108
    CREDENTIAL_MISSING = 109
    NETWORK_EXCLUDED = 110
    CONSENT_MISSING = 111
    CATEGORY_OPTED_OUT = 112
    SUPPRESSION_LIST = 113
    PERMISSION_DENIED = 114
    PAUSED_BY_PERSON = 115
    QUIET_HOURS = 116
    FREQUENCY_CAPPED = 117
    LOCAL_TIME_PASSED = 118
    DIGESTED = 119
    GAVE_WAY = 120
    VARIABLE_MISSING = 121
    NOT_IN_SEGMENT = 122
    TIME_ZONE_UNKNOWN = 123
    TEMPLATE_FAILED = 124

    # Why a decision waits; no recipient ends with one of these.
    HELD_FOR_LOCAL_TIME = 131
    HELD_FOR_QUIET_HOURS = 132
    HELD_FOR_CAP = 133

    TOKEN_UNREGISTERED = 201
    TOKEN_INVALID = 202
    TOKEN_OF_ANOTHER_SENDER = 203
    TOKEN_REPLACED = 204

    PAYLOAD_REFUSED = 301
    PAYLOAD_TOO_LARGE = 302
    REQUEST_MALFORMED = 303
    ENDPOINT_FORBIDDEN = 304

    CREDENTIAL_REJECTED = 401
    CREDENTIAL_EXPIRED = 402
    TOPIC_DISALLOWED = 403

    THROTTLED = 501
    PROVIDER_UNAVAILABLE = 502
    PROVIDER_ERROR = 503
    ANSWER_TIMED_OUT = 504
    CONNECTION_LOST = 505
    CONNECTION_REFUSED = 506
    BATCH_POISONED = 507

    CANCELED_BY_SENDER = 601
    DEADLINE_PASSED = 602
    HELD_PAST_DEADLINE = 603

    @property
    def label(self) -> str:
        """The reason as the API spells it."""
        return self.name.lower()


class Verdict(IntEnum):
    """What a network's answer means for us (the sender's half of every error table)."""

    OK = 0
    DROP_TOKEN = 1
    """The target is dead: tombstone it, never retry."""
    REPLACE_TOKEN = 2
    """The target has a new identity: store it; this message was accepted."""
    RETRY = 3
    """Transient: back off and try again."""
    RETRY_AFTER = 4
    """Transient: wait as long as told."""
    REFRESH_AUTH = 5
    """Mint or fetch a new credential once, then try again."""
    FIX_PAYLOAD = 6
    """Permanent for this message; the token is fine."""
    ALERT_CONFIG = 7
    """Permanent for this credential: pause, tell the operator, touch no token."""
    SUSPECT_TOKEN = 8
    """Either the token or the credential is wrong; how many tokens it hits decides."""


MAX_RETRY_AFTER_S: Final = 24 * 3600.0
"""A network that asks for longer is not believed."""
