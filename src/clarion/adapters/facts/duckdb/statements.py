"""The feed's SQL, as PostgreSQL runs it: named statements of `feed.sql`."""

from importlib.resources import files
from typing import Final

from clarion.adapters.state.statements import named

_TEXT = files("clarion.adapters.facts.duckdb").joinpath("feed.sql").read_text("utf-8")

FEED: Final = named(_TEXT, "feed")
