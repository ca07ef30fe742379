"""A digest's words: how many messages were gathered for each person, and what they were called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from clarion.domain.content import Message
from clarion.domain.digest import gather
from clarion.domain.handoffs import merge_column
from clarion.domain.merge import cleaned, marker
from clarion.domain.network import Network
from clarion.ports.rendering import Moment, NetworkSizes, RenderedContent


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestWords:
    """Implements `ports.rendering.PreparedContent`: one title and one body a person."""

    message: Message
    items: pl.DataFrame
    """As `ports.digests.DigestDesk.items` gives them."""

    @property
    def fields(self) -> tuple[str, ...]:
        """See the port."""
        return ()

    @property
    def variants(self) -> Sequence[Message]:
        """See the port."""
        content = replace(self.message.content, title=marker(0), body=marker(1))
        return [replace(self.message, content=content)]

    @property
    def languages(self) -> Sequence[str]:
        """See the port."""
        return ()

    @property
    def refuses_missing(self) -> bool:
        """See the port."""
        return False

    def only(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows of people for whom something was gathered; their wish for digests is met."""
        there = rows["user"].is_in(self.items["user"].unique().implode())
        return rows.filter(there).with_columns(
            daily=pl.lit(0, rows.schema["daily"]), weekly=pl.lit(0, rows.schema["weekly"])
        )

    def render(self, rows: pl.DataFrame, moment: Moment) -> RenderedContent:
        """See the port."""
        del moment
        name = cleaned(self.message.content.title or "")
        told = gather(self.items).select(
            "user",
            pl.when(pl.col("count") == 1)
            .then(pl.col("latest"))
            .otherwise(pl.format("{} ({})", pl.lit(name), pl.col("count")))
            .alias(merge_column(0)),
            pl.col("titles").list.join("\n").alias(merge_column(1)),
        )
        none = np.zeros(len(rows), np.bool_)
        return RenderedContent(
            rows=rows.join(told, on="user", how="left", maintain_order="left").with_columns(
                pl.lit(0, pl.UInt16).alias("message"),
                pl.col(merge_column(0)).fill_null(name),
                pl.col(merge_column(1)).fill_null(""),
            ),
            missing=none,
            failed=none,
            missing_by={},
            failures={},
        )

    def sizes(self, rendered: RenderedContent, now: datetime) -> Mapping[Network, NetworkSizes]:
        """See the port: titles are short, and what is too long for one is told at dispatch."""
        del rendered, now
        return {}
