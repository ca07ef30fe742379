"""From the JSON of preferences to changes, and back; and what the ledger keeps of a request."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import UNSET

from clarion.api.decoding import refuse, utc
from clarion.api.exchange import Exchange
from clarion.api.problems import ProblemError, field_problem, invalid, pointer, sentence
from clarion.api.shapes.preferences import (
    CategoryPreferenceView,
    PreferencesBody,
    PreferencesView,
)
from clarion.domain.client_address import truncated_address
from clarion.domain.device import KEEP, Keep
from clarion.domain.errors import FieldCode
from clarion.domain.geography import canonical_language
from clarion.domain.localisation import choose
from clarion.domain.localisation import parse as parse_tag
from clarion.domain.preference import MAX_PAUSE_DAYS, Frequency, PreferenceError, offered
from clarion.domain.quiet_windows import (
    QuietHours,
    QuietHoursError,
    Window,
    windows_from,
    windows_json,
)
from clarion.ports.categories import CategoryUnknownError
from clarion.ports.preferences import CategoryPreference, Preferences, PreferencesChange

MAX_USER_AGENT: Final = 256


def preferences_change(
    body: PreferencesBody, now: datetime, zones: frozenset[str]
) -> PreferencesChange:
    """What a request changes; raises `ProblemError` with the field that is wrong."""
    return PreferencesChange(
        categories={slug: Frequency(each) for slug, each in body.categories.items()},
        confirmed=frozenset(body.confirm),
        language=_language(body),
        opted_out=KEEP if body.opted_out is UNSET else body.opted_out,
        paused_until=_paused(body, now),
        quiet_hours=_quiet(body),
        time_zone=_zone(body, zones),
    )


def _language(body: PreferencesBody) -> str | Keep | None:
    if body.language is UNSET:
        return KEEP
    if body.language is not None and parse_tag(body.language) is None:
        raise invalid("/language", "This is not a language tag (BCP 47).")
    return None if body.language is None else canonical_language(body.language)


def _zone(body: PreferencesBody, zones: frozenset[str]) -> str | Keep | None:
    if body.time_zone is UNSET:
        return KEEP
    if body.time_zone is not None and body.time_zone not in zones:
        raise invalid("/time_zone", "There is no such time zone (IANA).")
    return body.time_zone


def _paused(body: PreferencesBody, now: datetime) -> datetime | Keep | None:
    if body.paused_until is UNSET:
        return KEEP
    if body.paused_until is None:
        return None
    until = utc(body.paused_until, "/paused_until")
    if until > now + timedelta(days=MAX_PAUSE_DAYS):
        raise invalid("/paused_until", f"At most {MAX_PAUSE_DAYS} days from now.")
    return until


def _quiet(body: PreferencesBody) -> tuple[Window, ...] | Keep:
    if body.quiet_hours is UNSET:
        return KEEP
    try:
        return QuietHours(windows=windows_from(body.quiet_hours, "/quiet_hours")).windows
    except QuietHoursError as error:
        path = error.path if error.path.startswith("/quiet_hours") else "/quiet_hours"
        raise invalid(path, sentence(error.detail)) from None


def preferences_refusal(error: CategoryUnknownError | PreferenceError) -> ProblemError:
    """What can't be, as an answer."""
    if isinstance(error, CategoryUnknownError):
        return invalid(
            pointer("categories", str(error)),
            "The app has no such category in use.",
            FieldCode.UNKNOWN,
        )
    return invalid(pointer("categories", error.slug), sentence(error.detail))


def preferences_view(preferences: Preferences) -> PreferencesView:
    """What a person decided, as JSON."""
    return PreferencesView(
        user=preferences.user,
        external_id=preferences.external_id,
        language=preferences.language,
        time_zone=preferences.time_zone,
        opted_out=preferences.opted_out,
        paused_until=preferences.paused_until,
        quiet_hours=[dict(window) for window in windows_json(preferences.quiet_hours)],
        categories=[_category(each, preferences.language) for each in preferences.categories],
    )


def _category(preference: CategoryPreference, language: str | None) -> CategoryPreferenceView:
    draft = preference.draft
    tag = choose(language, list(draft.names)) if language else None
    local = None if tag is None else draft.names[tag]
    return CategoryPreferenceView(
        slug=draft.category.slug,
        kind=draft.category.kind.label,
        name=draft.name if local is None else local.name,
        description=draft.description if local is None else local.description,
        frequency=preference.frequency.value,
        provisional=preference.provisional,
        offered=[each.value for each in offered(draft.category)],
    )


def evidence_of(call: Exchange) -> Mapping[str, str]:
    """Where a request came from: its address cut short, and its user agent."""
    evidence: dict[str, str] = {}
    client = call.scope.get("client")
    if client:
        try:
            evidence["address"] = truncated_address(str(client[0]))
        except ValueError:  # a Unix socket has none
            evidence["address"] = "local"
    agent = call.header(b"user-agent")
    if agent:
        shown = "".join(c if c.isprintable() else " " for c in agent)
        evidence["user_agent"] = shown[:MAX_USER_AGENT]
    return evidence


def given_evidence(evidence: Mapping[str, str], path: str) -> Mapping[str, str]:
    """Evidence that a request tells, its address cut short; raises `ProblemError`."""
    if "address" not in evidence:
        return evidence
    try:
        return {**evidence, "address": truncated_address(evidence["address"])}
    except ValueError:
        refuse([field_problem(f"{path}/address", FieldCode.INVALID, "This is no IP address.")])
        raise
