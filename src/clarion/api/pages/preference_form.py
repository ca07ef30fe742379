"""What a person sent with the form, as a change of preferences."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl

from clarion.api.pages.preference_page import by_day
from clarion.api.pages.words import WORDS
from clarion.domain.device import KEEP, Keep
from clarion.domain.preference import MAX_PAUSE_DAYS, Frequency
from clarion.domain.quiet_windows import (
    DAY_NAMES,
    QuietHours,
    QuietHoursError,
    Window,
    windows_from,
)
from clarion.ports.preferences import Preferences, PreferencesChange

MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
MAX_OCTETS: Final = 64 * 1024
MAX_FIELDS: Final = 200
_DAYS: Final = re.compile(r"[0-9]{1,3}")


class FormError(ValueError):
    """The form can't be read; `words` names what the page says about it."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


def fields(body: bytes) -> Mapping[str, str]:
    """The fields of a form; of two of one name the last counts. Raises `FormError`."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise FormError("wrong") from None
    return dict(pairs)


def change_of(
    form: Mapping[str, str], known: Preferences, now: datetime, zones: frozenset[str]
) -> PreferencesChange:
    """What to change; fields that are absent change nothing. Raises `FormError`.

    Args:
        form: what was sent.
        known: what the person decided so far.
        now: the present instant, which a break begins at.
        zones: the time zones that exist (IANA).
    """
    action = form.get("action", "save")
    if action == "stop":
        return PreferencesChange(opted_out=True)
    if action == "resume":
        return PreferencesChange(opted_out=False)
    verb, _, slug = action.partition(".")
    confirmed = frozenset({slug}) if verb == "confirm" else frozenset()
    if action != "save" and not (confirmed and _is_provisional(known, slug)):
        raise FormError("wrong")
    return PreferencesChange(
        categories={} if confirmed else _wishes(form, known),
        confirmed=confirmed,
        language=_language(form),
        paused_until=_pause(form, now),
        quiet_hours=_quiet(form, known),
        time_zone=_zone(form, known, zones),
    )


def _is_provisional(known: Preferences, slug: str) -> bool:
    return any(each.provisional and each.draft.category.slug == slug for each in known.categories)


def _wishes(form: Mapping[str, str], known: Preferences) -> Mapping[str, Frequency]:
    """What differs from what is; a category that waits for its confirmation stays as it is."""
    wishes: dict[str, Frequency] = {}
    for each in known.categories:
        said = form.get(f"c.{each.draft.category.slug}")
        if said is None:
            continue
        try:
            wanted = Frequency(said)
        except ValueError:
            raise FormError("wrong") from None
        if each.provisional and wanted is not Frequency.OFF:
            continue
        if wanted is not each.frequency or each.provisional:
            wishes[each.draft.category.slug] = wanted
    return wishes


def _language(form: Mapping[str, str]) -> str | Keep:
    said = form.get("language")
    if said is None or said == form.get("lang", said):  # as it was shown: not a choice
        return KEEP
    if said not in WORDS:
        raise FormError("wrong")
    return said


def _zone(form: Mapping[str, str], known: Preferences, zones: frozenset[str]) -> str | Keep | None:
    said = form.get("zone", known.time_zone or "").strip()
    if said == (known.time_zone or ""):
        return KEEP
    if said and said not in zones:
        raise FormError("wrong")
    return said or None


def _pause(form: Mapping[str, str], now: datetime) -> datetime | Keep | None:
    said = form.get("pause", "").strip()
    if said:
        if not _DAYS.fullmatch(said) or not 1 <= int(said) <= MAX_PAUSE_DAYS:
            raise FormError("wrong")
        return now + timedelta(days=int(said))
    return None if form.get("pause.end") == "1" else KEEP


def _quiet(form: Mapping[str, str], known: Preferences) -> tuple[Window, ...] | Keep:
    if not any(name.startswith("q.") and name != "q.replace" for name in form):
        return KEEP
    if by_day(known.quiet_hours) is None and form.get("q.replace") != "1":
        return KEEP
    days: dict[tuple[str, str], list[str]] = {}
    for day in DAY_NAMES:
        begin, end = form.get(f"q.{day}.from", ""), form.get(f"q.{day}.to", "")
        if not begin and not end:
            continue
        if begin == end:  # around the clock
            begin, end = "00:00", "24:00"
        days.setdefault((begin, end), []).append(day)
    windows = [{"days": names, "from": a, "to": b} for (a, b), names in days.items()]
    try:
        return QuietHours(windows=windows_from(windows)).windows
    except QuietHoursError:
        raise FormError("quiet_wrong") from None
