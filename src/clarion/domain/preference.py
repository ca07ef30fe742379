"""What a person wants of each category, as the person sees it, and what a wish changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from clarion.domain.category import Category, DefaultState, Kind
from clarion.domain.consent_intake import Asked

MAX_PAUSE_DAYS: Final = 365


class Frequency(StrEnum):
    """How often a person wants messages of a category."""

    ALL = "all"
    DAILY = "daily"
    """One digest a day."""
    WEEKLY = "weekly"
    """One digest a week."""
    OFF = "off"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bits:
    """A person's bit sets, bit n for the category with slot n."""

    granted: int
    denied: int
    daily: int
    weekly: int


class PreferenceError(ValueError):
    """A wish that can't be granted."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(f"{slug}: {detail}")
        self.slug = slug
        self.detail = detail


def frequency(category: Category, bits: Bits) -> Frequency:
    """What the person gets now."""
    bit = 1 << category.slot
    if category.can_opt_out and bits.denied & bit:
        return Frequency.OFF
    silent_yes = category.kind is not Kind.MARKETING and category.default_state is DefaultState.IN
    if not silent_yes and not bits.granted & bit:
        return Frequency.OFF
    if category.gathers and bits.weekly & bit:
        return Frequency.WEEKLY
    return Frequency.DAILY if category.gathers and bits.daily & bit else Frequency.ALL


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What one wish changes."""

    asked: Asked | None
    """What goes into the ledger; None: consent stays as it is."""
    daily: bool
    weekly: bool


def wish(category: Category, bits: Bits, wanted: Frequency, *, provisional: bool = False) -> Wish:
    """From what is to what is wanted; what is the same already is no new consent.

    Args:
        category: the category.
        bits: what the person decided so far.
        wanted: what the person wants now.
        provisional: a yes waits for its confirmation; a no takes it back.

    Raises:
        PreferenceError: people can't opt out of the category, or it is never gathered.
    """
    now = frequency(category, bits)
    if wanted is Frequency.OFF:
        if not category.can_opt_out and now is not Frequency.OFF:
            raise PreferenceError(category.slug, "people can't opt out of this category")
        asked = Asked.WITHDRAWN if now is not Frequency.OFF or provisional else None
        return Wish(asked=asked, daily=False, weekly=False)
    if wanted is not Frequency.ALL and not category.gathers:
        raise PreferenceError(category.slug, "this category is never gathered into digests")
    return Wish(
        asked=Asked.GRANTED if now is Frequency.OFF else None,
        daily=wanted is Frequency.DAILY,
        weekly=wanted is Frequency.WEEKLY,
    )


def with_wish(bits: Bits, category: Category, done: Wish) -> Bits:
    """The digest bits after a wish; consent's own bits follow from the ledger."""
    bit = 1 << category.slot
    return Bits(
        granted=bits.granted,
        denied=bits.denied,
        daily=bits.daily | bit if done.daily else bits.daily & ~bit,
        weekly=bits.weekly | bit if done.weekly else bits.weekly & ~bit,
    )


def offered(category: Category) -> tuple[Frequency, ...]:
    """What a person may choose for a category."""
    gathered = (Frequency.DAILY, Frequency.WEEKLY) if category.gathers else ()
    off = (Frequency.OFF,) if category.can_opt_out else ()
    return (Frequency.ALL, *gathered, *off)


Wishes = Mapping[str, Frequency]
"""Category's slug -> how often."""
