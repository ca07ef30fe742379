"""From the JSON of categories and of an app's rules to the domain's values, and back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from clarion.api.problems import invalid, pointer, sentence
from clarion.api.shapes.categories import (
    AppPatch,
    AppSettingsView,
    CategoryBody,
    CategoryPatch,
    CategoryView,
    DigestBody,
    LocalNameBody,
)
from clarion.domain.category import Category, CategoryError, DefaultState, Kind
from clarion.domain.digest import DigestClock
from clarion.domain.frequency import Cap, CapError, cap_from, cap_json
from clarion.domain.geography import canonical_language
from clarion.domain.localisation import parse as parse_tag
from clarion.domain.policy import UnknownZone
from clarion.domain.quiet_windows import (
    DAY_NAMES,
    QuietHours,
    QuietHoursError,
    clock,
    quiet_hours_from,
    quiet_hours_json,
)
from clarion.ports.categories import AppSettings, CategoryDraft, CategoryRecord, LocalName

T = TypeVar("T")

_KINDS: Final = {kind.label: kind for kind in Kind}
_STATES: Final = {state.label: state for state in DefaultState}
_RULES: Final = ("can_opt_out", "caps_apply", "quiet_applies", "urgent", "priority")

_BY_KIND: Final[Mapping[Kind, Category]] = {
    Kind.CALL: Category(
        slug="",
        kind=Kind.CALL,
        slot=0,
        can_opt_out=False,
        default_state=DefaultState.IN,
        caps_apply=False,
        quiet_applies=False,
        urgent=True,
        priority=10,
    ),
    Kind.TRANSACTIONAL: Category(
        slug="",
        kind=Kind.TRANSACTIONAL,
        slot=0,
        default_state=DefaultState.IN,
        caps_apply=False,
        quiet_applies=False,
        priority=7,
    ),
    Kind.MARKETING: Category(slug="", kind=Kind.MARKETING, slot=0, priority=3),
    Kind.SYSTEM: Category(
        slug="",
        kind=Kind.SYSTEM,
        slot=0,
        can_opt_out=False,
        default_state=DefaultState.IN,
        caps_apply=False,
        quiet_applies=False,
        priority=7,
    ),
}
"""What a category is like when its maker says no more than its kind."""


def new_category(body: CategoryBody) -> CategoryDraft:
    """A new category; raises `ProblemError` with the field that is wrong."""
    usual = replace(_BY_KIND[_KINDS[body.kind]], slug=body.slug)
    return CategoryDraft(
        category=_ruled(usual, body),
        name=body.name,
        description=body.description,
        names=_names(body.names),
        digest=_digest(body.digest),
    )


def changed_category(old: CategoryDraft, body: CategoryPatch) -> CategoryDraft:
    """A category after a change; raises `ProblemError` with the field that is wrong."""
    return CategoryDraft(
        category=_ruled(old.category, body),
        name=_given(body.name, old.name),
        description=_given(body.description, old.description),
        names=old.names if body.names is UNSET else _names(body.names),
        digest=old.digest if body.digest is UNSET else _digest(body.digest),
    )


def _ruled(old: Category, body: CategoryBody | CategoryPatch) -> Category:
    rules: dict[str, Any] = {
        name: value for name in _RULES if (value := getattr(body, name)) is not UNSET
    }
    if body.default_state is not UNSET:
        rules["default_state"] = _STATES[body.default_state]
    if body.quiet_hours is not UNSET:
        rules["quiet_hours"] = quiet_of(body.quiet_hours)
    if body.caps is not UNSET:
        rules["caps"] = caps_of(body.caps)
    try:
        return replace(old, **rules)
    except CategoryError as error:
        raise invalid(f"/{error.field}", sentence(error.detail)) from None


def quiet_of(value: Mapping[str, object] | None) -> QuietHours | None:
    """Quiet hours of an app or a category."""
    if value is None:
        return None
    return judged(quiet_hours_from, value, "/quiet_hours")


def judged(read: Callable[[object, str], T], value: object, path: str) -> T:
    """What the domain's reader makes of a value; raises `ProblemError` with the place."""
    try:
        return read(value, path)
    except QuietHoursError as error:
        raise invalid(error.path, sentence(error.detail)) from None


def caps_of(values: Sequence[object]) -> tuple[Cap, ...]:
    """Caps of an app or a category; raises `ProblemError` with the place."""
    caps = []
    for index, value in enumerate(values):
        try:
            caps.append(cap_from(value))
        except CapError as error:
            place = pointer("caps", index, *filter(None, [error.field]))
            raise invalid(place, sentence(str(error))) from None
    return tuple(caps)


def _names(given: Mapping[str, LocalNameBody]) -> Mapping[str, LocalName]:
    names = {}
    for tag, local in given.items():
        if parse_tag(tag) is None:
            raise invalid(pointer("names", tag), "This is not a language tag (BCP 47).")
        names[canonical_language(tag)] = LocalName(name=local.name, description=local.description)
    return names


def _digest(body: DigestBody | None) -> DigestClock | None:
    if body is None:
        return None
    hours, _, minutes = body.at.partition(":")
    return DigestClock(minute=int(hours) * 60 + int(minutes), weekday=DAY_NAMES.index(body.weekday))


def changed_settings(old: AppSettings, body: AppPatch, zones: frozenset[str]) -> AppSettings:
    """An app's rules after a change; raises `ProblemError` with the field that is wrong."""
    if body.time_zone is not UNSET and body.time_zone not in zones:
        raise invalid("/time_zone", "There is no such time zone (IANA).")
    if body.language is not UNSET and parse_tag(body.language) is None:
        raise invalid("/language", "This is not a language tag (BCP 47).")
    zone = body.unknown_zone
    return AppSettings(
        time_zone=_given(body.time_zone, old.time_zone),
        language=old.language if body.language is UNSET else canonical_language(body.language),
        default_category=_given(body.default_category, old.default_category),
        quiet_hours=old.quiet_hours if body.quiet_hours is UNSET else quiet_of(body.quiet_hours),
        caps=old.caps if body.caps is UNSET else caps_of(body.caps),
        throttle_per_minute=_given(body.throttle_per_minute, old.throttle_per_minute),
        unknown_zone=old.unknown_zone if zone is UNSET else UnknownZone(zone),
    )


def settings_view(settings: AppSettings) -> AppSettingsView:
    """An app's rules as JSON."""
    return msgspec.convert(
        {
            "time_zone": settings.time_zone,
            "language": settings.language,
            "default_category": settings.default_category,
            "quiet_hours": _quiet_json(settings.quiet_hours),
            "caps": [cap_json(cap) for cap in settings.caps],
            "throttle_per_minute": settings.throttle_per_minute,
            "unknown_zone": settings.unknown_zone.value,
        },
        AppSettingsView,
    )


def category_view(record: CategoryRecord) -> CategoryView:
    """A category as JSON."""
    draft, category, digest = record.draft, record.draft.category, record.draft.digest
    return msgspec.convert(
        {
            "slug": category.slug,
            "kind": category.kind.label,
            "name": draft.name,
            "description": draft.description,
            "names": {
                tag: {"name": local.name, "description": local.description}
                for tag, local in draft.names.items()
            },
            "default_state": category.default_state.label,
            "quiet_hours": _quiet_json(category.quiet_hours),
            "caps": [cap_json(cap) for cap in category.caps],
            "digest": None
            if digest is None
            else {"at": clock(digest.minute), "weekday": DAY_NAMES[digest.weekday]},
            "created_at": record.created_at,
            "archived_at": record.archived_at,
            **{name: getattr(category, name) for name in _RULES},
        },
        CategoryView,
    )


def _quiet_json(quiet: QuietHours | None) -> Mapping[str, object] | None:
    return None if quiet is None else quiet_hours_json(quiet)


def _given(value: T | UnsetType, old: T) -> T:
    return old if value is UNSET else value
