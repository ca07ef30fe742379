"""The client against the simulator: verdicts, access tokens, mixed batches."""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import pytest

from clarion.domain.content import Content
from clarion.domain.ids import MessageId
from clarion.domain.network import TokenKind
from clarion.domain.outcome import Reason, Verdict
from clarion.providers.fcm.client import FcmProvider
from clarion.providers.fcm.simulator import FcmFaults

if TYPE_CHECKING:
    from tests.providers.fcm.conftest import KeyPair, MakeStage, Stage

TOKENS = [f"c{n:04d}:APA91b-_{n:040d}".encode() for n in range(200)]


def bearer(stage: "Stage", at: int) -> bytes:
    """The authorization of a request."""
    return dict(stage.transport.seen[at].headers)[b"authorization"]


async def test_everybody_reachable_is_accepted_once(make_stage: "MakeStage") -> None:
    """A whole batch on one access token; each display id is the message's."""
    stage = make_stage()
    answers = await stage.send(TOKENS)
    assert set(answers.verdict.tolist()) == {Verdict.OK}
    assert answers.provider_id is None
    assert stage.judge.record is not None
    assert set(stage.judge.record.deliveries.values()) == {1}
    assert all(tags == {stage.message.id} for tags in stage.judge.record.tags.values())
    assert stage.shelf.minted == 1


async def test_an_urgent_send_keeps_the_names_that_fcm_gave(make_stage: "MakeStage") -> None:
    """A few, for the trace."""
    answers = await make_stage().send(TOKENS[:2], urgent=True)
    assert isinstance(answers.provider_id, dict)
    assert sorted(answers.provider_id) == [0, 1]
    assert answers.provider_id[0].startswith("projects/demo/messages/0:")


async def test_each_token_gets_its_own_verdict(make_stage: "MakeStage") -> None:
    """Dead, malformed, foreign and fine side by side."""
    stage = make_stage(FcmFaults(dead=0.2, invalid=0.2, foreign=0.2))
    answers = await stage.send(TOKENS)
    found = {
        (Verdict(verdict), Reason(reason))
        for verdict, reason in zip(answers.verdict.tolist(), answers.reason.tolist(), strict=True)
    }
    assert found == {
        (Verdict.OK, Reason.ACCEPTED),
        (Verdict.DROP_TOKEN, Reason.TOKEN_UNREGISTERED),
        (Verdict.DROP_TOKEN, Reason.TOKEN_OF_ANOTHER_SENDER),
        (Verdict.SUSPECT_TOKEN, Reason.TOKEN_INVALID),
    }


async def test_many_messages_and_both_kinds_travel_in_one_batch(make_stage: "MakeStage") -> None:
    """Each body is spliced from its own template."""
    stage = make_stage()
    messages = [replace(stage.message, id=MessageId(f"m{n}")) for n in range(3)]
    kinds = [TokenKind.TOKEN, TokenKind.FID] * 3
    answers = await stage.send(
        TOKENS[:6], messages=messages, message=[0, 1, 2, 0, 1, 2], kinds=kinds
    )
    assert set(answers.verdict.tolist()) == {Verdict.OK}
    sent = [orjson.loads(request.body)["message"] for request in stage.transport.seen]
    assert [message["android"]["notification"]["tag"] for message in sent] == [
        "m0", "m1", "m2", "m0", "m1", "m2",
    ]  # fmt: skip
    assert [message.get("fid") for message in sent[:2]] == [None, TOKENS[1].decode()]


async def test_a_bad_message_is_refused_without_asking_fcm(make_stage: "MakeStage") -> None:
    """Its neighbour in the batch is sent."""
    stage = make_stage()
    large = replace(stage.message, content=Content(body="x" * 5000))
    broken = replace(stage.message, content=Content(body="\ud800"))
    answers = await stage.send(
        TOKENS[:3], messages=[large, stage.message, broken], message=[0, 1, 2]
    )
    assert answers.reason.tolist() == [
        Reason.PAYLOAD_TOO_LARGE,
        Reason.ACCEPTED,
        Reason.PAYLOAD_REFUSED,
    ]
    assert len(stage.transport.seen) == 1


@pytest.mark.parametrize("token", [b"", b'a","topic":"all', b"a\\", b"a\n", b"\xff"])
async def test_a_token_cannot_write_into_the_body(make_stage: "MakeStage", token: bytes) -> None:
    """What would need an escape is no token."""
    stage = make_stage()
    answers = await stage.send([TOKENS[0], token])
    assert answers.verdict.tolist() == [Verdict.OK, Verdict.DROP_TOKEN]
    assert len(stage.transport.seen) == 1
    assert stage.provider.check_token(token.decode("latin-1"), None) is not None


async def test_all_processes_share_one_access_token(make_stage: "MakeStage") -> None:
    """One exchange an hour for a service account."""
    stage = make_stage()
    await stage.send(TOKENS[:1])
    stage.provider = stage.another_process()
    await stage.send(TOKENS[:1])
    assert stage.shelf.minted == 1
    assert bearer(stage, 0) == bearer(stage, 1)


async def test_an_access_token_is_replaced_before_it_ends(make_stage: "MakeStage") -> None:
    """Five minutes early; no request is ever refused."""
    stage = make_stage()
    for _ in range(30):
        answers = await stage.send(TOKENS[:1])
        assert answers.verdict.tolist() == [Verdict.OK]
        await stage.clock.sleep(300)
    assert stage.shelf.minted == 3


async def test_a_revoked_access_token_is_replaced_within_the_send(make_stage: "MakeStage") -> None:
    """401 without an error code of FCM's; another process notices too."""
    stage = make_stage()
    first, second = stage.provider, stage.another_process()
    await stage.send(TOKENS[:1])
    stage.provider = second
    await stage.send(TOKENS[:1])
    stage.judge.revoke()
    await stage.clock.sleep(30)
    for provider in (first, second):
        stage.provider = provider
        answers = await stage.send(TOKENS[:3])
        assert answers.verdict.tolist() == [Verdict.OK] * 3
    assert stage.shelf.minted == 2


async def test_a_key_that_google_refuses_is_a_configuration_fault(
    make_stage: "MakeStage", other_key: "KeyPair"
) -> None:
    """After one more try; no token is touched."""
    stage = make_stage(key=other_key)
    answers = await stage.send(TOKENS[:3])
    assert answers.verdict.tolist() == [Verdict.ALERT_CONFIG] * 3
    assert "invalid_grant: Invalid JWT Signature." in answers.provider_reason[0]
    assert stage.judge.counts().by_status == {400: 2}


async def test_a_wrong_clock_is_named_as_the_cause(make_stage: "MakeStage") -> None:
    """The endpoint's Date tells by how much."""
    stage = make_stage()
    stage.transport.ahead = timedelta(hours=2)
    answers = await stage.send(TOKENS[:1])
    assert answers.verdict.tolist() == [Verdict.ALERT_CONFIG]
    assert "clock is 7200 s behind" in answers.provider_reason[0]


async def test_a_token_endpoint_out_of_reach_is_tried_later(make_stage: "MakeStage") -> None:
    """It says nothing about tokens or credential."""
    stage = make_stage()
    stage.transport.down = True
    answers = await stage.send(TOKENS[:2])
    assert answers.verdict.tolist() == [Verdict.RETRY] * 2
    assert answers.reason.tolist() == [Reason.CONNECTION_REFUSED] * 2


@pytest.mark.parametrize("reason", ["THIRD_PARTY_AUTH_ERROR", "PERMISSION_DENIED"])
async def test_a_configuration_fault_touches_no_token(make_stage: "MakeStage", reason: str) -> None:
    """Also where it is a 401 as an expired access token is."""
    stage = make_stage(FcmFaults(reason=reason))
    answers = await stage.send(TOKENS[:3])
    assert answers.verdict.tolist() == [Verdict.ALERT_CONFIG] * 3
    assert stage.shelf.minted == 1


async def test_a_wrong_project_is_not_a_dead_token(make_stage: "MakeStage") -> None:
    """A plain 404, and 403 where the account has no right to send."""
    stage = make_stage()
    stage.credential = replace(stage.credential, public={"project_id": "nowhere"})
    answers = await stage.send(TOKENS[:2])
    assert answers.verdict.tolist() == [Verdict.ALERT_CONFIG] * 2
    assert answers.status.tolist() == [404, 404]


async def test_the_quota_is_a_bucket_and_says_when_to_return(make_stage: "MakeStage") -> None:
    """Ten at once, then one every six seconds."""
    stage = make_stage(FcmFaults(quota_per_minute=10, retry_after_s=6))
    answers = await stage.send(TOKENS[:12])
    assert answers.verdict.tolist() == [Verdict.OK] * 10 + [Verdict.RETRY_AFTER] * 2
    assert answers.retry_after_s[10:].tolist() == [6.0, 6.0]
    await stage.clock.sleep(6)
    answers = await stage.send(TOKENS[:2])
    assert answers.verdict.tolist() == [Verdict.OK, Verdict.RETRY_AFTER]


async def test_throttling_silence_and_cut_connections_are_tried_later(
    make_stage: "MakeStage",
) -> None:
    """Each with its own reason; the rest is accepted."""
    stage = make_stage(FcmFaults(throttle=0.1, unavailable=0.1, silent=0.05, dropped=0.05))
    answers = await stage.send(TOKENS)
    assert {Reason(code) for code in answers.reason.tolist()} == {
        Reason.ACCEPTED,
        Reason.THROTTLED,
        Reason.PROVIDER_UNAVAILABLE,
        Reason.ANSWER_TIMED_OUT,
        Reason.CONNECTION_LOST,
    }


def test_a_credential_is_checked_without_asking_google(make_stage: "MakeStage") -> None:
    """Each fault with the path of its field."""
    stage = make_stage()
    check = stage.provider.check_credential
    assert list(check({}, stage.credential.secret)) == []
    assert [p.path for p in check({"project_id": "A b"}, stage.credential.secret)] == [
        "/public/project_id"
    ]
    for text in ("", "[]", "{", '{"client_email":"x"}', '{"client_email":"x","private_key":"y"}'):
        (problem,) = check({}, {"service_account": text})
        assert problem.path == "/secret/service_account"


def test_a_service_account_sends_us_nowhere_but_to_google(make_stage: "MakeStage") -> None:
    """Its file comes from a tenant; only the settings may name another token endpoint."""
    stage = make_stage()
    google = FcmProvider(
        transport=stage.transport, tokens=stage.shelf, clock=stage.clock, hosts=None
    )
    account = orjson.loads(stage.credential.secret["service_account"])
    for url, fine in (
        ("https://oauth2.googleapis.com/token", True),
        ("http://oauth2.googleapis.com/token", False),
        ("https://169.254.169.254/token", False),
        ("https://evil.example/googleapis.com", False),
    ):
        text = orjson.dumps(account | {"token_uri": url}).decode()
        assert (list(google.check_credential({}, {"service_account": text})) == []) is fine


async def test_an_unreadable_credential_is_a_configuration_fault(make_stage: "MakeStage") -> None:
    """Nothing is sent and nothing is raised."""
    stage = make_stage()
    stage.credential = replace(stage.credential, secret={"service_account": "{}"})
    answers = await stage.send(TOKENS[:2])
    assert answers.verdict.tolist() == [Verdict.ALERT_CONFIG] * 2
    await stage.provider.close()
