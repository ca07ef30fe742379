"""Kinds of text and numbers that requests are made of, with their limits.

The patterns are read by Python and by ECMAScript alike: a look-ahead instead of `$`, which Python
lets match before a final line feed.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final

import msgspec

NO_CONTROL: Final = r"^(?![\s\S]*[\u0000-\u001f\u007f])"
NO_CONTROL_BUT_LINES: Final = r"^(?![\s\S]*[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f])"
VISIBLE: Final = r"^(?![\s\S]*[^!-~])"
PRINTABLE: Final = r"^(?![\s\S]*[^ -~])"
UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\s\S])"
"""A UUID in lower case (RFC 9562 section 4)."""
SLUG: Final = r"^[a-z0-9](?![\s\S]*[^a-z0-9_-])"
TEMPLATE_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(?![\s\S])"
LANGUAGE_TAG: Final = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*(?![\s\S])"
DAY: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?![\s\S])"
TIME_OF_DAY: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9](?![\s\S])"
TIME_OF_DAY_TO_SECONDS: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?(?![\s\S])"

REFUSALS: Final[Mapping[str, str]] = {
    NO_CONTROL: "Control characters are not allowed, line breaks and tabs among them",
    NO_CONTROL_BUT_LINES: "Control characters other than line breaks and tabs are not allowed",
    VISIBLE: "Visible ASCII characters only",
    PRINTABLE: "Printable ASCII characters only",
    UUID: "Not a UUID in lower case",
    SLUG: "Lower-case letters, digits, `-` and `_` only, the first a letter or a digit",
    TEMPLATE_NAME: "Letters, digits, `_`, `.` and `-` only, the first a letter or a digit",
    LANGUAGE_TAG: "Not a language tag (BCP 47) such as pt-BR",
    DAY: "Not a day such as 2026-11-23",
    TIME_OF_DAY: "Not a time of day such as 22:00",
    TIME_OF_DAY_TO_SECONDS: "Not a time of day such as 22:00 or 22:00:30",
}
"""What is said to who sent a text that a pattern does not match: a pattern is no explanation."""

MAX_ID: Final = 2**53 - 1

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=NO_CONTROL)]
"""An id, a label, a title of a key: one line."""
Line = Annotated[str, msgspec.Meta(max_length=1_000, pattern=NO_CONTROL)]
"""A title or subtitle."""
Text = Annotated[str, msgspec.Meta(max_length=10_000, pattern=NO_CONTROL_BUT_LINES)]
"""Text with line breaks and tabs."""
Link = Annotated[str, msgspec.Meta(min_length=1, max_length=4_096, pattern=NO_CONTROL)]
"""A URL or a deep link."""
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=4_096, pattern=VISIBLE)]
"""A device token or a push endpoint: visible ASCII."""
Id = Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]
"""The number of a person, a device or an app."""
Pem = Annotated[str, msgspec.Meta(max_length=32_768, pattern=NO_CONTROL_BUT_LINES)]
"""A key, a certificate, a service account, or one of their identifiers."""
IdentityToken = Annotated[str, msgspec.Meta(min_length=1, max_length=8_192)]
"""A JWT by the app's own server."""
Count = Annotated[int, msgspec.Meta(ge=0)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 with an offset; see `clarion.api.decoding.utc` for the range."""
