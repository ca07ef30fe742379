"""One message from the request to the recorded outcome, through every room."""

from tests.platform.conftest import Platform, apns_token


async def test_a_transactional_message_reaches_the_phone_and_its_outcome_is_recorded(
    platform: Platform,
) -> None:
    """Register, send, trace."""
    await platform.add_apns_credential()
    await platform.add_people(1)

    accepted = await platform.post("/v1/messages", {"to": {"users": ["u0"]}, "title": "Hi"}, 202)
    message = await platform.finished(accepted["id"])

    assert platform.apns.record is not None
    assert platform.apns.record.deliveries == {apns_token(0): 1}
    assert message["state"] == "finished"
    trace = await platform.get(f"/v1/messages/{accepted['id']}/recipients/u0")
    assert "accepted" in str(trace)


async def test_a_broadcast_reaches_everybody_once(platform: Platform) -> None:
    """Import, broadcast, count at the far end."""
    await platform.add_apns_credential()
    await platform.add_people(2500)

    accepted = await platform.post("/v1/messages", {"to": {"all": True}, "title": "Hi"}, 202)
    message = await platform.finished(accepted["id"])

    assert platform.apns.record is not None
    assert platform.apns.record.deliveries == {apns_token(i): 1 for i in range(2500)}
    assert message["by_network"] == {"apns": {"accepted": 2500}}
