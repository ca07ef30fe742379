"""Identities. Integers inside, because they are columns; text only at the edge."""

from typing import Final, NewType

AppId = NewType("AppId", int)
UserId = NewType("UserId", int)
DeviceId = NewType("DeviceId", int)
CredentialId = NewType("CredentialId", int)
BatchId = NewType("BatchId", int)
KeyId = NewType("KeyId", str)
MessageId = NewType("MessageId", str)
"""A UUID in its 36-character form, chosen when the message is accepted."""

BUCKETS: Final = 1024
"""Users are partitioned into this many buckets; a shard is a range of them."""


def bucket_of(user: UserId) -> int:
    """Which bucket a user belongs to; the same user is always planned in one shard."""
    return user % BUCKETS
