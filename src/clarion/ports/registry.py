"""Apps, people and devices in the state store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from clarion.domain.attributes import Attributes
from clarion.domain.conditions import Row
from clarion.domain.device import DeviceChange, DeviceState
from clarion.domain.handoffs import Int64s
from clarion.domain.ids import AppId, DeviceId, UserId
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.permission import Permission
from clarion.domain.person import PersonChange


@dataclass(frozen=True, kw_only=True, slots=True)
class ByExternalId:
    """The person whom the app calls so."""

    external_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ByAlias:
    """The person who has this alias."""

    label: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ById:
    """The person of this id (the only name that an anonymous person has)."""

    id: UserId


PersonRef = ByExternalId | ByAlias | ById


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonRecord:
    """A person as stored."""

    id: UserId
    app: AppId
    external_id: str | None
    """None: anonymous."""
    aliases: Sequence[tuple[str, str]]
    """(label, value) pairs in order of the label."""
    attributes: Attributes
    language: str | None
    time_zone: str | None
    country: str | None
    opted_out: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceRecord:
    """A device as stored."""

    id: DeviceId
    app: AppId
    user: UserId
    network: Network
    token: str
    environment: int
    """`Environment` of APNs tokens, `TokenKind` of FCM tokens, 0 elsewhere."""
    state: DeviceState
    state_reason: Reason
    """Why it is dead; `ACCEPTED` (0) while it lives."""
    opted_out: bool
    platform: str | None
    os: str | None
    os_version: str | None
    model: str | None
    app_version: str | None
    language: str | None
    time_zone: str | None
    country: str | None
    latitude: float | None
    longitude: float | None
    attributes: Attributes
    permission: Permission
    permission_at: datetime | None
    last_active_at: datetime | None
    registered_at: datetime
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Registered:
    """What became of the rows of one registration, in their order; columns of equal length."""

    device: Int64s
    """0 where the row had no token (it only described a person), or was refused."""
    user: Int64s
    """0 where the row was refused."""
    created: Sequence[bool]
    """The device was not known before."""
    attributes_refused: Sequence[int]
    """Rows whose attributes, together with those already known, would pass the limits: all else
    of the row was stored, its attributes were not."""
    user_unknown: Sequence[int]
    """Rows that name a user id that the app does not have: nothing of them was stored."""
    aliases_taken: Sequence[int]
    """Rows that name an alias which another person has: all else of the row was stored."""
    merges_refused: Sequence[int]
    """Rows whose device was an anonymous person's who is not merged, because the named person has
    absorbed `MERGES_A_DAY` others within a day, or would have too many devices: the row was stored,
    the device moved alone."""
    devices_refused: Sequence[int]
    """Rows that would give somebody more devices than one may have: nothing of them was stored."""
    xid: int
    """Transaction that stored the rows."""


class People(Protocol):
    """Users of one app: identified by external id, by aliases, or anonymous."""

    async def get(self, app: AppId, ref: PersonRef) -> PersonRecord | None:
        """The person, or None."""
        ...

    async def page(self, app: AppId, *, after: UserId | None, limit: int) -> Sequence[PersonRecord]:
        """In order of the id, those after `after`."""
        ...

    async def put(
        self, app: AppId, external_id: str, change: PersonChange, now: datetime
    ) -> tuple[PersonRecord, bool]:
        """Create or change the identified person; True when created.

        Raises `AttributesRefusedError`, `AliasTakenError`.
        """
        ...

    async def create_anonymous(
        self, app: AppId, change: PersonChange, now: datetime
    ) -> PersonRecord:
        """A new person without an external id. Raises `AliasTakenError`."""
        ...

    async def change(
        self, app: AppId, ref: PersonRef, change: PersonChange, now: datetime
    ) -> PersonRecord | None:
        """Change a known person; None when there is none.

        Raises `AttributesRefusedError`, `AliasTakenError`.
        """
        ...

    async def login(
        self, app: AppId, anonymous: UserId, external_id: str, now: datetime
    ) -> PersonRecord | None:
        """The anonymous person turns out to be `external_id`.

        Gives the anonymous person that external id when nobody has it; else moves devices,
        aliases and attributes to the person who has it (what that one knows wins) and removes the
        anonymous one. None when there is no such anonymous person; calling it again after a login
        that succeeded finds none.

        Raises `MergeLimitError`, `DevicesLimitError`.
        """
        ...

    async def numbers(self, app: AppId, user: UserId) -> Sequence[UserId]:
        """All numbers under which a person was known, their own last."""
        ...

    async def delete(self, app: AppId, ref: PersonRef) -> UserId | None:
        """Remove the person with all devices and aliases, and leave removal marks.

        The id of whom it removed, or None.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewed:
    """The address that a device has instead of its old one."""

    token: str
    keys: bytes | None
    """Web Push: 65 + 16 octets; None: as they were."""


class Devices(Protocol):
    """Devices by (network, token)."""

    async def register(
        self, app: AppId, rows: pl.DataFrame | Sequence[Row], now: datetime, *, refresh: bool = True
    ) -> Registered:
        """Create, change, move and resurrect devices and the people they belong to.

        `rows` has the columns of `clarion.domain.registration.COLUMNS` and was checked by
        `clarion.domain.registration.check`; a few rows may come one by one, each checked by
        `clarion.domain.registration_row.check_row`, with absent cells for null. A null
        keeps what is known; attributes are merged, a null attribute is removed. The number of
        statements does not depend on the number of rows. Of two rows of the same device (or
        person) the last wins. Committed when it returns.

        An anonymous person whose device registers with an external id turns out to be that person,
        as by `People.login`.

        A living device of which nothing new is said counts as registered at `now` too, because the
        app on it spoke; with `refresh` false (a file spoke) it is left as it is.
        """
        ...

    async def get(self, app: AppId, device: DeviceId) -> DeviceRecord | None:
        """The device, or None."""
        ...

    async def find(self, app: AppId, network: Network, token: str) -> DeviceRecord | None:
        """The device of that token, or None."""
        ...

    async def of_person(self, app: AppId, user: UserId) -> Sequence[DeviceRecord]:
        """All devices of a person in order of their id, dead ones included."""
        ...

    async def page(
        self, app: AppId, *, after: DeviceId | None, limit: int
    ) -> Sequence[DeviceRecord]:
        """In order of the id, those after `after`."""
        ...

    async def change(
        self, app: AppId, device: DeviceId, change: DeviceChange, now: datetime
    ) -> DeviceRecord | None:
        """Change what is known of a device; None when there is none.

        Raises `AttributesRefusedError`, `PersonUnknownError`, `DevicesLimitError`.
        """
        ...

    async def renew(
        self, app: AppId, network: Network, old: str, renewed: Renewed, now: datetime
    ) -> None:
        """The device of the token `old` has another one now, and is the same device all the same.

        It keeps its id, its person and all that is known of it, and lives again. Where another
        device has the new token already, the one of the old token is forgotten. Nothing happens
        where nobody has the old one.
        """
        ...

    async def delete(self, app: AppId, device: DeviceId) -> bool:
        """Forget the device for good, and leave a removal mark; whether there was one."""
        ...


class RegistryError(Exception):
    """The registry refuses; the sentence says why."""


class AliasTakenError(RegistryError):
    """Another person of the app has that alias."""

    def __init__(self, label: str, value: str) -> None:
        super().__init__(f"another person has the alias {label!r} with that value")
        self.label = label
        self.value = value


class AttributesRefusedError(RegistryError):
    """Together with the attributes already known these would pass the limits."""


class PersonUnknownError(RegistryError):
    """The app has no such person."""


class DevicesLimitError(RegistryError):
    """The person would have more devices than one may."""

    def __init__(self) -> None:
        super().__init__("the user has as many devices as one may have (api.devices_per_user)")


class MergeLimitError(RegistryError):
    """The person has absorbed `MERGES_A_DAY` anonymous people within a day."""

    def __init__(self, retry_at: datetime) -> None:
        super().__init__("the person has logged in on too many devices within a day")
        self.retry_at = retry_at
