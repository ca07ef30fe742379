"""What became of a message that was handed over, as the answer to its request."""

import hashlib
from typing import Final
from uuid import UUID

import msgspec

from clarion.api.exchange import JSON, Answer
from clarion.api.problems import ProblemError
from clarion.api.shapes.messages import AcceptedView
from clarion.domain.errors import ErrorCode
from clarion.domain.ids import AppId
from clarion.ports.messages import (
    Acceptance,
    Accepted,
    IdempotencyKey,
    InFlight,
    KeyReused,
    NewMessage,
    Replayed,
)

STATUS: Final = 202


def answer_of(acceptance: Acceptance, new: NewMessage) -> Answer:
    """The answer; raises `ProblemError` where the idempotency key stands against it."""
    match acceptance:
        case Accepted():
            return Answer(STATUS, new.answer, JSON, ((b"location", location(new.message.id)),))
        case Replayed(status=status, answer=before):
            first = msgspec.json.decode(before, type=AcceptedView)
            replayed = (b"idempotency-replayed", b"true")
            return Answer(status, before, JSON, ((b"location", location(first.id)), replayed))
        case KeyReused():
            raise ProblemError(
                ErrorCode.IDEMPOTENCY_KEY_REUSED,
                "This idempotency key was used with another body; use a new one.",
            )
        case InFlight():
            raise ProblemError(
                ErrorCode.IDEMPOTENCY_IN_FLIGHT,
                "The first request with this idempotency key has no answer yet.",
                headers={"retry-after": "1"},
            )


def keyed(key: str, raw: bytes) -> IdempotencyKey:
    """The key with the hash of the body that it came with."""
    digest = hashlib.sha256(b"POST /v1/messages\0")
    digest.update(raw)
    return IdempotencyKey(key=key, body_hash=digest.digest())


def retry_id(app: AppId, key: str) -> str:
    """What devices tell the tries of one request apart from other messages by."""
    digest = hashlib.sha256(f"{app}\0{key}".encode()).digest()
    return str(UUID(bytes=digest[:16]))


def location(message: str) -> bytes:
    """Where a message can be read."""
    return f"/v1/messages/{message}".encode()
