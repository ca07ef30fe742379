"""All that the rules of one message are asked with, as one value with a version."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from enum import StrEnum
from typing import Final

from clarion.domain.category import Category, DefaultState, Kind
from clarion.domain.digest import DigestClock
from clarion.domain.frequency import EXEMPT_PRIORITY, MAX_CAPS, Cap, cap_from, cap_json
from clarion.domain.quiet_windows import QuietHours, quiet_hours_from, quiet_hours_json
from clarion.domain.send_time import At, AtLocal, IfPassed, Now, When
from clarion.domain.zones import SECOND_US, known

Json = Mapping[str, object]


class PolicyError(ValueError):
    """A policy that can't be. `path` is a JSON pointer."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path or '/'}: {detail}")
        self.path = path
        self.detail = detail


class UnknownZone(StrEnum):
    """What is done for people whose time zone is not known.

    Local times and calendar caps are then the app's; the choice is about quiet hours.
    """

    FAIL_CLOSED = "fail_closed"
    """It is quiet for them while it is quiet anywhere that people live."""
    APP_ZONE = "app_zone"
    """They are taken to live in the app's zone."""
    SKIP = "skip"
    """They are not sent what has a local time or quiet hours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The rules of one message."""

    category: Category
    when: When = field(default_factory=Now)
    quiet_hours: QuietHours | None = None
    """The app's; the category's are its own."""
    caps: tuple[Cap, ...] = ()
    """The app's."""
    priority: int | None = None
    """Of the message; None: that of its category."""
    takes_places: bool = True
    """Whether less important messages that are held give way to this one."""
    expires_us: int | None = None
    unknown_zone: UnknownZone = UnknownZone.FAIL_CLOSED
    app_zone: str = "UTC"
    digest: DigestClock = field(default_factory=DigestClock)
    throttle_per_minute: int | None = None

    def __post_init__(self) -> None:
        if not known(self.app_zone):
            raise PolicyError("/app_zone", f"there is no time zone {self.app_zone!r}")
        if len(self.caps) + len(self.category.caps) > MAX_CAPS:
            raise PolicyError("/caps", f"an app and a category have at most {MAX_CAPS} together")
        if self.priority is not None and not 0 <= self.priority < EXEMPT_PRIORITY:
            raise PolicyError("/priority", f"0 to {EXEMPT_PRIORITY - 1}")

    @property
    def binding_caps(self) -> tuple[Cap, ...]:
        """The caps that can stop this message: the category's, then the app's."""
        return (*self.category.caps, *self.caps) if self.category.capped else ()

    @property
    def binding_quiet(self) -> tuple[QuietHours, ...]:
        """The quiet hours of the app and the category that bind this message."""
        if not self.category.hushed:
            return ()
        return tuple(q for q in (self.quiet_hours, self.category.quiet_hours) if q is not None)

    @property
    def weight(self) -> int:
        """The priority that its entries in the ledger have."""
        if not self.category.capped:
            return EXEMPT_PRIORITY
        return self.category.priority if self.priority is None else self.priority

    @property
    def version(self) -> int:
        """63 bits of a hash over the content: equal policies have equal versions, everywhere."""
        text = json.dumps(to_json(self), sort_keys=True, separators=(",", ":"))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def to_json(policy: Policy) -> dict[str, object]:
    """The policy as plain values, for the meta of recorded decisions and for files."""
    return {
        "category": _category_json(policy.category),
        "when": _when_json(policy.when),
        "quiet_hours": _quiet_json(policy.quiet_hours),
        "caps": [cap_json(cap) for cap in policy.caps],
        "priority": policy.priority,
        "takes_places": policy.takes_places,
        "expires_us": policy.expires_us,
        "unknown_zone": policy.unknown_zone.value,
        "app_zone": policy.app_zone,
        "digest": {"minute": policy.digest.minute, "weekday": policy.digest.weekday},
        "throttle_per_minute": policy.throttle_per_minute,
    }


def _category_json(category: Category) -> dict[str, object]:
    return {
        "slug": category.slug,
        "kind": category.kind.label,
        "slot": category.slot,
        "can_opt_out": category.can_opt_out,
        "default_state": category.default_state.label,
        "caps_apply": category.caps_apply,
        "quiet_applies": category.quiet_applies,
        "urgent": category.urgent,
        "priority": category.priority,
        "quiet_hours": _quiet_json(category.quiet_hours),
        "caps": [cap_json(cap) for cap in category.caps],
    }


def _quiet_json(quiet: QuietHours | None) -> object:
    return None if quiet is None else quiet_hours_json(quiet)


def _when_json(when: When) -> dict[str, object]:
    match when:
        case Now():
            return {"kind": "now"}
        case At(at_us=at_us):
            return {"kind": "at", "at_us": at_us}
        case AtLocal():
            return {
                "kind": "local",
                "time": when.clock.isoformat(),
                "date": None if when.day is None else when.day.isoformat(),
                "if_passed": when.if_passed.value,
                "grace_s": when.grace_us / SECOND_US,
            }


_KINDS: Final = {kind.label: kind for kind in Kind}
_DEFAULTS: Final = {state.label: state for state in DefaultState}


def policy_from(value: Json) -> Policy:
    """The policy that `to_json` wrote; what is left out has its default.

    Raises `PolicyError` with the place of what is wrong.
    """
    fields = _Fields(value, "", frozenset(Policy.__dataclass_fields__))
    digest = fields.nested("digest", frozenset({"minute", "weekday"}))
    try:
        clock = DigestClock(
            minute=digest.number("minute", DigestClock().minute),
            weekday=digest.number("weekday", DigestClock().weekday),
        )
    except ValueError as error:
        raise PolicyError("/digest", str(error)) from error
    try:
        unknown_zone = UnknownZone(fields.text("unknown_zone", UnknownZone.FAIL_CLOSED.value))
    except ValueError as error:
        raise PolicyError("/unknown_zone", str(error)) from error
    return Policy(
        category=_category(fields.nested("category", frozenset(Category.__dataclass_fields__))),
        when=_when(fields.nested("when", _WHEN_FIELDS)),
        quiet_hours=fields.quiet("quiet_hours"),
        caps=fields.caps("caps"),
        priority=fields.maybe("priority"),
        takes_places=fields.flag("takes_places", default=True),
        expires_us=fields.instant("expires_us"),
        unknown_zone=unknown_zone,
        app_zone=fields.text("app_zone", "UTC"),
        digest=clock,
        throttle_per_minute=fields.maybe("throttle_per_minute"),
    )


def patched(policy: Policy, changes: Json) -> Policy:
    """The policy with some fields changed (RFC 7396: null clears, objects are merged).

    Raises `PolicyError` with the place of what is wrong.
    """
    return policy_from(_merged(to_json(policy), changes))


def _merged(whole: Json, changes: Json) -> dict[str, object]:
    result = dict(whole)
    for key, change in changes.items():
        before = result.get(key)
        if isinstance(change, Mapping) and isinstance(before, Mapping):
            result[key] = _merged(before, change)
        else:
            result[key] = change
    return result


_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2900
"""Clocks are known for years before it."""
_LAST_US: Final = 29_348_006_400_000_000
_LONGEST_S: Final = 366 * 86_400

_WHEN_FIELDS: Final = frozenset({"kind", "at_us", "time", "date", "if_passed", "grace_s"})


def _category(fields: "_Fields") -> Category:
    kind = fields.text("kind", Kind.TRANSACTIONAL.label)
    default = fields.text("default_state", DefaultState.OUT.label)
    if kind not in _KINDS or default not in _DEFAULTS:
        raise PolicyError(fields.path, f"there is no kind {kind!r} or no default {default!r}")
    try:
        return Category(
            slug=fields.text("slug", ""),
            kind=_KINDS[kind],
            slot=fields.number("slot", 0),
            can_opt_out=fields.flag("can_opt_out", default=True),
            default_state=_DEFAULTS[default],
            caps_apply=fields.flag("caps_apply", default=True),
            quiet_applies=fields.flag("quiet_applies", default=True),
            urgent=fields.flag("urgent", default=False),
            priority=fields.number("priority", 5),
            quiet_hours=fields.quiet("quiet_hours"),
            caps=fields.caps("caps"),
        )
    except ValueError as error:
        if isinstance(error, PolicyError):
            raise
        raise PolicyError(fields.path, str(error)) from error


def _when(fields: "_Fields") -> When:
    kind = fields.text("kind", "now")
    if kind == "now":
        return Now()
    if kind == "at":
        return At(at_us=fields.instant("at_us") or 0)
    if kind != "local":
        raise PolicyError(f"{fields.path}/kind", "expected now, at or local")
    found = _local(fields)
    if found.clock.tzinfo is not None:
        raise PolicyError(f"{fields.path}/time", "a local time has no offset")
    if found.day is not None and not _FIRST_YEAR <= found.day.year < _LAST_YEAR:
        raise PolicyError(f"{fields.path}/date", f"from {_FIRST_YEAR}, before {_LAST_YEAR}")
    return found


def _local(fields: "_Fields") -> AtLocal:
    text = fields.text("date", "")
    try:
        clock = time.fromisoformat(fields.text("time", ""))
        day = date.fromisoformat(text) if text else None
        return AtLocal(
            clock=clock,
            day=day,
            if_passed=IfPassed(fields.text("if_passed", IfPassed.NEXT_DAY.value)),
            grace_us=round(fields.real("grace_s") * SECOND_US),
        )
    except ValueError as error:
        if isinstance(error, PolicyError):
            raise
        raise PolicyError(fields.path, str(error)) from error


class _Fields:
    """Fields of decoded JSON, each read with its place in the errors."""

    def __init__(self, value: Json, path: str, names: frozenset[str]) -> None:
        self.path = path
        self._value = value
        unknown = sorted(set(value) - names)
        if unknown:
            raise PolicyError(f"{path}/{unknown[0]}", "there is no such field")

    def _wrong(self, name: str, wanted: str) -> PolicyError:
        return PolicyError(f"{self.path}/{name}", f"expected {wanted}")

    def nested(self, name: str, names: frozenset[str]) -> "_Fields":
        value = self._value.get(name) or {}
        if not isinstance(value, Mapping):
            raise self._wrong(name, "an object")
        return _Fields(value, f"{self.path}/{name}", names)

    def text(self, name: str, default: str) -> str:
        value = self._value.get(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, "text")
        return default if value is None else value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._value.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return default if value is None else value

    def maybe(self, name: str) -> int | None:
        value = self._value.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise self._wrong(name, "a whole number")
        return value

    def instant(self, name: str) -> int | None:
        value = self.maybe(name)
        if value is not None and not 0 <= value < _LAST_US:
            raise self._wrong(name, f"microseconds since 1970, before the year {_LAST_YEAR}")
        return value

    def number(self, name: str, default: int) -> int:
        value = self.maybe(name)
        return default if value is None else value

    def real(self, name: str) -> float:
        value = self._value.get(name, 0)
        if not isinstance(value, int | float) or not 0 <= value <= _LONGEST_S:
            raise self._wrong(name, f"a number of seconds up to {_LONGEST_S}")
        return value

    def quiet(self, name: str) -> QuietHours | None:
        value = self._value.get(name)
        try:
            return None if value is None else quiet_hours_from(value)
        except ValueError as error:
            raise PolicyError(f"{self.path}/{name}", str(error)) from error

    def caps(self, name: str) -> tuple[Cap, ...]:
        value = self._value.get(name) or []
        if not isinstance(value, list | tuple):
            raise self._wrong(name, "a list of caps")
        caps = []
        for index, item in enumerate(value):
            try:
                caps.append(cap_from(item))
            except ValueError as error:
                raise PolicyError(f"{self.path}/{name}/{index}", str(error)) from error
        return tuple(caps)
