"""What FCM's answers mean: `details[].errorCode` decides first, then `status`, then the number.

Sources: Firebase, "FCM error codes", "Scale FCM", and google.rpc.Status in JSON. `FcmError` among
the details is FCM's verdict on the target; `BadRequest` alone means that our JSON is wrong.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Self

import numpy as np
import orjson

from clarion.domain.handoffs import Answers, Float32s, Int64s, UInt8s, UInt16s
from clarion.domain.outcome import MAX_RETRY_AFTER_S, Reason, Verdict
from clarion.wire.http2 import Batch, Failure

QUOTA_WAIT_S: Final = 60.0
"""Firebase: without Retry-After, wait a minute after 429."""
FIRST_WAIT_S: Final = 10.0
"""Firebase: never retry sooner than after 10 seconds."""
USUAL_LIFE_S: Final = 3600
LONGEST_NOTE: Final = 200
"""Characters of the network's own words that are kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruling:
    """What one answer means for its recipient."""

    verdict: Verdict
    reason: Reason
    retry_after_s: float = math.nan
    """How long to wait; NaN when nothing says."""
    note: str = ""
    """FCM's own words."""


def _ruling(verdict: Verdict, reason: Reason, wait: float = math.nan) -> Ruling:
    return Ruling(verdict=verdict, reason=reason, retry_after_s=wait)


_FIX: Final = Verdict.FIX_PAYLOAD
_ALERT: Final = Verdict.ALERT_CONFIG

BY_CODE: Final = {
    "UNREGISTERED": _ruling(Verdict.DROP_TOKEN, Reason.TOKEN_UNREGISTERED),
    "SENDER_ID_MISMATCH": _ruling(Verdict.DROP_TOKEN, Reason.TOKEN_OF_ANOTHER_SENDER),
    # `rule` asks whether the message speaks of the registration token.
    "INVALID_ARGUMENT": _ruling(_FIX, Reason.PAYLOAD_REFUSED),
    "THIRD_PARTY_AUTH_ERROR": _ruling(_ALERT, Reason.CREDENTIAL_REJECTED),
    "APNS_AUTH_ERROR": _ruling(_ALERT, Reason.CREDENTIAL_REJECTED),
    "QUOTA_EXCEEDED": _ruling(Verdict.RETRY_AFTER, Reason.THROTTLED, QUOTA_WAIT_S),
    "INTERNAL": _ruling(Verdict.RETRY, Reason.PROVIDER_ERROR, FIRST_WAIT_S),
    "UNAVAILABLE": _ruling(Verdict.RETRY, Reason.PROVIDER_UNAVAILABLE, FIRST_WAIT_S),
    "UNSPECIFIED_ERROR": _ruling(Verdict.RETRY, Reason.PROVIDER_ERROR, FIRST_WAIT_S),
}
"""`FcmError.errorCode` -> ruling, whatever the HTTP status."""

BY_STATUS: Final = {
    "INVALID_ARGUMENT": _ruling(_FIX, Reason.PAYLOAD_REFUSED),
    "UNAUTHENTICATED": _ruling(Verdict.REFRESH_AUTH, Reason.CREDENTIAL_EXPIRED),
    "PERMISSION_DENIED": _ruling(_ALERT, Reason.CREDENTIAL_REJECTED),
    "NOT_FOUND": _ruling(_ALERT, Reason.CREDENTIAL_REJECTED),
    "RESOURCE_EXHAUSTED": _ruling(Verdict.RETRY_AFTER, Reason.THROTTLED, QUOTA_WAIT_S),
    "INTERNAL": _ruling(Verdict.RETRY, Reason.PROVIDER_ERROR, FIRST_WAIT_S),
    "UNAVAILABLE": _ruling(Verdict.RETRY, Reason.PROVIDER_UNAVAILABLE, FIRST_WAIT_S),
}
"""`error.status` -> ruling, where the details hold no `FcmError`."""

BY_NUMBER: Final = {
    400: BY_STATUS["INVALID_ARGUMENT"],
    401: BY_STATUS["UNAUTHENTICATED"],
    403: BY_STATUS["PERMISSION_DENIED"],
    404: BY_STATUS["NOT_FOUND"],
    413: _ruling(_FIX, Reason.PAYLOAD_TOO_LARGE),
    429: BY_STATUS["RESOURCE_EXHAUSTED"],
    503: BY_STATUS["UNAVAILABLE"],
}
"""HTTP status -> ruling, where the body says nothing that we know."""

BY_CLASS: Final = {
    2: _ruling(Verdict.OK, Reason.ACCEPTED),
    4: _ruling(_FIX, Reason.REQUEST_MALFORMED),
    5: BY_STATUS["INTERNAL"],
}
"""What the hundreds of a status mean where `BY_NUMBER` has no row."""

NOT_HTTP: Final = _ruling(Verdict.RETRY, Reason.PROVIDER_ERROR, FIRST_WAIT_S)
"""Anything else: neither an acceptance nor a refusal."""

ABOUT_THE_TOKEN: Final = _ruling(Verdict.SUSPECT_TOKEN, Reason.TOKEN_INVALID)
"""INVALID_ARGUMENT that names the registration token: how many it hits decides."""

FAILURES: Final = {
    Failure.REFUSED: _ruling(Verdict.RETRY, Reason.CONNECTION_REFUSED),
    Failure.GOAWAY_ABOVE: _ruling(Verdict.RETRY, Reason.CONNECTION_LOST),
    Failure.RESET: _ruling(Verdict.RETRY, Reason.CONNECTION_LOST),
    Failure.DEADLINE: _ruling(Verdict.RETRY, Reason.ANSWER_TIMED_OUT),
    Failure.CONNECTION_LOST: _ruling(Verdict.RETRY, Reason.CONNECTION_LOST),
}
"""What a request without an answer means."""


@dataclass(frozen=True, slots=True)
class _Said:
    code: str = ""
    status: str = ""
    message: str = ""
    violation: bool = False


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _said(body: bytes) -> _Said:
    """The parts of google.rpc.Status that decide, from whatever came as a body."""
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _Said()
    error = whole.get("error") if isinstance(whole, dict) else None
    if not isinstance(error, dict):
        return _Said()
    details = error.get("details")
    parts = [d for d in details if isinstance(d, dict)] if isinstance(details, list) else []
    codes = [code for part in parts if (code := _text(part.get("errorCode")))]
    return _Said(
        code=codes[0] if codes else "",
        status=_text(error.get("status")),
        message=_text(error.get("message")),
        violation=any(_text(part.get("@type")).endswith(".BadRequest") for part in parts),
    )


def _instant(value: bytes) -> datetime | None:
    """An HTTP date (RFC 9110 section 5.6.7), None where it is none."""
    try:
        then = parsedate_to_datetime(value.decode("latin-1").strip())
    except ValueError:
        return None
    return then if then.tzinfo is not None else then.replace(tzinfo=UTC)


def retry_after(headers: Iterable[tuple[bytes, bytes]], now: datetime) -> float:
    """Seconds of a Retry-After field (RFC 9110 section 10.2.3), NaN without a readable one."""
    for name, value in headers:
        if name.lower() != b"retry-after":
            continue
        digits = value.strip()
        if digits.isdigit():
            return min(float(digits[:9]), MAX_RETRY_AFTER_S)
        then = _instant(value)
        seconds = math.nan if then is None else (then - now).total_seconds()
        return seconds if math.isnan(seconds) else min(max(0.0, seconds), MAX_RETRY_AFTER_S)
    return math.nan


def clock_skew_s(headers: Iterable[tuple[bytes, bytes]], now: datetime) -> float:
    """Seconds that the other side's clock is ahead of ours; NaN where it tells no time."""
    for name, value in headers:
        then = _instant(value) if name.lower() == b"date" else None
        if then is not None:
            return (then - now).total_seconds()
    return math.nan


def rule(
    status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = (), *, now: datetime
) -> Ruling:
    """What one answer means. Never raises, whatever the body holds.

    Args:
        status: The HTTP status.
        body: The body as it came.
        headers: Regular header fields.
        now: The present instant, for a Retry-After date.
    """
    said = _said(body)
    found = (
        BY_CODE.get(said.code)
        or BY_STATUS.get(said.status)
        or BY_NUMBER.get(status)
        or BY_CLASS.get(status // 100, NOT_HTTP)
    )
    if status // 100 == 2:  # noqa: PLR2004 - a success is one, whatever its body says
        found = BY_CLASS[2]
    token = "registration token" in said.message.lower()
    if said.code == "INVALID_ARGUMENT" and token and not said.violation:
        found = ABOUT_THE_TOKEN
    waits = found.verdict in {Verdict.RETRY, Verdict.RETRY_AFTER}
    asked = retry_after(headers, now) if waits else math.nan
    words = " ".join(part for part in (said.code or said.status, said.message) if part)
    return Ruling(
        verdict=found.verdict,
        reason=found.reason,
        retry_after_s=found.retry_after_s if math.isnan(asked) else asked,
        note=words[:LONGEST_NOTE] if found.verdict is not Verdict.OK else "",
    )


def after_refresh(ruling: Ruling) -> Ruling:
    """The ruling once a new access token did not help: the credential itself is wrong."""
    if ruling.verdict is not Verdict.REFRESH_AUTH:
        return ruling
    return Ruling(verdict=_ALERT, reason=Reason.CREDENTIAL_REJECTED, note=ruling.note)


def rule_token_endpoint(status: int, body: bytes, skew_s: float) -> Ruling:
    """What it means that the OAuth token endpoint gave no access token (RFC 6749 section 5.2).

    Args:
        status: The HTTP status.
        body: The body as it came.
        skew_s: By how much the endpoint's clock is ahead of ours; NaN when it does not say.
    """
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = {}
    members = said if isinstance(said, dict) else {}
    error, described = _text(members.get("error")), _text(members.get("error_description"))
    words = ": ".join(part for part in (error or f"HTTP {status}", described) if part)
    if status == 429 or status // 100 == 5:  # noqa: PLR2004 - Too Many Requests, server errors
        return Ruling(
            verdict=Verdict.RETRY,
            reason=Reason.PROVIDER_UNAVAILABLE,
            retry_after_s=FIRST_WAIT_S,
            note=f"token endpoint: {words}"[:LONGEST_NOTE],
        )
    hint = ""
    if error == "invalid_grant":
        hint = "; check that the service-account key still exists and that the clock is right"
        if abs(skew_s) > 60:  # noqa: PLR2004 - a minute matters to nobody else
            way = "behind" if skew_s > 0 else "ahead of"
            hint = f"; this machine's clock is {abs(skew_s):.0f} s {way} the token endpoint's"
    note = f"token endpoint: {words}"[: LONGEST_NOTE - len(hint)] + hint
    return Ruling(verdict=_ALERT, reason=Reason.CREDENTIAL_REJECTED, note=note)


def granted(status: int, body: bytes) -> tuple[str, int] | None:
    """An access token and its seconds (RFC 6749 section 5.1), None where none was granted."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if status != 200 or not isinstance(said, dict):  # noqa: PLR2004 - OK
        return None
    text, life = _text(said.get("access_token")), said.get("expires_in")
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        return None
    return text, life if isinstance(life, int) and life > 0 else USUAL_LIFE_S


def unreachable(sentence: str) -> Ruling:
    """The ruling when no connection could be made."""
    note = sentence[:LONGEST_NOTE]
    return Ruling(verdict=Verdict.RETRY, reason=Reason.CONNECTION_REFUSED, note=note)


def misconfigured(sentence: str) -> Ruling:
    """The ruling when the credential itself is of no use."""
    note = sentence[:LONGEST_NOTE]
    return Ruling(verdict=_ALERT, reason=Reason.CREDENTIAL_REJECTED, note=note)


def message_name(body: bytes) -> str:
    """The id that FCM gave an accepted message, empty where its body does not say."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    return _text(said.get("name")) if isinstance(said, dict) else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """The answers to one send while they come in, in the order of its recipients."""

    verdict: UInt8s
    reason: UInt16s
    status: UInt16s
    retry_after_s: Float32s
    notes: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    @classmethod
    def unanswered(cls, rows: int) -> Self:
        """Columns in which no row has an answer yet: each would be tried again."""
        return cls(
            verdict=np.full(rows, Verdict.RETRY, np.uint8),
            reason=np.full(rows, Reason.CONNECTION_LOST, np.uint16),
            status=np.zeros(rows, np.uint16),
            retry_after_s=np.full(rows, np.nan, np.float32),
        )

    def put(self, rows: Int64s, ruling: Ruling, status: int = 0) -> None:
        """The same ruling for all of `rows`."""
        self.verdict[rows] = ruling.verdict
        self.reason[rows] = ruling.reason
        self.status[rows] = status
        self.retry_after_s[rows] = ruling.retry_after_s
        for row in rows.tolist():
            self.notes.pop(row, None)
            if ruling.note:
                self.notes[row] = ruling.note

    def record(self, rows: Int64s, batch: Batch, now: datetime) -> Mapping[int, Ruling]:
        """Take over a batch's answers; `rows[i]` is the row that request i was for.

        Accepted requests cost array operations only (and the reading of their names, where the
        batch kept bodies); the loop runs over the others.

        Returns:
            Row -> ruling of every request that was not simply accepted.
        """
        status = np.asarray(batch.statuses, np.uint16)
        accepted = status == 200  # noqa: PLR2004 - OK, FCM's only success
        good = rows[accepted]
        self.verdict[good], self.reason[good], self.status[good] = 0, 0, 200
        self.retry_after_s[good] = np.nan
        if self.notes:
            for row in good.tolist():
                self.notes.pop(row, None)
        if batch.keep_bodies:
            for index in np.flatnonzero(accepted).tolist():
                self.names[int(rows[index])] = message_name(batch.answers[index].body)
        rulings: dict[int, Ruling] = {}
        for index in np.flatnonzero(~accepted).tolist():
            answer = batch.answers.get(index)
            if status[index]:
                body, headers = (answer.body, answer.headers) if answer else (b"", ())
                ruling = rule(int(status[index]), body, headers, now=now)
            else:
                lost = batch.failures.get(index, Failure.CONNECTION_LOST)
                ruling = FAILURES.get(lost, FAILURES[Failure.CONNECTION_LOST])
            self.put(rows[index : index + 1], ruling, int(status[index]))
            rulings[int(rows[index])] = ruling
        return rulings

    def answers(self) -> Answers:
        """The columns as the hand-off."""
        return Answers(
            verdict=self.verdict,
            reason=self.reason,
            status=self.status,
            retry_after_s=self.retry_after_s,
            dead_us=np.zeros(len(self.verdict), np.int64),
            provider_reason=self.notes,
            provider_id={row: name for row, name in self.names.items() if name} or None,
        )
