"""The rules that the demo's campaign is sent under, and its words in four languages."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

Json = dict[str, object]

CATEGORY: Final = "marketing"
SEGMENT: Final = "tag.orders >= 1 and any device(last_active < 30d)"
MEMBERS: Final = 'tag.plan = "pro" and tag.orders >= 1'
"""Of the first, small campaign: it fills these people's cap."""
CAP: Final = {"count": 1, "per": "24h", "scope": "category", "action": "drop"}
TEMPLATE: Final = "spring"

_DAY_MIN: Final = 1_440
_QUIET_SHARE: Final = 1 / 3
_LENGTHS_MIN: Final = tuple(hours * 60 for hours in (9, 8, 10, 7, 11))
_CLEAR_MIN: Final = 10
"""No zone's quiet hours begin or end within this many minutes of now."""
_OWN_BEFORE_MIN: Final = 60
_OWN_AFTER_MIN: Final = 180


def template() -> Json:
    """What the campaign says: English, and three more languages; names and plans of people."""
    name = '{{{{ user.first_name | default: "{}" }}}}'
    return {
        "language": "en",
        "title": name.format("Hello") + ", the spring collection is here",
        "body": "With {{ user.plan }} you see it two days before everybody else.",
        "link": "https://example.com/spring",
        "localized": {
            "es": {
                "title": name.format("Hola") + ", llegó la colección de primavera",
                "body": "Con {{ user.plan }} la ves dos días antes que nadie.",
            },
            "fr": {
                "title": name.format("Bonjour") + ", la collection de printemps est là",
                "body": "Avec {{ user.plan }}, vous la voyez deux jours avant tout le monde.",
            },
            "de": {
                "title": name.format("Hallo") + ", die Frühlingskollektion ist da",
                "body": "Mit {{ user.plan }} siehst du sie zwei Tage vor allen anderen.",
            },
        },
        "fallbacks": {"user.plan": "free"},
    }


def members_preview() -> Json:
    """The first campaign, to a few."""
    return {
        "to": {"segment": MEMBERS},
        "category": CATEGORY,
        "title": "A first look, for pro members",
        "body": "Tell us what you think.",
        "lane": "campaign",
    }


def campaign() -> Json:
    """The campaign: a segment, a category that needs consent, a template."""
    return {
        "to": {"segment": SEGMENT},
        "category": CATEGORY,
        "template": {"name": TEMPLATE},
        "collapse_id": "spring",
        "ttl": 86_400,
    }


def quiet_window(now: datetime, weights: Mapping[str, float]) -> tuple[str, str]:
    """Hours of the night by which about a third of the people are left alone, at any hour.

    Args:
        now: the present instant.
        weights: time zone -> how many people live in it.

    Returns:
        When quiet hours begin and end where people are, `HH:MM`. Nowhere do they begin or end
        within ten minutes of `now`, so that what a dry run says still holds when it is sent.
    """
    local = {zone: _minute(now, zone) for zone in weights}
    total = sum(weights.values())
    best: tuple[float, int, int] | None = None
    for length in _LENGTHS_MIN:
        for start in range(0, _DAY_MIN, 5):
            end = (start + length) % _DAY_MIN
            if any(_near(at, start) or _near(at, end) for at in local.values()):
                continue
            quiet = sum(w for z, w in weights.items() if (local[z] - start) % _DAY_MIN < length)
            off = round(abs(quiet / total - _QUIET_SHARE), 2)
            if best is None or off < best[0]:
                best = off, start, end
    if best is None:
        raise ValueError("every minute of the day is now somewhere")
    return _clock(best[1]), _clock(best[2])


def is_quiet(now: datetime, zone: str, window: tuple[str, str]) -> bool:
    """Whether a window covers the time that it is in a zone."""
    start, end = (int(text[:2]) * 60 + int(text[3:]) for text in window)
    return (_minute(now, zone) - start) % _DAY_MIN < (end - start) % _DAY_MIN


def own_windows(now: datetime, zone: str) -> Sequence[Json]:
    """Quiet hours of somebody who wants to be left alone just now, for three more hours."""
    at = _minute(now, zone)
    return [{"from": _clock(at - _OWN_BEFORE_MIN), "to": _clock(at + _OWN_AFTER_MIN)}]


def _minute(now: datetime, zone: str) -> int:
    there = now.astimezone(ZoneInfo(zone))
    return there.hour * 60 + there.minute


def _near(one: int, other: int) -> bool:
    apart = (one - other) % _DAY_MIN
    return min(apart, _DAY_MIN - apart) < _CLEAR_MIN


def _clock(minute: int) -> str:
    return f"{minute % _DAY_MIN // 60:02d}:{minute % 60:02d}"
