"""Templates, partials and previews, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from clarion.api.shapes.content import (
    ContentBody,
    Fallbacks,
    LanguageTag,
    Members,
    Missing,
    WordedBody,
)
from clarion.api.shapes.people import PageQuery
from clarion.api.shapes.text import Line, Name

Source = Annotated[str, msgspec.Meta(max_length=16_384)]
PlatformName = Literal[
    "ios",
    "ios_banner",
    "android",
    "android_expanded",
    "chrome_windows",
    "firefox_windows",
    "chrome_macos",
    "safari_macos",
    "chrome_android",
]


class TemplateBody(ContentBody, frozen=True, kw_only=True, omit_defaults=True):
    """What a template says; every text is Liquid."""

    language: LanguageTag | None = None
    localized: Annotated[dict[LanguageTag, ContentBody], msgspec.Meta(max_length=200)] = (
        msgspec.field(default_factory=dict)
    )
    missing: Missing = "fallback"
    fallbacks: Fallbacks = msgspec.field(default_factory=dict)
    note: Line = ""
    """Why there is this version."""
    newest: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """The version that was read before; 409 where another is the newest by now. 0: none yet."""


class TemplateView(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a template."""

    name: str
    version: int
    newest: int
    note: str
    created_at: datetime
    archived_at: datetime | None
    template: dict[str, Any]
    """As `PUT` takes it."""
    variables: list[str]
    """What it reads of people and of the message: `user.first_name`, `message.code`. Empty for an
    old version whose partials are gone."""


class TemplateSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A template in a list."""

    name: str
    newest: int
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


class TemplatePage(msgspec.Struct, frozen=True):
    """Some templates, oldest first, and the cursor of the next page."""

    items: list[TemplateSummary]
    next: str | None


class TemplateQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """Which templates."""

    archived: Literal["true", "false"] = "false"


class VersionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which version; left out: the newest."""

    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None


class VersionView(msgspec.Struct, frozen=True):
    """A version in a list."""

    version: int
    note: str
    created_at: datetime


class VersionList(msgspec.Struct, frozen=True):
    """Versions of a template, newest first."""

    items: list[VersionView]


class PartialBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text that templates render by its name."""

    source: Source


class PartialView(msgspec.Struct, frozen=True):
    """A partial."""

    name: str
    source: str
    updated_at: datetime


class PartialList(msgspec.Struct, frozen=True):
    """Every partial of the app."""

    items: list[PartialView]


class SampleBody(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """Somebody made up."""

    language: LanguageTag | None = None
    time_zone: Name | None = None
    values: Members = {}
    """Variable (`user.first_name`) -> value."""


class PreviewBody(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """For whom, and where."""

    users: Annotated[list[Name], msgspec.Meta(max_length=20)] = []
    """External ids of real people, as they are now."""
    samples: Annotated[list[SampleBody], msgspec.Meta(max_length=20)] = []
    """Neither users nor samples: one sample without any value for each language."""
    platforms: Annotated[list[PlatformName], msgspec.Meta(max_length=16)] = []
    """Left out: all."""


class TemplatePreviewBody(PreviewBody, frozen=True, kw_only=True, omit_defaults=True):
    """A preview of a stored template."""

    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None
    variables: Members = {}


class MessagePreviewBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A preview of a message that is not sent."""

    message: WordedBody
    preview: PreviewBody = PreviewBody()


class ShownView(msgspec.Struct, frozen=True):
    """A text as it appears."""

    lines: list[str]
    cut: bool


class VisibleView(msgspec.Struct, frozen=True, kw_only=True):
    """What is sure to be seen on a platform before the notification is opened."""

    title: ShownView | None
    subtitle: ShownView | None
    body: ShownView | None
    source: str
    """Who says so: no platform promises a number of characters."""


class PayloadView(msgspec.Struct, frozen=True):
    """How large the payload is on a network."""

    octets: int
    limit: int
    too_large: bool


class ReadingView(msgspec.Struct, frozen=True, kw_only=True):
    """What one sample reads."""

    user: str | None
    language: str | None
    """The variant; null: the message's own, which does not name its language."""
    missing: list[str]
    failed: str | None
    content: dict[str, Any]
    visible: dict[str, VisibleView]
    payloads: dict[str, PayloadView]


class PreviewView(msgspec.Struct, frozen=True):
    """What the samples read."""

    samples: list[ReadingView]
    unknown: list[str]
    """Users whom the app does not have."""
