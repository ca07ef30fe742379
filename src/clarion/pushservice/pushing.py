"""A push message request: checked, numbered, accepted, answered."""

from datetime import datetime
from typing import Final

from clarion.ports.pushservice import Push, PushCoding
from clarion.pushservice.accepting import Fate
from clarion.pushservice.capabilities import Endpoint
from clarion.pushservice.http_connection import Pending
from clarion.pushservice.parts import Parts
from clarion.pushservice.protocol import (
    Asked,
    check_restriction,
    coding_of,
    read_fields,
    receipts_of,
)
from clarion.pushservice.refusals import Refusal, RefusedError
from clarion.pushservice.requests import Answer, Request
from clarion.wire.push_headers import RECEIPT_RELATION

READER_OCTETS: Final = 16
_REFUSALS: Final = {
    Fate.GONE: Refusal.GONE, Fate.FULL: Refusal.FULL, Fate.UNAVAILABLE: Refusal.BUSY,
}  # fmt: skip
FULL_RETRY_S: Final = 60


def pushed(parts: Parts, endpoint: Endpoint, request: Request) -> Pending:
    """Accept a message.

    Raises:
        RefusedError: the request breaks a rule, or is one too many.
    """
    now, monotonic = parts.clock.now(), parts.clock.monotonic()
    wait = parts.quotas.subscription.take(endpoint.subscription, monotonic)
    if wait:
        raise RefusedError(Refusal.RATE_SUBSCRIPTION, retry_after_s=wait)
    asked = _asked(parts, endpoint, request, now)
    fields, body = request.fields, request.body
    coding = coding_of(asked, fields, body)
    wait = parts.quotas.origin.take(asked.key or request.peer, monotonic)
    if wait:
        raise RefusedError(Refusal.RATE_ORIGIN, retry_after_s=wait)
    legacy = coding is PushCoding.AESGCM
    push = Push(
        id=parts.numbering.next(now),
        device=endpoint.device,
        subscription=endpoint.subscription,
        channel=endpoint.channel,
        body=body,
        coding=coding,
        encryption=fields.get("encryption") if legacy else None,
        crypto_key=fields.get("crypto-key") if legacy else None,
        topic=asked.topic,
        urgency=asked.urgency,
        expires_at=now + asked.lifetime,
        receipt=_reader(parts, asked) if asked.receipt else None,
    )
    pending = Pending()

    def known(fate: Fate) -> None:
        refusal = _REFUSALS.get(fate)
        if refusal is None:
            pending.settle(_accepted(parts, push, asked.ttl))
        else:
            retry = FULL_RETRY_S if refusal is Refusal.FULL else 0
            pending.settle(RefusedError(refusal, retry_after_s=retry))

    parts.accepting.offer(push, known, store=asked.ttl > 0)
    return pending


def _asked(parts: Parts, endpoint: Endpoint, request: Request, now: datetime) -> Asked:
    """What the fields ask for; the same fields are judged once, as long as their token is good."""
    head = request.head
    if head is not None and head.asked is not None and head.asked.good_at(now):
        check_restriction(endpoint, head.asked.key_hash)
        return head.asked
    asked = read_fields(
        request.fields, endpoint, parts.identities, now=now, max_ttl_s=parts.limits.max_ttl_s
    )
    if head is not None:
        head.asked = asked
    return asked


def _reader(parts: Parts, asked: Asked) -> bytes:
    """Which receipt subscription hears of the message (RFC 8030 section 5.1)."""
    if asked.reader is not None:
        return parts.capabilities.receipts(asked.reader)
    if asked.key is not None:
        return receipts_of(asked.key)
    return parts.chance.token(READER_OCTETS)


def _accepted(parts: Parts, push: Push, ttl: int) -> Answer:
    location = parts.capabilities.message_url(push.subscription, push.id)
    if push.receipt is None:
        return Answer(201, lines=f"location: {location}\r\nttl: {ttl}\r\n".encode())
    url = parts.capabilities.receipts_url(push.receipt)
    link = f'<{url}>; rel="{RECEIPT_RELATION}"'
    return Answer(202, lines=f"location: {location}\r\nttl: {ttl}\r\nlink: {link}\r\n".encode())
