"""Different people read different texts over Web Push."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from tests.providers.webpush.local_service import (
    ALLOW,
    ORIGIN,
    LocalService,
    make_message,
    recipients_from,
)

from clarion.domain.content import Action, Content
from clarion.domain.merge import marker
from clarion.domain.outcome import Reason, Verdict
from clarion.providers.webpush.client import WebPushSettings
from clarion.providers.webpush.simulator import Subscription, WebPushSimulator

NAMES = ["Zoë", '"Q" \\ \n', "👩‍🚀🏳️‍🌈", "דנה \u2067שלם\u2069", "", "名前"]
GREETINGS = ["Hello", "Guten Tag", "שלום"]
LANGUAGE = [0, 1, 2, 2, 1, 0]


def delivered(simulator: WebPushSimulator, subscriptions: Sequence[Subscription]) -> list[Any]:
    """What each subscription decrypted, in order; None where nothing came."""
    assert simulator.record is not None
    kept = simulator.record.deliveries
    found: list[Any] = []
    for subscription in subscriptions:
        here = kept.get(subscription.endpoint.removeprefix(ORIGIN))
        found.append(None if here is None else orjson.loads(here[0].plaintext or b""))
    return found


@pytest.mark.parametrize("lifetime", [0.0, 600.0])
async def test_each_person_reads_their_own_text_in_their_language(lifetime: float) -> None:
    """Each body is encrypted from the recipient's own plaintext."""
    simulator = WebPushSimulator(decrypt=True, record=100)
    settings = WebPushSettings(allow=ALLOW, sender_key_lifetime_s=lifetime)
    service = LocalService(judge=simulator.answer, settings=settings)
    subscriptions = simulator.subscribe(6, ORIGIN)
    name = marker(0)
    messages = [
        make_message(
            Content(
                title=f"{greeting}, {name}!",
                body=marker(1),
                link=f"https://x.test/{name}",
                actions=(Action(id="a", title=name, link=f"https://x.test/a?n={name}"),),
                data={"deep": {"name": [name]}},
            )
        )
        for greeting in GREETINGS
    ]
    sentences = [f"{name}: “{name}”" for name in NAMES]
    recipients = replace(
        recipients_from(subscriptions),
        message=np.array(LANGUAGE, np.uint16),
        merge=[NAMES, sentences],
    )
    answers = await service.send(recipients, messages)
    assert set(answers.verdict.tolist()) == {Verdict.OK}
    for at, sent in enumerate(delivered(simulator, subscriptions)):
        shown, who = sent["notification"], NAMES[at]
        assert shown["title"] == f"{GREETINGS[LANGUAGE[at]]}, {who}!"
        assert shown["body"] == sentences[at]
        assert shown["navigate"] == f"https://x.test/{who}"
        assert shown["actions"][0]["navigate"] == f"https://x.test/a?n={who}"
        assert shown["data"]["data"] == {"deep": {"name": [who]}}
        assert sent["web_push"] == 8030


async def test_a_link_of_ones_own_is_declared_where_a_browser_can_open_it() -> None:
    """Whoever has another kind of link gets an ordinary push, and our worker the link."""
    simulator = WebPushSimulator(decrypt=True, record=100)
    service = LocalService(judge=simulator.answer)
    subscriptions = simulator.subscribe(3, ORIGIN)
    links = ["https://a.test/1", "myapp://2", "https://c.test/3"]
    recipients = replace(recipients_from(subscriptions), merge=[links])
    message = make_message(Content(title="T", link=marker(0)))
    answers = await service.send(recipients, [message])
    assert set(answers.verdict.tolist()) == {Verdict.OK}
    told = [
        (sent["notification"].get("navigate"), sent["notification"]["data"].get("link"))
        for sent in delivered(simulator, subscriptions)
    ]
    assert told == [(links[0], None), (None, links[1]), (links[2], None)]


async def test_too_long_for_one_is_sent_to_the_others() -> None:
    """The limit is each recipient's own."""
    simulator = WebPushSimulator(decrypt=True, record=100)
    service = LocalService(judge=simulator.answer)
    subscriptions = simulator.subscribe(3, ORIGIN)
    recipients = replace(recipients_from(subscriptions), merge=[["a", "\n" * 2000, "c"]])
    answers = await service.send(recipients, [make_message(Content(title="T", body=marker(0)))])
    assert answers.reason.tolist() == [Reason.ACCEPTED, Reason.PAYLOAD_TOO_LARGE, Reason.ACCEPTED]
    bodies = [sent and sent["notification"]["body"] for sent in delivered(simulator, subscriptions)]
    assert bodies == ["a", None, "c"]
