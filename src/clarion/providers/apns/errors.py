"""What Apple's answers mean: every documented reason as one row of a table.

Sources: Apple, "Handling notification responses from APNs" and "Handling error responses from
Apple Push Notification service".
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import orjson

from clarion.domain.handoffs import Answers, Float32s, Int64s, UInt8s, UInt16s
from clarion.domain.network import Environment
from clarion.domain.outcome import MAX_RETRY_AFTER_S, Reason, Verdict
from clarion.wire.http2 import Batch, Failure

TRY_LATER_S: Final = 900.0
"""Apple: 5xx may be retried after 15 minutes."""
THROTTLED_S: Final = 60.0
"""`TooManyRequests` concerns one token and names no delay; Apple documents no Retry-After."""
LONGEST_NOTE: Final = 200
"""Characters of the network's own words that are kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruling:
    """What one answer means for its recipient."""

    verdict: Verdict
    reason: Reason
    retry_after_s: float = math.nan
    """How long to wait; NaN when nothing says."""
    dead_us: int = 0
    """When Apple knew that the token was dead, microseconds; 0 when it does not say."""
    note: str = ""
    """Apple's own word, where it gave one."""
    fresh_connection: bool = False
    """Whether only another connection can carry the next try."""


def _rows(
    status: int, names: str, verdict: Verdict, reason: Reason, **more: float
) -> list[tuple[tuple[int, str], Ruling]]:
    fresh = bool(more.get("fresh"))
    wait = more.get("wait", math.nan)
    return [
        (
            (status, name),
            Ruling(
                verdict=verdict,
                reason=reason,
                retry_after_s=wait,
                note=name,
                fresh_connection=fresh,
            ),
        )
        for name in names.split()
    ]


_FIX: Final = Verdict.FIX_PAYLOAD
_ALERT: Final = Verdict.ALERT_CONFIG

RULINGS: Final = dict(
    [
        *_rows(400, "BadCollapseId BadExpirationDate BadMessageId", _FIX, Reason.REQUEST_MALFORMED),
        *_rows(400, "BadPriority DuplicateHeaders", _FIX, Reason.REQUEST_MALFORMED),
        *_rows(400, "InvalidPushType MissingDeviceToken", _FIX, Reason.REQUEST_MALFORMED),
        # Wrong environment looks the same as a malformed token; `rule` asks which it can be.
        *_rows(400, "BadDeviceToken", Verdict.SUSPECT_TOKEN, Reason.TOKEN_INVALID),
        *_rows(
            400, "DeviceTokenNotForTopic", Verdict.SUSPECT_TOKEN, Reason.TOKEN_OF_ANOTHER_SENDER
        ),
        *_rows(400, "BadTopic MissingTopic TopicDisallowed", _ALERT, Reason.TOPIC_DISALLOWED),
        *_rows(400, "IdleTimeout", Verdict.RETRY, Reason.CONNECTION_LOST, fresh=True),
        *_rows(400, "PayloadEmpty", _FIX, Reason.PAYLOAD_REFUSED),
        *_rows(403, "BadCertificate BadCertificateEnvironment", _ALERT, Reason.CREDENTIAL_REJECTED),
        *_rows(403, "ExpiredProviderToken", Verdict.REFRESH_AUTH, Reason.CREDENTIAL_EXPIRED),
        *_rows(403, "InvalidProviderToken", Verdict.REFRESH_AUTH, Reason.CREDENTIAL_REJECTED),
        *_rows(403, "MissingProviderToken Forbidden", _ALERT, Reason.CREDENTIAL_REJECTED),
        *_rows(403, "UnrelatedKeyIdInToken", Verdict.RETRY, Reason.CREDENTIAL_REJECTED, fresh=True),
        *_rows(403, "BadEnvironmentKeyIdInToken", _ALERT, Reason.CREDENTIAL_REJECTED),
        *_rows(404, "BadPath", _FIX, Reason.REQUEST_MALFORMED),
        *_rows(405, "MethodNotAllowed", _FIX, Reason.REQUEST_MALFORMED),
        *_rows(410, "Unregistered ExpiredToken", Verdict.DROP_TOKEN, Reason.TOKEN_UNREGISTERED),
        *_rows(413, "PayloadTooLarge", _FIX, Reason.PAYLOAD_TOO_LARGE),
        *_rows(429, "TooManyProviderTokenUpdates", Verdict.RETRY, Reason.THROTTLED, fresh=True),
        *_rows(429, "TooManyRequests", Verdict.RETRY_AFTER, Reason.THROTTLED, wait=THROTTLED_S),
        *_rows(500, "InternalServerError", Verdict.RETRY, Reason.PROVIDER_ERROR, wait=TRY_LATER_S),
        *_rows(
            503, "ServiceUnavailable", Verdict.RETRY, Reason.PROVIDER_UNAVAILABLE, wait=TRY_LATER_S
        ),
        *_rows(503, "Shutdown", Verdict.RETRY, Reason.PROVIDER_UNAVAILABLE, fresh=True),
        # Broadcast and channel management share the answer format and add these.
        *_rows(
            400, "MissingChannelId BadChannelId ChannelNotRegistered", _FIX, Reason.PAYLOAD_REFUSED
        ),
        *_rows(400, "BadRequestParams BadRequestPayload", _FIX, Reason.PAYLOAD_REFUSED),
        *_rows(400, "MissingPushType", _FIX, Reason.REQUEST_MALFORMED),
        *_rows(
            400, "FeatureNotEnabled CannotCreateChannelConfig", _ALERT, Reason.CREDENTIAL_REJECTED
        ),
        *_rows(403, "TopicMismatch", _ALERT, Reason.TOPIC_DISALLOWED),
    ]
)
"""(status, reason) -> ruling, for every reason that Apple documents."""

BY_STATUS: Final = {
    401: Ruling(verdict=_ALERT, reason=Reason.CREDENTIAL_REJECTED),
    403: Ruling(verdict=_ALERT, reason=Reason.CREDENTIAL_REJECTED),
    # A 410 without Apple's words may come from anything in between: let the share decide.
    410: Ruling(verdict=Verdict.SUSPECT_TOKEN, reason=Reason.TOKEN_UNREGISTERED),
    413: Ruling(verdict=_FIX, reason=Reason.PAYLOAD_TOO_LARGE),
    429: Ruling(verdict=Verdict.RETRY_AFTER, reason=Reason.THROTTLED, retry_after_s=THROTTLED_S),
    503: Ruling(
        verdict=Verdict.RETRY, reason=Reason.PROVIDER_UNAVAILABLE, retry_after_s=TRY_LATER_S
    ),
}
"""What a status means when its reason is unknown or unreadable."""

BY_CLASS: Final = {
    2: Ruling(verdict=Verdict.OK, reason=Reason.ACCEPTED),
    4: Ruling(verdict=_FIX, reason=Reason.REQUEST_MALFORMED),
    5: Ruling(verdict=Verdict.RETRY, reason=Reason.PROVIDER_ERROR, retry_after_s=TRY_LATER_S),
}
"""What the hundreds of a status mean where `BY_STATUS` has no row."""

NOT_HTTP: Final = Ruling(verdict=Verdict.RETRY, reason=Reason.PROVIDER_ERROR)
"""Anything else: neither an acceptance nor a refusal."""

FAILURES: Final = {
    Failure.REFUSED: Ruling(verdict=Verdict.RETRY, reason=Reason.CONNECTION_REFUSED),
    Failure.GOAWAY_ABOVE: Ruling(verdict=Verdict.RETRY, reason=Reason.CONNECTION_LOST),
    Failure.RESET: Ruling(verdict=Verdict.RETRY, reason=Reason.CONNECTION_LOST),
    Failure.DEADLINE: Ruling(verdict=Verdict.RETRY, reason=Reason.ANSWER_TIMED_OUT),
    Failure.CONNECTION_LOST: Ruling(verdict=Verdict.RETRY, reason=Reason.CONNECTION_LOST),
}
"""What a request without an answer means."""


def _said(body: bytes) -> tuple[str, int]:
    """Apple's reason and its timestamp in microseconds, from whatever came as a body."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", 0
    if not isinstance(said, dict):
        return "", 0
    reason, stamp = said.get("reason"), said.get("timestamp")
    milliseconds = stamp if isinstance(stamp, int) and 0 < stamp < 1 << 53 else 0
    return reason if isinstance(reason, str) else "", milliseconds * 1000


def retry_after(headers: Iterable[tuple[bytes, bytes]], now: datetime) -> float:
    """Seconds of a Retry-After field (RFC 9110 section 10.2.3), NaN without a readable one."""
    for name, value in headers:
        if name.lower() != b"retry-after":
            continue
        text = value.decode("latin-1").strip()
        if text.isascii() and text.isdigit():
            return min(float(text[:9]), MAX_RETRY_AFTER_S)
        try:
            then = parsedate_to_datetime(text)
        except ValueError:
            return math.nan
        aware = then if then.tzinfo is not None else then.replace(tzinfo=UTC)
        return min(max(0.0, (aware - now).total_seconds()), MAX_RETRY_AFTER_S)
    return math.nan


def rule(
    status: int,
    body: bytes,
    headers: Sequence[tuple[bytes, bytes]] = (),
    *,
    environment_known: bool,
    now: datetime,
) -> Ruling:
    """What one answer means. Never raises, whatever the body holds.

    Args:
        status: The HTTP status.
        body: The body as it came.
        headers: Regular header fields.
        environment_known: Whether the token's environment was stated at registration or learnt;
            only then is `BadDeviceToken` the token's own fault.
        now: The present instant, for a Retry-After date.
    """
    name, dead_us = _said(body)
    known = RULINGS.get((status, name.replace(" ", "")))
    found = known or BY_STATUS.get(status) or BY_CLASS.get(status // 100, NOT_HTTP)
    verdict = found.verdict
    if known is not None and known.note == "BadDeviceToken" and environment_known:
        verdict = Verdict.DROP_TOKEN
    waits = verdict in {Verdict.RETRY, Verdict.RETRY_AFTER}
    asked = retry_after(headers, now) if waits else math.nan
    return Ruling(
        verdict=verdict,
        reason=found.reason,
        retry_after_s=found.retry_after_s if math.isnan(asked) else asked,
        dead_us=dead_us if status == 410 else 0,  # noqa: PLR2004 - Gone, the only dated answer
        note=name[:LONGEST_NOTE],
        fresh_connection=found.fresh_connection,
    )


def after_refresh(ruling: Ruling) -> Ruling:
    """The ruling once a new provider token did not help: the credential itself is wrong."""
    if ruling.verdict is not Verdict.REFRESH_AUTH:
        return ruling
    return Ruling(verdict=Verdict.ALERT_CONFIG, reason=ruling.reason, note=ruling.note)


def misconfigured(sentence: str) -> Ruling:
    """The ruling when the credential itself is of no use."""
    note = sentence[:LONGEST_NOTE]
    return Ruling(verdict=_ALERT, reason=Reason.CREDENTIAL_REJECTED, note=note)


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """The answers to one send while they come in, in the order of its recipients."""

    verdict: UInt8s
    reason: UInt16s
    status: UInt16s
    retry_after_s: Float32s
    dead_us: Int64s
    notes: dict[int, str] = field(default_factory=dict)
    environment: dict[int, int] = field(default_factory=dict)
    renewed: set[int] = field(default_factory=set)
    """Rows tried again because of the provider token or the connection."""
    switched: dict[int, tuple[Ruling, int]] = field(default_factory=dict)
    """Row -> what its first environment said, with the status."""

    @classmethod
    def unanswered(cls, rows: int) -> Self:
        """Columns in which no row has an answer yet: each would be tried again."""
        return cls(
            verdict=np.full(rows, Verdict.RETRY, np.uint8),
            reason=np.full(rows, Reason.CONNECTION_LOST, np.uint16),
            status=np.zeros(rows, np.uint16),
            retry_after_s=np.full(rows, np.nan, np.float32),
            dead_us=np.zeros(rows, np.int64),
        )

    def put(self, rows: Int64s, ruling: Ruling, status: int = 0) -> None:
        """The same ruling for all of `rows`."""
        self.verdict[rows] = ruling.verdict
        self.reason[rows] = ruling.reason
        self.status[rows] = status
        self.retry_after_s[rows] = ruling.retry_after_s
        self.dead_us[rows] = ruling.dead_us
        for row in rows.tolist():
            self.notes.pop(row, None)
            if ruling.note:
                self.notes[row] = ruling.note

    def record(
        self, rows: Int64s, batch: Batch, known: npt.NDArray[np.bool_], now: datetime
    ) -> dict[int, Ruling]:
        """Take over a batch's answers; `rows[i]` is the row that request i was for.

        Accepted requests cost array operations only; the loop runs over the others.

        Returns:
            Row -> ruling of every request that was not simply accepted.
        """
        status = np.asarray(batch.statuses, np.uint16)
        accepted = status == 200  # noqa: PLR2004 - OK, Apple's only success
        if len(rows) == len(self.status) and not self.notes and accepted.all():  # nearly always
            self.verdict.fill(Verdict.OK)
            self.reason.fill(Reason.ACCEPTED)
            self.status.fill(200)
            self.retry_after_s.fill(math.nan)
            self.dead_us.fill(0)
            return {}
        good = rows[accepted]
        self.verdict[good], self.reason[good], self.status[good] = 0, 0, 200
        self.retry_after_s[good], self.dead_us[good] = np.nan, 0
        if self.notes:
            for row in good.tolist():
                self.notes.pop(row, None)
        rulings: dict[int, Ruling] = {}
        for index in np.flatnonzero(~accepted).tolist():
            row = int(rows[index])
            answer = batch.answers.get(index)
            if status[index]:
                body, headers = (answer.body, answer.headers) if answer else (b"", ())
                ruling = rule(
                    int(status[index]),
                    body,
                    headers,
                    environment_known=bool(known[index]),
                    now=now,
                )
            else:
                lost = batch.failures.get(index, Failure.CONNECTION_LOST)
                ruling = FAILURES.get(lost, FAILURES[Failure.CONNECTION_LOST])
            self.put(rows[index : index + 1], ruling, int(status[index]))
            rulings[row] = ruling
        return rulings

    def again(
        self, rulings: Mapping[int, Ruling], unknown: npt.NDArray[np.bool_], world: UInt8s
    ) -> tuple[set[int], set[str]]:
        """Which rows deserve another try within the same send, each at most once per cause.

        Args:
            rulings: What `record` returned.
            unknown: Per row, whether the environment is a guess.
            world: Per row, the environment tried; changed where the other one is next.

        Returns:
            The rows, and Apple's words that call for a new connection or provider token.
        """
        rows: set[int] = set()
        words: set[str] = set()
        for row, ruling in rulings.items():
            only = np.array([row], np.int64)
            elsewhere = ruling.note in {"BadDeviceToken", "BadEnvironmentKeyIdInToken"}
            if ruling.verdict is Verdict.REFRESH_AUTH or ruling.fresh_connection:
                if row not in self.renewed:
                    self.renewed.add(row)
                    rows.add(row)
                    words.add(ruling.note)
                else:
                    self.put(only, after_refresh(ruling), int(self.status[row]))
            elif elsewhere and row in self.switched:
                if ruling.verdict is Verdict.ALERT_CONFIG:  # it tells nothing about the token
                    self.put(only, *self.switched[row])
            elif elsewhere and unknown[row]:
                self.switched[row] = (ruling, int(self.status[row]))
                world[row] = Environment.PRODUCTION + Environment.SANDBOX - world[row]
                rows.add(row)
        return rows, words

    def answers(self, provider_id: Sequence[str] | None) -> Answers:
        """The columns as the hand-off."""
        return Answers(
            verdict=self.verdict,
            reason=self.reason,
            status=self.status,
            retry_after_s=self.retry_after_s,
            dead_us=self.dead_us,
            provider_reason=self.notes,
            provider_id=provider_id,
            environment=self.environment,
        )
