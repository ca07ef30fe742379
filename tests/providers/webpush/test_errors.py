"""Every row of every push service's error table."""

import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.webpush.local_service import START

from clarion.domain.outcome import MAX_RETRY_AFTER_S, Reason, Verdict
from clarion.providers.webpush.errors import (
    FAILURES,
    MAX_WORDS,
    Profile,
    judge,
    profile_of,
)
from clarion.wire.http2 import Failure

FIX, DROP, ALERT = Verdict.FIX_PAYLOAD, Verdict.DROP_TOKEN, Verdict.ALERT_CONFIG
SUSPECT, RETRY, WAIT = Verdict.SUSPECT_TOKEN, Verdict.RETRY, Verdict.RETRY_AFTER


@pytest.mark.parametrize(
    ("host", "profile"),
    [
        ("updates.push.services.mozilla.com", Profile.AUTOPUSH),
        ("fcm.googleapis.com", Profile.GOOGLE),
        ("android.googleapis.com", Profile.GOOGLE),
        ("jmt17.google.com", Profile.GOOGLE),
        ("web.push.apple.com", Profile.APPLE),
        ("api.push.apple.com", Profile.APPLE),
        ("WNS2-BY3P.notify.windows.com", Profile.WNS),
        ("ntfy.sh", Profile.NTFY),
        ("push.example.org", Profile.GENERIC),
        ("evil-push.apple.com.example.org", Profile.GENERIC),
        ("127.0.0.1", Profile.GENERIC),
    ],
)
def test_a_service_is_known_by_its_host(host: str, profile: Profile) -> None:
    """Anything unknown is judged by the RFC alone."""
    assert profile_of(host) is profile


@pytest.mark.parametrize(
    ("status", "verdict", "reason"),
    [
        (201, Verdict.OK, Reason.ACCEPTED),
        (202, Verdict.OK, Reason.ACCEPTED),
        (307, FIX, Reason.ENDPOINT_FORBIDDEN),
        (400, FIX, Reason.REQUEST_MALFORMED),
        (401, FIX, Reason.CREDENTIAL_REJECTED),
        (403, SUSPECT, Reason.TOKEN_OF_ANOTHER_SENDER),
        (404, DROP, Reason.TOKEN_UNREGISTERED),
        (405, FIX, Reason.REQUEST_MALFORMED),
        (408, RETRY, Reason.ANSWER_TIMED_OUT),
        (410, DROP, Reason.TOKEN_UNREGISTERED),
        (413, FIX, Reason.PAYLOAD_TOO_LARGE),
        (418, FIX, Reason.REQUEST_MALFORMED),
        (429, WAIT, Reason.THROTTLED),
        (500, RETRY, Reason.PROVIDER_ERROR),
        (502, RETRY, Reason.PROVIDER_UNAVAILABLE),
        (503, RETRY, Reason.PROVIDER_UNAVAILABLE),
        (504, RETRY, Reason.PROVIDER_UNAVAILABLE),
        (507, WAIT, Reason.PROVIDER_UNAVAILABLE),
        (599, RETRY, Reason.PROVIDER_ERROR),
    ],
)
def test_rfc_8030_rows(status: int, verdict: Verdict, reason: Reason) -> None:
    """The table that holds where a service has none of its own."""
    end = judge(Profile.GENERIC, status, (), b"", START)
    assert (end.verdict, end.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("status", "errno", "verdict", "reason"),
    [
        (400, 101, FIX, Reason.PAYLOAD_REFUSED),
        (400, 108, DROP, Reason.TOKEN_INVALID),
        (400, 110, FIX, Reason.PAYLOAD_REFUSED),
        (400, 111, FIX, Reason.REQUEST_MALFORMED),
        (400, 112, FIX, Reason.REQUEST_MALFORMED),
        (400, 114, FIX, Reason.REQUEST_MALFORMED),
        (400, 113, FIX, Reason.REQUEST_MALFORMED),
        (400, None, FIX, Reason.REQUEST_MALFORMED),
        (401, 109, ALERT, Reason.CREDENTIAL_REJECTED),
        (404, 102, DROP, Reason.TOKEN_INVALID),
        (410, 103, DROP, Reason.TOKEN_UNREGISTERED),
        (410, 105, DROP, Reason.TOKEN_UNREGISTERED),
        (410, 106, DROP, Reason.TOKEN_UNREGISTERED),
        (413, 104, FIX, Reason.PAYLOAD_TOO_LARGE),
        (500, 999, RETRY, Reason.PROVIDER_ERROR),
        (500, None, RETRY, Reason.PROVIDER_ERROR),
        (502, 900, RETRY, Reason.PROVIDER_UNAVAILABLE),
        (502, 901, RETRY, Reason.PROVIDER_UNAVAILABLE),
        (502, 902, RETRY, Reason.PROVIDER_UNAVAILABLE),
        (502, 903, RETRY, Reason.PROVIDER_UNAVAILABLE),
        (502, None, RETRY, Reason.PROVIDER_UNAVAILABLE),
        (503, 201, WAIT, Reason.PROVIDER_UNAVAILABLE),
        (503, 202, RETRY, Reason.PROVIDER_UNAVAILABLE),
    ],
)
def test_autopush_rows(status: int, errno: int | None, verdict: Verdict, reason: Reason) -> None:
    """Mozilla's table is by status and errno."""
    body = orjson.dumps({"code": status, "errno": errno, "error": "E", "message": "words"})
    end = judge(Profile.AUTOPUSH, status, (), body, START)
    assert (end.verdict, end.reason) == (verdict, reason)
    assert "words" in end.words


def test_autopush_tells_another_key_from_a_bad_signature_by_its_words() -> None:
    """Both are 401 and errno 109, but only one of them is about a single subscription."""
    body = orjson.dumps({"code": 401, "errno": 109, "message": "VAPID public key mismatch"})
    end = judge(Profile.AUTOPUSH, 401, (), body, START)
    assert (end.verdict, end.reason) == (SUSPECT, Reason.TOKEN_OF_ANOTHER_SENDER)


@pytest.mark.parametrize(
    ("status", "body", "verdict", "reason"),
    [
        (400, "<H1>UnauthorizedRegistration</H1>", ALERT, Reason.CREDENTIAL_REJECTED),
        (400, "InvalidTokenFormat", FIX, Reason.REQUEST_MALFORMED),
        (401, "", ALERT, Reason.CREDENTIAL_REJECTED),
        (403, "invalid push subscription endpoint", SUSPECT, Reason.TOKEN_OF_ANOTHER_SENDER),
        (403, "<TITLE>MismatchSenderId</TITLE>", SUSPECT, Reason.TOKEN_OF_ANOTHER_SENDER),
        (
            403,
            "the VAPID credentials do not correspond to the credentials used to subscribe",
            SUSPECT,
            Reason.TOKEN_OF_ANOTHER_SENDER,
        ),
        (404, "", DROP, Reason.TOKEN_UNREGISTERED),
        (410, "NotRegistered", DROP, Reason.TOKEN_UNREGISTERED),
        (
            410,
            "push subscription has unsubscribed or expired",
            DROP,
            Reason.TOKEN_UNREGISTERED,
        ),
        (413, "", FIX, Reason.PAYLOAD_TOO_LARGE),
        (429, "", WAIT, Reason.THROTTLED),
        (500, "", RETRY, Reason.PROVIDER_ERROR),
        (503, "", RETRY, Reason.PROVIDER_UNAVAILABLE),
    ],
)
def test_google_rows(status: int, body: str, verdict: Verdict, reason: Reason) -> None:
    """Google answers HTML or a sentence."""
    end = judge(Profile.GOOGLE, status, (), body.encode(), START)
    assert (end.verdict, end.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("status", "word", "verdict", "reason"),
    [
        (400, "BadTtl", FIX, Reason.REQUEST_MALFORMED),
        (400, "BadUrgency", FIX, Reason.REQUEST_MALFORMED),
        (400, "BadWebPushRequest", FIX, Reason.PAYLOAD_REFUSED),
        (400, "BadWebPushTopic", FIX, Reason.REQUEST_MALFORMED),
        (400, "IdleTimeout", RETRY, Reason.CONNECTION_LOST),
        (403, "BadAuthorizationHeader", ALERT, Reason.CREDENTIAL_REJECTED),
        (403, "BadJwtToken", ALERT, Reason.CREDENTIAL_REJECTED),
        (403, "BadVapidPublicKey", ALERT, Reason.CREDENTIAL_REJECTED),
        (403, "VapidPkHashMismatch", SUSPECT, Reason.TOKEN_OF_ANOTHER_SENDER),
        (400, "VapidPkHashMismatch", SUSPECT, Reason.TOKEN_OF_ANOTHER_SENDER),
        (403, "SomethingNew", ALERT, Reason.CREDENTIAL_REJECTED),
        (404, "BadPath", DROP, Reason.TOKEN_INVALID),
        (405, "MethodNotAllowed", FIX, Reason.REQUEST_MALFORMED),
        (410, "Unregistered", DROP, Reason.TOKEN_UNREGISTERED),
        (410, "ExpiredToken", DROP, Reason.TOKEN_UNREGISTERED),
        (410, "", DROP, Reason.TOKEN_UNREGISTERED),
        (413, "PayloadTooLarge", FIX, Reason.PAYLOAD_TOO_LARGE),
        (429, "TooManyRequests", WAIT, Reason.THROTTLED),
        (500, "InternalServerError", RETRY, Reason.PROVIDER_ERROR),
        (503, "ServiceUnavailable", RETRY, Reason.PROVIDER_UNAVAILABLE),
        (503, "Shutdown", RETRY, Reason.PROVIDER_UNAVAILABLE),
    ],
)
def test_apple_rows(status: int, word: str, verdict: Verdict, reason: Reason) -> None:
    """Apple's reasons are believed under any status: its page lists the two apart."""
    end = judge(Profile.APPLE, status, (), orjson.dumps({"reason": word}), START)
    assert (end.verdict, end.reason, end.words) == (verdict, reason, word)


@pytest.mark.parametrize(
    ("status", "described", "verdict", "reason"),
    [
        (403, "", SUSPECT, Reason.TOKEN_OF_ANOTHER_SENDER),
        (404, "", DROP, Reason.TOKEN_UNREGISTERED),
        (406, "", WAIT, Reason.THROTTLED),
        (410, "", DROP, Reason.TOKEN_UNREGISTERED),
        (410, "The domain has been blocked", ALERT, Reason.TOPIC_DISALLOWED),
        (413, "", FIX, Reason.PAYLOAD_TOO_LARGE),
        (500, "", RETRY, Reason.PROVIDER_ERROR),
        (503, "", WAIT, Reason.PROVIDER_UNAVAILABLE),
    ],
)
def test_windows_rows(status: int, described: str, verdict: Verdict, reason: Reason) -> None:
    """A blocked domain is our fault, not ten thousand dead tokens."""
    headers = ((b"x-wns-error-description", described.encode()),)
    end = judge(Profile.WNS, status, headers, b"", START)
    assert (end.verdict, end.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [("received", Verdict.OK), ("dropped", Verdict.OK), ("channelthrottled", WAIT)],
)
def test_windows_may_throttle_under_a_success(status: str, verdict: Verdict) -> None:
    """X-WNS-Status tells what a 2xx was worth, and is reported."""
    end = judge(Profile.WNS, 201, ((b"x-wns-status", status.encode()),), b"", START)
    assert (end.verdict, end.words) == (verdict, status)


@pytest.mark.parametrize("profile", [Profile.GENERIC, Profile.NTFY])
@pytest.mark.parametrize(
    ("status", "code", "verdict", "reason"),
    [
        (507, 50701, WAIT, Reason.PROVIDER_UNAVAILABLE),
        (400, 40009, DROP, Reason.TOKEN_INVALID),
        (413, 41301, FIX, Reason.PAYLOAD_TOO_LARGE),
        (413, 41303, FIX, Reason.PAYLOAD_TOO_LARGE),
        (429, 42901, WAIT, Reason.THROTTLED),
        (429, 42908, WAIT, Reason.THROTTLED),
        (404, 40401, DROP, Reason.TOKEN_UNREGISTERED),
        (500, 50001, RETRY, Reason.PROVIDER_ERROR),
    ],
)
def test_ntfy_rows(
    profile: Profile, status: int, code: int, verdict: Verdict, reason: Reason
) -> None:
    """Ntfy runs on any host, so its codes are known everywhere the RFC's table is."""
    body = orjson.dumps({"code": code, "http": status, "error": "words", "link": "https://x"})
    end = judge(profile, status, (), body, START)
    assert (end.verdict, end.reason, end.words) == (verdict, reason, f"{code} words")


@pytest.mark.parametrize(
    ("status", "value", "verdict", "seconds"),
    [
        (429, b"30", WAIT, 30.0),
        (503, b"120", WAIT, 120.0),
        (500, b"Sun, 01 Mar 2026 12:01:00 GMT", WAIT, 60.0),
        (503, b"Sun, 01 Mar 2026 11:00:00 GMT", WAIT, 0.0),
        (429, b"99999999", WAIT, MAX_RETRY_AFTER_S),
        (503, b"soon", RETRY, math.nan),
        (429, b"-1", WAIT, math.nan),
        (503, b"", RETRY, math.nan),
    ],
)
def test_retry_after_is_obeyed_and_bounded(
    status: int, value: bytes, verdict: Verdict, seconds: float
) -> None:
    """Seconds or a date; nonsense counts as silence; nobody makes us wait for a year."""
    end = judge(Profile.GENERIC, status, ((b"retry-after", value),), b"", START)
    assert end.verdict is verdict
    assert end.retry_after_s == seconds or (math.isnan(seconds) and math.isnan(end.retry_after_s))


@pytest.mark.parametrize("failure", list(Failure))
def test_no_answer_is_always_tried_again(failure: Failure) -> None:
    """Topic keeps a message that did arrive from being shown twice."""
    assert FAILURES[failure].verdict is RETRY


@given(
    profile=st.sampled_from(Profile),
    status=st.integers(100, 999),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"retry-after", b"x-wns-status", b"x-wns-error-description"]),
            st.binary(max_size=60),
        ),
        max_size=3,
    ),
    body=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["errno", "reason", "code", "error", "message"]), inner
            )
        ),
        max_leaves=8,
    ).map(orjson.dumps),
)
def test_no_answer_can_make_the_judge_stumble(
    profile: Profile, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """A hostile service gets a verdict like any other; its words stay short and printable."""
    end = judge(profile, status, headers, body, START)
    assert len(end.words) <= MAX_WORDS
    assert end.words.isprintable()
    assert math.isnan(end.retry_after_s) or 0 <= end.retry_after_s <= MAX_RETRY_AFTER_S


def test_a_body_nested_ten_thousand_deep_is_only_words() -> None:
    """The parser refuses it and the status alone decides."""
    end = judge(Profile.APPLE, 410, (), b"[" * 10_000, START)
    assert end.verdict is DROP
