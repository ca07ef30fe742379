"""Settings of our own push service; a section of the tree in `setting_tree`."""

from typing import Annotated

import msgspec
from msgspec import Meta


class Push(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Our own push service, which browsers and apps connect to."""

    processes: Annotated[
        int,
        Meta(description="Processes of it that share the port; 0 runs none.", ge=0, le=256),
    ] = 1
    host: Annotated[str, Meta(description="Address that the push service listens on.")] = (
        "127.0.0.1"
    )
    port: Annotated[
        int,
        Meta(
            description="Port that the push service listens on; 0 takes a free one.",
            ge=0,
            le=65535,
        ),
    ] = 8090
    url: Annotated[
        str | None,
        Meta(
            description="Origin of its push endpoints as application servers reach it, "
            "https://push.example.com; by default its address here. Changing it ends no "
            "subscription here, but senders hold the old URLs."
        ),
    ] = None
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Origins whose pages may subscribe and read their stream as apps do, "
            "besides the API's own (server.public_url, and where it listens); `*` means all."
        ),
    ] = ()
    receipts: Annotated[
        bool,
        Meta(
            description="Ask it for delivery receipts of our own messages: what a device confirms "
            "is then known as received."
        ),
    ] = True
    max_body: Annotated[
        int, Meta(description="Octets of a message, encrypted.", ge=4096, le=7168)
    ] = 4096
    max_ttl_s: Annotated[
        int, Meta(description="Seconds that a message is kept at most.", ge=0, le=2**31)
    ] = 30 * 86_400
    waiting: Annotated[
        int,
        Meta(description="Messages that may wait for one subscription.", ge=1, le=100_000),
    ] = 1000
    subscriptions: Annotated[
        int, Meta(description="Subscriptions that one device may have.", ge=1, le=100_000)
    ] = 500
    devices_days: Annotated[
        int,
        Meta(
            description="Days for which a device may be away. After that its subscriptions end: "
            "senders are answered 410, and a browser that comes back subscribes anew.",
            ge=1,
            le=36_500,
        ),
    ] = 60
    connections: Annotated[
        int, Meta(description="Connections that one process holds.", ge=1, le=10_000_000)
    ] = 100_000
    connections_per_address: Annotated[
        int,
        Meta(
            description="Connections that one address (of IPv6: a /48) holds; one of "
            "server.trusted_proxies speaks for the addresses that it names.",
            ge=1,
            le=10_000_000,
        ),
    ] = 10_000
    commit_every_s: Annotated[
        float,
        Meta(
            description="Seconds for which messages are gathered into one transaction; what a "
            "device acknowledges within them is never written.",
            ge=0,
            le=1,
        ),
    ] = 0.01
    rate_subscription_per_s: Annotated[
        float,
        Meta(description="Messages per second that one subscription takes.", gt=0, le=1e9),
    ] = 20.0
    rate_sender_per_s: Annotated[
        float,
        Meta(
            description="Messages per second that one sender (a VAPID key, or an address) gets "
            "accepted.",
            gt=0,
            le=1e9,
        ),
    ] = 20_000.0
