"""Constants as people write them: ages, distances, instants and numbers."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from clarion.domain.attributes import parse_time

_AGE: Final = re.compile(r"(\d{1,9})(us|ms|s|m|h|d|w)\Z", re.ASCII)
_DISTANCE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(m|km|mi)\Z", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d{1,17}\Z", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?\Z", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_MICROSECONDS: Final = {
    "w": 604_800_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1000,
    "us": 1,
}
_METRES: Final = {"m": 1.0, "km": 1000.0, "mi": 1609.344}


def age(text: str) -> timedelta | None:
    """`14d`, `12h`, `90m`, `2w`: an exact length of time; None when it is none."""
    found = _AGE.match(text)
    if found is None:
        return None
    try:
        return timedelta(microseconds=int(found[1]) * _MICROSECONDS[found[2]])
    except OverflowError:
        return None


def age_text(length: timedelta) -> str:
    """The shortest spelling that `age` reads back."""
    count = length // timedelta(microseconds=1)
    if count == 0:
        return "0s"
    units = [(unit, size) for unit, size in _MICROSECONDS.items() if unit != "w"]
    unit, size = next((unit, size) for unit, size in units if count % size == 0)
    return f"{count // size}{unit}"


def metres(text: str) -> float | None:
    """`10km`, `500m`, `3mi` in metres; None when it is no distance."""
    found = _DISTANCE.match(text)
    return None if found is None else float(found[1]) * _METRES[found[2]]


def metres_text(distance: float) -> str:
    """The spelling that `metres` reads back; a radius has no more than three decimals."""
    if distance % 1000 == 0:
        return f"{distance / 1000:.0f}km"
    return f"{distance:.3f}".rstrip("0").rstrip(".") + "m"


def instant(text: str) -> datetime | None:
    """RFC 3339 with an offset, or a date, which means its midnight in UTC; None when neither."""
    if _DATE.match(text):
        return parse_time(f"{text}T00:00:00Z")
    return parse_time(text) if text[:4].isdigit() and len(text) > len("2026-01-01") else None


def instant_text(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def number(text: str) -> int | float | None:
    """A whole or decimal number; None when it is none."""
    if _INTEGER.match(text):
        return int(text)
    return float(text) if _NUMBER.match(text) else None


def number_text(value: float) -> str:
    """The spelling that `number` reads back, of an int as of a float."""
    return repr(value)
