"""Lists that the app keeps, and topics that people subscribe to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NewType, Protocol

import polars as pl

from clarion.domain.ids import AppId, UserId

ListId = NewType("ListId", int)


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRecord:
    """A list as stored."""

    id: ListId
    name: str
    description: str
    members: int
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicRecord:
    """A topic that somebody is subscribed to; it is there as long as anybody is."""

    name: str
    members: int


@dataclass(frozen=True, kw_only=True, slots=True)
class OnList:
    """The members of a list."""

    id: ListId


@dataclass(frozen=True, kw_only=True, slots=True)
class OnTopic:
    """The subscribers of a topic."""

    name: str


Circle = OnList | OnTopic


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicBounds:
    """What clients that anybody can read the key of may make."""

    topics: int
    """A topic that is new is made while the app has had fewer."""
    of_person: int
    """Topics that a person may have joined, those that they left included."""


class TooManyTopicsError(Exception):
    """The app, or the person, has all the topics that it may have; the sentence says which."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Members:
    """Who joins or leaves."""

    rows: pl.DataFrame
    """Columns of `clarion.domain.naming.NAMING`, by `clarion.domain.naming.check_names`."""
    join: bool
    """False: they leave."""
    create_people: bool = False
    """Whether an external id that nobody has becomes a person; only with `join`."""
    bounds: TopicBounds | None = None
    """How many topics there may be when people join one; None: any number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MembersChanged:
    """What became of the rows."""

    changed: int
    """People who were not what they are now."""
    unknown: Sequence[int]
    """Rows that name nobody whom the app knows."""


class Lists(Protocol):
    """Lists and topics of one app. The columns see a change within a second."""

    async def create(
        self, app: AppId, name: str, description: str, now: datetime
    ) -> tuple[ListRecord, bool]:
        """Make a list, or change what is said of it; True when it is new."""
        ...

    async def page(self, app: AppId, *, after: str, limit: int) -> Sequence[ListRecord]:
        """Lists in order of their names, behind a name."""
        ...

    async def get(self, app: AppId, name: str) -> ListRecord | None:
        """The list of that name."""
        ...

    async def delete(self, app: AppId, name: str) -> bool:
        """Remove a list; its people stay. Whether there was one."""
        ...

    async def change_members(
        self, app: AppId, circle: Circle, members: Members, now: datetime
    ) -> MembersChanged:
        """Let people join or leave in one unit of work; committed when it returns.

        Raises:
            TooManyTopicsError: more than `members.bounds` permits; nothing was changed.
            StoreUnavailableError: nothing was changed.
        """
        ...

    async def topics(self, app: AppId, *, after: str, limit: int) -> Sequence[TopicRecord]:
        """Topics in order of their names, behind a name."""
        ...

    async def topics_of(self, app: AppId, user: UserId, *, after: str, limit: int) -> Sequence[str]:
        """What a person is subscribed to, in order of the names, behind a name."""
        ...
