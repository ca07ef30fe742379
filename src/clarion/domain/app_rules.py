"""From an app's rules, a category's and a message's own wishes to the policy of one message."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from clarion.domain.category import Category
from clarion.domain.digest import DigestClock
from clarion.domain.frequency import Cap
from clarion.domain.policy import Policy, UnknownZone
from clarion.domain.quiet_windows import QuietAction, QuietHours
from clarion.domain.send_time import AtLocal, Now


class QuietWish(StrEnum):
    """What a sender wants done in quiet hours; a person's own windows always hold."""

    RESPECT = "respect"
    """What the app and the category say."""
    HOLD = "hold"
    DROP = "drop"
    SILENT = "silent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """When one message is sent, and how much it matters: what its sender asked for."""

    local: AtLocal | None = None
    """None: when it is due, everywhere at once."""
    importance: int | None = None
    """0 to 254; None: that of the category."""
    quiet_hours: QuietWish = QuietWish.RESPECT
    throttle_per_minute: int | None = None
    digest: bool = False
    """It stands for messages that were gathered: caps had their say about those."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AppRules:
    """What an app's policies are made of."""

    time_zone: str = "UTC"
    default_category: str = "transactional"
    quiet_hours: QuietHours | None = None
    caps: tuple[Cap, ...] = ()
    unknown_zone: UnknownZone = UnknownZone.FAIL_CLOSED
    throttle_per_minute: int | None = None
    categories: Mapping[str, Category] = field(default_factory=dict)
    """By slug, archived ones too: messages that were accepted before may still be planned."""
    ids: Mapping[str, int] = field(default_factory=dict)
    archived: frozenset[str] = frozenset()
    digests: Mapping[str, DigestClock] = field(default_factory=dict)
    """By slug: when a category's digests are due, where it says so."""

    @property
    def counts(self) -> bool:
        """Whether any cap of the app or of a category counts what is sent.

        Nothing is written down for an app without caps: a cap counts from when there is one.
        """
        return bool(self.caps) or any(c.capped and c.caps for c in self.categories.values())

    def policy(self, slug: str, moment: Moment, *, expires_us: int | None) -> Policy:
        """The policy of a message.

        Args:
            slug: a category of the app; `KeyError` for any other.
            moment: what the sender asked for.
            expires_us: the sender's deadline.
        """
        category = self.categories[slug]
        quiet = self.quiet_hours
        if moment.digest:
            category = replace(category, caps_apply=False)
        if moment.quiet_hours is not QuietWish.RESPECT:
            action = QuietAction(moment.quiet_hours.value)
            quiet = _with(quiet, action)
            category = replace(category, quiet_hours=_with(category.quiet_hours, action))
        return Policy(
            category=category,
            when=moment.local or Now(),
            quiet_hours=quiet,
            caps=self.caps,
            priority=moment.importance,
            expires_us=expires_us,
            unknown_zone=self.unknown_zone,
            app_zone=self.time_zone,
            digest=self.digests.get(slug, DigestClock()),
            throttle_per_minute=moment.throttle_per_minute,
        )


def _with(quiet: QuietHours | None, action: QuietAction) -> QuietHours | None:
    return None if quiet is None else replace(quiet, action=action)
