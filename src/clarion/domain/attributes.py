"""What apps know about people and devices: attribute values, their limits, and what is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

AttributeValue = str | int | float | bool | datetime | tuple[str | int | float | bool, ...]
"""One attribute: text, number, truth, an aware instant, or a list of plain values."""

Attributes = Mapping[str, AttributeValue]

AttributeChanges = Mapping[str, AttributeValue | None]
"""What to write over known attributes; None removes one (RFC 7396)."""

MAX_ATTRIBUTES: Final = 100
MAX_NAME_OCTETS: Final = 128
MAX_VALUE_OCTETS: Final = 1024
"""Of one value as JSON in UTF-8."""
MAX_TOTAL_OCTETS: Final = 16 * 1024
"""Of all attributes of one person or device as JSON in UTF-8."""
MAX_TEXT_OCTETS: Final = 256
"""Of a metadata text: model, OS version, alias, external id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldProblem:
    """Why a field is refused."""

    path: str
    """JSON pointer (RFC 6901) into the object that was given, e.g. `/attributes/plan`."""
    code: str
    """One of `clarion.domain.attributes.CODES`."""
    detail: str
    """A sentence that says what to do."""


CODES: Final = frozenset(
    {
        "field_missing",
        "field_unknown",
        "type_invalid",
        "text_invalid",
        "text_too_long",
        "number_invalid",
        "time_invalid",
        "token_invalid",
        "keys_invalid",
        "endpoint_forbidden",
        "network_unknown",
        "environment_invalid",
        "platform_unknown",
        "language_invalid",
        "time_zone_unknown",
        "country_unknown",
        "location_invalid",
        "attributes_too_many",
        "attribute_too_large",
        "attributes_too_large",
        "user_unknown",
        "row_malformed",
    }
)
