"""What people decide for themselves, and the signed links by which they do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from clarion.domain.consent import How
from clarion.domain.device import KEEP, Keep
from clarion.domain.ids import AppId, UserId
from clarion.domain.preference import Frequency, Wishes
from clarion.domain.quiet_windows import Window
from clarion.ports.categories import CategoryDraft


@dataclass(frozen=True, kw_only=True, slots=True)
class CategoryPreference:
    """One category, and what the person gets of it."""

    draft: CategoryDraft
    frequency: Frequency
    provisional: bool
    """The person said yes and has yet to confirm it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preferences:
    """All that a person decided."""

    user: UserId
    external_id: str | None
    app_name: str
    app_language: str
    language: str | None
    time_zone: str | None
    opted_out: bool
    paused_until: datetime | None
    quiet_hours: tuple[Window, ...]
    categories: Sequence[CategoryPreference]
    """Those in use, in order of their slots."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferencesChange:
    """What to change; `KEEP` leaves as it is, None clears."""

    categories: Wishes = field(default_factory=dict)
    confirmed: frozenset[str] = frozenset()
    """Categories whose provisional consent the person confirms."""
    language: str | Keep | None = KEEP
    time_zone: str | Keep | None = KEEP
    """A zone that exists (IANA)."""
    opted_out: bool | Keep = KEEP
    paused_until: datetime | Keep | None = KEEP
    quiet_hours: tuple[Window, ...] | Keep = KEEP


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """How a person said so: what the ledger keeps besides the change."""

    how: How
    language: str = ""
    text_version: str = ""
    text: str | None = None
    """The words that were shown; None: the category's name and description in that language."""
    evidence: Mapping[str, str] = field(default_factory=dict)


class PreferenceBook(Protocol):
    """Reads and changes what people decided."""

    async def read(self, app: AppId, user: UserId) -> Preferences | None:
        """What a person decided; None when there is no such person."""
        ...

    async def change(
        self, app: AppId, user: UserId, change: PreferencesChange, said: Said, now: datetime
    ) -> Preferences | None:
        """Change it, ledger and state in one transaction.

        Raises:
            CategoryUnknownError: the app has no such category in use.
            PreferenceError: people can't have that.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """Whose page a link opens."""

    app: AppId
    user: UserId
    expires_at: datetime


class PreferenceLinks(Protocol):
    """Signed links to people's own pages."""

    async def mint(self, app: AppId, user: UserId, expires_at: datetime) -> str:
        """The text of a new link."""
        ...

    async def open(self, text: str, now: datetime) -> Opened | None:
        """Whose page it is; None for what is not genuine, expired, or of a key that is gone."""
        ...

    async def rotate(self, app: AppId, *, revoke: bool) -> None:
        """Sign with a new key from now on. Links of the key before stay good unless revoked."""
        ...
