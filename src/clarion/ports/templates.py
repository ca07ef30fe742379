"""Templates and partials of an app in the state store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from clarion.domain.content import Content, MissingVariable
from clarion.domain.ids import AppId

MAX_TEMPLATES = 10_000
MAX_PARTIALS = 1_000
"""Of one app, archived ones included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateWords:
    """What a version of a template says; every text is Liquid."""

    content: Content
    language: str = ""
    """BCP 47 tag of `content`."""
    localized: Mapping[str, Content] = field(default_factory=dict)
    missing: MissingVariable = MissingVariable.FALLBACK
    fallbacks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTemplate:
    """One version of a template."""

    id: int
    name: str
    version: int
    newest: int
    """The template's newest version."""
    words: TemplateWords
    note: str
    """Why there is this version, in its author's words."""
    created_at: datetime
    """Of this version."""
    archived_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateRow:
    """A template in a list."""

    id: int
    name: str
    newest: int
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateVersion:
    """A version in a list."""

    version: int
    note: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Partial:
    """A text that templates render by its name."""

    name: str
    source: str
    updated_at: datetime


class TemplateChangedError(Exception):
    """Somebody else saved a version since the one that was read."""

    def __init__(self, newest: int) -> None:
        super().__init__(f"the newest version is {newest}")
        self.newest = newest


class TooManyTemplatesError(Exception):
    """The app has as many as there may be, archived ones included."""


class Templates(Protocol):
    """Versions are never changed; a message keeps the words that it was accepted with."""

    async def get(self, app: AppId, name: str, version: int | None = None) -> StoredTemplate | None:
        """A version, the newest when none is named; archived templates included."""
        ...

    async def page(
        self, app: AppId, *, after: int | None, limit: int, archived: bool
    ) -> Sequence[TemplateRow]:
        """By id, those behind `after`; archived ones or the others."""
        ...

    async def versions(self, app: AppId, name: str) -> Sequence[TemplateVersion]:
        """Newest first; empty when there is no such template."""
        ...

    async def save(
        self,
        app: AppId,
        name: str,
        words: TemplateWords,
        *,
        note: str,
        newest: int | None,
        now: datetime,
    ) -> StoredTemplate:
        """Make the template, or its next version; the same words as the newest are no new one.

        Args:
            app: Whose.
            name: Its name.
            words: What it says, checked.
            note: Why.
            newest: Version that the author saw, 0 for none; None: whatever it is.
            now: When.

        Raises:
            TemplateChangedError: `newest` is another.
            TooManyTemplatesError: It would be one too many.
        """
        ...

    async def archive(self, app: AppId, name: str, at: datetime | None) -> bool:
        """Take it out of use, or back (None); False when there is none."""
        ...


class Partials(Protocol):
    """Partials have no versions: messages and previews keep the texts that they were made with."""

    async def texts(self, app: AppId, names: Sequence[str]) -> Mapping[str, str]:
        """The text of each one that exists."""
        ...

    async def all(self, app: AppId) -> Sequence[Partial]:
        """By name."""
        ...

    async def put(self, app: AppId, name: str, source: str, now: datetime) -> Partial:
        """Make or replace one. Raises `TooManyTemplatesError`."""
        ...

    async def delete(self, app: AppId, name: str) -> bool:
        """Whether there was one."""
        ...

    async def users_of(self, app: AppId, name: str) -> Sequence[str]:
        """Names of templates whose newest version has the partial's name in a text."""
        ...
