"""The answer that turns a connection into a WebSocket (RFC 6455 section 4.2.2)."""

from clarion.wire.websocket import Upgrade


def switch_head(upgrade: Upgrade, subprotocol: str) -> bytes:
    """101, with the sub-protocol where it was offered; extensions are never taken."""
    chosen = b""
    if subprotocol in upgrade.offered:
        chosen = b"sec-websocket-protocol: %b\r\n" % subprotocol.encode()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: %b\r\n%b\r\n" % (upgrade.accept, chosen)
    )
