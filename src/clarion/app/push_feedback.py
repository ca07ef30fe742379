"""Our own push service as one whose receipts we ask for, and read."""

from uuid import UUID

from clarion.adapters.state.events import PostgresEvents
from clarion.adapters.state.pool import Pool
from clarion.adapters.state.push_feedback import PostgresPushFeedback
from clarion.app.address import push_origin
from clarion.app.settings import Settings
from clarion.ports.pushservice import DeviceNumber, SubscriptionNumber
from clarion.ports.system import Clock
from clarion.providers.webpush.client import ReceiptsOf
from clarion.pushservice.capabilities import Capabilities, Endpoint
from clarion.stages.feedback.receipts import FeedbackPorts
from clarion.wire.capability import CapabilitySeal


def asked_of(settings: Settings, master_key: bytes) -> ReceiptsOf | None:
    """Whom to ask for delivery receipts: our own service, where there is one and it is wanted."""
    if not settings.push.processes or not settings.push.receipts:
        return None
    capabilities = _capabilities(settings, master_key)
    return ReceiptsOf(
        origin=capabilities.origin.encode(),
        resource=lambda message: capabilities.receipts_url(UUID(message).bytes),
    )


def feedback_ports(
    settings: Settings, master_key: bytes, pool: Pool, events: PostgresEvents, clock: Clock
) -> FeedbackPorts:
    """What reading them needs."""
    capabilities = _capabilities(settings, master_key)

    def endpoint_of(
        device: DeviceNumber, subscription: SubscriptionNumber, channel: bytes, key: bytes | None
    ) -> str:
        return capabilities.endpoint_url(Endpoint(device, subscription, channel, key))

    receipts = PostgresPushFeedback(pool, endpoint_of)
    return FeedbackPorts(receipts=receipts, events=events, clock=clock)


def _capabilities(settings: Settings, master_key: bytes) -> Capabilities:
    return Capabilities(CapabilitySeal.derive(master_key), push_origin(settings))
