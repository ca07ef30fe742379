"""Links of a message: campaign parameters, and redirects that tell who opened one.

A redirect carries its target under a MAC, so the route that serves it sends people nowhere but
where a message of ours sent them (no open redirect), and it needs no look-up. Only `http` and
`https` links are touched: `myapp://`, `mailto:`, `tel:` and links without a scheme stay.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final
from urllib.parse import quote, unquote_plus

import numpy as np
import numpy.typing as npt

from clarion.domain.content import Utm
from clarion.domain.ids import AppId, DeviceId, MessageId

Int64s = npt.NDArray[np.int64]

PATH: Final = "/r/"
"""Where the redirect route stands, below the public address."""
_VERSION: Final = 1
_MAC: Final = 16
"""Octets: 128 bits of HMAC-SHA256 (RFC 2104 section 5 allows half)."""
_PURPOSE: Final = b"clarion link 1\x00"
_WEB: Final = re.compile(r"https?://", re.IGNORECASE)
_LONGEST: Final = 4096
_DEVICE: Final = 8
_APP: Final = 4
_NAME: Final = 4 + _APP


@dataclass(frozen=True, kw_only=True, slots=True)
class Click:
    """Who opened what."""

    app: AppId
    message: MessageId
    device: DeviceId
    place: int
    """0 for the message's link, 1 and more for its buttons."""
    target: str


def is_web(link: str) -> bool:
    """Whether the link is one that a browser opens, and so one that may be changed."""
    return _WEB.match(link) is not None


def with_utm(link: str, utm: Utm) -> str:
    """The link with campaign parameters, in front of its fragment.

    A parameter that the link has already stays as it is. Nothing else of the link is rewritten:
    not its order, not its escapes.
    """
    if not is_web(link):
        return link
    wanted = {f"utm_{f.name}": getattr(utm, f.name) for f in fields(utm)}
    front, hash_mark, fragment = link.partition("#")
    address, mark, query = front.partition("?")
    present = {unquote_plus(pair.partition("=")[0]).lower() for pair in query.split("&")}
    added = [
        f"{name}={quote(value, safe='')}"
        for name, value in wanted.items()
        if value is not None and name not in present
    ]
    if not added:
        return link
    if not mark and "/" not in address.partition("://")[2]:
        address += "/"  # RFC 3986 allows the query right behind the host, some clients do not
    between = "" if not query or query.endswith("&") else "&"
    return f"{address}?{query}{between}{'&'.join(added)}{hash_mark}{fragment}"


def _sealed(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + body, hashlib.sha256)[:_MAC]


def _head(key_id: int, app: AppId, message: MessageId, place: int) -> bytes:
    name = message.encode()
    return bytes((_VERSION, key_id, place, len(name))) + app.to_bytes(_APP, "big") + name


def tracked(base: str, keys: Mapping[int, bytes], click: Click) -> str:
    """A redirect link for one device, or the target itself where it is no web link.

    Args:
        base: The public address of the API, without a slash at the end.
        keys: Key id (0 to 255) -> secret of at least 32 octets; the highest id signs.
        click: What the link stands for.
    """
    devices = np.asarray([click.device], np.int64)
    what = (click.app, click.message, click.place)
    return tracked_column(base, keys, what, devices, [click.target])[0]


def tracked_column(
    base: str,
    keys: Mapping[int, bytes],
    what: tuple[AppId, MessageId, int],
    devices: Int64s,
    targets: Sequence[str],
) -> list[str]:
    """`tracked` for each recipient of a message.

    Args:
        base: The public address of the API, without a slash at the end.
        keys: Key id -> secret; the highest id signs.
        what: Whose message, which, and the link's place in it.
        devices: Per recipient.
        targets: Per recipient, where the link leads.

    Raises:
        ValueError: There is no key of at least 32 octets to sign with.
    """
    signing = max(keys, default=-1)
    if signing < 0 or len(keys[signing]) < 32:  # noqa: PLR2004  256 bits
        raise ValueError("links are signed with a key of at least 32 octets")
    key, head, front = keys[signing], _head(signing, *what), base + PATH
    links = []
    for device, target in zip(devices.tolist(), targets, strict=True):
        if is_web(target):
            body = head + device.to_bytes(_DEVICE, "big") + target.encode("utf-8", "replace")
            token = base64.urlsafe_b64encode(body + _sealed(key, body))
            links.append(front + token.rstrip(b"=").decode())
        else:
            links.append(target)
    return links


def opened(token: str, keys: Mapping[int, bytes]) -> Click | None:
    """What a redirect stands for, or None where it is not one of ours.

    Args:
        token: What follows `PATH`.
        keys: Every key that links on people's devices were signed with.
    """
    if len(token) > _LONGEST or not re.fullmatch(r"[A-Za-z0-9_-]+", token):
        return None
    try:
        octets = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return None
    if base64.urlsafe_b64encode(octets).rstrip(b"=").decode() != token:
        return None  # bits of the last character that mean nothing (RFC 4648 section 3.5)
    body, mac = octets[:-_MAC], octets[-_MAC:]
    key = keys.get(body[1]) if len(body) > 4 and body[0] == _VERSION else None  # noqa: PLR2004
    if key is None or not hmac.compare_digest(_sealed(key, body), mac):
        return None
    start = _NAME + body[3]
    return Click(
        app=AppId(int.from_bytes(body[4:_NAME], "big")),
        message=MessageId(body[_NAME:start].decode()),
        device=DeviceId(int.from_bytes(body[start : start + _DEVICE], "big")),
        place=body[2],
        target=body[start + _DEVICE :].decode(),
    )


def finisher(utm: Utm | None) -> Callable[[str], str]:
    """What is done to each web link when it has its final text."""
    return (lambda link: link) if utm is None else (lambda link: with_utm(link, utm))
