"""How a connection turns into a WebSocket (RFC 6455 section 4.2)."""

from collections.abc import Mapping

from clarion.pushservice.refusals import Refusal, RefusedError
from clarion.wire.websocket import VERSION, WebSocketError, read_upgrade


def switch_head(fields: Mapping[str, str], subprotocol: str) -> bytes:
    """The answer 101, with the sub-protocol where it was offered; extensions are never taken.

    Args:
        fields: of the request, names in lower case.
        subprotocol: what is spoken over the connection.

    Raises:
        RefusedError: the fields are not those of an opening handshake, or of another version.
    """
    if fields.get("sec-websocket-version", VERSION).strip() != VERSION:
        raise RefusedError(Refusal.VERSION)
    try:
        upgrade = read_upgrade(fields)
    except WebSocketError as error:
        raise RefusedError(Refusal.BAD_REQUEST, str(error)) from error
    chosen = b""
    if subprotocol in upgrade.offered:
        chosen = b"sec-websocket-protocol: %b\r\n" % subprotocol.encode()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: %b\r\n%b\r\n" % (upgrade.accept, chosen)
    )
