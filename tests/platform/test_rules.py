"""Messages under rules, from the request to the far end and to the recorded decision."""

from tests.platform.conftest import Platform, apns_token


async def test_marketing_reaches_only_those_who_opted_in(platform: Platform) -> None:
    """By construction; the others' outcome says why."""
    await platform.add_apns_credential()
    await platform.add_people(4)
    await platform.ask("update users set granted = 4 where external_id in ('u1', 'u2')")
    body = {"to": {"users": ["u0", "u1", "u2"]}, "title": "Sale", "category": "marketing"}

    accepted = await platform.post("/v1/messages", body, 202)
    message = await platform.finished(accepted["id"])

    assert platform.apns.record is not None
    assert platform.apns.record.deliveries == {apns_token(1): 1, apns_token(2): 1}
    assert "consent_missing" in str(message["outcomes"])


async def test_a_broadcast_without_some_reaches_the_others(platform: Platform) -> None:
    """Everybody but a segment, by a scan of the columns."""
    await platform.add_apns_credential()
    await platform.add_people(50)
    to = {"all": True, "exclude": "external_id in (u1, u2)"}

    accepted = await platform.post("/v1/messages", {"to": to, "title": "Hi"}, 202)
    message = await platform.finished(accepted["id"])

    assert platform.apns.record is not None
    assert len(platform.apns.record.deliveries) == 48
    assert message["by_network"] == {"apns": {"accepted": 48}}


async def test_a_trace_tells_what_was_decided_and_what_would_have_to_change(
    platform: Platform,
) -> None:
    """In one readable paragraph, beside the values."""
    await platform.add_apns_credential()
    await platform.add_people(1)
    body = {"to": {"users": ["u0"]}, "title": "Sale", "category": "marketing"}

    accepted = await platform.post("/v1/messages", body, 202)
    await platform.finished(accepted["id"])
    trace = await platform.get(f"/v1/messages/{accepted['id']}/recipients/u0")

    told = str(trace["decisions"])
    assert "'action': 'skip'" in told
    assert "'reason': 'consent_missing'" in told
    assert "sendable once they opt in" in told


async def test_every_considered_recipient_leaves_a_decision(platform: Platform) -> None:
    """Of a broadcast and of an urgent message alike."""
    await platform.add_apns_credential()
    await platform.add_people(3)
    for body in ({"to": {"all": True}, "title": "Hi"}, {"to": {"users": ["u1"]}, "title": "Hi"}):
        accepted = await platform.post("/v1/messages", body, 202)
        await platform.finished(accepted["id"])

    chunks = await platform.ask("select count(*) from chunk where kind = 3")
    assert chunks == 2  # the shard that has the three, and the urgent group
