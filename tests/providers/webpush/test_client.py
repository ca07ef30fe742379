"""From recipients to answers: grouping, encryption, the guard, signatures, verdicts."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.webpush.local_service import (
    ALLOW,
    ORIGIN,
    PUBLIC,
    SECRET,
    LocalService,
    make_credential,
    make_message,
    recipients_from,
    recipients_of,
)

from clarion.domain.content import Content
from clarion.domain.ids import CredentialId
from clarion.domain.network import Network
from clarion.domain.outcome import Reason, Verdict
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest
from clarion.providers.webpush import payload
from clarion.providers.webpush.client import ReceiptsOf, WebPushSettings
from clarion.providers.webpush.credential import make_vapid_credential
from clarion.providers.webpush.errors import Profile
from clarion.providers.webpush.simulator import WebPushFaults, WebPushSimulator
from clarion.wire.jose import base64url_decode
from clarion.wire.push_headers import topic_for

KEYS = WebPushSimulator().subscribe(1, ORIGIN)[0].keys
HOSTS = ("127.0.0.1:1", "127.0.0.1:2", "push.example.org")
BROKEN_POINT = b"\x04" + bytes(80)
FAILING = Callable[[SimulatedRequest], SimulatedAnswer]


def always(status: int, body: bytes = b"") -> FAILING:
    """A judge with one opinion."""
    return lambda _: SimulatedAnswer(status=status, body=body)


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("lifetime", [0.0, 600.0])
async def test_every_subscription_decrypts_to_the_message_it_was_sent(
    profile: Profile, lifetime: float
) -> None:
    """With a fresh key for each message and with a kept one, in every service's dress."""
    simulator = WebPushSimulator(profile=profile, decrypt=True, record=100)
    settings = WebPushSettings(allow=ALLOW, sender_key_lifetime_s=lifetime)
    service = LocalService(judge=simulator.answer, settings=settings)
    subscriptions = simulator.subscribe(60, ORIGIN)
    message = make_message()
    answers = await service.send(recipients_from(subscriptions), [message])
    assert set(answers.verdict) == {Verdict.OK}
    assert set(answers.reason) == {Reason.ACCEPTED}
    assert set(answers.status) == {200 if profile is Profile.NTFY else 201}
    assert simulator.record is not None
    for subscription in subscriptions:
        (delivery,) = simulator.record.deliveries[subscription.endpoint.removeprefix(ORIGIN)]
        assert delivery.plaintext == payload.render(message)
        assert delivery.topic == topic_for(message.id)


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["127.0.0.1:1", "127.0.0.1:2", "push.example.org"]), st.integers(0, 2)
        ),
        max_size=40,
    )
)
async def test_any_mix_of_origins_and_messages_comes_back_in_request_order(
    rows: list[tuple[str, int]],
) -> None:
    """Each request has a status of its own, so that a mix-up would show."""
    seen: list[tuple[str, str, str]] = []

    def judge(request: SimulatedRequest) -> SimulatedAnswer:
        seen.append((request.authority, request.path, dict(request.headers)[b"topic"].decode()))
        return SimulatedAnswer(status=410 if int(request.path[3:]) % 2 else 201)

    service = LocalService(judge=judge)
    messages = [make_message(number=number) for number in range(3)]
    answers = await service.send(
        recipients_of(
            [f"https://{host}/p/{row}" for row, (host, _) in enumerate(rows)],
            [KEYS] * len(rows),
            [message for _, message in rows],
        ),
        messages,
    )
    assert answers.status.tolist() == [410 if row % 2 else 201 for row in range(len(rows))]
    assert answers.verdict.tolist() == [
        Verdict.DROP_TOKEN if row % 2 else Verdict.OK for row in range(len(rows))
    ]
    assert sorted(seen) == sorted(
        (host, f"/p/{row}", topic_for(messages[message].id))
        for row, (host, message) in enumerate(rows)
    )
    assert len(service.transport.batches) == len(set(rows))


@pytest.mark.parametrize(
    "token",
    [
        "https://10.0.0.1/push/1",
        "https://192.168.1.1/push/1",
        "https://[::1]/push/1",
        "https://169.254.169.254/latest",
        "https://localhost/push/1",
        "https://push.internal/1",
        "https://user@127.0.0.1/push/1",
        "https://127.0.0.1/push/1#fragment",
        "https://127.0.0.1/push/a b",
        "http://push.example.com/push/1",
        "https://2130706433/push/1",
        "https://127.0.0.1",
        "gopher://127.0.0.1/1",
        "https:///push",
        "nonsense",
        "",
    ],
)
async def test_a_forbidden_endpoint_gets_a_verdict_and_never_a_request(token: str) -> None:
    """The token is not dead and the credential not wrong: we refuse to call this address."""
    service = LocalService(judge=always(201))
    good = "https://127.0.0.1:8443/push/1"
    answers = await service.send(recipients_of([token, good], [KEYS, KEYS]), [make_message()])
    assert answers.verdict.tolist() == [Verdict.FIX_PAYLOAD, Verdict.OK]
    assert answers.reason.tolist() == [Reason.ENDPOINT_FORBIDDEN, Reason.ACCEPTED]
    assert answers.status.tolist() == [0, 201]
    assert answers.provider_reason[0]
    (batch,) = [batch for _, batch in service.transport.batches]
    assert batch.paths == [b"/push/1"]


async def test_a_name_that_resolves_to_a_private_address_is_forbidden_too() -> None:
    """The guard's second look, after the name was resolved, comes from the transport."""
    service = LocalService(judge=always(201))
    service.transport.forbidden.add("rebound.example.org")
    tokens = ["https://rebound.example.org/1", "https://push.example.org/1"]
    answers = await service.send(recipients_of(tokens, [KEYS, KEYS]), [make_message()])
    assert answers.reason.tolist() == [Reason.ENDPOINT_FORBIDDEN, Reason.ACCEPTED]


async def test_only_hosts_on_the_allow_list_go_unguarded() -> None:
    """Everybody else's addresses are checked and pinned by the transport."""
    service = LocalService(judge=always(201))
    tokens = ["https://127.0.0.1:8443/1", "https://elsewhere.example.org/1"]
    await service.send(recipients_of(tokens, [KEYS, KEYS]), [make_message()])
    guarded = {origin.host: origin.guarded for origin, _ in service.transport.batches}
    assert guarded == {"127.0.0.1": False, "elsewhere.example.org": True}


async def test_plain_http_is_spoken_to_hosts_on_the_allow_list() -> None:
    """An origin is scheme, host and port: each gets its own batch and its own signature."""
    service = LocalService(judge=always(201))
    tokens = ["http://127.0.0.1/1", "https://127.0.0.1/1", "http://127.0.0.1:8080/1"]
    answers = await service.send(recipients_of(tokens, [KEYS] * 3), [make_message()])
    assert answers.verdict.tolist() == [Verdict.OK] * 3
    assert sorted((o.scheme, o.authority) for o, _ in service.transport.batches) == [
        ("http", "127.0.0.1"),
        ("http", "127.0.0.1:8080"),
        ("https", "127.0.0.1"),
    ]
    signed = {dict(b.headers.headers)[b"authorization"] for _, b in service.transport.batches}
    assert len(signed) == 3


@pytest.mark.parametrize("lifetime", [0.0, 600.0])
async def test_broken_keys_cost_only_their_own_row(lifetime: float) -> None:
    """A point off the curve among hundreds must not stop the batch."""
    settings = WebPushSettings(allow=ALLOW, sender_key_lifetime_s=lifetime)
    service = LocalService(judge=always(201), settings=settings)
    tokens = [f"{ORIGIN}/p/{row}" for row in range(120)]
    keys = [KEYS] * 120
    keys[3], keys[60], keys[119] = BROKEN_POINT, b"short", b""
    answers = await service.send(recipients_of(tokens, keys), [make_message()])
    bad = [row for row in range(120) if answers.verdict[row] == Verdict.DROP_TOKEN]
    assert bad == [3, 60, 119]
    assert {int(answers.reason[row]) for row in bad} == {Reason.TOKEN_INVALID}
    assert int((answers.verdict == Verdict.OK).sum()) == 117


async def test_recipients_without_keys_are_no_subscriptions() -> None:
    """Nothing is sent unencrypted."""
    service = LocalService(judge=always(201))
    answers = await service.send(recipients_of([f"{ORIGIN}/p/1"], None), [make_message()])
    assert answers.verdict.tolist() == [Verdict.DROP_TOKEN]
    assert service.transport.batches == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (Content(title="t", body="x" * 5000), Reason.PAYLOAD_TOO_LARGE),
        (Content(title="\ud800"), Reason.PAYLOAD_REFUSED),
    ],
)
async def test_a_message_that_cannot_be_written_stops_its_own_rows_only(
    content: Content, reason: Reason
) -> None:
    """The other message of the batch goes out."""
    service = LocalService(judge=always(201))
    tokens = [f"{ORIGIN}/p/{row}" for row in range(4)]
    messages = [make_message(content, number=1), make_message(number=2)]
    answers = await service.send(recipients_of(tokens, [KEYS] * 4, [0, 1, 0, 1]), messages)
    assert answers.reason.tolist() == [reason, Reason.ACCEPTED] * 2
    assert answers.verdict.tolist() == [Verdict.FIX_PAYLOAD, Verdict.OK] * 2


async def test_an_unusable_credential_alerts_and_touches_no_token() -> None:
    """A configuration fault is nobody's dead token."""
    service = LocalService(judge=always(201))
    credential = make_credential(secret={"private_key": "nonsense"})
    answers = await service.send(
        recipients_of([f"{ORIGIN}/p/1"], [KEYS]), [make_message()], credential=credential
    )
    assert answers.verdict.tolist() == [Verdict.ALERT_CONFIG]
    assert answers.reason.tolist() == [Reason.CREDENTIAL_REJECTED]
    assert service.transport.batches == []


async def authorization(service: LocalService, version: int = 1, port: int = 1) -> bytes:
    """The Authorization field of one more message."""
    await service.send(
        recipients_of([f"https://127.0.0.1:{port}/p/1"], [KEYS]),
        [make_message()],
        credential=make_credential(version=version),
    )
    return dict(service.transport.batches[-1][1].headers.headers)[b"authorization"]


async def test_a_signature_is_kept_per_origin_and_version_until_half_its_life() -> None:
    """Twelve hours of life, a new one after six."""
    service = LocalService(judge=always(201))
    first = await authorization(service)
    service.clock.at += timedelta(hours=5, minutes=59)
    assert await authorization(service) == first
    assert await authorization(service, port=2) != first
    assert await authorization(service, version=2) != first
    service.clock.at += timedelta(minutes=2)
    assert await authorization(service) != first


async def test_a_refused_old_signature_is_made_anew_and_a_young_one_alerts() -> None:
    """REFRESH_AUTH once; refused again right after, it is the configuration."""
    google = WebPushSettings(allow=ALLOW, profiles={"127.0.0.1": Profile.GOOGLE})
    service = LocalService(judge=always(401), settings=google)

    async def verdict() -> int:
        tokens = [f"{ORIGIN}/p/{row}" for row in range(3)]
        answers = await service.send(recipients_of(tokens, [KEYS] * 3), [make_message()])
        (found,) = set(answers.verdict.tolist())
        return int(found)

    assert await verdict() == Verdict.ALERT_CONFIG
    service.clock.at += timedelta(hours=2)
    assert await verdict() == Verdict.REFRESH_AUTH
    assert await verdict() == Verdict.ALERT_CONFIG


async def test_a_kept_sender_key_is_replaced_when_its_lifetime_ends() -> None:
    """The key id in the body tells which key pair encrypted it."""
    settings = WebPushSettings(allow=ALLOW, sender_key_lifetime_s=60)
    service = LocalService(judge=always(201), settings=settings)

    async def key_id() -> bytes:
        await service.send(recipients_of([f"{ORIGIN}/p/1"], [KEYS]), [make_message()])
        return service.transport.batches[-1][1].body_of(0)[21:86]

    first = await key_id()
    assert await key_id() == first
    service.clock.at += timedelta(seconds=61)
    assert await key_id() != first


async def test_kept_sender_keys_of_many_credentials_take_bounded_memory() -> None:
    """Only the few most recently used are kept: each may hold the secrets of 200,000 people."""
    settings = WebPushSettings(allow=ALLOW, sender_key_lifetime_s=3600)
    service = LocalService(judge=always(201), settings=settings)
    credentials = [
        replace(make_credential(public=public, secret=secret), id=CredentialId(number))
        for number, (public, secret) in enumerate(
            make_vapid_credential("mailto:ops@example.org") for _ in range(6)
        )
    ]

    async def key_id(number: int) -> bytes:
        recipients = recipients_of([f"{ORIGIN}/p/1"], [KEYS])
        await service.send(recipients, [make_message()], credential=credentials[number])
        return service.transport.batches[-1][1].body_of(0)[21:86]

    first = [await key_id(number) for number in range(6)]
    assert len(set(first)) == 6
    assert await key_id(5) == first[5]
    assert await key_id(0) != first[0]


async def test_by_default_no_two_messages_share_a_sender_key() -> None:
    """RFC 8291 section 3.1."""
    service = LocalService(judge=always(201))
    tokens = [f"{ORIGIN}/p/{row}" for row in range(5)]
    await service.send(recipients_of(tokens, [KEYS] * 5), [make_message()])
    batch = service.transport.batches[0][1]
    assert len({batch.body_of(row)[21:86] for row in range(5)}) == 5


@pytest.mark.parametrize("lifetime", [0.0, 600.0])
async def test_no_two_messages_share_a_salt_and_none_is_encrypted_by_the_signing_key(
    lifetime: float,
) -> None:
    """RFC 8188 section 4.3: random for every message; RFC 8292 section 3.2: another key signs."""
    settings = WebPushSettings(allow=ALLOW, sender_key_lifetime_s=lifetime)
    service = LocalService(judge=always(201), settings=settings)
    tokens = [f"{ORIGIN}/p/{row}" for row in range(60)]
    for _ in range(3):
        await service.send(recipients_of(tokens, [KEYS] * 60), [make_message()])
    bodies = [b.body_of(row) for _, b in service.transport.batches for row in range(60)]
    assert len({body[:16] for body in bodies}) == 180
    assert base64url_decode(PUBLIC["public_key"]) not in {body[21:86] for body in bodies}


async def test_faults_of_the_service_become_verdicts_row_by_row() -> None:
    """Dead, made with another key, throttled, silent, cut: each is told apart."""
    faults = WebPushFaults(dead=0.2, other_key=0.2, throttle=0.2, silent=0.1, dropped=0.1)
    simulator = WebPushSimulator(profile=Profile.AUTOPUSH, faults=faults, seed=3)
    settings = WebPushSettings(allow=ALLOW, profiles={"127.0.0.1": Profile.AUTOPUSH})
    service = LocalService(judge=simulator.answer, settings=settings)
    answers = await service.send(
        recipients_from(simulator.subscribe(400, ORIGIN)), [make_message()]
    )
    ends = set(zip(answers.verdict.tolist(), answers.reason.tolist(), strict=True))
    assert ends == {
        (Verdict.OK, Reason.ACCEPTED),
        (Verdict.DROP_TOKEN, Reason.TOKEN_UNREGISTERED),
        (Verdict.SUSPECT_TOKEN, Reason.TOKEN_OF_ANOTHER_SENDER),
        (Verdict.RETRY_AFTER, Reason.THROTTLED),
        (Verdict.RETRY, Reason.ANSWER_TIMED_OUT),
        (Verdict.RETRY, Reason.CONNECTION_LOST),
    }
    throttled = answers.reason == Reason.THROTTLED
    assert set(answers.retry_after_s[throttled]) == {30.0}
    assert np.isnan(answers.retry_after_s[~throttled]).all()


async def test_an_urgent_answer_names_the_message_resource() -> None:
    """Location is kept where somebody may ask for the trace of a single message."""
    simulator = WebPushSimulator()
    service = LocalService(judge=simulator.answer)
    recipients = recipients_from(simulator.subscribe(1, ORIGIN))
    answers = await service.send(recipients, [make_message()], urgent=True)
    assert answers.provider_id is not None
    assert answers.provider_id[0].startswith(f"{ORIGIN}/m/")


async def test_close_waits_for_what_is_under_way() -> None:
    """Nothing that was given to `send` is left without its answers."""
    service = LocalService(judge=always(201))
    tokens = [f"{ORIGIN}/p/{row}" for row in range(200)]
    sending = asyncio.create_task(
        service.send(recipients_of(tokens, [KEYS] * 200), [make_message()])
    )
    await asyncio.sleep(0)
    await service.provider.close()
    assert (await sending).verdict.tolist() == [Verdict.OK] * 200


async def test_no_recipients_make_no_requests() -> None:
    """An empty chunk has empty answers."""
    service = LocalService(judge=always(201))
    answers = await service.send(recipients_of([], []), [make_message()])
    assert len(answers.verdict) == 0
    assert service.transport.batches == []


@pytest.mark.parametrize(
    ("token", "keys", "fine"),
    [
        ("https://fcm.googleapis.com/fcm/send/abc", KEYS, True),
        ("https://127.0.0.1:8443/push/1", KEYS, True),
        ("https://10.0.0.1/push/1", KEYS, False),
        ("http://push.example.org/1", KEYS, True),
        ("http://push.example.com/1", KEYS, False),
        ("not a url", KEYS, False),
        ("https://fcm.googleapis.com/fcm/send/abc", None, False),
        ("https://fcm.googleapis.com/fcm/send/abc", KEYS[:80], False),
        ("https://fcm.googleapis.com/fcm/send/abc", BROKEN_POINT, False),
    ],
)
async def test_a_subscription_is_checked_when_it_is_registered(
    token: str, keys: bytes | None, *, fine: bool
) -> None:
    """Address by the guard's rules, keys by RFC 8291 section 7."""
    problem = LocalService(judge=always(201)).provider.check_token(token, keys)
    assert (problem is None) == fine


async def test_a_key_pair_made_by_us_is_what_a_browser_subscribes_with() -> None:
    """65 octets of uncompressed point in base64url, and a credential that checks."""
    public, secret = make_vapid_credential("mailto:ops@example.org")
    point = base64url_decode(public["public_key"])
    assert (len(point), point[0]) == (65, 4)
    provider = LocalService(judge=always(201)).provider
    assert provider.network is Network.WEBPUSH
    assert provider.check_credential(public, secret) == []
    assert provider.check_credential({}, secret)[0].path == "/public/subject"
    assert provider.check_credential(PUBLIC, secret)[0].path == "/public/public_key"
    assert provider.check_message(make_message(), LocalService(judge=always(201)).clock.at) == []


async def test_a_contact_from_the_settings_serves_credentials_without_one() -> None:
    """Apple and Mozilla want a contact in every token."""
    public = {"public_key": PUBLIC["public_key"], "site": "https://shop.example.org/"}
    simulator = WebPushSimulator(profile=Profile.APPLE, decrypt=True, record=1)
    settings = WebPushSettings(allow=ALLOW, subject="https://example.org/contact")
    service = LocalService(judge=simulator.answer, settings=settings)
    credential = replace(make_credential(), public=public, secret=SECRET)
    (subscription,) = simulator.subscribe(1, ORIGIN)
    answers = await service.send(
        recipients_from([subscription]), [make_message()], credential=credential
    )
    assert answers.verdict.tolist() == [Verdict.OK]
    assert simulator.record is not None
    (delivery,) = simulator.record.deliveries[subscription.endpoint.removeprefix(ORIGIN)]
    assert delivery.plaintext is not None
    assert orjson.loads(delivery.plaintext)["notification"]["navigate"] == public["site"]


async def test_receipts_are_asked_of_the_service_that_gives_them_and_of_no_other() -> None:
    """Its endpoints' requests name the message's receipt resource; where it keeps it is kept."""
    asked: list[dict[bytes, bytes]] = []

    def judge(request: SimulatedRequest) -> SimulatedAnswer:
        asked.append(dict(request.headers))
        location = f"https://{request.authority}/m/1".encode()
        status = 202 if b"prefer" in asked[-1] else 201
        return SimulatedAnswer(status=status, headers=[(b"location", location)])

    receipts = ReceiptsOf(origin=ORIGIN.encode(), resource=lambda message: f"{ORIGIN}/r/{message}")
    settings = WebPushSettings(allow=ALLOW, receipts=receipts)
    service = LocalService(judge=judge, settings=settings)
    tokens = [f"{ORIGIN}/wpush/v1/a", "https://push.example.org/b"]
    message = make_message()
    answers = await service.send(recipients_of(tokens, [KEYS, KEYS]), [message])
    assert set(answers.verdict) == {Verdict.OK}
    assert sorted(answers.status.tolist()) == [201, 202]
    assert answers.provider_id == {0: f"{ORIGIN}/m/1"}
    (own,) = (fields for fields in asked if b"prefer" in fields)
    assert own[b"prefer"] == b"respond-async"
    link = f'<{ORIGIN}/r/{message.id}>; rel="urn:ietf:params:push:receipt"'
    assert own[b"link"] == link.encode()
    (other,) = (fields for fields in asked if b"prefer" not in fields)
    assert b"link" not in other
