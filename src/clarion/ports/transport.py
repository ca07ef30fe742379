"""How providers reach a network: batches of requests to one origin, and single requests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from clarion.wire.http2 import Batch

HTTPS_PORT: Final = 443
HTTP_PORT: Final = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientCertificate:
    """A certificate and key in PEM for mutual TLS (APNs certificate credentials)."""

    chain_pem: str
    key_pem: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a batch goes. Connections are pooled by the whole value."""

    host: str
    port: int
    certificate: ClientCertificate | None = None
    partition: str = ""
    """Keeps apart what may not share a connection (an APNs team, suspect tokens)."""
    guarded: bool = False
    """Whether the egress guard applies: only public addresses, pinned when they were checked."""
    tls: bool = True
    """`https`; False is plain `http`, which is spoken as HTTP/1.1 (the guard refuses it)."""

    @property
    def scheme(self) -> str:
        """`https` or `http`."""
        return "https" if self.tls else "http"

    @property
    def authority(self) -> str:
        """Host and port as `:authority` carries them; the scheme's own port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        own = HTTPS_PORT if self.tls else HTTP_PORT
        return host if self.port == own else f"{host}:{self.port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpAnswer:
    """The answer to a single request; header names are lower case."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class TransportError(Exception):
    """A single request got no answer; the sentence says why (name, connection, TLS, time)."""


class EgressForbiddenError(TransportError):
    """The egress guard refuses the origin; the sentence names the rule."""


class Transport(Protocol):
    """Outgoing HTTP. Implemented in `adapters/net`."""

    async def send(self, origin: Origin, batch: Batch, *, urgent: bool) -> None:
        """Send a batch; return when each request has an answer or a failure in the batch.

        HTTP/2 where the host speaks it, otherwise HTTP/1.1 with bounded concurrency. Raises
        nothing for what the host does; `EgressForbiddenError` when the guard refuses it.
        """
        ...

    async def request(
        self, method: str, url: str, *, headers: Sequence[tuple[str, str]], body: bytes
    ) -> HttpAnswer:
        """One request with the default time limit (OAuth). Raises `TransportError`."""
        ...

    async def close(self) -> None:
        """Finish what is under way, then close every connection."""
        ...
