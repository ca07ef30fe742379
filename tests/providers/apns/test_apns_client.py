"""The client against the simulator: verdicts, provider tokens, environments, connections."""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from clarion.domain.content import Content, PushType
from clarion.domain.ids import MessageId
from clarion.domain.network import Environment
from clarion.domain.outcome import Reason, Verdict
from clarion.ports.simulator import SimulatedRequest
from clarion.providers.apns.simulator import ApnsFaults
from clarion.wire.jose import parse_jwt

if TYPE_CHECKING:
    from tests.providers.apns.conftest import KeyPair, MakeStage

TOKENS = [f"{n:064x}".encode() for n in range(1, 201)]


def header(request: SimulatedRequest, name: bytes) -> bytes:
    """One field of a request."""
    return dict(request.headers)[name]


async def test_everybody_reachable_is_accepted_once(make_stage: "MakeStage") -> None:
    """A whole batch, one provider token, one connection."""
    stage = make_stage()
    answers = await stage.send(TOKENS)
    assert set(answers.verdict.tolist()) == {Verdict.OK}
    assert set(answers.status.tolist()) == {200}
    assert stage.production.record is not None
    assert set(stage.production.record.deliveries.values()) == {1}
    assert len(stage.production.record.deliveries) == 200
    assert stage.shelf.minted == 1
    assert len(set(stage.transport.origins)) == 1


async def test_dead_tokens_come_back_dated_and_the_others_go_out(make_stage: "MakeStage") -> None:
    """410 is a verdict about one token, not a trouble of the batch."""
    stage = make_stage(ApnsFaults(dead=0.2))
    answers = await stage.send(TOKENS)
    dead = answers.verdict == Verdict.DROP_TOKEN
    assert 10 < dead.sum() < 80
    assert set(answers.dead_us[dead].tolist()) == {int(stage.clock.now().timestamp() * 1e6)}
    assert set(answers.verdict[~dead].tolist()) == {Verdict.OK}
    assert stage.production.counts().by_status == {410: dead.sum(), 200: 200 - dead.sum()}


async def test_a_resend_carries_the_same_ids(make_stage: "MakeStage") -> None:
    """So that a repeated delivery can be recognised."""
    stage = make_stage()
    first = await stage.send(TOKENS[:5], urgent=True)
    again = await stage.send(TOKENS[:5], urgent=True)
    assert first.provider_id == again.provider_id
    assert stage.production.record is not None
    assert [len(ids) for ids in stage.production.record.ids.values()] == [1] * 5


async def test_many_messages_travel_in_one_batch(make_stage: "MakeStage") -> None:
    """Each with its own body and collapse id; a push type with its own topic goes apart."""
    stage = make_stage()
    messages = [replace(stage.message, id=MessageId(f"m{n}")) for n in range(3)]
    messages.append(replace(stage.message, push_type=PushType.VOIP))
    answers = await stage.send(TOKENS[:8], messages=messages, message=[0, 1, 2, 3, 0, 1, 2, 3])
    assert set(answers.verdict.tolist()) == {Verdict.OK}
    assert len(stage.transport.origins) == 2
    by_token = {request.path[-64:]: request for request in stage.transport.seen}
    assert header(by_token[TOKENS[5].decode()], b"apns-collapse-id") == b"m1"
    assert b'"id":"m1"' in by_token[TOKENS[5].decode()].body
    assert header(by_token[TOKENS[3].decode()], b"apns-topic") == b"com.example.voip"
    assert header(by_token[TOKENS[3].decode()], b"apns-expiration") == b"0"


async def test_a_message_too_large_is_refused_without_asking_apple(
    make_stage: "MakeStage",
) -> None:
    """Its neighbour in the batch is sent."""
    stage = make_stage()
    large = replace(stage.message, content=Content(body="x" * 5000))
    broken = replace(stage.message, content=Content(body="\ud800"))
    answers = await stage.send(
        TOKENS[:3], messages=[large, stage.message, broken], message=[0, 1, 2]
    )
    assert answers.verdict.tolist() == [Verdict.FIX_PAYLOAD, Verdict.OK, Verdict.FIX_PAYLOAD]
    assert answers.reason.tolist() == [
        Reason.PAYLOAD_TOO_LARGE,
        Reason.ACCEPTED,
        Reason.PAYLOAD_REFUSED,
    ]
    assert len(stage.transport.seen) == 1


@pytest.mark.parametrize("token", [b"", b"xyz", b"a/b", b"ab\r\ncd", b"\xff" * 64])
async def test_a_token_that_fits_no_path_never_reaches_the_wire(
    make_stage: "MakeStage", token: bytes
) -> None:
    """It could break the connection for everybody else."""
    stage = make_stage()
    answers = await stage.send([TOKENS[0], token])
    assert answers.verdict.tolist() == [Verdict.OK, Verdict.DROP_TOKEN]
    assert len(stage.transport.seen) == 1


async def test_an_unknown_environment_is_found_out_and_reported(make_stage: "MakeStage") -> None:
    """Production first, the sandbox once; doubtful tokens use a connection of their own."""
    both = make_stage(ApnsFaults(sandbox=0.5), ApnsFaults(sandbox=0.5), sandbox_any=True)
    answers = await both.send(TOKENS, environment=Environment.UNKNOWN)
    assert set(answers.verdict.tolist()) == {Verdict.OK}
    assert set(answers.environment) == set(range(200))
    assert set(answers.environment.values()) == {1, 2}
    assert all("suspect" in origin.partition for origin in both.transport.origins)
    sandboxed = sum(1 for world in answers.environment.values() if world == Environment.SANDBOX)
    assert both.sandbox.counts().requests == sandboxed


async def test_a_token_that_both_environments_refuse_is_suspect(make_stage: "MakeStage") -> None:
    """How many it hits decides whether tokens or credential are wrong."""
    stage = make_stage(tokens={})
    answers = await stage.send(TOKENS[:3], environment=Environment.UNKNOWN)
    assert set(answers.verdict.tolist()) == {Verdict.SUSPECT_TOKEN}
    assert set(answers.reason.tolist()) == {Reason.TOKEN_INVALID}
    assert stage.production.counts().requests == stage.sandbox.counts().requests == 3


async def test_a_stated_environment_is_believed(make_stage: "MakeStage") -> None:
    """The token is dead, and the other environment is not asked."""
    stage = make_stage(tokens={})
    answers = await stage.send(TOKENS[:3], environment=Environment.PRODUCTION)
    assert set(answers.verdict.tolist()) == {Verdict.DROP_TOKEN}
    assert stage.sandbox.counts().requests == 0


async def test_a_key_of_one_environment_leaves_the_first_verdict(make_stage: "MakeStage") -> None:
    """The sandbox complains about the key: that says nothing about the token."""
    stage = make_stage(tokens={}, key_environment=Environment.PRODUCTION)
    stage.sandbox.tokens[TOKENS[0].decode()] = frozenset({"com.example"})
    answers = await stage.send(TOKENS[:1], environment=Environment.UNKNOWN)
    assert answers.verdict.tolist() == [Verdict.SUSPECT_TOKEN]
    assert answers.provider_reason == {0: "BadDeviceToken"}
    assert answers.status.tolist() == [400]


async def test_a_token_of_another_app_is_suspect(make_stage: "MakeStage") -> None:
    """A wrong topic hits all, a stray token only itself."""
    stage = make_stage(tokens={TOKENS[0].decode(): frozenset({"com.other"})})
    answers = await stage.send(TOKENS[:1])
    assert answers.verdict.tolist() == [Verdict.SUSPECT_TOKEN]
    assert answers.reason.tolist() == [Reason.TOKEN_OF_ANOTHER_SENDER]


async def test_all_processes_share_one_provider_token(make_stage: "MakeStage") -> None:
    """Apple counts updates per team."""
    stage = make_stage()
    await stage.send(TOKENS[:1])
    stage.provider = stage.another_process()
    await stage.send(TOKENS[:1])
    assert stage.shelf.minted == 1
    assert len({header(request, b"authorization") for request in stage.transport.seen}) == 1


async def test_the_provider_token_is_renewed_before_apple_refuses_it(
    make_stage: "MakeStage",
) -> None:
    """Every 50 minutes, on the same connection, for hours."""
    stage = make_stage()
    for _ in range(40):
        answers = await stage.send(TOKENS[:2])
        assert answers.verdict.tolist() == [Verdict.OK] * 2
        await stage.clock.sleep(5 * 60)
    assert stage.shelf.minted == 4
    assert len(set(stage.transport.origins)) == 1


async def test_a_provider_token_is_valid_for_the_team_and_signed(make_stage: "MakeStage") -> None:
    """RFC 7519 with exactly Apple's claims."""
    stage = make_stage()
    await stage.send(TOKENS[:1])
    jwt = parse_jwt(header(stage.transport.seen[0], b"authorization").decode()[7:])
    assert jwt.header == {"alg": "ES256", "kid": "KEY0000001"}
    assert jwt.claims == {"iss": "TEAM000001", "iat": int(stage.clock.now().timestamp())}


async def test_an_expired_provider_token_is_minted_anew_within_the_send(
    make_stage: "MakeStage",
) -> None:
    """Our clock is a quarter of an hour behind Apple's: too late by theirs, not by ours."""
    stage = make_stage()
    stage.transport.ahead = timedelta(minutes=15)
    await stage.send(TOKENS[:1])
    await stage.clock.sleep(46 * 60)
    answers = await stage.send(TOKENS)
    assert set(answers.verdict.tolist()) == {Verdict.OK}
    assert stage.production.counts().by_status == {200: 201, 403: 200}
    assert stage.shelf.minted == 2


async def test_a_wrong_key_is_a_configuration_fault_after_one_more_try(
    make_stage: "MakeStage", other_key: "KeyPair"
) -> None:
    """No token is touched, and no provider token is minted twice within 20 minutes."""
    stage = make_stage(key=other_key)
    answers = await stage.send(TOKENS[:3])
    assert set(answers.verdict.tolist()) == {Verdict.ALERT_CONFIG}
    assert set(answers.reason.tolist()) == {Reason.CREDENTIAL_REJECTED}
    assert answers.provider_reason[0] == "InvalidProviderToken"
    assert stage.production.counts().requests == 6
    assert stage.shelf.minted == 1


async def test_a_key_that_cannot_be_read_is_a_configuration_fault(
    make_stage: "MakeStage",
) -> None:
    """Nothing is sent and nothing is raised."""
    stage = make_stage()
    stage.credential = replace(stage.credential, secret={"private_key": "not a key"})
    answers = await stage.send(TOKENS[:2])
    assert answers.verdict.tolist() == [Verdict.ALERT_CONFIG] * 2


async def test_too_many_updates_go_back_to_the_old_provider_token(
    make_stage: "MakeStage",
) -> None:
    """On a new connection, and nothing new is minted for 20 minutes."""
    stage = make_stage()
    await stage.send(TOKENS[:1])
    first = header(stage.transport.seen[-1], b"authorization")
    await stage.clock.sleep(10 * 60)
    await stage.adopt_a_newer_token()
    answers = await stage.send(TOKENS[:2])
    assert answers.verdict.tolist() == [Verdict.OK] * 2
    assert header(stage.transport.seen[-1], b"authorization") == first
    assert len(set(stage.transport.origins)) == 2


async def test_another_key_on_the_same_team_gets_its_own_connection(
    make_stage: "MakeStage",
) -> None:
    """Apple refuses an unrelated key on an open connection."""
    stage = make_stage()
    await stage.send(TOKENS[:1])
    public = {**stage.credential.public, "key_id": "KEY0000002"}
    stage.credential = replace(stage.credential, public=public, version=2)
    answers = await stage.send(TOKENS[:1])
    assert answers.verdict.tolist() == [Verdict.OK]
    assert len(set(stage.transport.origins)) == 2


async def test_a_configuration_fault_touches_no_token(make_stage: "MakeStage") -> None:
    """All are told apart from dead ones."""
    stage = make_stage(ApnsFaults(reason="TopicDisallowed"))
    answers = await stage.send(TOKENS[:5])
    assert set(answers.verdict.tolist()) == {Verdict.ALERT_CONFIG}
    assert set(answers.reason.tolist()) == {Reason.TOPIC_DISALLOWED}


async def test_throttling_silence_and_cut_connections_are_tried_later(
    make_stage: "MakeStage",
) -> None:
    """Each with its own reason; the rest is accepted."""
    stage = make_stage(ApnsFaults(throttle=0.1, unavailable=0.1, silent=0.05, dropped=0.05))
    answers = await stage.send(TOKENS)
    reasons = {Reason(code) for code in answers.reason.tolist()}
    assert reasons == {
        Reason.ACCEPTED,
        Reason.THROTTLED,
        Reason.PROVIDER_UNAVAILABLE,
        Reason.ANSWER_TIMED_OUT,
        Reason.CONNECTION_LOST,
    }
    throttled = answers.reason == Reason.THROTTLED
    assert set(answers.verdict[throttled].tolist()) == {Verdict.RETRY_AFTER}
    assert set(answers.retry_after_s[throttled].tolist()) == {60.0}


async def test_goaway_after_every_tenth_request_loses_nothing(make_stage: "MakeStage") -> None:
    """The connection is replaced, its debug data names the reason."""
    stage = make_stage(ApnsFaults(goaway_every=10))
    answers = await stage.send(TOKENS)
    assert set(answers.verdict.tolist()) == {Verdict.OK}
    assert stage.production.record is not None
    assert sum(stage.production.record.deliveries.values()) == 200


async def test_closing_waits_for_nothing_when_idle(make_stage: "MakeStage") -> None:
    """The connections belong to the transport."""
    await make_stage().provider.close()


def test_a_credential_is_checked_without_asking_apple(make_stage: "MakeStage") -> None:
    """Each fault with the path of its field."""
    stage = make_stage()
    check = stage.provider.check_credential
    assert list(check(stage.credential.public, stage.credential.secret)) == []
    assert [p.path for p in check({}, {})] == [
        "/public/topic",
        "/public/key_id",
        "/public/team_id",
        "/secret/private_key",
    ]
    odd = {**stage.credential.public, "environment": "beta"}
    assert [p.path for p in check(odd, stage.credential.secret)] == ["/public/environment"]
    pem = stage.key.public_pem
    assert [p.path for p in check(odd | {"environment": ""}, {"private_key": pem})] == [
        "/secret/private_key"
    ]


def test_a_certificate_is_checked_for_its_key_and_its_expiry(make_stage: "MakeStage") -> None:
    """Before a send fails for everybody."""
    stage = make_stage()
    check = stage.provider.check_credential
    public = {"topic": "com.example"}
    certificate, key = stage.certificate(days=30)
    assert list(check(public, {"certificate": certificate, "certificate_key": key})) == []
    _, foreign = stage.certificate(days=30)
    (problem,) = check(public, {"certificate": certificate, "certificate_key": foreign})
    assert "not this certificate's key" in problem.detail
    old, old_key = stage.certificate(days=-1)
    (problem,) = check(public, {"certificate": old, "certificate_key": old_key})
    assert "expired" in problem.detail


async def test_a_certificate_replaces_the_provider_token(make_stage: "MakeStage") -> None:
    """Mutual TLS, no authorization header, the topics of the certificate."""
    stage = make_stage()
    certificate, key = stage.certificate(days=30)
    stage.use_certificate(certificate, key, topics={"com.example"})
    answers = await stage.send(TOKENS[:2])
    assert answers.verdict.tolist() == [Verdict.OK] * 2
    assert b"authorization" not in dict(stage.transport.seen[0].headers)
    stage.use_certificate(certificate, key, topics={"com.other"})
    answers = await stage.send(TOKENS[:2])
    assert answers.verdict.tolist() == [Verdict.ALERT_CONFIG] * 2


@pytest.mark.parametrize(
    ("token", "fine"),
    [
        ("a" * 64, True),
        ("AB" * 80, True),
        ("", False),
        ("abc", False),
        ("zz", False),
        ("\ud800", False),
        ("ab" * 201, False),
    ],
)
def test_a_device_token_is_hexadecimal(make_stage: "MakeStage", token: str, *, fine: bool) -> None:
    """Apple says not to assume a length; only the absurd is refused."""
    assert (make_stage().provider.check_token(token, None) is None) is fine
