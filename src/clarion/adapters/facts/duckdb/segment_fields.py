"""Where the fields of a segment lie in DuckDB's tables, and how constants are bound."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

from sqlglot import exp

from clarion.domain.segments.fields import Field, Kind, Scope

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Source(Enum):
    """Whose columns a field means; the value is the alias of devices there."""

    ROW = "d"
    OTHER = "x"
    """A device in the subquery of `any device(…)`."""
    EVENT = "e"


@dataclass(slots=True)
class Bind:
    """Takes constants, gives the parameters that stand for them."""

    parameters: dict[str, int | float | bool | str] = field(default_factory=dict)
    known: dict[tuple[type, object], str] = field(default_factory=dict)
    prefix: str = "c"

    def __call__(self, value: float | str | bool) -> exp.Parameter:  # noqa: FBT001  # a constant
        """The same parameter for the same constant, so that equal expressions stay equal."""
        name = self.known.setdefault((type(value), value), f"{self.prefix}{len(self.parameters)}")
        self.parameters[name] = value
        return exp.Parameter(this=exp.var(name))


_USER: Final[Mapping[str, str]] = {
    "external_id": "external_id",
    "opted_out": "opted_out",
    "created": "created_at",
    "language": "language",
    "time_zone": "time_zone",
    "country": "country",
}
_DEVICE: Final[Mapping[str, str]] = {
    "network": "network",
    "platform": "platform",
    "permission": "permission",
    "os": "os",
    "os_version": "os_version",
    "model": "model",
    "app_version": "app_version",
    "registered": "registered_us",
    "last_active": "last_active_at",
    "opted_out": "opted_out",
    "language": "language",
    "time_zone": "time_zone",
    "country": "country",
}


def column(field: Field, source: Source) -> exp.Expr:
    """The column of a field; times come in microseconds since 1970."""
    name = field.name.removeprefix("user.").removeprefix("device.")
    if field.scope is Scope.USER:
        found: exp.Expr = exp.column(_USER[name], "u")
    elif field.scope is Scope.ROW:
        of_device = exp.column(_DEVICE[name], source.value)
        found = exp.Coalesce(this=of_device, expressions=[exp.column(_USER[name], "u")])
    else:
        found = exp.column(_DEVICE[name], source.value)
    if field.kind is Kind.TIME and name != "registered":
        return exp.Anonymous(this="epoch_us", expressions=[found])
    return found


def variant_of(field: Field, source: Source, bind: Bind) -> exp.Expr:
    """The value of an attribute or property, a VARIANT; null where there is none."""
    if field.scope is Scope.PROPERTY:
        held = exp.column("properties", "e")
    elif field.scope is Scope.USER:
        held = exp.column("attributes", "u")
    else:
        held = exp.column("attributes", source.value)
    return exp.Anonymous(this="variant_extract", expressions=[held, bind(field.attribute)])


def instant(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
