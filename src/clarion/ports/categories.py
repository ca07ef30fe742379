"""An app's categories of messages, and the rules that the app has for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from clarion.domain.category import Category
from clarion.domain.digest import DigestClock
from clarion.domain.frequency import Cap
from clarion.domain.ids import AppId
from clarion.domain.policy import UnknownZone
from clarion.domain.quiet_windows import QuietHours


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalName:
    """What people who read one language see."""

    name: str
    description: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CategoryDraft:
    """All that an operator says about a category; its slot is chosen by the store."""

    category: Category
    name: str
    description: str = ""
    names: Mapping[str, LocalName] = field(default_factory=dict)
    """By canonical language tag."""
    digest: DigestClock | None = None
    """None: the usual time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CategoryRecord:
    """A category as stored."""

    id: int
    draft: CategoryDraft
    created_at: datetime
    archived_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AppSettings:
    """What an app decides for all its categories."""

    time_zone: str
    language: str
    default_category: str
    quiet_hours: QuietHours | None
    caps: tuple[Cap, ...]
    throttle_per_minute: int | None
    unknown_zone: UnknownZone


class Categories(Protocol):
    """The categories of an app. Archived ones keep their slot and their people's consent."""

    async def all(self, app: AppId) -> Sequence[CategoryRecord]:
        """Every category in order of its slot, archived ones included."""
        ...

    async def get(self, app: AppId, slug: str) -> CategoryRecord | None:
        """One category."""
        ...

    async def create(self, app: AppId, draft: CategoryDraft, now: datetime) -> CategoryRecord:
        """Make a category.

        Raises:
            CategoryExistsError: the slug is taken, perhaps by an archived one.
            TooManyCategoriesError: all slots are taken.
            TooManyCapsError: with the app's own, it would have too many caps.
        """
        ...

    async def change(
        self, app: AppId, slug: str, draft: CategoryDraft, now: datetime
    ) -> CategoryRecord | None:
        """Replace what is said of a category; its slug and its kind stay.

        Raises:
            TooManyCapsError: with the app's own, it would have too many caps.
        """
        ...

    async def archive(self, app: AppId, slug: str, now: datetime | None) -> CategoryRecord | None:
        """Take a category out of use at an instant, or back into use (None).

        Raises:
            CategoryInUseError: messages that name no category, or calls, are of this one.
        """
        ...

    async def settings(self, app: AppId) -> AppSettings | None:
        """What the app decides for all of them."""
        ...

    async def configure(self, app: AppId, settings: AppSettings) -> AppSettings | None:
        """Replace the app's settings.

        Raises:
            CategoryUnknownError: the default category is none of the app's, or archived.
            TooManyCapsError: with those of a category, there would be too many caps.
        """
        ...


class CategoryExistsError(Exception):
    """The slug is taken."""


class TooManyCategoriesError(Exception):
    """All slots of the app are taken."""


class TooManyCapsError(Exception):
    """The app and one of its categories have too many caps together; the sentence names it."""


class CategoryInUseError(Exception):
    """The category can't be archived."""


class CategoryUnknownError(Exception):
    """The app has no such category in use."""
