"""The life of a device, as a table of states, and what can be said about a device."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum, StrEnum
from typing import Final

from clarion.domain.attributes import AttributeChanges
from clarion.domain.ids import UserId


class DeviceState(IntEnum):
    """Whether a device can be reached. The number is stored."""

    ACTIVE = 1
    DEAD = 2
    """A tombstone: the network said that the token is no more."""


class DeviceInput(StrEnum):
    """What happens to a device."""

    REGISTER = "register"
    """The app on the device registered its token (again)."""
    DIE = "die"
    """The network said that the token is dead, and it was not registered since."""
    REPLACE = "replace"
    """The network named the token that replaces this one."""


DEVICE_TABLE: dict[tuple[DeviceState, DeviceInput], DeviceState] = {
    (DeviceState.ACTIVE, DeviceInput.REGISTER): DeviceState.ACTIVE,
    (DeviceState.ACTIVE, DeviceInput.DIE): DeviceState.DEAD,
    (DeviceState.ACTIVE, DeviceInput.REPLACE): DeviceState.ACTIVE,
    (DeviceState.DEAD, DeviceInput.REGISTER): DeviceState.ACTIVE,
}
"""What is absent is refused: the dead neither die again nor get a new token from a late answer."""


class Platform(StrEnum):
    """What kind of thing the device is."""

    PHONE = "phone"
    TABLET = "tablet"
    DESKTOP = "desktop"
    WEARABLE = "wearable"
    BROWSER = "browser"


class Keep(Enum):
    """The type of `KEEP`."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP
"""In a change: leave the field as it is (None would clear it)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceChange:
    """What to write over what is known of a device; `KEEP` keeps a field, None clears it."""

    user: UserId | Keep = KEEP
    attributes: AttributeChanges = field(default_factory=dict)
    opted_out: bool | Keep = KEEP
    platform: str | Keep | None = KEEP
    os: str | Keep | None = KEEP
    os_version: str | Keep | None = KEEP
    model: str | Keep | None = KEEP
    app_version: str | Keep | None = KEEP
    language: str | Keep | None = KEEP
    time_zone: str | Keep | None = KEEP
    country: str | Keep | None = KEEP
    latitude: float | Keep | None = KEEP
    longitude: float | Keep | None = KEEP
    last_active_at: datetime | Keep | None = KEEP
