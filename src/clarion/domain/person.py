"""What can be said about a person (a user of the app that sends)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from clarion.domain.attributes import AttributeChanges
from clarion.domain.device import KEEP, Keep

MERGES_A_DAY: Final = 100
"""Anonymous people who may turn out to be one and the same person within 24 hours. Each leaves a
number by which that person is known for good; nobody has so many devices."""
DEVICES_PER_USER: Final = 1_000
"""Unless a setting says otherwise: a message to one person goes to all of their devices. More than
a household has, or the tablets of a shop that share an account; fewer than make a message slow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonChange:
    """What to write over what is known; `KEEP` leaves a field as it is, None clears it."""

    attributes: AttributeChanges = field(default_factory=dict)
    aliases: Mapping[str, str | None] = field(default_factory=dict)
    """Label -> value; None removes the alias of that label."""
    language: str | Keep | None = KEEP
    time_zone: str | Keep | None = KEEP
    country: str | Keep | None = KEEP
    opted_out: bool | Keep = KEEP
