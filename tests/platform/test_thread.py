"""One message from the request to the recorded outcome, through every room."""

from tests.platform.conftest import Platform, apns_token

from clarion.adapters.state.pool import open_pool


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


async def test_two_tries_of_one_request_look_like_one_to_the_device(platform: Platform) -> None:
    """A crash before the answer may send a message twice: both carry the same collapse id."""
    await platform.add_apns_credential()
    await platform.add_people(1)
    body = {"to": {"users": ["u0"]}, "title": "Hi"}

    first = await platform.post("/v1/messages", body, 202, **{"idempotency-key": "order-1"})
    again = await platform.post("/v1/messages", body, 202, **{"idempotency-key": "order-1"})
    await platform.finished(first["id"])
    pool = await open_pool(platform.settings.database.url.reveal())  # type: ignore[union-attr]  # the fixture sets it
    await pool.execute("delete from idempotency")  # as if the first had died before its commit
    await pool.close()
    second = await platform.post("/v1/messages", body, 202, **{"idempotency-key": "order-1"})
    await platform.finished(second["id"])

    assert again["id"] == first["id"]
    assert second["id"] != first["id"]
    assert platform.apns.record is not None
    assert len(platform.apns.record.shown[apns_token(0)]) == 1
    assert set(platform.apns.record.deliveries.values()) == {2}
