"""The consent ledger, and the state that it comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Protocol

import polars as pl

from clarion.domain.consent import Change, How, Verified
from clarion.domain.consent_intake import Refusal
from clarion.domain.ids import AppId, DeviceId, UserId
from clarion.domain.permission import Permission, PromptInput, PromptState

EVERYTHING: Final = "*"
"""In the column `category`: all categories at once (the global switch)."""

CONSENT_COLUMNS: Final = pl.Schema(
    {
        "external_id": pl.String(),
        "user": pl.Int64(),
        "category": pl.String(),
        "asked": pl.String(),
        "at_us": pl.Int64(),
        "how": pl.UInt8(),
        "text": pl.String(),
        "language": pl.String(),
        "text_version": pl.String(),
        "evidence": pl.String(),
    }
)
"""Consents as they are reported, one a row. `external_id` creates a person who is not known; with
`user` the person must be. `category` is a slug or `EVERYTHING`; `asked` a word of
`domain.consent_intake.Asked`; `how` a number of `domain.consent.How`; `evidence` an object of texts
as JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedConsent:
    """A row of which nothing was written."""

    row: int
    why: Refusal


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedConsents:
    """What became of rows, in their order; columns of equal length."""

    number: Sequence[int]
    """Of the entry in the ledger; 0 where the row was refused, and where the last entry of that
    person and category says the same of the same instant: a report that comes again."""
    change: Sequence[Change | None]
    """What was written; a yes may be provisional."""
    refused: Sequence[RefusedConsent]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsentLine:
    """One entry of a person's ledger."""

    number: int
    category: str | None
    """Slug; None: everything."""
    change: Change
    how: How
    at: datetime
    recorded_at: datetime
    text: str
    language: str
    text_version: str
    evidence: Mapping[str, str]
    hash: bytes


class Consents(Protocol):
    """Writes and reads the ledger of an app."""

    async def record(self, app: AppId, rows: pl.DataFrame, now: datetime) -> RecordedConsents:
        """Write entries and the people's new state in one transaction.

        Args:
            app: the app.
            rows: columns of `CONSENT_COLUMNS`, applied in order of `at_us`.
            now: the present instant.
        """
        ...

    async def history(self, app: AppId, user: UserId) -> Sequence[ConsentLine]:
        """All entries of one person, oldest first."""
        ...

    async def verify(self, app: AppId) -> Verified:
        """Walk the app's chain, page by page."""
        ...

    async def drifted(self, app: AppId, *, limit: int) -> Sequence[UserId]:
        """People whose state is not what their entries come to."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptPlace:
    """Where a device stands in the funnel."""

    state: PromptState
    permission: Permission
    permission_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptStep:
    """Something that happened, and which text the person was shown (empty: it has no name)."""

    what: PromptInput
    at: datetime
    version: str = ""
    key: str | None = None
    """A UUID made for this step alone, by which it is known when a device tells it again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptCount:
    """How often something happened, and on how many devices."""

    what: PromptInput
    times: int
    devices: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DayCount:
    """How often something happened on a day to those who were shown one text."""

    key: tuple[date, str, str]
    """The day (UTC); the device's language, empty where it has none, and of visitors; the text."""
    what: PromptInput
    times: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Funnel:
    """What happened between two instants.

    Attributes:
        steps: every kind of step; `times` with those of visitors, who have no device.
        versions: (text, step) -> times; the most frequent 500.
        days: the same times for each day, the earliest first; the most frequent `MOST_COUNTS`.
        cut: there were more of these.
        permissions: how many living devices have which permission now.
    """

    steps: Sequence[PromptCount]
    versions: Mapping[tuple[str, PromptInput], int]
    days: Sequence[DayCount]
    cut: bool
    permissions: Mapping[Permission, int]


MOST_COUNTS: Final = 10_000
"""Counts by day, language and text that are told at once."""
VISITORS_KEPT: Final = timedelta(days=400)
"""Steps without a device are counted for so long; those of a device live as long as it does."""


class Permissions(Protocol):
    """What devices' owners let the system show, and how they were asked."""

    async def place(self, app: AppId, device: DeviceId) -> PromptPlace | None:
        """Where a device stands; None when the app has no such device."""
        ...

    async def step(
        self, app: AppId, device: DeviceId, step: PromptStep, now: datetime
    ) -> PromptPlace | None:
        """Take a step through the table of `domain.permission`; None: no such device.

        A step whose key is known was taken before: nothing happens.

        Raises:
            PromptRefusedError: the table has no such step.
        """
        ...

    async def report(
        self, app: AppId, device: DeviceId, permission: Permission, now: datetime
    ) -> PromptPlace | None:
        """Store what the system says; None: no such device."""
        ...

    async def visitors(self, app: AppId, steps: Mapping[str, PromptStep], now: datetime) -> None:
        """Count steps of people who have no device, each id once; nothing ties one to another.

        What is older than `VISITORS_KEPT` is forgotten on the way.
        """
        ...

    async def funnel(self, app: AppId, since: datetime, until: datetime) -> Funnel:
        """What happened between two instants."""
        ...


class PromptRefusedError(Exception):
    """The device's state does not allow that step."""

    def __init__(self, state: PromptState, what: PromptInput) -> None:
        super().__init__(f"{what.value} does not follow {state.value}")
        self.state = state
        self.what = what
