"""The header fields of a push message request, RFC 8030 section 5.

Parsing is what a push service does with a request, formatting what an application server does;
both hold to the RFC's grammar, so one can be tested against the other.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Self

from clarion.wire.jose import base64url_encode

MAX_TTL = 2**31
"""RFC 8030 section 5.2: what a TTL counts as that overflows; seconds."""
MAX_TOPIC_CHARS = 32
TOPIC_HASH_OCTETS = 24
"""Octets whose base64url is exactly 32 characters."""
CONTENT_ENCODING = "aes128gcm"
RECEIPT_RELATION = "urn:ietf:params:push:receipt"

_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_PREFERENCE = re.compile(
    r'[ \t]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^\s",;]*))?'
    r'((?:[ \t]*;(?:[^",]|"(?:[^"\\]|\\.)*")*)?)[ \t]*(?:,|$)',
    re.ASCII,
)
_LINK = re.compile(r'<([^<>]*)>((?:[^,"<>]|"(?:[^"\\]|\\.)*")*)', re.ASCII)
_RELATION = re.compile(
    r';[ \t]*rel[ \t]*=[ \t]*(?:"([^"]*)"|([^\s",;]+))', re.ASCII | re.IGNORECASE
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = "(?P<month>" + "|".join(_MONTHS) + ")"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_HTTP_DATES = tuple(
    re.compile(form, re.ASCII)
    for form in (
        rf"(?:{'|'.join(_DAYS)}), (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT",
        rf"{_LONG_DAY}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT",
        rf"(?:{'|'.join(_DAYS)}) {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)
"""RFC 9110 section 5.6.7: IMF-fixdate and the two obsolete forms a recipient must accept."""


class PushHeaderError(ValueError):
    """A header field breaks its grammar; a push service answers 400.

    Attributes:
        field: the header's name.
    """

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        super().__init__(sentence)


class Urgency(StrEnum):
    """How much battery a message is worth (RFC 8030 section 5.3), in increasing order."""

    VERY_LOW = "very-low"
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    def at_least(self, floor: "Urgency") -> bool:
        """Tell whether a user agent that asks for `floor` or more wants this."""
        order = tuple(Urgency)
        return order.index(self) >= order.index(floor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What `Prefer` asks for, as far as RFC 8030 uses it.

    Attributes:
        respond_async: a delivery receipt is wanted (section 5.1).
        wait: seconds, 0 to poll (section 6).
    """

    respond_async: bool = False
    wait: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushFields:
    """The delivery fields of one push message request.

    Attributes:
        ttl: seconds, 0 to 2^31.
        urgency: normal if the request does not say.
        topic: replaces an undelivered message of the same topic.
        respond_async: a delivery receipt is wanted.
    """

    ttl: int
    urgency: Urgency = Urgency.NORMAL
    topic: str | None = None
    respond_async: bool = False

    @classmethod
    def parse(cls, fields: Mapping[str, str]) -> Self:
        """Read a request's fields, names in lower case, repeated fields joined with a comma.

        Raises:
            PushHeaderError: if TTL is missing or any of the fields is malformed.
        """
        topic = fields.get("topic")
        return cls(
            ttl=parse_ttl(fields.get("ttl")),
            urgency=parse_urgency(fields.get("urgency")),
            topic=None if topic is None else parse_topic(topic),
            respond_async=parse_prefer(fields.get("prefer")).respond_async,
        )

    def to_fields(self) -> list[tuple[str, str]]:
        """Write the fields, names in lower case; a normal urgency is left out.

        Raises:
            PushHeaderError: if the TTL is negative or the topic breaks its grammar.
        """
        fields = [("ttl", format_ttl(self.ttl))]
        if self.urgency is not Urgency.NORMAL:
            fields.append(("urgency", self.urgency.value))
        if self.topic is not None:
            fields.append(("topic", parse_topic(self.topic)))
        if self.respond_async:
            fields.append(("prefer", "respond-async"))
        return fields


def parse_ttl(value: str | None) -> int:
    """Read `TTL = 1*DIGIT`; more than 2^31 seconds counts as 2^31 (section 5.2).

    Raises:
        PushHeaderError: if the field is missing or not digits.
    """
    if value is None:
        raise PushHeaderError("ttl", "TTL is missing; every push message needs one")
    text = value.strip(" \t")
    if not _DIGITS.fullmatch(text):
        raise PushHeaderError("ttl", "TTL is not a number of seconds")
    significant = text.lstrip("0")
    return MAX_TTL if len(significant) > len(str(MAX_TTL)) else min(int(text), MAX_TTL)


def format_ttl(seconds: int) -> str:
    """Write a TTL, at most 2^31.

    Raises:
        PushHeaderError: if it is negative.
    """
    if seconds < 0:
        raise PushHeaderError("ttl", f"a TTL of {seconds} seconds is not possible")
    return str(min(seconds, MAX_TTL))


def parse_urgency(value: str | None) -> Urgency:
    """Read one urgency; an absent field means normal (section 5.3).

    Raises:
        PushHeaderError: if there are several values, or the value is none of the four.
    """
    if value is None:
        return Urgency.NORMAL
    text = value.strip(" \t").lower()
    if "," in text:
        raise PushHeaderError("urgency", "Urgency has several values; only one is allowed")
    try:
        return Urgency(text)
    except ValueError as error:
        raise PushHeaderError(
            "urgency", "Urgency is none of very-low, low, normal, high"
        ) from error


def parse_topic(value: str) -> str:
    """Read a topic: 1 to 32 characters of the base64url alphabet (section 5.4).

    Raises:
        PushHeaderError: if it is anything else.
    """
    text = value.strip(" \t")
    if not _TOPIC.fullmatch(text):
        raise PushHeaderError(
            "topic", f"Topic is not 1 to {MAX_TOPIC_CHARS} characters of A-Z a-z 0-9 - _"
        )
    return text


def topic_for(collapse_id: str) -> str:
    """The topic that stands for a collapse id: itself if it can be one, else a hash of it.

    The hash is the first 192 bits of SHA-256 of the id's UTF-8, 32 characters; the same id
    gives the same topic for ever.
    """
    if _TOPIC.fullmatch(collapse_id):
        return collapse_id
    digest = hashlib.sha256(collapse_id.encode("utf-8", "surrogatepass")).digest()
    return base64url_encode(digest[:TOPIC_HASH_OCTETS])


def parse_prefer(value: str | None) -> Preferences:
    """Read `Prefer` (RFC 7240 section 2); the first one of a name wins.

    Preferences that are unknown, or that we can't do anything with, MUST be ignored.

    Raises:
        PushHeaderError: if the field does not follow its grammar.
    """
    found: dict[str, str] = {}
    at = 0
    text = value or ""
    while at < len(text):
        match = _PREFERENCE.match(text, at)
        if match is None:
            raise PushHeaderError("prefer", "Prefer is not a list of preferences")
        found.setdefault(match[1].lower(), (match[2] or "").strip('"'))
        at = match.end()
    wait = found.get("wait", "")
    return Preferences(
        respond_async="respond-async" in found,
        wait=parse_ttl(wait) if _DIGITS.fullmatch(wait) else None,
    )


def check_content_encoding(value: str | None) -> None:
    """Demand exactly one `aes128gcm` (RFC 8291 section 4).

    Raises:
        PushHeaderError: if the coding is missing, another one, or applied more than once.
    """
    if value is None or value.strip(" \t").lower() != CONTENT_ENCODING:
        raise PushHeaderError(
            "content-encoding", f"Content-Encoding is not {CONTENT_ENCODING} and nothing else"
        )


def receipt_subscription(link: str | None) -> str | None:
    """Find the receipt subscription's URI reference in `Link` (section 5.1), None if absent."""
    for target, parameters in _LINK.findall(link or ""):
        relation = _RELATION.search(parameters)
        if relation and RECEIPT_RELATION in (relation[1] or relation[2] or "").lower().split():
            return str(target)
    return None


def parse_retry_after(value: str, now: datetime) -> timedelta:
    """Read how long to wait: seconds or an HTTP date (RFC 9110 section 10.2.3).

    Args:
        value: the field.
        now: aware time that a date is relative to; a date that has passed means no wait.

    Raises:
        PushHeaderError: if it is neither.
    """
    text = value.strip(" \t")
    if _DIGITS.fullmatch(text):
        return timedelta(seconds=parse_ttl(text))
    return max(parse_http_date(text, now) - now, timedelta(0))


def parse_http_date(text: str, now: datetime) -> datetime:
    """Read any of the three forms of an HTTP date (RFC 9110 section 5.6.7).

    Args:
        text: the date.
        now: aware time; a two-digit year is the one at most 50 years ahead of it.

    Raises:
        PushHeaderError: if it has none of the forms or names a day that is not in the calendar.
    """
    match = next(filter(None, (form.fullmatch(text) for form in _HTTP_DATES)), None)
    if match is None:
        raise PushHeaderError("retry-after", "neither seconds nor an HTTP date")
    year = int(match["year"])
    if len(match["year"]) == 2:  # noqa: PLR2004  RFC 850's two digits
        year += now.year - now.year % 100
        year -= 100 if year > now.year + 50 else 0
    try:
        return datetime(
            year,
            _MONTHS.index(match["month"]) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            min(int(match["second"]), 59),  # a leap second is written 60
            tzinfo=UTC,
        )
    except ValueError as error:
        raise PushHeaderError("retry-after", "the HTTP date is not in the calendar") from error


def format_http_date(when: datetime) -> str:
    """Write an IMF-fixdate; `when` is aware."""
    utc = when.astimezone(UTC)
    return (
        f"{_DAYS[utc.weekday()]}, {utc.day:02} {_MONTHS[utc.month - 1]} {utc.year:04} "
        f"{utc.hour:02}:{utc.minute:02}:{utc.second:02} GMT"
    )
