"""The feed's SQL, as PostgreSQL runs it: named statements of `feed.sql`."""

import re
from importlib.resources import files
from typing import Final

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_TEXT = files("clarion.adapters.facts.duckdb").joinpath("feed.sql").read_text("utf-8")
_PIECES = _NAME.split(_TEXT)[1:]

FEED: Final = {name: body.strip() for name, body in zip(_PIECES[::2], _PIECES[1::2], strict=True)}
