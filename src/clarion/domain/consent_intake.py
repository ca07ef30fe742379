"""What becomes of a consent that somebody reports, before it is written into the ledger."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from clarion.domain.category import Category, DefaultState
from clarion.domain.consent import Change, How


class Asked(StrEnum):
    """What is reported."""

    GRANTED = "granted"
    WITHDRAWN = "withdrawn"
    PROVISIONAL = "provisional"
    CONFIRMED = "confirmed"
    """The second step of a double opt-in."""


class Refusal(StrEnum):
    """Why nothing was written, as a word that programs compare."""

    USER_MISSING = "user_missing"
    USER_UNKNOWN = "user_unknown"
    CATEGORY_UNKNOWN = "category_unknown"
    CATEGORY_FIXED = "category_fixed"
    OUTDATED = "consent_outdated"
    NOTHING_TO_CONFIRM = "nothing_to_confirm"
    NOT_FOR_EVERYTHING = "not_for_everything"

    @property
    def sentence(self) -> str:
        """What is told to whoever reported it."""
        return _SENTENCES[self]


_SENTENCES: Final = {
    Refusal.USER_MISSING: "Name the person by `external_id` or by `user`.",
    Refusal.USER_UNKNOWN: "The app has no user of that id.",
    Refusal.CATEGORY_UNKNOWN: "The app has no category of that name.",
    Refusal.CATEGORY_FIXED: "People can't opt out of this category.",
    Refusal.OUTDATED: "The ledger has a later change for this person and category.",
    Refusal.NOTHING_TO_CONFIRM: "Only a provisional consent can be confirmed.",
    Refusal.NOT_FOR_EVERYTHING: "Everything at once can only be granted or withdrawn.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The last entry of a person and category."""

    change: Change
    at_us: int


def settle(
    asked: Asked, how: How, category: Category | None, before: Standing | None, at_us: int
) -> Change | Refusal:
    """What to write.

    A yes to a category with double opt-in is provisional until it is confirmed; an import says
    what was confirmed elsewhere. What happened before the last entry no longer counts.

    Args:
        asked: what is reported.
        how: where it was made.
        category: None for everything (the global switch).
        before: the last entry of this person and category.
        at_us: when the person said so.
    """
    if before is not None and at_us < before.at_us:
        return Refusal.OUTDATED
    last = None if before is None else before.change
    if category is None:
        return _OF_EVERYTHING.get(asked, Refusal.NOT_FOR_EVERYTHING)
    if asked is Asked.WITHDRAWN:
        return Change.WITHDRAWN if category.can_opt_out else Refusal.CATEGORY_FIXED
    if asked is Asked.CONFIRMED:
        return Change.GRANTED if last is Change.PROVISIONAL else Refusal.NOTHING_TO_CONFIRM
    double = category.default_state is DefaultState.DOUBLE_OPT_IN and how is not How.IMPORT
    waits = asked is Asked.PROVISIONAL or (double and last is not Change.GRANTED)
    return Change.PROVISIONAL if waits else Change.GRANTED


_OF_EVERYTHING: Final = {
    Asked.GRANTED: Change.GRANTED,
    Asked.WITHDRAWN: Change.WITHDRAWN,
}
