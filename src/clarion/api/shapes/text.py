"""Kinds of text and numbers that requests are made of, with their limits.

The patterns are read by Python and by ECMAScript alike: a look-ahead instead of `$`, which Python
lets match before a final line feed.
"""

from datetime import datetime
from typing import Annotated, Final

import msgspec

NO_CONTROL: Final = r"^(?![\s\S]*[\u0000-\u001f\u007f])"
NO_CONTROL_BUT_LINES: Final = r"^(?![\s\S]*[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f])"

MAX_ID: Final = 2**53 - 1

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=NO_CONTROL)]
"""An id, a label, a title of a key: one line."""
Line = Annotated[str, msgspec.Meta(max_length=1_000, pattern=NO_CONTROL)]
"""A title or subtitle."""
Text = Annotated[str, msgspec.Meta(max_length=10_000, pattern=NO_CONTROL_BUT_LINES)]
"""Text with line breaks and tabs."""
Link = Annotated[str, msgspec.Meta(min_length=1, max_length=4_096, pattern=NO_CONTROL)]
"""A URL or a deep link."""
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=4_096, pattern=r"^(?![\s\S]*[^!-~])")]
"""A device token or a push endpoint: visible ASCII."""
UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\s\S])"
"""A UUID in lower case (RFC 9562 section 4)."""
Id = Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]
"""The number of a person, a device or an app."""
Pem = Annotated[str, msgspec.Meta(max_length=32_768, pattern=NO_CONTROL_BUT_LINES)]
"""A key, a certificate, a service account, or one of their identifiers."""
IdentityToken = Annotated[str, msgspec.Meta(min_length=1, max_length=8_192)]
"""A JWT by the app's own server."""
Count = Annotated[int, msgspec.Meta(ge=0)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 with an offset; see `clarion.api.decoding.utc` for the range."""
