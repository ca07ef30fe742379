"""RFC 8030 and RFC 8292 as our own push service keeps them, against a running node."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import orjson
import pytest
from tests.e2e.push_world import World, push_world

from clarion.pushservice.limits import PushLimits
from clarion.wire.vapid import VapidKey

BODY = os.urandom(120)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A node."""
    async with push_world(database_url) as made:
        yield made


async def away(world: World, key: VapidKey | None = None) -> tuple[str, str]:
    """A subscription whose browser has left: its endpoint, and the browser's name."""
    browser = await world.browser()
    endpoint = await browser.register(key=key)
    await browser.line.end()
    await asyncio.sleep(0.05)
    return endpoint, browser.uaid


async def bodies(world: World, uaid: str) -> list[bytes]:
    """What waits for a browser, read by connecting as it."""
    browser = await world.browser(uaid)
    found = []
    for _ in range(await world.count()):
        heard = await browser.hear()
        browser.ack(heard)
        found.append(base64.urlsafe_b64decode(heard.get("data", "") + "=="))
    await browser.quiet()
    await browser.line.end()
    return found


async def receipts(world: World, url: str, *, wait: int = 55) -> list[dict[str, object]]:
    """The next receipts."""
    answer = await world.client.get(url, headers={"Prefer": f"wait={wait}"})
    assert answer.status_code == 200
    found: list[dict[str, object]] = answer.json()["receipts"]
    return found


def receipt_url(answer: httpx.Response) -> str:
    """The receipt subscription that an answer names."""
    assert 'rel="urn:ietf:params:push:receipt"' in answer.headers["link"]
    return str(answer.headers["link"]).partition(">")[0].removeprefix("<")


async def test_accepted_message_is_201_with_a_location(world: World) -> None:
    """Section 5: 201 and the URI of the message."""
    endpoint, _ = await away(world)
    answer = await world.push(endpoint, BODY)
    assert answer.status_code == 201
    assert answer.headers["location"].startswith(world.origin + "/m/")


async def test_location_is_a_different_unguessable_url_each_time(world: World) -> None:
    """Section 8.3: at least 120 bits that nobody can guess."""
    endpoint, _ = await away(world)
    first, second = [(await world.push(endpoint, BODY)).headers["location"] for _ in range(2)]
    assert first != second
    assert len(first.rpartition("/")[2]) * 6 >= 120
    assert len(endpoint.rpartition("/")[2]) * 6 >= 120


async def test_missing_ttl_is_400(world: World) -> None:
    """Section 5.2: MUST be answered 400."""
    endpoint, _ = await away(world)
    answer = await world.client.post(endpoint)
    assert (answer.status_code, answer.json()["errno"]) == (400, 111)


@pytest.mark.parametrize("ttl", ["-1", "soon", "1.5", "5, 6"])
async def test_malformed_ttl_is_400(world: World, ttl: str) -> None:
    """Section 5.2: digits only."""
    endpoint, _ = await away(world)
    assert (await world.push(endpoint, TTL=ttl)).status_code == 400


async def test_granted_ttl_is_told_and_never_longer_than_asked(world: World) -> None:
    """Section 5.2: the service MAY shorten and MUST say so; what overflows counts as 2^31."""
    endpoint, _ = await away(world)
    assert (await world.push(endpoint, TTL="7")).headers["ttl"] == "7"
    assert (await world.push(endpoint, TTL="9" * 40)).headers["ttl"] == str(30 * 86_400)


async def test_message_with_ttl_0_for_an_absent_device_is_accepted_and_dropped(
    world: World,
) -> None:
    """Section 5.2: delivered now or never; 201 all the same."""
    endpoint, _ = await away(world)
    answer = await world.push(endpoint, BODY, TTL="0")
    assert (answer.status_code, answer.headers["ttl"]) == (201, "0")
    assert await world.count() == 0


async def test_expired_message_is_not_delivered(world: World) -> None:
    """Section 5.2: MUST NOT be delivered after its time."""
    endpoint, uaid = await away(world)
    await world.push(endpoint, b"a" * 90, TTL="600")
    await world.push(endpoint, b"b" * 90, TTL="600")
    await world.pool.execute(
        "update push_message set expires_at = now() where id = (select min(id) from push_message)"
    )
    browser = await world.browser(uaid)
    heard = await browser.hear()
    assert base64.urlsafe_b64decode(heard["data"] + "==") == b"b" * 90
    await browser.quiet()
    await browser.line.end()


async def test_topic_replaces_the_stored_message(world: World) -> None:
    """Section 5.4: content, TTL and urgency are those of the new one; other topics stay."""
    endpoint, uaid = await away(world)
    await world.push(endpoint, b"old" * 30, Topic="upd")
    await world.push(endpoint, b"other" * 20, Topic="else")
    await world.push(endpoint, b"new" * 30, Topic="upd")
    assert await bodies(world, uaid) == [b"other" * 20, b"new" * 30]


async def test_topic_replaces_within_one_group_and_never_across_subscriptions(
    world: World,
) -> None:
    """Section 5.4: a topic belongs to its subscription."""
    browser = await world.browser()
    endpoints = [await browser.register(number) for number in (1, 2)]
    await browser.line.end()
    await asyncio.gather(*[world.push(endpoints[0], bytes([n]) * 90, Topic="t") for n in range(20)])
    await world.push(endpoints[1], b"x" * 90, Topic="t")
    assert await world.count() == 2


@pytest.mark.parametrize("topic", ["a" * 33, "a b", "ä", "a+b"])
async def test_malformed_topic_is_400(world: World, topic: str) -> None:
    """Section 5.4: at most 32 characters of the URL-safe alphabet."""
    endpoint, _ = await away(world)
    answer = await world.client.post(
        endpoint, headers=[(b"TTL", b"5"), (b"Topic", topic.encode("latin-1"))]
    )
    assert (answer.status_code, answer.json()["errno"]) == (400, 113)


async def test_several_or_unknown_urgencies_are_400(world: World) -> None:
    """Section 5.3: MUST be answered 400."""
    endpoint, _ = await away(world)
    assert (await world.push(endpoint, Urgency="high, low")).status_code == 400
    assert (await world.push(endpoint, Urgency="urgent")).status_code == 400


async def test_topic_and_urgency_are_not_told_to_the_device(world: World) -> None:
    """Sections 5.3 and 5.4: neither MUST be forwarded."""
    endpoint, uaid = await away(world)
    await world.push(endpoint, BODY, Topic="secret-topic", Urgency="high")
    browser = await world.browser(uaid)
    heard = await browser.hear()
    assert set(heard) == {"messageType", "channelID", "version", "data", "headers"}
    assert heard["headers"] == {"encoding": "aes128gcm"}
    await browser.line.end()


async def test_sender_deletes_a_message_once(world: World) -> None:
    """Section 5: DELETE on the message's URI; a second one finds nothing."""
    endpoint, uaid = await away(world)
    location = (await world.push(endpoint, BODY)).headers["location"]
    assert (await world.client.delete(location)).status_code == 204
    assert (await world.client.delete(location)).status_code == 404
    assert await bodies(world, uaid) == []


async def test_message_of_4096_octets_is_taken_and_a_larger_one_is_413(world: World) -> None:
    """Section 7.2: MUST NOT answer 413 for 4096 octets or less."""
    endpoint, _ = await away(world)
    assert (await world.push(endpoint, os.urandom(4096))).status_code == 201
    answer = await world.push(endpoint, os.urandom(4097))
    assert (answer.status_code, answer.json()["errno"]) == (413, 104)


async def test_forged_endpoint_is_404_and_asks_no_database(world: World) -> None:
    """Section 8.3: a capability that we did not make names nothing."""
    endpoint, _ = await away(world)
    location = (await world.push(endpoint, BODY)).headers["location"]
    head, token = endpoint.rsplit("/", 1)
    forged = [token[:-1] + ("A" if token[-1] != "A" else "B"), token[:-4], token + "AAAA", "x", ""]
    # Whoever reads the tables now waits until the end of this transaction.
    async with world.pool.acquire() as connection, connection.transaction():
        await connection.execute("lock push_subscription, push_message in access exclusive mode")
        for wrong in forged:
            answer = await world.push(f"{head}/{wrong}", BODY)
            assert (answer.status_code, answer.json()["errno"]) == (404, 102)
        other_kind = location.rpartition("/")[2]
        assert (await world.push(f"{head}/{other_kind}", BODY)).status_code == 404
        assert (await world.client.delete(f"{world.origin}/m/{token}")).status_code == 404
        assert (await world.client.get(f"{world.origin}/r/{token}")).status_code == 404


async def test_receipt_is_promised_with_202_and_a_link(world: World) -> None:
    """Section 5.1: `Prefer: respond-async` is answered 202 with the receipt subscription."""
    endpoint, _ = await away(world)
    answer = await world.push(endpoint, BODY, Prefer="respond-async")
    assert answer.status_code == 202
    assert receipt_url(answer).startswith(world.origin + "/r/")
    assert answer.headers["location"]


async def test_acknowledged_message_gives_a_receipt_204(world: World) -> None:
    """Section 6.3: the receipt names the message and says that it was acknowledged."""
    endpoint, uaid = await away(world)
    answer = await world.push(endpoint, BODY, Prefer="respond-async")
    await bodies(world, uaid)
    (receipt,) = await receipts(world, receipt_url(answer))
    assert receipt["message"] == answer.headers["location"]
    assert receipt["status"] == 204


async def test_receipt_waits_for_the_acknowledgement(world: World) -> None:
    """Section 6.3: MUST NOT be sent before the device has acknowledged."""
    endpoint, uaid = await away(world)
    answer = await world.push(endpoint, BODY, Prefer="respond-async")
    browser = await world.browser(uaid)
    heard = await browser.hear()
    assert await receipts(world, receipt_url(answer), wait=0) == []
    browser.ack(heard)
    assert len(await receipts(world, receipt_url(answer))) == 1
    await browser.line.end()


async def test_message_that_arrived_before_its_commit_gives_a_receipt_too(world: World) -> None:
    """A connected device's acknowledgement may come before the group is written."""
    browser = await world.browser()
    endpoint = await browser.register()
    pushing = asyncio.create_task(world.push(endpoint, BODY, Prefer="respond-async"))
    browser.ack(await browser.hear())
    (receipt,) = await receipts(world, receipt_url(await pushing))
    assert receipt["status"] == 204
    await browser.line.end()


async def test_given_up_message_gives_a_receipt_410(world: World) -> None:
    """Section 6.3: expired, undecryptable, or its subscription ended."""
    browser = await world.browser()
    endpoint = await browser.register()
    undecryptable = await world.push(endpoint, BODY, Prefer="respond-async")
    browser.ack(await browser.hear(), code=101)
    (receipt,) = await receipts(world, receipt_url(undecryptable))
    assert receipt["status"] == 410
    ended = await world.push(endpoint, BODY, Prefer="respond-async")
    await browser.hear()
    await browser.unregister()
    (receipt,) = await receipts(world, receipt_url(ended))
    assert receipt["status"] == 410
    await browser.line.end()


async def test_receipt_subscription_can_be_given_again(world: World) -> None:
    """Section 5.1: a sender names the one it has, and the service may gather there."""
    endpoint, _ = await away(world)
    first = receipt_url(await world.push(endpoint, BODY, Prefer="respond-async"))
    again = await world.push(
        endpoint,
        BODY,
        Prefer="respond-async",
        Link=f'<{first}>; rel="urn:ietf:params:push:receipt"',
    )
    assert receipt_url(again) == first
    anew = await world.push(endpoint, BODY, Prefer="respond-async")
    assert receipt_url(anew) != first


async def test_identified_sender_has_one_receipt_subscription(world: World) -> None:
    """Its receipts are gathered without its asking."""
    endpoint, _ = await away(world, world.key)
    fields = {"Prefer": "respond-async", "Authorization": world.authorization(endpoint)}
    first, second = [receipt_url(await world.push(endpoint, BODY, **fields)) for _ in range(2)]
    assert first == second


async def test_receipts_are_a_stream_of_events_with_a_cursor(world: World) -> None:
    """Instead of the RFC's server push: each event once more until its cursor comes back."""
    endpoint, uaid = await away(world, world.key)
    fields = {"Prefer": "respond-async", "Authorization": world.authorization(endpoint)}
    answers = [await world.push(endpoint, BODY, **fields) for _ in range(3)]
    await bodies(world, uaid)
    url = receipt_url(answers[0])
    events = await read_events(world, url, 3)
    assert [one["message"] for one in events] == [a.headers["location"] for a in answers]
    assert await read_events(world, url, 2, events[0]["cursor"]) == events[1:]
    page = await world.client.get(url, params={"after": events[2]["cursor"]})
    assert page.json() == {"receipts": [], "cursor": events[2]["cursor"]}
    assert await world.pool.fetchval("select count(*) from push_receipt") == 0


async def read_events(
    world: World, url: str, count: int, after: str | None = None
) -> list[dict[str, str]]:
    """The first events of a stream."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
    found: list[dict[str, str]] = []
    async with asyncio.timeout(60), world.client.stream("GET", url, headers=headers) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                found.append(orjson.loads(line[6:]))
                if len(found) == count:
                    break
    return found


async def test_flooded_subscription_is_429_with_retry_after(database_url: str) -> None:
    """Section 8.4: a sender that asks too much of one subscription is held back."""
    async with limited(database_url) as world:
        endpoint, _ = await away(world)
        statuses = [(await world.push(endpoint, BODY)) for _ in range(5)]
        assert [one.status_code for one in statuses[:2]] == [201, 201]
        assert statuses[-1].status_code == 429
        assert int(statuses[-1].headers["retry-after"]) > 0


@asynccontextmanager
async def limited(database_url: str) -> AsyncIterator[World]:
    """A node that takes two messages a minute for one subscription."""
    limits = PushLimits(subscription_per_s=1 / 30, subscription_burst=2)
    async with push_world(database_url, limits) as world:
        yield world


async def test_full_subscription_is_429(database_url: str) -> None:
    """A bounded number waits for one subscription; a topic may still replace."""
    async with push_world(database_url, waiting=3) as world:
        endpoint, _ = await away(world)
        await world.push(endpoint, BODY, Topic="t")
        answers = [await world.push(endpoint, BODY) for _ in range(4)]
        assert [one.status_code for one in answers] == [201, 201, 429, 429]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert (await world.push(endpoint, BODY, Topic="t")).status_code == 201
        assert await world.count() == 3


async def test_new_topics_do_not_go_around_the_bound(database_url: str) -> None:
    """Only a topic that waits already may replace; a new one needs room as any message does."""
    async with push_world(database_url, waiting=3) as world:
        endpoint, _ = await away(world)
        codes = [(await world.push(endpoint, BODY, Topic=f"t{n}")).status_code for n in range(6)]
        assert codes == [201, 201, 201, 429, 429, 429]
        together = [world.push(endpoint, BODY, Topic=f"t{n}") for n in range(2, 9)]
        codes = [answer.status_code for answer in await asyncio.gather(*together)]
        assert codes == [201, 429, 429, 429, 429, 429, 429]
        assert await world.count() == 3


async def test_content_coding_is_exactly_one_known_one(world: World) -> None:
    """RFC 8291 section 4; Mozilla's errno 110."""
    endpoint, _ = await away(world)
    for coding in ("gzip", "aes128gcm, aes128gcm", "identity"):
        answer = await world.push(endpoint, BODY, Content_Encoding=coding)
        assert (answer.status_code, answer.json()["errno"]) == (400, 110)
    mixed = await world.push(endpoint, BODY, Encryption="salt=abc")
    assert mixed.status_code == 400


async def test_legacy_aesgcm_is_carried_with_its_fields(world: World) -> None:
    """The draft's coding, for senders that still use it."""
    endpoint, uaid = await away(world)
    answer = await world.push(
        endpoint, BODY, Content_Encoding="aesgcm", Encryption="salt=lngarbyKfMoi9Z75xYXmkg",
        Crypto_Key="dh=BNoRDbb84JGm8g5Z5CFxurSqsXWJ11ItfXEWYVLE85Y7CYkDjXsIEc4aqxYaQ1G8BqkXCJ6DPpDrWtdWj_mugHU",
    )  # fmt: skip
    assert answer.status_code == 201
    browser = await world.browser(uaid)
    heard = await browser.hear()
    assert heard["headers"]["encoding"] == "aesgcm"
    assert heard["headers"]["encryption"] == "salt=lngarbyKfMoi9Z75xYXmkg"
    assert heard["headers"]["crypto_key"].startswith("dh=BNo")
    await browser.line.end()


async def test_older_vapid_forms_are_read(world: World) -> None:
    """`WebPush` and `Bearer` with `Crypto-Key: p256ecdsa=`, in base64 of any kind."""
    endpoint, _ = await away(world, world.key)
    value = world.authorization(endpoint)
    token = value.partition("t=")[2].partition(",")[0]
    padded = world.key.public + "="
    for scheme in ("WebPush", "Bearer", "bearer"):
        answer = await world.push(
            endpoint, BODY, Authorization=f"{scheme} {token}", Crypto_Key=f"p256ecdsa={padded}"
        )
        assert answer.status_code == 201
    answer = await world.push(endpoint, BODY, Authorization=f"VAPID t={token},k={padded}")
    assert answer.status_code == 201


async def test_invalid_vapid_credentials_are_refused(world: World) -> None:
    """RFC 8292 section 4.2: unreadable 401; wrong signature, audience, time or key 403."""
    endpoint, _ = await away(world)
    good = world.authorization(endpoint)
    audience = world.authorization("https://push.example.net/x")
    wrong_key = good.partition(", k=")[0] + f", k={VapidKey.generate().public}"
    for value, status in (("nonsense", 401), ("vapid t=x", 401), (audience, 403), (wrong_key, 403)):
        answer = await world.push(endpoint, BODY, Authorization=value)
        assert (answer.status_code, answer.json()["errno"]) == (status, 109), value


async def test_one_key_for_signing_and_encrypting_is_400(world: World) -> None:
    """RFC 8292 section 3.2: SHOULD be answered 400."""
    endpoint, _ = await away(world)
    public = base64.urlsafe_b64decode(world.key.public + "=")
    body = os.urandom(20) + bytes([65]) + public + os.urandom(40)
    answer = await world.push(endpoint, body, Authorization=world.authorization(endpoint))
    assert (answer.status_code, answer.json()["errno"]) == (400, 110)


async def test_other_methods_are_405(world: World) -> None:
    """A resource says what it does not take."""
    endpoint, _ = await away(world)
    assert (await world.client.put(endpoint)).status_code == 405
    location = (await world.push(endpoint, BODY)).headers["location"]
    assert (await world.client.get(location)).status_code == 405


async def test_answers_carry_no_secret_in_errors(world: World) -> None:
    """Section 8.3: a capability does not appear in what is said about it."""
    endpoint, _ = await away(world)
    answer = await world.push(endpoint, BODY, TTL="x")
    assert endpoint.rpartition("/")[2] not in answer.text
