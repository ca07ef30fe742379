"""The networks that we have credentials for: can they be reached, and is our clock right?"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from clarion.adapters.net.tls import client_context
from clarion.app.container import Container
from clarion.app.doctor_finding import Finding, Level
from clarion.app.doctor_state import skew
from clarion.domain.network import Network
from clarion.ports.transport import HTTPS_PORT, Origin, TransportError
from clarion.wire.http2 import Batch, Field, HeaderSet

PATIENCE_S: Final = 10.0
_ADVICE: Final = "check the way out: firewall, egress.proxy_url, egress.ca_file"

Ask = Callable[[Container, str], Awaitable[Sequence[Field]]]
"""Asks an address for the header fields of its answer."""


async def examine_networks(container: Container) -> AsyncIterator[Finding]:
    """Ask the hosts of networks that some app has a credential for, and no others."""
    used = {record.network for record in await container.credentials.all(None)}
    settings = container.settings
    if Network.APNS in used:
        for url in dict.fromkeys((settings.apns.production_url, settings.apns.sandbox_url)):
            way = await _reach(container, url)
            yield way
            if way.level is Level.OK:
                yield await _clock(container, url, _fields_over_http2)
    if Network.FCM in used:
        yield await _clock(container, settings.fcm.base_url, _fields)
    if Network.WEBPUSH in used:
        found = "not compared: each subscription names its own, and none is asked without need"
        yield Finding("clocks of Web Push services", Level.OK, found)


async def _clock(container: Container, url: str, ask: Ask) -> Finding:
    """RFC 9110 section 6.6.1: the Date header is the host's clock, to the second."""
    what = f"clock of {urlsplit(url).netloc}"
    before = container.clock.now()
    try:
        fields = await ask(container, url)
    except TransportError as error:
        return Finding(what, Level.WARN, f"it can't be reached: {error}", _ADVICE)
    after = container.clock.now()
    said = dict(fields).get(b"date", b"").decode("latin-1")
    try:
        theirs: datetime = parsedate_to_datetime(said)
    except ValueError:
        return Finding(what, Level.OK, "it can be reached, and does not tell the time")
    return skew(what, theirs - (before + (after - before) / 2).replace(microsecond=0))


async def _fields(container: Container, url: str) -> Sequence[Field]:
    return (await container.transport.request("GET", url, headers=[], body=b"")).headers


async def _fields_over_http2(container: Container, url: str) -> Sequence[Field]:
    """As a sender would ask; Apple answers that GET is not allowed, with its fields."""
    address = urlsplit(url)
    origin = Origin(host=address.hostname or "", port=address.port or HTTPS_PORT)
    shared = HeaderSet(method=b"GET", path_prefix=b"/", headers=())
    batch = Batch(shared, [b""], deadline_s=PATIENCE_S, keep_bodies=True)
    await container.transport.send(origin, batch, urgent=False)
    if batch.failures:
        why = container.transport.last_error(origin)
        raise TransportError(why or f"the request ended as {batch.failures[0].value}")
    return batch.answers[0].headers


async def _reach(container: Container, url: str) -> Finding:
    """Connect with TLS and agree on HTTP/2, the only protocol that Apple speaks."""
    address = urlsplit(url)
    what = f"way to {address.netloc}"
    if container.settings.egress.proxy_url is not None:
        return Finding(what, Level.OK, "through a proxy, so it is not tried")
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, writer = await asyncio.open_connection(
                address.hostname,
                address.port or HTTPS_PORT,
                ssl=client_context(ca_file=container.settings.egress.ca_file),
            )
    except TimeoutError:
        return Finding(what, Level.WARN, f"no answer within {PATIENCE_S:.0f} s", _ADVICE)
    except (OSError, ssl.SSLError) as error:
        return Finding(what, Level.WARN, f"it can't be reached: {error}", _ADVICE)
    tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    protocol = None if tls is None else tls.selected_alpn_protocol()
    writer.close()
    if protocol != "h2":
        return Finding(what, Level.FAIL, "something in between does not speak HTTP/2", _ADVICE)
    return Finding(what, Level.OK, "it can be reached, over HTTP/2")
