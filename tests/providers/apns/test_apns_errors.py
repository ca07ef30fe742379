"""Apple's answers, row by row as the reference lists them."""

import math
from datetime import UTC, datetime

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.outcome import MAX_RETRY_AFTER_S, Reason, Verdict
from clarion.providers.apns.errors import Columns, after_refresh, retry_after, rule
from clarion.wire.http2 import Answer, Batch, Failure, HeaderSet

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

# Apple, "Handling notification responses from APNs"; transcribed apart from the code's table.
TABLE = """
400 BadCollapseId FIX_PAYLOAD
400 BadDeviceToken SUSPECT_TOKEN
400 BadExpirationDate FIX_PAYLOAD
400 BadMessageId FIX_PAYLOAD
400 BadPriority FIX_PAYLOAD
400 BadTopic ALERT_CONFIG
400 DeviceTokenNotForTopic SUSPECT_TOKEN
400 DuplicateHeaders FIX_PAYLOAD
400 IdleTimeout RETRY
400 InvalidPushType FIX_PAYLOAD
400 MissingDeviceToken FIX_PAYLOAD
400 MissingTopic ALERT_CONFIG
400 PayloadEmpty FIX_PAYLOAD
400 TopicDisallowed ALERT_CONFIG
403 BadCertificate ALERT_CONFIG
403 BadCertificateEnvironment ALERT_CONFIG
403 ExpiredProviderToken REFRESH_AUTH
403 InvalidProviderToken REFRESH_AUTH
403 MissingProviderToken ALERT_CONFIG
403 Forbidden ALERT_CONFIG
403 UnrelatedKeyIdInToken RETRY
403 BadEnvironmentKeyIdInToken ALERT_CONFIG
404 BadPath FIX_PAYLOAD
405 MethodNotAllowed FIX_PAYLOAD
410 Unregistered DROP_TOKEN
410 ExpiredToken DROP_TOKEN
413 PayloadTooLarge FIX_PAYLOAD
429 TooManyProviderTokenUpdates RETRY
429 TooManyRequests RETRY_AFTER
500 InternalServerError RETRY
503 ServiceUnavailable RETRY
503 Shutdown RETRY
"""
ROWS = [tuple(line.split()) for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize(("status", "name", "verdict"), ROWS)
def test_every_documented_reason_has_its_verdict(status: str, name: str, verdict: str) -> None:
    """What Apple writes decides, and Apple's own word is kept for the trace."""
    body = orjson.dumps({"reason": name})
    ruling = rule(int(status), body, environment_known=False, now=NOW)
    assert (ruling.verdict.name, ruling.note) == (verdict, name)


def test_a_bad_token_is_dead_only_where_its_environment_is_known() -> None:
    """A sandbox token sent to production gets the same answer as a malformed one."""
    body = b'{"reason":"BadDeviceToken"}'
    assert rule(400, body, environment_known=True, now=NOW).verdict is Verdict.DROP_TOKEN
    assert rule(400, body, environment_known=False, now=NOW).verdict is Verdict.SUSPECT_TOKEN


def test_the_timestamp_of_a_410_arrives_in_microseconds() -> None:
    """Apple writes milliseconds."""
    body = b'{"reason":"Unregistered","timestamp":1763726400123}'
    ruling = rule(410, body, environment_known=True, now=NOW)
    assert ruling.dead_us == 1763726400123000


def test_other_statuses_carry_no_time_of_death() -> None:
    """Only 410 is dated."""
    body = b'{"reason":"BadDeviceToken","timestamp":1763726400123}'
    assert rule(400, body, environment_known=True, now=NOW).dead_us == 0


@pytest.mark.parametrize("name", ["InternalServerError", "ServiceUnavailable"])
def test_a_server_error_waits_a_quarter_of_an_hour(name: str) -> None:
    """Apple: 5xx may be retried after 15 minutes."""
    status = 500 if name == "InternalServerError" else 503
    body = orjson.dumps({"reason": name})
    assert rule(status, body, environment_known=True, now=NOW).retry_after_s == 900


@pytest.mark.parametrize(
    "name", ["UnrelatedKeyIdInToken", "TooManyProviderTokenUpdates", "Shutdown", "IdleTimeout"]
)
def test_what_a_connection_has_spoilt_needs_another_connection(name: str) -> None:
    """The same request can succeed elsewhere."""
    status = {row[1]: int(row[0]) for row in ROWS}[name]
    ruling = rule(status, orjson.dumps({"reason": name}), environment_known=True, now=NOW)
    assert ruling.fresh_connection


def test_broadcast_spells_service_unavailable_with_a_space() -> None:
    """It is the same fault."""
    ruling = rule(503, b'{"reason":"Service Unavailable"}', environment_known=True, now=NOW)
    assert ruling.reason is Reason.PROVIDER_UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.OK),
        (201, Verdict.OK),
        (302, Verdict.RETRY),
        (400, Verdict.FIX_PAYLOAD),
        (401, Verdict.ALERT_CONFIG),
        (403, Verdict.ALERT_CONFIG),
        (410, Verdict.SUSPECT_TOKEN),
        (413, Verdict.FIX_PAYLOAD),
        (418, Verdict.FIX_PAYLOAD),
        (429, Verdict.RETRY_AFTER),
        (500, Verdict.RETRY),
        (503, Verdict.RETRY),
        (599, Verdict.RETRY),
    ],
)
def test_an_unknown_reason_is_judged_by_its_status(status: int, verdict: Verdict) -> None:
    """A new word of Apple's breaks nothing, and drops no token."""
    ruling = rule(status, b'{"reason":"NewIn2027"}', environment_known=True, now=NOW)
    assert ruling.verdict is verdict


def test_a_refused_renewal_is_a_fault_of_the_credential() -> None:
    """A new provider token that is refused as well means a wrong key or team."""
    ruling = rule(403, b'{"reason":"InvalidProviderToken"}', environment_known=True, now=NOW)
    assert after_refresh(ruling).verdict is Verdict.ALERT_CONFIG


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"7", 7.0),
        (b"Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        (b"Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        (b"999999999999", MAX_RETRY_AFTER_S),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(value: bytes, seconds: float) -> None:
    """RFC 9110 section 10.2.3."""
    assert retry_after([(b"retry-after", value)], NOW) == seconds


@pytest.mark.parametrize("value", [b"", b"soon", b"-1", b"\xff", b"1.5", b"Sat, 99 Nov 2026 1"])
def test_an_unreadable_retry_after_is_none(value: bytes) -> None:
    """It says nothing, and raises nothing."""
    assert math.isnan(retry_after([(b"retry-after", value)], NOW))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 60), 1 << 60)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
hostile = st.binary(max_size=200) | st.builds(
    lambda reason, stamp: orjson.dumps({"reason": reason, "timestamp": stamp}),
    json_values,
    st.integers(-(1 << 62), 1 << 62),
)


@given(
    status=st.integers(0, 65535),
    body=hostile,
    headers=st.lists(st.tuples(st.just(b"retry-after"), st.binary(max_size=40)), max_size=2),
    known=st.booleans(),
)
def test_no_body_and_no_header_makes_a_ruling_raise(
    status: int, body: bytes, headers: list[tuple[bytes, bytes]], *, known: bool
) -> None:
    """Whatever sits between Apple and us may answer."""
    ruling = rule(status, body, headers, environment_known=known, now=NOW)
    assert len(ruling.note) <= 200
    assert not ruling.retry_after_s > MAX_RETRY_AFTER_S


def test_columns_take_accepted_rows_as_a_whole_and_look_at_the_others() -> None:
    """One dead, one lost, the rest accepted; rows arrive out of order."""
    headers = HeaderSet(path_prefix=b"/", headers=())
    batch = Batch(headers, [b"a", b"b", b"c", b"d"])
    for index in (0, 3):
        batch.statuses[index] = 200
    batch.statuses[1] = 410
    body = b'{"reason":"Unregistered","timestamp":1000}'
    batch.answers[1] = Answer(410, (), body)
    batch.failures[2] = Failure.DEADLINE
    columns = Columns.unanswered(6)
    rulings = columns.record(np.array([5, 2, 0, 1]), batch, np.ones(4, np.bool_), NOW)
    assert sorted(rulings) == [0, 2]
    assert columns.verdict.tolist() == [
        Verdict.RETRY,
        Verdict.OK,
        Verdict.DROP_TOKEN,
        Verdict.RETRY,
        Verdict.RETRY,
        Verdict.OK,
    ]
    assert columns.reason[0] == Reason.ANSWER_TIMED_OUT
    assert columns.dead_us[2] == 1_000_000
    assert columns.notes == {2: "Unregistered"}
