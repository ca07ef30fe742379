"""The messages of the documents go out over every network."""

from datetime import UTC, datetime

import msgspec
from tests.architecture.test_docs import examples

from clarion.api.shapes.messages import MessageBody
from clarion.api.wording import content_of
from clarion.domain.content import Message
from clarion.domain.ids import AppId, MessageId
from clarion.domain.lanes import Lane
from clarion.providers.apns import payload as apns
from clarion.providers.fcm import payload as fcm
from clarion.providers.webpush import payload as webpush

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_no_network_refuses_a_message_of_the_documents() -> None:
    """People copy it: an override has the form that its network's payload has."""
    bodies = [
        msgspec.json.decode(example.text, type=MessageBody)
        for example in examples("json")
        if example.kind == "message"
    ]
    refused = []
    for body in bodies:
        message = Message(
            id=MessageId("0198c2f4-8c5e-7b51-9a77-1f6f2ad3c001"),
            app=AppId(1),
            lane=Lane.CAMPAIGN,
            content=content_of(body),
        )
        refused += [
            *apns.problems(message, NOW),
            *fcm.problems(message, NOW),
            *webpush.check(message),
        ]
    assert bodies
    assert refused == []
