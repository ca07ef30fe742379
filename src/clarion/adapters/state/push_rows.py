"""Rows of our own push service, and the values that they stand for."""

import asyncpg

from clarion.ports.pushservice import (
    DeviceNumber,
    Push,
    PushCoding,
    PushId,
    PushUrgency,
    SubscriptionNumber,
)


def uuid_of(octets: bytes) -> str:
    """16 octets as a uuid travels to the driver."""
    return octets.hex()


def octets_of(text: str) -> bytes:
    """A uuid's text as 16 octets."""
    return bytes.fromhex(text.replace("-", ""))


def push_of(row: asyncpg.Record) -> Push:
    """A stored message."""
    receipt = row["receipt"]
    return Push(
        id=PushId(row["id"]),
        device=DeviceNumber(row["device_id"]),
        subscription=SubscriptionNumber(row["subscription_id"]),
        channel=octets_of(row["channel"]),
        body=row["body"],
        coding=PushCoding(row["coding"]),
        encryption=row["encryption"],
        crypto_key=row["crypto_key"],
        topic=row["topic"],
        urgency=PushUrgency(row["urgency"]),
        expires_at=row["expires_at"],
        receipt=None if receipt is None else octets_of(receipt),
    )
