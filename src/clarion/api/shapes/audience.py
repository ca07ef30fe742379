"""Exports, as queries."""

from typing import Annotated, Literal

import msgspec


class ExportQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is exported, and what of them. Without `segment`, `list` and `topic`: everybody."""

    format: Literal["csv", "parquet"] = "csv"
    segment: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)] | None = None
    """The name of a segment, or an expression in its short text form."""
    list: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    topic: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    fields: Annotated[str, msgspec.Meta(max_length=4_000)] = ""
    """Fields besides `user` and `external_id`, with commas between, as segments name them:
    `language,country,tag.plan`."""
