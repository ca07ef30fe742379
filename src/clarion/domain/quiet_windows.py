"""The windows of quiet hours, and how they are written as JSON."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

import numpy as np

DAY_NAMES: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES: Final = 24 * 60
WEEK_MINUTES: Final = 7 * DAY_MINUTES
EVERY_DAY: Final = 0b111_1111
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_FIELDS: Final = frozenset({"days", "from", "to"})
_MOST_WINDOWS: Final = 50


class QuietHoursError(ValueError):
    """Quiet hours that can't be: malformed, or never open. `path` is a JSON pointer."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path or '/'}: {detail}")
        self.path = path
        self.detail = detail


class QuietAction(StrEnum):
    """What becomes of a message that is due in quiet hours; the last of several wins."""

    SILENT = "silent"
    """It is delivered without sound or interruption."""
    HOLD = "hold"
    """It waits for the opening."""
    DROP = "drop"
    """It is not sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """From one clock time to another, on the days on which it begins."""

    days: int
    """Bit 0 is Monday: the days on which the window begins."""
    start_min: int
    """0 <= minutes since midnight < 1440."""
    end_min: int
    """0 < minutes <= 1440; not after `start_min` means: on the next day."""

    @property
    def minutes(self) -> int:
        """How long it is by the clock."""
        return (self.end_min - self.start_min - 1) % DAY_MINUTES + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class QuietHours:
    """The windows of one owner, and what they do to a message."""

    windows: tuple[Window, ...]
    action: QuietAction = QuietAction.HOLD

    def __post_init__(self) -> None:
        if _covers_the_week(self.windows):
            raise QuietHoursError("/windows", "the windows cover the whole week: it never opens")


def _covers_the_week(windows: Sequence[Window]) -> bool:
    quiet = np.zeros(2 * WEEK_MINUTES, np.bool_)
    for window in windows:
        for day in range(7):
            if window.days >> day & 1:
                start = day * DAY_MINUTES + window.start_min
                quiet[start : start + window.minutes] = True
    return bool((quiet[:WEEK_MINUTES] | quiet[WEEK_MINUTES:]).all())


def windows_from(value: object, path: str = "") -> tuple[Window, ...]:
    """Windows from decoded JSON: `[{"days": ["mon"], "from": "22:00", "to": "07:00"}]`.

    Without `days` a window begins every day. Raises `QuietHoursError` with the place.
    """
    if not isinstance(value, list):
        raise QuietHoursError(path, "expected a list of windows")
    if len(value) > _MOST_WINDOWS:
        raise QuietHoursError(path, f"at most {_MOST_WINDOWS} windows")
    return tuple(_window(item, f"{path}/{index}") for index, item in enumerate(value))


def _window(value: object, path: str) -> Window:
    if not isinstance(value, dict):
        raise QuietHoursError(path, "expected an object with `from` and `to`")
    unknown = sorted(str(key) for key in value if key not in _FIELDS)
    if unknown:
        raise QuietHoursError(f"{path}/{unknown[0]}", "there is no such field")
    start = _minutes(value.get("from"), f"{path}/from")
    end = _minutes(value.get("to"), f"{path}/to")
    if start == DAY_MINUTES:
        raise QuietHoursError(f"{path}/from", "a window can't begin at 24:00; write 00:00")
    if start == end:
        raise QuietHoursError(f"{path}/to", "the same as `from`; a whole day is 00:00 to 24:00")
    days = _days(value["days"], f"{path}/days") if "days" in value else EVERY_DAY
    return Window(days=days, start_min=start, end_min=end or DAY_MINUTES)


def _minutes(value: object, path: str) -> int:
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise QuietHoursError(path, "expected a clock time such as 22:00")
    return int(found[1]) * 60 + int(found[2]) if found[1] else DAY_MINUTES


def _days(value: object, path: str) -> int:
    if not isinstance(value, list) or not value:
        raise QuietHoursError(path, "expected a list of days")
    bits = 0
    for index, name in enumerate(value):
        if name not in DAY_NAMES:
            raise QuietHoursError(f"{path}/{index}", f"expected one of {', '.join(DAY_NAMES)}")
        bits |= 1 << DAY_NAMES.index(name)
    return bits


def windows_json(windows: Sequence[Window]) -> list[dict[str, str | list[str]]]:
    """The JSON value that `windows_from` reads."""
    return [
        {
            "days": [name for bit, name in enumerate(DAY_NAMES) if window.days >> bit & 1],
            "from": clock(window.start_min),
            "to": clock(window.end_min),
        }
        for window in windows
    ]


def clock(minutes: int) -> str:
    """Minutes since midnight as `22:00`."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def quiet_hours_from(value: object, path: str = "") -> QuietHours:
    """The quiet hours of an app or a category: `{"windows": [...], "action": "hold"}`.

    Raises `QuietHoursError` with the place of what is wrong.
    """
    if not isinstance(value, dict):
        raise QuietHoursError(path, "expected an object with `windows`")
    unknown = sorted(str(key) for key in value if key not in {"windows", "action"})
    if unknown:
        raise QuietHoursError(f"{path}/{unknown[0]}", "there is no such field")
    action = value.get("action", QuietAction.HOLD.value)
    if not isinstance(action, str) or action not in set(QuietAction):
        raise QuietHoursError(f"{path}/action", "expected hold, drop or silent")
    windows = windows_from(value.get("windows"), f"{path}/windows")
    try:
        return QuietHours(windows=windows, action=QuietAction(action))
    except QuietHoursError as error:
        raise QuietHoursError(f"{path}{error.path}", error.detail) from error


def quiet_hours_json(quiet: QuietHours) -> dict[str, str | list[dict[str, str | list[str]]]]:
    """The JSON value that `quiet_hours_from` reads."""
    return {"windows": windows_json(quiet.windows), "action": quiet.action.value}


@lru_cache(maxsize=65_536)
def windows_of_person(text: str) -> tuple[Window, ...]:
    """A person's own windows as they are stored: compact JSON, read once a distinct text.

    Raises `QuietHoursError` when the text is not what `text_of_person` wrote.
    """
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise QuietHoursError("", "not JSON") from error
    return QuietHours(windows=windows_from(value)).windows


def text_of_person(windows: Sequence[Window]) -> str:
    """The canonical text of a person's own windows: equal windows give equal text."""
    ordered = sorted(set(windows), key=lambda w: (w.start_min, w.end_min, w.days))
    return json.dumps(windows_json(ordered), separators=(",", ":"), sort_keys=True)
