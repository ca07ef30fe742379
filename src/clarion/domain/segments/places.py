"""What may be asked where: of a row, of any device, of an event."""

from enum import Enum

from clarion.domain.segments.fields import FIELDS, Field, Scope, field_named, property_named
from clarion.domain.segments.problems import SegmentFault


class Inside(Enum):
    """What a condition is a condition on."""

    ROW = "a row"
    DEVICE = "any device(…)"
    PROPERTY = "where"

    @property
    def scope(self) -> Scope:
        """The widest scope of fields there."""
        return {
            Inside.ROW: Scope.ROW,
            Inside.DEVICE: Scope.DEVICE,
            Inside.PROPERTY: Scope.PROPERTY,
        }[self]


def field_inside(inside: Inside, name: str) -> Field:
    """The field of a name in that place.

    Raises:
        SegmentFault: there is none of the name, or it has no meaning there.
    """
    if inside is Inside.PROPERTY:
        return property_named(name)
    field = field_named(name)
    if inside is Inside.DEVICE and field.scope is not Scope.DEVICE:
        of_device = f"device.{name}"
        known = of_device in FIELDS or field.name.startswith("tag.")
        raise SegmentFault(
            f"any device(…) asks devices, and {field.name} is known of people",
            part="field",
            expected="a field of devices",
            suggestion=of_device if known else None,
        )
    return field


def refuse_inside(inside: Inside, what: str) -> None:
    """Refuse what is asked of people and rows.

    Raises:
        SegmentFault: inside `any device(…)` and `where`.
    """
    if inside is not Inside.ROW:
        raise SegmentFault(
            f"{what} can't be asked inside {inside.value}; ask it beside it",
            part="",
            expected="a condition on a field",
        )
