"""What `clarion send` takes, and the request that it makes of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import orjson
from cyclopts import Parameter

from clarion.cli.connection import Json
from clarion.cli.exits import CommandError


@dataclass(frozen=True, kw_only=True)
class Recipients:
    """Whom a message is for."""

    to: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    """External id of a person; may be repeated."""
    alias: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    """`label:value` of a person; may be repeated."""
    device: Annotated[tuple[int, ...], Parameter(negative=())] = ()
    """Id of a device; may be repeated."""
    all: Annotated[bool, Parameter(negative=())] = False
    """Everybody."""
    segment: str | None = None
    """Who is in a segment: its name, or an expression such as `country = FR`."""
    list: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    """Members of this list; may be repeated."""
    topic: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    """Subscribers of this topic; may be repeated."""
    network: Annotated[tuple[Literal["apns", "fcm", "webpush"], ...], Parameter(negative=())] = ()
    """Only over this network; may be repeated."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a message says, and how it is sent."""

    title: str | None = None
    """Title."""
    body: str | None = None
    """Text."""
    image: str | None = None
    """Address of an image."""
    link: str | None = None
    """What a tap opens."""
    sound: str | None = None
    """Sound's name."""
    badge: int | None = None
    """Number on the app's icon."""
    data: Path | None = None
    """File with a JSON object for the app."""
    ttl: int | None = None
    """Seconds that a network may keep trying."""
    send_at: datetime | None = None
    """When to send (RFC 3339; without an offset it is UTC); else now."""
    in_minutes: float | None = None
    """Send so many minutes from now."""
    collapse_id: str | None = None
    """Messages of the same id replace each other on the device."""
    priority: Literal["low", "normal", "high"] | None = None
    """How urgent the network should take it."""
    category: str | None = None
    """Slug of the category whose consent, caps and quiet hours bind it; else the app's default."""
    lane: Literal["call", "transactional", "campaign", "bulk"] | None = None
    """How urgent we take it; else transactional for up to ten named recipients."""
    from_file: Path | None = None
    """File with the whole request as JSON; options here win over it."""


_PLAIN = ("title", "body", "image", "link", "sound", "badge", "ttl", "collapse_id", "priority")


def body(to: Recipients, content: Content) -> Json:
    """The request of `POST /v1/messages`. Raises `CommandError`."""
    request: Json = {} if content.from_file is None else _object(content.from_file, "--from-file")
    for name in (*_PLAIN, "category", "lane"):
        value = getattr(content, name)
        if value is not None:
            request[name] = value
    if content.data is not None:
        request["data"] = _object(content.data, "--data")
    send_at = _send_at(content)
    if send_at is not None:
        request["send_at"] = send_at.isoformat()
    target = _target(to)
    if target:
        request["to"] = target
    if "to" not in request:
        raise CommandError(
            "say whom it is for: --to PERSON, --alias, --device, --segment, --list, --topic, "
            "or --all"
        )
    if to.network and isinstance(request["to"], dict):
        request["to"] = {**request["to"], "networks": [*to.network]}
    return request


def _send_at(content: Content) -> datetime | None:
    if content.in_minutes is not None:
        return datetime.now(UTC) + timedelta(minutes=content.in_minutes)  # noqa: TID251  (a person's "in ten minutes")
    at = content.send_at
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _target(to: Recipients) -> Json:
    target: Json = {}
    if to.all:
        target["all"] = True
    if to.to:
        target["users"] = [*to.to]
    if to.device:
        target["devices"] = [*to.device]
    if to.alias:
        target["aliases"] = [_alias(text) for text in to.alias]
    if to.segment is not None:
        target["segment"] = to.segment
    if to.list:
        target["lists"] = [*to.list]
    if to.topic:
        target["topics"] = [*to.topic]
    return target


def _alias(text: str) -> Json:
    label, colon, value = text.partition(":")
    if not colon:
        raise CommandError(
            f"--alias is label:value, for instance email:ada@example.com, not {text!r}"
        )
    return {"label": label, "value": value}


def _object(file: Path, option: str) -> Json:
    try:
        found = orjson.loads(file.read_bytes())
    except OSError as error:
        raise CommandError(f"{option} {file}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{option} {file} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise CommandError(f"{option} {file} must hold a JSON object")
    return found
