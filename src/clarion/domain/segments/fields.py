"""The fields that a segment may ask about, their kinds, and the words that each kind knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from clarion.domain.attributes import MAX_NAME_OCTETS
from clarion.domain.device import Platform
from clarion.domain.network import Network
from clarion.domain.segments.problems import SegmentFault

PERMISSIONS: Final = ("unknown", "not_asked", "denied", "provisional", "granted", "blocked")
"""Names of a device's permission states; a state's stored number is its place here."""


class Scope(StrEnum):
    """What a field is a fact of."""

    ROW = "row"
    """The device where it says so, else the person."""
    USER = "user"
    DEVICE = "device"
    PROPERTY = "property"
    """Of a custom event."""


class Kind(StrEnum):
    """What values a field has, and so how it compares."""

    TEXT = "text"
    LANGUAGE = "language"
    """A tag of RFC 5646; `en` means every tag that begins with it (RFC 4647 section 3.3.1)."""
    COUNTRY = "country"
    CHOICE = "choice"
    VERSION = "version"
    TIME = "time"
    TRUTH = "truth"
    ANY = "any"
    """An attribute: each value has its own type."""


@dataclass(frozen=True, slots=True)
class Field:
    """Something that is known of a person, a device or an event."""

    name: str
    """How both spellings write it, e.g. `country`, `device.country`, `tag.plan`, `total`."""
    scope: Scope
    kind: Kind
    attribute: str = ""
    """For kind ANY: the name of the attribute or property."""
    choices: tuple[str, ...] = ()
    """For kind CHOICE: the values there are."""


def _fixed() -> Mapping[str, Field]:
    user, device, row = Scope.USER, Scope.DEVICE, Scope.ROW
    fields = [
        Field("external_id", user, Kind.TEXT),
        Field("created", user, Kind.TIME),
        Field("opted_out", user, Kind.TRUTH),
        Field("network", device, Kind.CHOICE, choices=tuple(n.label for n in Network)),
        Field("platform", device, Kind.CHOICE, choices=tuple(p.value for p in Platform)),
        Field("permission", device, Kind.CHOICE, choices=PERMISSIONS),
        Field("os", device, Kind.TEXT),
        Field("os_version", device, Kind.VERSION),
        Field("model", device, Kind.TEXT),
        Field("app_version", device, Kind.VERSION),
        Field("registered", device, Kind.TIME),
        Field("last_active", device, Kind.TIME),
        Field("device.opted_out", device, Kind.TRUTH),
    ]
    kinds = {"language": Kind.LANGUAGE, "time_zone": Kind.TEXT, "country": Kind.COUNTRY}
    for name, kind in kinds.items():
        fields.append(Field(name, row, kind))
        fields.append(Field(f"user.{name}", user, kind))
        fields.append(Field(f"device.{name}", device, kind))
    return MappingProxyType({field.name: field for field in fields})


FIELDS: Final = _fixed()
"""All fields but attributes and properties, by name."""

USER_TAG: Final = "tag."
DEVICE_TAG: Final = "device.tag."


def field_named(name: str) -> Field:
    """The field of a name. `user.` and `device.` may stand before what only one of them has.

    Raises:
        SegmentFault: there is none; with the most similar name.
    """
    for prefix, scope in ((USER_TAG, Scope.USER), (DEVICE_TAG, Scope.DEVICE)):
        if name.startswith(prefix):
            return _attribute(name, name.removeprefix(prefix), scope)
    if name.startswith("user.tag."):
        return field_named(name.removeprefix("user."))
    if name in FIELDS:
        return FIELDS[name]
    owner, _, rest = name.partition(".")
    found = FIELDS.get(rest)
    if found is not None and found.scope.value == owner:
        return found
    raise SegmentFault(
        f"there is no field {name!r}; an attribute of a person is written tag.NAME, one of a "
        "device device.tag.NAME",
        part="field",
        expected="a field",
        suggestion=_nearest_field(name),
    )


def property_named(name: str) -> Field:
    """The property of an event."""
    return _attribute(name, name, Scope.PROPERTY)


def _attribute(name: str, attribute: str, scope: Scope) -> Field:
    if not 0 < len(attribute.encode("utf-8", "surrogatepass")) <= MAX_NAME_OCTETS:
        raise SegmentFault(
            f"an attribute's name has 1 to {MAX_NAME_OCTETS} octets of UTF-8",
            part="field",
            expected="the name of an attribute",
        )
    return Field(name, scope, Kind.ANY, attribute=attribute)


def _nearest_field(name: str) -> str | None:
    near = nearest(name, list(FIELDS))
    if near is not None:
        return near
    simple = name.isidentifier() and name.lower() == name
    return f"tag.{name}" if simple else None


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word that was most likely meant."""
    lowered = {one.lower(): one for one in known}
    close = get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[close[0]] if close else None
