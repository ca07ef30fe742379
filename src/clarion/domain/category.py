"""Categories of messages: what kind they are, and so which rules bind them."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from clarion.domain.frequency import EXEMPT_PRIORITY, Cap
from clarion.domain.quiet_windows import QuietHours

MAX_CATEGORIES: Final = 63
"""Slots 0 to 62 of an app: one bit each in a person's `granted` and `denied`."""


class CategoryError(ValueError):
    """A category that can't be. `field` names what is wrong."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


class Kind(IntEnum):
    """What a category is for. The number is stored: never reuse one."""

    CALL = 1
    TRANSACTIONAL = 2
    MARKETING = 3
    SYSTEM = 4

    @property
    def label(self) -> str:
        """The kind as the API spells it."""
        return self.name.lower()


class DefaultState(IntEnum):
    """What silence means. The number is stored: never reuse one."""

    IN = 1
    """Sendable unless the person said no."""
    OUT = 2
    """Sendable once the person said yes."""
    DOUBLE_OPT_IN = 3
    """Sendable once the person said yes and confirmed it."""

    @property
    def label(self) -> str:
        """The default as the API spells it."""
        return self.name.lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """One category of an app, as the rules need it."""

    slug: str
    kind: Kind
    slot: int
    can_opt_out: bool = True
    default_state: DefaultState = DefaultState.OUT
    caps_apply: bool = True
    quiet_applies: bool = True
    urgent: bool = False
    """Passes quiet hours and digests."""
    priority: int = 5
    """0 to 254; of two messages under one cap, the higher is the more important."""
    quiet_hours: QuietHours | None = None
    caps: tuple[Cap, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.slot < MAX_CATEGORIES:
            raise CategoryError("slot", f"0 to {MAX_CATEGORIES - 1}")
        if not 0 <= self.priority < EXEMPT_PRIORITY:
            raise CategoryError("priority", f"0 to {EXEMPT_PRIORITY - 1}")
        if self.kind is Kind.MARKETING and self.default_state is DefaultState.IN:
            raise CategoryError("default_state", "marketing needs a recorded opt-in")
        if self.kind is Kind.MARKETING and not self.can_opt_out:
            raise CategoryError("can_opt_out", "people can always opt out of marketing")

    @property
    def capped(self) -> bool:
        """Whether caps bind it; calls and transactional messages only count."""
        return self.caps_apply and self.kind not in {Kind.CALL, Kind.TRANSACTIONAL}

    @property
    def hushed(self) -> bool:
        """Whether quiet hours bind it."""
        return self.quiet_applies and not self.urgent and self.kind is not Kind.CALL

    @property
    def gathers(self) -> bool:
        """Whether a person's wish for a digest binds it."""
        return self.can_opt_out and not self.urgent and self.kind is not Kind.CALL


BORN: Final = (
    Category(
        slug="calls",
        kind=Kind.CALL,
        slot=0,
        can_opt_out=False,
        default_state=DefaultState.IN,
        caps_apply=False,
        quiet_applies=False,
        urgent=True,
        priority=10,
    ),
    Category(
        slug="transactional",
        kind=Kind.TRANSACTIONAL,
        slot=1,
        can_opt_out=False,
        default_state=DefaultState.IN,
        caps_apply=False,
        quiet_applies=False,
        priority=7,
    ),
    Category(slug="marketing", kind=Kind.MARKETING, slot=2, priority=3),
)
"""The categories that every app is born with; the schema's trigger inserts the same."""

CALLS: Final = "calls"
