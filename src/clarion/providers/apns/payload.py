"""What Apple receives: headers, body and ids of a message, without a credential or a recipient.

Source: Apple, "Sending notification requests to APNs" and "Generating a remote notification".

`content.overrides` for APNs is `{"headers": {...}, "payload": {...}}`, merged over what is built
here the way RFC 7396 merges: `null` removes. `payload` holds `aps` and, beside it, custom keys.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from clarion.domain.content import Json, Message, Priority, PushType
from clarion.domain.handoffs import Int64s, UInt16s
from clarion.domain.merge import holds_marker
from clarion.domain.network import Network
from clarion.ports.provider import PayloadProblem
from clarion.wire.http2 import literal_field

MAX_BYTES: Final = 4096
MAX_VOIP_BYTES: Final = 5120
MAX_COLLAPSE_BYTES: Final = 64
MAX_STORED_S: Final = 30 * 86400
"""APNs stores a notification for 30 days at most."""

TOPIC_SUFFIX: Final = {
    PushType.ALERT: "",
    PushType.BACKGROUND: "",
    PushType.VOIP: ".voip",
    PushType.COMPLICATION: ".complication",
    PushType.FILEPROVIDER: ".pushkit.fileprovider",
    PushType.MDM: "",  # the topic is the UID of the MDM certificate: the credential holds it
    PushType.LIVEACTIVITY: ".push-type.liveactivity",
    PushType.LOCATION: ".location-query",
    PushType.PUSHTOTALK: ".voip-ptt",
    PushType.WIDGETS: ".push-type.widgets",
    PushType.CONTROLS: ".push-type.controls",
}
"""What Apple wants behind the bundle id in `apns-topic`."""

PRIORITIES: Final = {
    PushType.ALERT: (5, 10),
    PushType.BACKGROUND: (5,),  # 10 is an error
    PushType.VOIP: (10,),
    PushType.LIVEACTIVITY: (5, 10),
    PushType.LOCATION: (5, 10),
}
"""Push type -> priorities that Apple takes for it, rising; others take all three."""

SHOWN: Final = frozenset({PushType.ALERT, PushType.LIVEACTIVITY, PushType.VOIP})
"""Push types whose `aps` may alert a person."""

OVERRIDABLE: Final = {
    "apns-topic": r"[A-Za-z0-9.\-]{1,255}",
    "apns-expiration": r"[0-9]{1,12}",
    "apns-collapse-id": r"(?s).+",
}
"""Headers a message may set besides the priority, and what their text must match."""

OUR_KEY: Final = "clarion"
"""The key beside `aps` under which our SDK finds the message's id, link, image and buttons."""

_ID_PREFIX: Final = literal_field(b"apns-id", b"0" * 36)[:-36]
_ID_OCTETS: Final = len(_ID_PREFIX) + 36
_GROUPS: Final = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))


class UnwritableError(ValueError):
    """The content is not JSON: a lone surrogate, a huge number, or nesting without end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A message ready for the wire but for its provider token and its recipients."""

    push_type: PushType
    topic: str | None
    """The override of the whole topic, or None for the credential's with the type's suffix."""
    priority: bytes
    expiration: bytes | None
    collapse_id: bytes
    body: bytes

    def topic_for(self, bundle: str) -> str:
        """`apns-topic` for an app with this bundle id."""
        return bundle + TOPIC_SUFFIX[self.push_type] if self.topic is None else self.topic

    def own_fields(self) -> list[tuple[bytes, bytes]]:
        """The header fields that differ from message to message."""
        fields = [(b"apns-collapse-id", self.collapse_id)]
        return fields + ([] if self.expiration is None else [(b"apns-expiration", self.expiration)])


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


def _override(message: Message, part: str) -> Mapping[str, Json]:
    overrides = message.content.overrides
    if not overrides:  # nearly every message; asking for an abstract class is slow
        return {}
    found = overrides.get(Network.APNS, {}).get(part)
    return found if isinstance(found, Mapping) else {}


def _shown_aps(message: Message) -> dict[str, Json]:
    content = message.content
    alert = _given(title=content.title, subtitle=content.subtitle, body=content.body)
    aps = _given(
        alert=alert or None, badge=content.badge, sound=content.sound, category=content.buttons
    )
    if content.thread is not None:
        aps["thread-id"] = content.thread
    # Only the app's service extension can fetch an image or register buttons.
    if alert and (content.image is not None or content.actions):
        aps["mutable-content"] = 1
    return aps


def _aps(message: Message, now: datetime) -> dict[str, Json]:
    if message.push_type is PushType.BACKGROUND:
        return {"content-available": 1}
    if message.push_type in {PushType.WIDGETS, PushType.CONTROLS}:
        return {"content-changed": True}
    aps = _shown_aps(message) if message.push_type in SHOWN else {}
    if message.push_type is PushType.LIVEACTIVITY:
        aps |= {"timestamp": int(now.timestamp()), "event": "update"}
        if message.content.data:
            aps["content-state"] = dict(message.content.data)
    return aps


def _given(**members: Json) -> dict[str, Json]:
    return {key: value for key, value in members.items() if value is not None}


def _ours(message: Message) -> dict[str, Json]:
    content = message.content
    ours = _given(id=message.id, link=content.link, image=content.image, icon=content.icon)
    if content.actions:
        ours["actions"] = [
            _given(id=action.id, title=action.title, icon=action.icon, link=action.link)
            for action in content.actions
        ]
    return ours


def document(message: Message, now: datetime) -> dict[str, Json]:
    """The JSON that Apple receives, as a value."""
    built: dict[str, Json] = {}
    if message.push_type is not PushType.LIVEACTIVITY:  # there the data is the content state
        built |= message.content.data
    if message.push_type is not PushType.MDM:  # the device wants nothing but `mdm`
        built |= {"aps": _aps(message, now), OUR_KEY: _ours(message)}
    over = _override(message, "payload")
    if not over:
        return built
    whole = merged(built, dict(over))
    return whole if isinstance(whole, dict) else {}


def encoded(value: Json) -> bytes:
    """The value as JSON in UTF-8. Raises `UnwritableError` where it has no such form."""
    try:
        return orjson.dumps(value)
    except TypeError as error:  # orjson.JSONEncodeError is a TypeError
        raise UnwritableError(str(error)) from error


def collapse_id(text: str) -> bytes:
    """`apns-collapse-id` for a display id: hashed where it is too long or not plain ASCII."""
    plain = text.encode("utf-8", "surrogatepass")
    sendable = text.isascii() and text.isprintable() and text == text.strip()
    if sendable and 0 < len(plain) <= MAX_COLLAPSE_BYTES:
        return plain
    return hashlib.blake2b(plain, digest_size=32).hexdigest().encode()


def priority(message: Message) -> int:
    """The highest priority that the push type takes, up to the one wished for."""
    return _priority(message.push_type, message.priority)


@cache
def _priority(push_type: PushType, wished: Priority) -> int:
    allowed = PRIORITIES.get(push_type, tuple(Priority))
    return int(max((p for p in allowed if p <= wished), default=allowed[0]))


def expiration(message: Message, now: datetime) -> int | None:
    """`apns-expiration`: epoch seconds, 0 for one attempt, None for Apple's own policy."""
    ttl = message.network_ttl_s(now)
    if ttl is None:
        return 0 if message.push_type is PushType.VOIP else None  # a call rings now or never
    return int(now.timestamp()) + min(ttl, MAX_STORED_S) if ttl else 0


def prepare(message: Message, now: datetime) -> Prepared:
    """Everything about a message that does not depend on credential or recipient.

    Raises:
        UnwritableError: The content has no JSON form, or an override's header is impossible.
    """
    for problem in _header_problems(message):
        raise UnwritableError(problem.detail)
    headers = _override(message, "headers")
    until = expiration(message, now)
    topic = headers.get("apns-topic")
    own_until = str(headers.get("apns-expiration", "" if until is None else until))
    return Prepared(
        push_type=message.push_type,
        topic=topic if isinstance(topic, str) else None,
        priority=str(headers.get("apns-priority", priority(message))).encode(),
        expiration=own_until.encode() or None,
        collapse_id=collapse_id(str(headers.get("apns-collapse-id", message.display_id))),
        body=encoded(document(message, now)),
    )


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
    """JSON pointer of the field of the message that takes most room in the payload."""
    content = message.content
    texts = _given(
        title=content.title,
        subtitle=content.subtitle,
        body=content.body,
        sound=content.sound,
        action_set=content.action_set,
        thread=content.thread,
        data=dict(content.data),
        overrides={"apns": {"payload": dict(_override(message, "payload"))}},
    )
    ours = _ours(message)
    del ours["id"]  # not a field of the message as the API takes it
    return max(leaves(texts | ours, ""), key=lambda leaf: leaf[0])[1]


def _problem(pointer: str, code: str, detail: str) -> PayloadProblem:
    return PayloadProblem(path=pointer, code=code, detail=detail)


def _header_problems(message: Message) -> Iterator[PayloadProblem]:
    if not message.content.overrides:
        return
    for part, value in message.content.overrides.get(Network.APNS, {}).items():
        if part not in {"headers", "payload"} or not isinstance(value, Mapping):
            yield _problem(
                f"/overrides/apns/{part}",
                "field_invalid",
                "An APNs override is an object with `headers` and `payload` objects.",
            )
    allowed = PRIORITIES.get(message.push_type, tuple(Priority))
    patterns = OVERRIDABLE | {"apns-priority": "|".join(str(int(p)) for p in allowed)}
    for name, value in _override(message, "headers").items():
        pattern = patterns.get(name)
        plain = isinstance(value, str) and not holds_marker(value)  # a header is the same for all
        if pattern is None or not plain or not re.fullmatch(pattern, str(value)):
            yield _problem(
                f"/overrides/apns/headers/{name}",
                "field_invalid",
                "This header is not the message's to set."
                if pattern is None
                else f"For this push type the text must match `{pattern}`.",
            )


def _needed(message: Message, whole: Mapping[str, Json]) -> Iterator[str]:
    aps = whole.get("aps")
    aps = aps if isinstance(aps, Mapping) else {}
    if message.push_type is PushType.LIVEACTIVITY and aps.get("event") == "start":
        keys = ("attributes-type", "attributes", "alert")
        yield from (f"/overrides/apns/payload/aps/{key}" for key in keys if key not in aps)
    if message.push_type is PushType.MDM and "mdm" not in whole:
        yield "/data/mdm"


def _combination_problems(message: Message, whole: Mapping[str, Json]) -> Iterator[PayloadProblem]:
    content = message.content
    for key in {"aps", OUR_KEY} & content.data.keys():
        yield _problem(
            f"/data/{key}", "field_invalid", f"`{key}` is reserved by APNs; choose another name."
        )
    if message.push_type is PushType.BACKGROUND:
        silent = "A background push shows nothing; leave this out or send an alert."
        for name in ("title", "subtitle", "body", "sound", "badge"):
            if getattr(content, name) is not None:
                yield _problem(f"/{name}", "combination_invalid", silent)
    for pointer in _needed(message, whole):
        yield _problem(
            pointer, "combination_invalid", f"A `{message.push_type}` push like this needs it."
        )


def limit(push_type: PushType) -> int:
    """How many octets the body may have."""
    return MAX_VOIP_BYTES if push_type is PushType.VOIP else MAX_BYTES


def problems(message: Message, now: datetime) -> Sequence[PayloadProblem]:
    """What Apple would refuse about the message for any recipient; empty when fine."""
    found = list(_header_problems(message))
    try:
        whole = document(message, now)
        over = len(encoded(whole)) - limit(message.push_type)
        found.extend(_combination_problems(message, whole))
        if over > 0:
            detail = (
                f"The payload is {over} bytes above APNs' limit of {limit(message.push_type)}; "
                "shorten this field."
            )
            found.append(_problem(largest_field(message), "payload_too_large", detail))
    except (UnwritableError, RecursionError) as error:
        detail = f"The content can't be written as JSON: {str(error)[:120]}."
        found.append(_problem("/data", "field_invalid", detail))
    return found


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64: a bijection on 64 bits without visible order."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@lru_cache(maxsize=1024)
def _seeds(message: str) -> npt.NDArray[np.uint64]:
    """The two numbers that a message's ids are made from."""
    digest = hashlib.blake2b(message.encode("utf-8", "replace"), digest_size=16).digest()
    return np.frombuffer(digest, "<u8")


def id_fields(
    messages: Sequence[Message], message: UInt16s, devices: Int64s
) -> npt.NDArray[np.uint8]:
    """The `apns-id` of each device's copy: the same again whenever the message is sent again.

    As encoded header fields (RFC 7541 section 6.2.2), a matrix with one row each.

    Args:
        messages: The messages of a batch.
        message: Per recipient, the index of its message.
        devices: Per recipient, its device.
    """
    seeds = np.stack([_seeds(one.id) for one in messages])
    first, second = seeds[0] if len(messages) == 1 else seeds[message].T  # mostly one
    both = np.empty((2, len(devices)), np.uint64)
    both[1] = devices
    np.add(both[1], first, out=both[0])
    both = _mixed(both)
    halves = np.empty((len(devices), 2), ">u8")
    halves[:, 0] = both[0]
    halves[:, 1] = _mixed(both[1] ^ second)
    octets = halves.view(np.uint8)
    octets[:, 6] = octets[:, 6] & 0x0F | 0x80  # RFC 9562 section 5.8: version 8, our own layout
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    digits = np.frombuffer(octets.tobytes().hex().encode(), np.uint8).reshape(-1, 32)
    text = np.empty((len(devices), _ID_OCTETS), np.uint8)
    text[:] = np.frombuffer(_ID_PREFIX + b"-" * 36, np.uint8)
    for dashes, (low, high) in enumerate(_GROUPS):
        at = len(_ID_PREFIX) + low + dashes
        text[:, at : at + high - low] = digits[:, low:high]
    return text


def texts(fields: npt.NDArray[np.uint8]) -> list[str]:
    """The ids in what `id_fields` made."""
    text = fields[:, len(_ID_PREFIX) :].tobytes().decode()
    return [text[at : at + 36] for at in range(0, len(text), 36)]
