"""What FCM receives: one JSON template per message, spliced with each recipient's token.

Source: Firebase, HTTP v1 `projects.messages`. `content.overrides` for FCM is a `Message` of that
API without a target (`notification`, `data`, `android`, `apns`, `webpush`, `fcm_options`), merged
over what is built here the way RFC 7396 merges: `null` removes.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson

from clarion.domain.content import Json, Message, Priority, PushType
from clarion.domain.merge import counted, nested
from clarion.domain.network import Network, TokenKind
from clarion.ports.provider import PayloadProblem

MAX_BYTES: Final = 4096
"""Keys and values of `data` and `notification` together; the blocks of platforms are not counted
by FCM, but Apple takes no more than this either."""
MAX_TTL_S: Final = 28 * 86400
RING_S: Final = 30
"""How long a call without a time to live rings."""
MAX_APNS_COLLAPSE: Final = 64
OUR_KEY: Final = "clarion"
"""The data key under which our SDK finds the message's id, link and buttons, as JSON text."""
TARGETS: Final = frozenset({"token", "fid", "topic", "condition", "name"})
BLOCKS: Final = frozenset(
    {"data", "notification", "android", "android_v2", "webpush", "apns", "fcm_options"}
)
TOKEN_OCTETS: Final = (
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~:%"  # no quote, no escape
)
HEADS: Final = {
    TokenKind.TOKEN: b'{"message":{"token":"',
    TokenKind.FID: b'{"message":{"fid":"',
}
_SHOWN: Final = frozenset({PushType.ALERT, PushType.LIVEACTIVITY})
_URGENCY: Final = {Priority.LOW: "low", Priority.NORMAL: "normal", Priority.HIGH: "high"}


class UnwritableError(ValueError):
    """The content is not JSON: a lone surrogate, a huge number, or nesting without end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A message as the bytes around the recipient's token."""

    tail: bytes
    counted: tuple[bytes, ...]
    """What counts against `MAX_BYTES`: each on its own, with merge markers (`domain.merge`)."""

    @property
    def octets(self) -> int:
        """Octets of the longest, where nothing is merged."""
        return max(map(len, self.counted))

    def bodies(self, tokens: Sequence[bytes], kind: TokenKind) -> list[bytes]:
        """One body a token. The tokens hold nothing but `TOKEN_OCTETS`."""
        head, tail = HEADS[kind], self.tail
        return [head + token + tail for token in tokens]


def merged(built: Json, over: Json) -> Json:
    """`over` laid over `built`, object by object; None removes a key (RFC 7396 section 2)."""
    if not isinstance(over, Mapping):
        return over
    result = dict(built) if isinstance(built, Mapping) else {}
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def encoded(value: Json) -> bytes:
    """The value as JSON in UTF-8. Raises `UnwritableError` where it has no such form."""
    try:
        return orjson.dumps(value)
    except TypeError as error:  # orjson.JSONEncodeError is a TypeError
        raise UnwritableError(str(error)) from error


def _given(**members: Json) -> dict[str, Json]:
    return {key: value for key, value in members.items() if value is not None}


def shown(message: Message) -> bool:
    """Whether the system itself displays the message; otherwise the app gets data only."""
    content = message.content
    visible = content.title is not None or content.body is not None or content.image is not None
    return message.push_type in _SHOWN and visible


def _data(message: Message) -> dict[str, Json]:
    """The data block: FCM takes text only, so other values travel as their JSON."""
    content = message.content
    data: dict[str, Json] = {
        key: value if isinstance(value, str) else nested(encoded(value).decode())
        for key, value in content.data.items()
    }
    ours = _given(id=message.id, link=content.link)
    if content.actions:
        ours["actions"] = [
            _given(id=action.id, title=action.title, icon=action.icon, link=action.link)
            for action in content.actions
        ]
    if not shown(message):
        ours |= _given(title=content.title, body=content.body, image=content.image)
    return data | {OUR_KEY: nested(encoded(ours).decode())}


def ttl_s(message: Message, now: datetime) -> int | None:
    """Seconds FCM may keep the message; None leaves it to FCM's four weeks."""
    ttl = message.network_ttl_s(now)
    if ttl is None:
        return RING_S if message.push_type is PushType.VOIP else None
    return min(ttl, MAX_TTL_S)


def _android(message: Message, ttl: int | None) -> dict[str, Json]:
    content, call = message.content, message.push_type is PushType.VOIP
    eager = call or message.priority is Priority.HIGH
    block: dict[str, Json] = {"priority": "HIGH" if eager else "NORMAL"}
    if ttl is not None:
        block["ttl"] = f"{ttl}s"
    if call:
        block["direct_boot_ok"] = True
    # FCM stores four collapse keys per device and then throws one away at random: only a key
    # that the sender chose is worth one. The tag replaces on the screen either way.
    elif message.collapse_id is not None:
        block["collapse_key"] = message.collapse_id
    if shown(message):
        block["notification"] = _given(
            tag=message.display_id,
            icon=content.icon,
            sound=content.sound,
            click_action=content.action_set,
            notification_count=content.badge,
        )
    return block


def _apns(message: Message, ttl: int | None, now: datetime) -> dict[str, Json]:
    content, visible = message.content, shown(message)
    headers: dict[str, Json] = {
        # Data alone must not go out with 10: Apple would refuse it as a background push.
        "apns-priority": "10" if visible and message.priority is Priority.HIGH else "5",
        "apns-push-type": "alert" if visible else "background",
        "apns-collapse-id": _apns_collapse_id(message.display_id),
    }
    if ttl is not None:
        headers["apns-expiration"] = str(int(now.timestamp()) + ttl if ttl else 0)
    if not visible:
        return {"headers": headers, "payload": {"aps": {"content-available": 1}}}
    alert = _given(title=content.title, subtitle=content.subtitle, body=content.body)
    aps = _given(alert=alert, badge=content.badge, sound=content.sound, category=content.buttons)
    if content.thread is not None:
        aps["thread-id"] = content.thread
    if content.image is not None or content.actions:
        aps["mutable-content"] = 1
    block: dict[str, Json] = {"headers": headers, "payload": {"aps": aps}}
    if content.image is not None:
        block["fcm_options"] = {"image": content.image}
    return block


def _apns_collapse_id(text: str) -> str:
    plain = text.encode("utf-8", "surrogatepass")
    if text.isascii() and text.isprintable() and 0 < len(plain) <= MAX_APNS_COLLAPSE:
        return text
    return hashlib.blake2b(plain, digest_size=32).hexdigest()


def _webpush(message: Message, ttl: int | None) -> dict[str, Json]:
    content = message.content
    # A Topic has at most 32 characters of base64url (RFC 8030 section 5.4).
    topic = hashlib.blake2b(message.display_id.encode("utf-8", "surrogatepass"), digest_size=16)
    headers: dict[str, Json] = {"Urgency": _URGENCY[message.priority], "Topic": topic.hexdigest()}
    if ttl is not None:
        headers["TTL"] = str(ttl)
    block: dict[str, Json] = {"headers": headers}
    if shown(message):
        block["notification"] = _given(
            tag=message.display_id,
            icon=content.icon,
            actions=[
                _given(action=action.id, title=action.title, icon=action.icon)
                for action in content.actions
            ]
            or None,
        )
    if content.link is not None and content.link.startswith("https://"):
        block["fcm_options"] = {"link": content.link}
    return block


def document(message: Message, now: datetime) -> dict[str, Json]:
    """The `Message` of the API without its target, as a value."""
    content, ttl = message.content, ttl_s(message, now)
    built: dict[str, Json] = {"data": _data(message)}
    if shown(message):
        built["notification"] = _given(title=content.title, body=content.body, image=content.image)
    built["android"] = _android(message, ttl)
    built["apns"] = _apns(message, ttl, now)
    built["webpush"] = _webpush(message, ttl)
    whole = merged(built, dict(content.overrides.get(Network.FCM, {})))
    return whole if isinstance(whole, dict) else {}


def prepare(message: Message, now: datetime) -> Prepared:
    """The template of a message.

    Raises:
        UnwritableError: The content has no JSON form, or an override sets a target.
    """
    whole = document(message, now)
    if not whole.keys() <= BLOCKS:
        raise UnwritableError("an override sets what is not a block of the message")
    return Prepared(tail=b'",' + encoded(whole)[1:] + b"}", counted=_counted(whole))


def _texts(block: Json) -> bytes:
    """Keys and values of a block, as FCM counts them: without the escapes of JSON."""
    if not isinstance(block, Mapping):
        return b""
    return b"".join(
        counted(key).encode()
        + (counted(value).encode() if isinstance(value, str) else encoded(value))
        for key, value in block.items()
    )


def _counted(whole: Mapping[str, Json]) -> tuple[bytes, ...]:
    apns = whole.get("apns")
    apple = apns.get("payload") if isinstance(apns, Mapping) else None
    return _texts(whole.get("data")) + _texts(whole.get("notification")), encoded(apple)


def leaves(value: Json, pointer: str) -> Iterator[tuple[int, str]]:
    """(octets as JSON, JSON pointer) of every leaf of a value (RFC 6901)."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from leaves(inner, f"{pointer}/{at}")
    else:
        yield len(encoded(value)), pointer


def largest_field(message: Message) -> str:
    """JSON pointer of the field of the message that takes most room."""
    content = message.content
    texts = _given(
        title=content.title,
        subtitle=content.subtitle,
        body=content.body,
        image=content.image,
        link=content.link,
        sound=content.sound,
        action_set=content.action_set,
        thread=content.thread,
        data=dict(content.data),
        overrides={"fcm": dict(content.overrides.get(Network.FCM, {}))},
        actions=[
            _given(id=action.id, title=action.title, icon=action.icon, link=action.link)
            for action in content.actions
        ],
    )
    return max(leaves(texts, ""), key=lambda leaf: leaf[0])[1]


def reserved(key: str) -> bool:
    """Whether FCM keeps a data key for itself."""
    return key in {"from", "message_type", OUR_KEY} or key.startswith(("google", "gcm"))


def _problem(pointer: str, code: str, detail: str) -> PayloadProblem:
    return PayloadProblem(path=pointer, code=code, detail=detail)


def _override_problems(over: Mapping[str, Json]) -> Iterator[PayloadProblem]:
    for block, value in over.items():
        if block not in BLOCKS or not isinstance(value, Mapping | None):
            detail = "An FCM override holds blocks of a v1 message, and no target."
            yield _problem(f"/overrides/fcm/{block}", "field_invalid", detail)
    android = over.get("android")
    ttl = android.get("ttl") if isinstance(android, Mapping) else None
    if ttl is not None and not (
        isinstance(ttl, str) and re.fullmatch(r"\d{1,7}(\.\d{1,9})?s", ttl)
    ):
        detail = 'A duration is text such as "3.5s".'
        yield _problem("/overrides/fcm/android/ttl", "field_invalid", detail)


def _data_problems(where: str, data: Json, *, text_only: bool) -> Iterator[PayloadProblem]:
    for key, value in data.items() if isinstance(data, Mapping) else ():
        pointer = f"{where}/{key.replace('~', '~0').replace('/', '~1')}"
        if reserved(key):
            detail = f"`{key}` is reserved by FCM; choose another name."
            yield _problem(pointer, "field_invalid", detail)
        elif text_only and not isinstance(value, str | None):
            yield _problem(pointer, "field_invalid", "FCM takes only text as a data value.")


def problems(message: Message, now: datetime) -> Sequence[PayloadProblem]:
    """What FCM would refuse about the message for any recipient; empty when fine."""
    over = message.content.overrides.get(Network.FCM, {})
    found = [
        *_override_problems(over),
        *_data_problems("/data", dict(message.content.data), text_only=False),
        *_data_problems("/overrides/fcm/data", over.get("data"), text_only=True),
    ]
    if found:  # the template can't be written, and this says why
        return found
    try:
        above = prepare(message, now).octets - MAX_BYTES
        if above > 0:
            detail = f"The payload is {above} bytes above FCM's limit of {MAX_BYTES}; shorten this."
            found.append(_problem(largest_field(message), "payload_too_large", detail))
    except (UnwritableError, UnicodeEncodeError, RecursionError) as error:
        detail = f"The content can't be written as JSON: {str(error)[:120]}."
        found.append(_problem("/data", "field_invalid", detail))
    return found
