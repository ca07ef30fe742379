"""The push service that tests, demo and `clarion simulate webpush` send to."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.webpush.local_service import (
    ALLOW,
    ORIGIN,
    PUBLIC,
    SECRET,
    START,
    make_credential,
    make_message,
    recipients_from,
)

from clarion.adapters.net.loopback_tls import make_loopback_tls, server_context
from clarion.adapters.net.serve_simulator import serve
from clarion.adapters.net.transport import NetTransport, TransportSettings
from clarion.adapters.system import SystemChance, SystemClock
from clarion.domain.outcome import Verdict
from clarion.ports.provider import SendRequest
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest
from clarion.providers.webpush import payload
from clarion.providers.webpush.client import WebPushProvider, WebPushSettings
from clarion.providers.webpush.errors import Profile, judge
from clarion.providers.webpush.simulator import (
    KEPT_PER_ENDPOINT,
    Subscription,
    WebPushFaults,
    WebPushSimulator,
)
from clarion.wire.jose import base64url_decode, build_jwt
from clarion.wire.vapid import VapidKey, authorize
from clarion.wire.webpush import SenderKey, encrypt

KEY = VapidKey.parse(SECRET["private_key"])
PLAINTEXT = b'{"title":"Hi"}'


def body_for(subscription: Subscription) -> bytes:
    """A correctly encrypted body."""
    keys = subscription.receiver.subscription
    return encrypt(PLAINTEXT, keys, salt=bytes(16), sender=SenderKey.generate())


def fields(**changes: str | None) -> dict[str, str]:
    """Correct fields, with some of them changed, or removed by None; `_` stands for `-`."""
    signed = authorize(f"{ORIGIN}/", KEY, subject="mailto:ops@example.org", now=START)
    all_fields: dict[str, str | None] = {
        "ttl": "60",
        "content-encoding": "aes128gcm",
        "authorization": signed.value,
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return {name: value for name, value in all_fields.items() if value is not None}


def ask(
    simulator: WebPushSimulator,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    method: str = "POST",
) -> SimulatedAnswer:
    """One request."""
    return simulator.answer(
        SimulatedRequest(
            connection=1,
            stream=1,
            method=method,
            path=path,
            authority="127.0.0.1:8443",
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            body=body,
            peer_certificate=None,
            now=START,
        )
    )


def post(
    simulator: WebPushSimulator, headers: Mapping[str, str], body: bytes | None = None
) -> SimulatedAnswer:
    """One push to the simulator's next subscription."""
    (subscription,) = simulator.subscribe(1, ORIGIN)
    path = subscription.endpoint.removeprefix(ORIGIN)
    return ask(simulator, path, headers, body_for(subscription) if body is None else body)


@pytest.mark.parametrize(
    ("profile", "asked", "kept"),
    [
        (Profile.AUTOPUSH, "60", b"60"),
        (Profile.AUTOPUSH, "99999999", b"2592000"),
        (Profile.GOOGLE, "99999999", b"2419200"),
        (Profile.GENERIC, "0", b"0"),
    ],
)
def test_an_accepted_message_has_a_resource_and_the_ttl_it_really_got(
    profile: Profile, asked: str, kept: bytes
) -> None:
    """RFC 8030 section 5.2: the service may shorten, and must say so."""
    answer = post(WebPushSimulator(profile=profile, decrypt=True), fields(ttl=asked))
    assert answer.status == 201
    assert dict(answer.headers)[b"ttl"] == kept
    assert dict(answer.headers)[b"location"].startswith(ORIGIN.encode() + b"/m/")


def signed_with(claims: Mapping[str, object], key: VapidKey = KEY) -> str:
    """An Authorization field with these claims."""
    whole = {
        "aud": ORIGIN,
        "exp": int(START.timestamp()) + 3600,
        "sub": "mailto:ops@example.org",
        **claims,
    }
    kept = {name: value for name, value in whole.items() if isinstance(value, int | str)}
    return f"vapid t={build_jwt(kept, key.private)}, k={key.public}"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (fields(ttl=None), (400, "BadTtl")),
        (fields(ttl="-1"), (400, "BadTtl")),
        (fields(ttl="1.5"), (400, "BadTtl")),
        (fields(urgency="panic"), (400, "BadUrgency")),
        (fields(urgency="low, high"), (400, "BadUrgency")),
        (fields(topic="x" * 33), (400, "BadWebPushTopic")),
        (fields(topic="a.b"), (400, "BadWebPushTopic")),
        (fields(content_encoding=None), (400, "BadWebPushRequest")),
        (fields(content_encoding="aesgcm"), (400, "BadWebPushRequest")),
        (fields(authorization=None), (403, "BadAuthorizationHeader")),
        (fields(authorization="vapid t=abc"), (403, "BadJwtToken")),
        (fields(authorization="Basic YTpi"), (403, "BadJwtToken")),
        (fields(authorization=signed_with({}).replace("k=B", "k=C")), (403, "BadVapidPublicKey")),
        (fields(authorization=signed_with({"aud": "https://else"})), (403, "BadJwtToken")),
        (fields(authorization=signed_with({"exp": 1})), (403, "BadJwtToken")),
        (
            fields(authorization=signed_with({"exp": int(START.timestamp()) + 90_000})),
            (403, "BadJwtToken"),
        ),
        (fields(authorization=signed_with({"sub": None})), (403, "BadJwtToken")),
        (
            fields(authorization=signed_with({}, VapidKey.generate())),
            (403, "VapidPkHashMismatch"),
        ),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused_in_apples_words(
    changed: Mapping[str, str], expected: tuple[int, str]
) -> None:
    """Strict about everything that the service is strict about."""
    simulator = WebPushSimulator(
        profile=Profile.APPLE, application_key=base64url_decode(PUBLIC["public_key"])
    )
    answer = post(simulator, changed)
    assert (answer.status, orjson.loads(answer.body)["reason"]) == expected


def test_a_body_for_somebody_else_is_refused_when_it_is_decrypted() -> None:
    """Only the subscription's private key can tell."""
    simulator = WebPushSimulator(decrypt=True)
    first, second = simulator.subscribe(2, ORIGIN)
    path = first.endpoint.removeprefix(ORIGIN)
    assert ask(simulator, path, fields(), body_for(second)).status == 400
    assert ask(simulator, path, fields(), body_for(first)).status == 201


@pytest.mark.parametrize("profile", list(Profile))
def test_what_every_profile_refuses_alike(profile: Profile) -> None:
    """4097 octets, another method, an unknown endpoint."""
    simulator = WebPushSimulator(profile=profile)
    (subscription,) = simulator.subscribe(1, ORIGIN)
    path, body = subscription.endpoint.removeprefix(ORIGIN), body_for(subscription)
    assert ask(simulator, path, fields(), bytes(4097)).status == 413
    assert ask(simulator, path, fields(), body, method="PUT").status == 405
    wrong = path[:-1] + ("0" if path[-1] != "0" else "1")
    for unknown in (wrong, path + "x", "/", "", "/" + "f" * 64):
        assert ask(simulator, unknown, fields(), body).status == 404
    assert ask(simulator, path, fields(), body).status // 100 == 2


@pytest.mark.parametrize(
    ("profile", "faults", "status", "verdict"),
    [
        (Profile.GENERIC, WebPushFaults(dead=1), 410, Verdict.DROP_TOKEN),
        (Profile.AUTOPUSH, WebPushFaults(dead=1), 410, Verdict.DROP_TOKEN),
        (Profile.GOOGLE, WebPushFaults(dead=1), 410, Verdict.DROP_TOKEN),
        (Profile.APPLE, WebPushFaults(dead=1), 410, Verdict.DROP_TOKEN),
        (Profile.WNS, WebPushFaults(dead=1), 410, Verdict.DROP_TOKEN),
        (Profile.NTFY, WebPushFaults(dead=1), 507, Verdict.RETRY_AFTER),
        (Profile.GENERIC, WebPushFaults(other_key=1), 403, Verdict.SUSPECT_TOKEN),
        (Profile.AUTOPUSH, WebPushFaults(other_key=1), 401, Verdict.SUSPECT_TOKEN),
        (Profile.GOOGLE, WebPushFaults(other_key=1), 403, Verdict.SUSPECT_TOKEN),
        (Profile.APPLE, WebPushFaults(other_key=1), 403, Verdict.SUSPECT_TOKEN),
        (Profile.WNS, WebPushFaults(throttle=1), 406, Verdict.RETRY_AFTER),
        (Profile.GOOGLE, WebPushFaults(throttle=1), 429, Verdict.RETRY_AFTER),
        (Profile.AUTOPUSH, WebPushFaults(unavailable=1), 503, Verdict.RETRY_AFTER),
        (Profile.APPLE, WebPushFaults(unavailable=1), 503, Verdict.RETRY),
    ],
)
def test_each_fault_is_said_in_the_profiles_words_and_understood(
    profile: Profile, faults: WebPushFaults, status: int, verdict: Verdict
) -> None:
    """Simulator and error table agree on what a service says."""
    answer = post(WebPushSimulator(profile=profile, faults=faults), fields())
    assert answer.status == status
    end = judge(profile, answer.status, answer.headers, answer.body, START)
    assert end.verdict is verdict


def test_two_simulators_of_one_seed_agree_on_subscriptions_and_on_the_dead() -> None:
    """So that a demo can import subscriptions that another process will judge."""
    faults = WebPushFaults(dead=0.3)
    mine, theirs = (WebPushSimulator(faults=faults, seed=5) for _ in range(2))
    subscriptions = mine.subscribe(300, ORIGIN)
    assert [(one.endpoint, one.keys) for one in theirs.subscribe(300, ORIGIN)] == [
        (one.endpoint, one.keys) for one in subscriptions
    ]
    assert len({one.endpoint for one in subscriptions}) == 300
    statuses = [
        [
            ask(judging, one.endpoint.removeprefix(ORIGIN), fields(), b"").status
            for one in subscriptions
        ]
        for judging in (mine, theirs)
    ]
    assert statuses[0] == statuses[1]
    assert 60 <= statuses[0].count(410) <= 120
    assert mine.counts().by_status == {
        201: statuses[0].count(201),
        410: statuses[0].count(410),
    }
    assert mine.counts().requests == 300
    other = WebPushSimulator(seed=6)
    path = subscriptions[0].endpoint.removeprefix(ORIGIN)
    assert ask(other, path, fields(), b"").status == 404


def test_a_topic_replaces_the_message_that_an_offline_browser_has_not_seen() -> None:
    """RFC 8030 section 5.4; a repeat with the same Topic is shown once."""
    simulator = WebPushSimulator(record=1)
    first, second = simulator.subscribe(2, ORIGIN)
    path = first.endpoint.removeprefix(ORIGIN)
    for topic in ("a", "a", "b"):
        ask(simulator, path, fields(topic=topic), body_for(first))
    assert simulator.record is not None
    deliveries = simulator.record.deliveries[path]
    assert [one.topic for one in deliveries] == ["a", "a", "b"]
    assert simulator.record.stored == {
        (path, "a"): deliveries[1].id,
        (path, "b"): deliveries[2].id,
    }
    ask(simulator, second.endpoint.removeprefix(ORIGIN), fields(), body_for(second))
    assert simulator.record.unrecorded == 1


def test_the_record_of_an_endpoint_stays_small() -> None:
    """The count goes on; the deliveries kept are the last ones."""
    simulator = WebPushSimulator(record=1)
    (subscription,) = simulator.subscribe(1, ORIGIN)
    path, body = subscription.endpoint.removeprefix(ORIGIN), body_for(subscription)
    for _ in range(KEPT_PER_ENDPOINT + 5):
        ask(simulator, path, fields(), body)
    assert simulator.record is not None
    assert len(simulator.record.deliveries[path]) == KEPT_PER_ENDPOINT
    assert simulator.record.accepted[path] == KEPT_PER_ENDPOINT + 5


@given(
    profile=st.sampled_from(Profile),
    path=st.text(max_size=60),
    authority=st.text(max_size=20) | st.sampled_from(["xn--a", "xn--\u00e9", "[::1", "a:b"]),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"ttl", b"topic", b"urgency", b"authorization", b"crypto-key"]),
            st.binary(max_size=40) | st.just(b"vapid t=a.b.c, k=d"),
        ),
        max_size=4,
    ),
    valid=st.booleans(),
)
def test_no_request_can_make_the_simulator_stumble(
    profile: Profile,
    path: str,
    authority: str,
    headers: list[tuple[bytes, bytes]],
    *,
    valid: bool,
) -> None:
    """Whatever a client under test sends, it gets a refusal to look at."""
    simulator = WebPushSimulator(profile=profile, decrypt=True)
    (subscription,) = simulator.subscribe(1, ORIGIN)
    answer = simulator.answer(
        SimulatedRequest(
            connection=1,
            stream=1,
            method="POST",
            path=subscription.endpoint.removeprefix(ORIGIN) if valid else path,
            authority=authority,
            headers=headers,
            body=b"x",
            peer_certificate=None,
            now=START,
        )
    )
    assert 400 <= answer.status < 500


@pytest.mark.parametrize("protocols", [["h2", "http/1.1"], ["http/1.1"], None])
async def test_provider_and_simulator_meet_on_a_socket(
    protocols: list[str] | None, tmp_path: Path
) -> None:
    """HTTP/2 and HTTP/1.1 over TLS, plain HTTP to a listed host; the browser decrypts."""
    clock, chance = SystemClock(), SystemChance()
    files = make_loopback_tls(tmp_path, clock.now())
    tls = None
    if protocols is not None:
        tls = server_context(files.certificate, files.key, alpn=protocols)
    simulator = WebPushSimulator(
        profile=Profile.AUTOPUSH, decrypt=True, record=200, faults=WebPushFaults(dead=0.1)
    )
    server = await serve(simulator, host="127.0.0.1", port=0, tls=tls, clock=clock)
    transport = NetTransport(
        TransportSettings(ca_file=files.ca_file, connect_s=60, request_s=60, allow=ALLOW),
        clock,
        chance,
    )
    provider = WebPushProvider(transport, clock, chance, WebPushSettings(allow=ALLOW))
    subscriptions = simulator.subscribe(
        200, f"{'http' if tls is None else 'https'}://127.0.0.1:{server.port}"
    )
    message = make_message()
    try:
        answers = await provider.send(
            SendRequest(
                credential=make_credential(),
                messages=[message],
                recipients=recipients_from(subscriptions),
                urgent=False,
                now=clock.now() - timedelta(seconds=1),
            )
        )
    finally:
        await provider.close()
        await transport.close()
        await server.close()
    assert simulator.counts().requests == 200
    assert set(answers.status.tolist()) == {201, 410}
    assert simulator.record is not None
    for row, subscription in enumerate(subscriptions):
        path = subscription.endpoint[subscription.endpoint.index("/", 8) :]
        plaintexts = [one.plaintext for one in simulator.record.deliveries.get(path, ())]
        accepted = answers.verdict[row] == Verdict.OK
        assert plaintexts == ([payload.render(message)] if accepted else [])
