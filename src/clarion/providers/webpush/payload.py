"""A message as Web Push carries it: the JSON under the encryption, and the headers beside it.

The JSON is a Declarative Web Push (recognised by `"web_push": 8030`), so that Safari shows it
without a service worker; everywhere else the worker reads the same document:

    {"web_push": 8030,
     "notification": {"title", "body", "navigate", "tag", "icon", "image", "actions",
                      "app_badge", "data": OURS},
     "app_badge": 3, "mutable": true}

`OURS` is `{"message": id, "data": {...}, "link", "action_set", "thread"}`. It lies under
`notification.data`, because a worker that is offered a declared notification sees nothing else;
a message that shows nothing carries it at the top instead, under `data`.

A declaration needs an absolute address to open (`navigate`). A message without a link opens the
credential's `site`; where there is none either, the `web_push` mark and the address are left out
and the message is an ordinary push.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urljoin, urlsplit

import orjson

from clarion.domain.content import Action, Content, Json, Message, Priority, PushType
from clarion.domain.lanes import Lane
from clarion.domain.merge import OPEN, without_markers
from clarion.domain.network import Network
from clarion.ports.provider import PayloadProblem
from clarion.wire.push_headers import RECEIPT_RELATION, topic_for

MAX_PLAINTEXT: Final = 3993
"""What fits a body of 4096 octets, which every service must take (RFC 8291 section 4)."""

MAX_TTL: Final = timedelta(days=28)
"""The shortest of the services' longest storage times (Google's); also what silence means."""

MAX_SITE: Final = 256
"""Octets of a credential's `site`: reserved when a message without a link is checked."""

DECLARED: Final = 8030
"""The number by which a user agent knows a declared notification."""

_LONGEST_SITE: Final = "https://".ljust(MAX_SITE, "x")

_MAX_BADGE: Final = 2**63 - 1
_SHOWN: Final = frozenset({PushType.ALERT, PushType.VOIP, PushType.PUSHTOTALK})
_STEPS: Final = (b"very-low", b"low", b"normal", b"high")
_STEP_OF_PRIORITY: Final = {Priority.LOW: 1, Priority.NORMAL: 2, Priority.HIGH: 3}

Members = dict[str, Json]


class PayloadError(ValueError):
    """The content can't be written down as JSON; the sentence says why."""


def render(message: Message, site: str | None = None, *, led: bool = True) -> bytes:
    """The plaintext for one message: UTF-8 JSON, not yet checked for its length.

    Args:
        message: What to say; its texts may hold merge markers.
        site: The absolute address that notifications without a link open.
        led: Links that begin with a marker (`led_links`) are web addresses where it is filled.

    Raises:
        PayloadError: A value has no JSON form (a lone surrogate, an integer above 64 bits).
    """
    document = _document(message, site, led=led)
    override = message.content.overrides.get(Network.WEBPUSH)
    if override:
        document = _merge(document, override)
    return _dump(document)


def check(message: Message) -> list[PayloadProblem]:
    """Every reason why Web Push can't carry the message; empty when it can."""
    content = message.content
    problems = [
        PayloadProblem(path=path, code="field_invalid", detail=detail)
        for path, detail in _invalid_fields(content)
    ]
    if problems:
        return problems
    # Any credential's site may be put in, or none: assume what takes more room. A long host is
    # the longest of all, because it stays in front of every relative link.
    problems.extend(_broken_declaration(message, _LONGEST_SITE))
    excess = max(map(len, longest(message))) - MAX_PLAINTEXT
    if excess > 0:
        problems.append(too_large(content, excess))
    return problems


def longest(message: Message) -> list[bytes]:
    """The plaintexts among which the longest is that any credential's site makes possible."""
    return [render(message, site) for site in (None, _LONGEST_SITE)]


def too_large(content: Content, excess: int) -> PayloadProblem:
    """The problem of a plaintext `excess` octets too long, naming the longest field."""
    path, octets = max(_sizes(content), key=lambda named: named[1])
    return PayloadProblem(
        path=path,
        code="payload_too_large",
        detail=(
            f"Web Push carries {MAX_PLAINTEXT} bytes of JSON and this message needs {excess} more; "
            f"shorten {path}, the longest field with {octets} bytes."
        ),
    )


def headers(message: Message, now: datetime) -> tuple[tuple[bytes, bytes], ...]:
    """The request's fields that depend on the message alone (RFC 8030 section 5, RFC 8188)."""
    return (
        (b"content-encoding", b"aes128gcm"),
        (b"content-type", b"application/octet-stream"),
        (b"ttl", str(ttl_s(message, now)).encode()),
        (b"urgency", urgency(message)),
        (b"topic", topic_for(message.display_id).encode()),
    )


def receipt_headers(resource: str) -> tuple[tuple[bytes, bytes], ...]:
    """What asks for a delivery receipt, to be told at a resource (RFC 8030 section 5.1)."""
    link = f'<{resource}>; rel="{RECEIPT_RELATION}"'
    return ((b"prefer", b"respond-async"), (b"link", link.encode()))


def ttl_s(message: Message, now: datetime) -> int:
    """Seconds for the TTL field, which RFC 8030 section 5.2 demands; 0 is now or never."""
    longest = int(MAX_TTL.total_seconds())
    wanted = message.network_ttl_s(now)
    return longest if wanted is None else min(wanted, longest)


def urgency(message: Message) -> bytes:
    """The Urgency of RFC 8030 section 5.3.

    A call wakes the device whatever its priority says; bulk is one step less urgent than it asks,
    because `high` takes a phone out of doze and nobody waits for bulk.
    """
    if message.lane is Lane.CALL:
        return b"high"
    return _STEPS[_STEP_OF_PRIORITY[message.priority] - (message.lane is Lane.BULK)]


def navigate_for(link: str | None, site: str | None, *, led: bool = True) -> str | None:
    """The absolute http(s) address that a click opens, or None where there is none.

    A link that begins with a merge marker is taken as it is where it is such an address for those
    who get it (`led`); for the others only our worker opens it.
    """
    if link is not None and link.startswith(OPEN):
        if led:
            return link
        link = None
    for candidate in (link, _joined(site, link), site):
        if candidate and is_web_address(candidate):
            return candidate
    return None


def led_links(content: Content) -> list[str]:
    """The links that begin with a merge marker: each recipient's is known when it is filled."""
    links = (content.link, *(action.link for action in content.actions))
    return [link for link in links if link is not None and link.startswith(OPEN)]


def _document(message: Message, site: str | None, *, led: bool = True) -> Members:
    content = message.content
    text = _text(content)
    if message.push_type not in _SHOWN or text is None:
        return {"data": _ours(message, None)}
    title, body = text
    navigate = navigate_for(content.link, site, led=led)
    badge = content.badge
    notification = _present(
        {
            "title": title,
            "body": body,
            "navigate": navigate,
            "tag": message.display_id,
            "icon": content.icon,
            "image": content.image,
            "actions": [
                _action(action, navigate, navigate_for(action.link, site, led=led))
                for action in content.actions
            ]
            or None,
            # Drafts and shipping versions differ on the place, so the badge stands in both.
            "app_badge": None if badge is None else str(badge),
            "data": _ours(message, navigate),
        }
    )
    document: Members = {} if navigate is None else {"web_push": DECLARED}
    document["notification"] = notification
    if badge is not None:
        document["app_badge"] = badge
    if navigate is not None:
        document["mutable"] = True
    return document


def _ours(message: Message, navigate: str | None) -> Members:
    """What our worker reads; the link only where `navigate` does not say it already."""
    content = message.content
    return _present(
        {
            "message": message.id,
            "data": dict(content.data) or None,
            "link": None if content.link == navigate else content.link,
            "action_set": content.action_set,
            "thread": content.thread,
        }
    )


def _text(content: Content) -> tuple[str, str | None] | None:
    """Title and body; a notification must have a title, and the web knows no subtitle."""
    lines = [line for line in (content.title, content.subtitle, content.body) if line]
    return (lines[0], "\n".join(lines[1:]) or None) if lines else None


def _action(action: Action, navigate: str | None, address: str | None) -> Json:
    own = address if action.link else navigate
    return _present(
        {"action": action.id, "title": action.title, "icon": action.icon, "navigate": own}
    )


def _present(fields: Members) -> Members:
    return {name: value for name, value in fields.items() if value is not None}


def _merge(target: Json, patch: Mapping[str, Json]) -> Members:
    """RFC 7396: members replace or join, null removes."""
    merged: Members = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            merged[name] = _merge(merged.get(name), value)
        else:
            merged[name] = value
    return merged


def _dump(value: Json) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise PayloadError(str(error)) from error


def _joined(site: str | None, link: str | None) -> str | None:
    """A relative link as the site's pages would follow it (RFC 3986 section 5)."""
    try:
        return urljoin(site, link) if site and link else None
    except ValueError:  # such as an IPv6 address without its second bracket
        return None


def is_web_address(text: str) -> bool:
    """Whether a browser could open it."""
    text = without_markers(text)
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    plain = text.isprintable() and " " not in text
    return plain and parts.scheme in {"http", "https"} and bool(parts.hostname)


def _fields(content: Content) -> Iterator[tuple[str, Json]]:
    """Every field that takes room, by its path in the message as the API takes it."""
    yield "/title", content.title
    yield "/subtitle", content.subtitle
    yield "/body", content.body
    yield "/image", content.image
    yield "/icon", content.icon
    yield "/link", content.link
    yield "/action_set", content.action_set
    yield "/thread", content.thread
    yield "/data", dict(content.data)
    for index, action in enumerate(content.actions):
        yield f"/actions/{index}", [action.id, action.title, action.icon, action.link]
    yield "/overrides/webpush", dict(content.overrides.get(Network.WEBPUSH) or {})


def _sizes(content: Content) -> Iterator[tuple[str, int]]:
    for path, value in _fields(content):
        yield path, len(_dump(value))


def _invalid_fields(content: Content) -> Iterator[tuple[str, str]]:
    for path, value in _fields(content):
        try:
            _dump(value)
        except PayloadError as error:
            yield path, f"{path} can't be written as JSON: {error}."
    if content.badge is not None and not 0 <= content.badge <= _MAX_BADGE:
        yield "/badge", "The badge of a web app is a whole number from 0 on."


def _broken_declaration(message: Message, site: str) -> Sequence[PayloadProblem]:
    """What an override took from a declared notification that user agents insist on."""
    override = message.content.overrides.get(Network.WEBPUSH)
    if not override:
        return ()
    document = _merge(_document(message, site), override)
    if document.get("web_push") != DECLARED:
        return ()
    notification = document.get("notification")
    members = notification if isinstance(notification, dict) else {}
    title, navigate = members.get("title"), members.get("navigate")
    broken = []
    if not isinstance(title, str) or not title:
        broken.append(("title", "a title that is not empty"))
    if not isinstance(navigate, str) or not is_web_address(navigate):
        broken.append(("navigate", "an absolute http or https address"))
    return [
        PayloadProblem(
            path=f"/overrides/webpush/notification/{name}",
            code="field_invalid",
            detail=f"A declared notification needs {need}.",
        )
        for name, need in broken
    ]
