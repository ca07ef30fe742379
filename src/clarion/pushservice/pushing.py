"""A push message request: checked, numbered, accepted, answered."""

import asyncio
from typing import Final

from clarion.ports.pushservice import Push
from clarion.pushservice.accepting import Fate
from clarion.pushservice.capabilities import Endpoint
from clarion.pushservice.http_connection import Later
from clarion.pushservice.parts import Parts
from clarion.pushservice.protocol import Wanted, granted, read_push, receipts_of
from clarion.pushservice.refusals import Refusal, RefusedError
from clarion.pushservice.requests import Answer, Request
from clarion.wire.push_headers import RECEIPT_RELATION

READER_OCTETS: Final = 16
_REFUSALS: Final = {
    Fate.GONE: Refusal.GONE, Fate.FULL: Refusal.FULL, Fate.UNAVAILABLE: Refusal.BUSY,
}  # fmt: skip
FULL_RETRY_S: Final = 60


def pushed(parts: Parts, endpoint: Endpoint, request: Request) -> Later:
    """Accept a message.

    Raises:
        RefusedError: the request breaks a rule, or is one too many.
    """
    clock, limits = parts.clock, parts.limits
    now, monotonic = clock.now(), clock.monotonic()
    wait = parts.quotas.subscription.take(endpoint.subscription, monotonic)
    if wait:
        raise RefusedError(Refusal.RATE_SUBSCRIPTION, retry_after_s=wait)
    wanted = read_push(
        endpoint, request.fields, request.body, parts.identities,
        now=now, max_ttl_s=limits.max_ttl_s,
    )  # fmt: skip
    wait = parts.quotas.origin.take(wanted.key or request.peer, monotonic)
    if wait:
        raise RefusedError(Refusal.RATE_ORIGIN, retry_after_s=wait)
    push = Push(
        id=parts.numbering.next(now),
        device=endpoint.device,
        subscription=endpoint.subscription,
        channel=endpoint.channel,
        body=request.body,
        coding=wanted.coding,
        encryption=wanted.encryption,
        crypto_key=wanted.crypto_key,
        topic=wanted.topic,
        urgency=wanted.urgency,
        expires_at=granted(wanted, now),
        receipt=_reader(parts, wanted),
    )
    fate = parts.accepting.offer(push, store=wanted.ttl > 0)
    answer: asyncio.Future[Answer] = fate.get_loop().create_future()

    def known(settled: "asyncio.Future[Fate]") -> None:
        if answer.done():
            return
        refusal = _REFUSALS.get(settled.result())
        if refusal is None:
            answer.set_result(_accepted(parts, push, wanted))
        else:
            retry = FULL_RETRY_S if refusal is Refusal.FULL else 0
            answer.set_exception(RefusedError(refusal, retry_after_s=retry))

    fate.add_done_callback(known)
    return Later(answer)


def _reader(parts: Parts, wanted: Wanted) -> bytes | None:
    """Which receipt subscription hears of the message (RFC 8030 section 5.1)."""
    if not wanted.receipt:
        return None
    if wanted.reader is not None:
        return parts.capabilities.receipts(wanted.reader)
    if wanted.key is not None:
        return receipts_of(wanted.key)
    return parts.chance.token(READER_OCTETS)


def _accepted(parts: Parts, push: Push, wanted: Wanted) -> Answer:
    location = parts.capabilities.message_url(push.subscription, push.id)
    fields = [(b"location", location.encode()), (b"ttl", b"%d" % wanted.ttl)]
    if push.receipt is None:
        return Answer(201, fields)
    url = parts.capabilities.receipts_url(push.receipt)
    fields.append((b"link", f'<{url}>; rel="{RECEIPT_RELATION}"'.encode()))
    return Answer(202, fields)
