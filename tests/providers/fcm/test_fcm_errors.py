"""FCM's answers, row by row as the reference lists them."""

import math
from datetime import UTC, datetime

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.outcome import MAX_RETRY_AFTER_S, Reason, Verdict
from clarion.providers.fcm.errors import (
    Columns,
    after_refresh,
    clock_skew_s,
    granted,
    message_name,
    rule,
    rule_token_endpoint,
)
from clarion.wire.http2 import Answer, Batch, Failure, HeaderSet

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


def answer(status: int, name: str, code: str = "", message: str = "", kind: str = "") -> bytes:
    """google.rpc.Status in JSON."""
    details: list[dict[str, object]] = []
    if code:
        details.append({"@type": FCM_ERROR, "errorCode": code})
    if kind:
        details.append({"@type": kind, "fieldViolations": [{"field": "message.ttl"}]})
    error = {"code": status, "message": message, "status": name, "details": details}
    return orjson.dumps({"error": error})


TOKEN_WORDS = "The registration token is not a valid FCM registration token"
# Firebase, "FCM error codes"; transcribed apart from the code's tables.
ROWS = [
    (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", TOKEN_WORDS, "", "SUSPECT_TOKEN"),
    (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Invalid ttl", "", "FIX_PAYLOAD"),
    (400, "INVALID_ARGUMENT", "", "Invalid value", BAD_REQUEST, "FIX_PAYLOAD"),
    (401, "UNAUTHENTICATED", "", "invalid credentials", "", "REFRESH_AUTH"),
    (401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "", "", "ALERT_CONFIG"),
    (401, "UNAUTHENTICATED", "APNS_AUTH_ERROR", "", "", "ALERT_CONFIG"),
    (403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "", "", "DROP_TOKEN"),
    (403, "PERMISSION_DENIED", "", "API disabled", "", "ALERT_CONFIG"),
    (404, "NOT_FOUND", "UNREGISTERED", "", "", "DROP_TOKEN"),
    (404, "NOT_FOUND", "", "Requested entity was not found.", "", "ALERT_CONFIG"),
    (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "", "", "RETRY_AFTER"),
    (500, "INTERNAL", "INTERNAL", "", "", "RETRY"),
    (503, "UNAVAILABLE", "UNAVAILABLE", "", "", "RETRY"),
    (500, "UNKNOWN", "UNSPECIFIED_ERROR", "", "", "RETRY"),
]


@pytest.mark.parametrize(("status", "name", "code", "message", "kind", "verdict"), ROWS)
def test_every_documented_error_has_its_verdict(
    status: int, name: str, code: str, message: str, kind: str, verdict: str
) -> None:
    """The error code in the details decides first, then the status."""
    ruling = rule(status, answer(status, name, code, message, kind), now=NOW)
    assert ruling.verdict.name == verdict


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.OK),
        (302, Verdict.RETRY),
        (400, Verdict.FIX_PAYLOAD),
        (401, Verdict.REFRESH_AUTH),
        (403, Verdict.ALERT_CONFIG),
        (404, Verdict.ALERT_CONFIG),
        (413, Verdict.FIX_PAYLOAD),
        (418, Verdict.FIX_PAYLOAD),
        (429, Verdict.RETRY_AFTER),
        (502, Verdict.RETRY),
        (503, Verdict.RETRY),
    ],
)
def test_an_unreadable_body_is_judged_by_its_status(status: int, verdict: Verdict) -> None:
    """A proxy's page drops no token."""
    assert rule(status, b"<html>", now=NOW).verdict is verdict


def test_waits_are_as_told_or_as_documented() -> None:
    """A minute after 429, ten seconds after 500 and 503."""
    quota = answer(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
    assert rule(429, quota, now=NOW).retry_after_s == 60
    assert rule(429, quota, [(b"retry-after", b"7")], now=NOW).retry_after_s == 7
    assert rule(500, b"", now=NOW).retry_after_s == 10
    date = [(b"Retry-After", b"Sat, 21 Nov 2026 12:00:30 GMT")]
    assert rule(503, b"", date, now=NOW).retry_after_s == 30
    assert rule(503, b"", [(b"retry-after", b"soon")], now=NOW).retry_after_s == 10
    assert math.isnan(rule(404, b"", [(b"retry-after", b"7")], now=NOW).retry_after_s)


def test_a_refused_renewal_is_a_fault_of_the_credential() -> None:
    """Another access token that is refused as well."""
    ruling = rule(401, b"", now=NOW)
    assert after_refresh(ruling).verdict is Verdict.ALERT_CONFIG
    assert after_refresh(after_refresh(ruling)).verdict is Verdict.ALERT_CONFIG


@pytest.mark.parametrize(
    ("status", "body", "skew", "verdict", "words"),
    [
        (400, b'{"error":"invalid_grant"}', math.nan, Verdict.ALERT_CONFIG, "clock is right"),
        (400, b'{"error":"invalid_grant"}', 4000.0, Verdict.ALERT_CONFIG, "4000 s behind"),
        (400, b'{"error":"invalid_grant"}', -90.0, Verdict.ALERT_CONFIG, "90 s ahead"),
        (401, b'{"error":"invalid_client","error_description":"gone"}', 0.0,
         Verdict.ALERT_CONFIG, "invalid_client: gone"),
        (200, b"{}", 0.0, Verdict.ALERT_CONFIG, "HTTP 200"),
        (429, b"", 0.0, Verdict.RETRY, "HTTP 429"),
        (503, b"[]", 0.0, Verdict.RETRY, "HTTP 503"),
    ],
)  # fmt: skip
def test_the_token_endpoint_says_why(
    status: int, body: bytes, skew: float, verdict: Verdict, words: str
) -> None:
    """With a hint at the clock, which is the usual cause."""
    ruling = rule_token_endpoint(status, body, skew)
    assert ruling.verdict is verdict
    assert words in ruling.note


def test_a_grant_is_read_strictly() -> None:
    """A token that could break a header is none."""
    assert granted(200, b'{"access_token":"ya29.x","expires_in":3599}') == ("ya29.x", 3599)
    assert granted(200, b'{"access_token":"ya29.x"}') == ("ya29.x", 3600)
    assert granted(200, b'{"access_token":"a\\r\\nb"}') is None
    assert granted(200, b"[]") is None
    assert granted(200, b"") is None
    assert granted(400, b'{"access_token":"ya29.x"}') is None


def test_the_clock_of_the_other_side_is_read_from_its_date() -> None:
    """Positive where it is ahead."""
    assert clock_skew_s([(b"date", b"Sat, 21 Nov 2026 12:02:00 GMT")], NOW) == 120
    assert math.isnan(clock_skew_s([(b"date", b"yesterday")], NOW))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 60), 1 << 60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
errors = st.fixed_dictionaries(
    {},
    optional={
        "status": json_values,
        "message": json_values,
        "details": json_values
        | st.lists(
            st.fixed_dictionaries({}, optional={"@type": json_values, "errorCode": json_values}),
            max_size=2,
        ),
    },
)
hostile = st.binary(max_size=200) | st.builds(lambda e: orjson.dumps({"error": e}), errors)


@given(
    status=st.integers(0, 65535),
    body=hostile,
    headers=st.lists(
        st.tuples(st.sampled_from([b"retry-after", b"date"]), st.binary(max_size=40)), max_size=2
    ),
)
def test_no_body_and_no_header_makes_a_ruling_raise(
    status: int, body: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    """Whatever sits between Google and us may answer."""
    ruling = rule(status, body, headers, now=NOW)
    assert len(ruling.note) <= 200
    assert not ruling.retry_after_s > MAX_RETRY_AFTER_S
    assert len(rule_token_endpoint(status, body, clock_skew_s(headers, NOW)).note) <= 220
    granted(status, body)
    message_name(body)


def test_columns_take_accepted_rows_as_a_whole_and_look_at_the_others() -> None:
    """Rows arrive out of order; ids are kept where bodies are."""
    headers = HeaderSet(path_prefix=b"/", headers=())
    batch = Batch(headers, [b""] * 3, body=b"{}", keep_bodies=True)
    batch.statuses[0] = 200
    batch.answers[0] = Answer(200, (), b'{"name":"projects/p/messages/1"}')
    batch.statuses[1] = 404
    batch.answers[1] = Answer(404, (), answer(404, "NOT_FOUND", "UNREGISTERED"))
    batch.failures[2] = Failure.RESET
    columns = Columns.unanswered(4)
    rulings = columns.record(np.array([3, 1, 0]), batch, NOW)
    assert sorted(rulings) == [0, 1]
    answers = columns.answers()
    assert answers.verdict.tolist() == [
        Verdict.RETRY,
        Verdict.DROP_TOKEN,
        Verdict.RETRY,
        Verdict.OK,
    ]
    assert answers.reason[0] == Reason.CONNECTION_LOST
    assert answers.provider_id == {3: "projects/p/messages/1"}
    assert answers.provider_reason == {1: "UNREGISTERED"}
