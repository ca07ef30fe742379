"""A tunnel through an HTTP proxy: CONNECT, then silence (RFC 9110, section 9.3.6)."""

import base64
from typing import Final
from urllib.parse import unquote, urlsplit

_END: Final = b"\r\n\r\n"
_MAX_ANSWER: Final = 16_384


class TunnelRefusedError(Exception):
    """The proxy did not open the tunnel; the sentence carries its status line."""


class Tunnel:
    """The exchange with the proxy, before TLS with the host begins."""

    def __init__(self, proxy: str, host: str, port: int) -> None:
        self._proxy = urlsplit(proxy)
        self._target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._answer = b""

    @property
    def address(self) -> tuple[str, int]:
        """Where the proxy listens."""
        return self._proxy.hostname or "", self._proxy.port or 3128

    def request(self) -> bytes:
        """What to write to the proxy; user and password of its address become credentials."""
        lines = [f"CONNECT {self._target} HTTP/1.1", f"Host: {self._target}"]
        if self._proxy.username is not None:
            pair = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}"
            token = base64.b64encode(pair.encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {token}")
        return "\r\n".join([*lines, "", ""]).encode()

    def feed(self, data: bytes) -> bytes | None:
        """Takes the proxy's octets; returns those behind its answer once the tunnel stands.

        Raises:
            TunnelRefusedError: The answer is not 2xx, or no HTTP answer at all.
        """
        self._answer += data
        head, found, rest = self._answer.partition(_END)
        if not found:
            if len(self._answer) > _MAX_ANSWER:
                raise TunnelRefusedError("the proxy's answer is too long")
            return None
        status_line = head.split(b"\r\n", 1)[0].decode("latin-1")
        words = status_line.split(" ")
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].startswith("2"):  # noqa: PLR2004
            raise TunnelRefusedError(f"the proxy answered {status_line!r}")
        return rest
