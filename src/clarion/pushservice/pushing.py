"""A push message request: checked, numbered, accepted, answered."""

import re
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
from clarion.wire.capability import CapabilityError
from clarion.wire.push_headers import RECEIPT_RELATION

READER_OCTETS: Final = 16
_SIGNING_KEY: Final = re.compile(r"\s*p256ecdsa\s*=", re.IGNORECASE)
_LEGACY: Final = PushCoding.AESGCM
_ACCEPTED: Final = Fate.ACCEPTED
_REFUSALS: Final = {
    Fate.GONE: Refusal.GONE, Fate.FULL: Refusal.FULL, Fate.UNAVAILABLE: Refusal.BUSY,
}  # fmt: skip
FULL_RETRY_S: Final = 60


class Pushing(Pending):
    """A message that was taken, and whose sender waits for what becomes of it."""

    __slots__ = ("parts", "push", "ttl")

    def __init__(self, parts: Parts, push: Push, ttl: int) -> None:
        self.answer = self.then = None
        self.parts = parts
        self.push = push
        self.ttl = ttl

    def became(self, fate: Fate) -> None:
        """Tell the sender."""
        if fate is _ACCEPTED:
            self.settle(_accepted(self.parts, self.push, self.ttl))
            return
        refusal = _REFUSALS[fate]
        retry = FULL_RETRY_S if refusal is Refusal.FULL else 0
        self.settle(RefusedError(refusal, retry_after_s=retry))


def pushed(parts: Parts, endpoint: Endpoint, request: Request) -> Pending:
    """Accept a message.

    Raises:
        RefusedError: the request breaks a rule, or is one too many.
    """
    clock, quotas = parts.clock, parts.quotas
    now, monotonic = clock.now(), clock.monotonic()
    device, subscription, channel, _ = endpoint
    wait = quotas.subscription.take(subscription, monotonic)
    if wait:
        raise RefusedError(Refusal.RATE_SUBSCRIPTION, retry_after_s=wait)
    asked = _asked(parts, endpoint, request, now)
    fields, body = request.fields, request.body
    coding = coding_of(asked, fields, body)
    wait = quotas.origin.take(asked.key or request.peer, monotonic)
    if wait:
        raise RefusedError(Refusal.RATE_ORIGIN, retry_after_s=wait)
    legacy = coding is _LEGACY
    push = Push(  # by position, which takes half the time
        parts.numbering.next(now),
        device,
        subscription,
        channel,
        body,
        coding,
        fields.get("encryption") if legacy else None,
        _without_signing_key(fields.get("crypto-key", "")) if legacy else None,
        asked.topic,
        asked.urgency,
        now + asked.lifetime,
        _reader(parts, asked),
    )
    pushing = Pushing(parts, push, asked.ttl)
    parts.accepting.offer(push, pushing.became, store=asked.ttl > 0)
    return pushing


def _asked(parts: Parts, endpoint: Endpoint, request: Request, now: datetime) -> Asked:
    """What the fields ask for; the same fields are judged once, as long as their token is good."""
    head = request.head
    known = None if head is None else head.asked
    if known is not None and known.since <= now <= known.until:
        check_restriction(endpoint, known.key_hash)
        return known
    asked = read_fields(
        request.fields, endpoint, parts.identities, now=now, max_ttl_s=parts.limits.max_ttl_s
    )
    if head is not None:
        head.asked = asked
    return asked


def _reader(parts: Parts, asked: Asked) -> bytes | None:
    """Which receipt subscription hears of the message, if any (RFC 8030 section 5.1).

    Raises:
        RefusedError: the request names one that is none of ours.
    """
    given = None
    if asked.reader is not None:
        try:
            given = parts.capabilities.receipts(asked.reader)
        except CapabilityError as error:
            raise RefusedError(Refusal.RECEIPTS) from error
    if not asked.receipt:
        return None
    if given is not None:
        return given
    if asked.key is not None:
        return receipts_of(asked.key)
    return parts.chance.token(READER_OCTETS)


def _without_signing_key(crypto_key: str) -> str:
    """`Crypto-Key` as the device may have it: who the sender is stays here (RFC 8292 section 4.2).

    The drafts' field has keys between commas, and their parameters between semicolons.
    """
    keys = (
        ";".join(part.strip() for part in key.split(";") if not _SIGNING_KEY.match(part))
        for key in crypto_key.split(",")
    )
    return ",".join(filter(None, keys))


def _accepted(parts: Parts, push: Push, ttl: int) -> Answer:
    location = parts.capabilities.message_url(push.subscription, push.id)
    if push.receipt is None:
        return Answer(201, lines=f"location: {location}\r\nttl: {ttl}\r\n".encode())
    url = parts.capabilities.receipts_url(push.receipt)
    link = f'<{url}>; rel="{RECEIPT_RELATION}"'
    return Answer(202, lines=f"location: {location}\r\nttl: {ttl}\r\nlink: {link}\r\n".encode())
