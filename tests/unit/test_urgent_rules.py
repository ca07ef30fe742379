"""What is decided about a group of urgent messages, each for itself."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from clarion.domain.app_rules import AppRules
from clarion.domain.category import BORN
from clarion.domain.content import Content, Message
from clarion.domain.ids import AppId, CredentialId, KeyId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.ports.journal import KnownCredential, Looked, NamedRows
from clarion.ports.messages import NewMessage, Target
from clarion.stages.delivery.urgent_rules import rule_group

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
APP = AppId(1)


def message(number: int, *networks: Network) -> NewMessage:
    """An urgent message to one person, for devices of these networks, or of all."""
    uuid = MessageId(str(UUID(int=number)))
    return NewMessage(
        message=Message(
            id=uuid,
            app=APP,
            lane=Lane.TRANSACTIONAL,
            content=Content(title="Hi"),
            category="transactional",
        ),
        target=Target(users=[f"u{number}"], networks=networks),
        send_at=NOW,
        request=b"{}",
        key=KeyId("k"),
        idempotency=None,
        answer_status=202,
        answer=b"{}",
    )


def rows(pairs: Sequence[tuple[int, int]]) -> NamedRows:
    """Devices as pairs of a message's index and a network's number; 0 is a person without one."""
    n = len(pairs)
    network = np.array([network for _, network in pairs], np.uint8)
    nothing, no = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    return NamedRows(
        ix=np.array([ix for ix, _ in pairs], np.int64),
        device=np.where(network > 0, np.arange(1, n + 1), 0),
        user=np.arange(1, n + 1),
        network=network,
        environment=np.ones(n, np.uint8),
        registered_us=nothing,
        dead=no,
        device_opted_out=no,
        user_opted_out=no,
        tokens=[b"token"] * n,
        keys=[None] * n,
        language=[None] * n,
        time_zone=[None] * n,
        zone_source=np.zeros(n, np.uint8),
        country=[None] * n,
        granted=nothing,
        denied=nothing,
        daily=nothing,
        weekly=nothing,
        paused_until_us=nothing,
        quiet_hours=[None] * n,
        suppressed=no,
        permission=np.zeros(n, np.uint8),
    )


def test_networks_that_one_message_names_bind_no_other_of_its_group() -> None:
    """One is for APNs only, one for all; who has no device is told so whatever was asked."""
    news = [message(1, Network.APNS), message(2), message(3, Network.FCM, Network.WEBPUSH)]
    numbers = [int(network) for network in (Network.APNS, Network.FCM, Network.WEBPUSH)]
    pairs = [(ix, network) for ix in range(3) for network in (*numbers, 0)]
    credentials = {
        (APP, network): KnownCredential(id=CredentialId(int(network)), active=True)
        for network in Network
    }
    looked = Looked(
        xid=1,
        rows=rows(pairs),
        unknown=[[], [], []],
        seen={},
        credentials=credentials,
        rules={APP: AppRules(categories={category.slug: category for category in BORN})},
    )

    found = rule_group(news, range(3), looked, NOW)

    yes, no, none = Reason.ACCEPTED, Reason.NETWORK_EXCLUDED, Reason.USER_HAS_NO_DEVICE
    assert found.mine.all()
    assert [Reason(int(reason)) for reason in found.reason] == [
        *(yes, no, no, none),
        *(yes, yes, yes, none),
        *(no, yes, yes, none),
    ]
