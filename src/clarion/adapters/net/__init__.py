"""Outgoing connections on asyncio: HTTP/2 pools, TLS, proxies."""

from clarion.adapters.net.pool import HostConfig, Http2Pool, PoolSnapshot
from clarion.adapters.net.tls import Http2NotOfferedError, client_context

__all__ = ["HostConfig", "Http2NotOfferedError", "Http2Pool", "PoolSnapshot", "client_context"]
