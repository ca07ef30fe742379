"""The ways in which a row names a person, and the rules of these names."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from clarion.domain.attributes import MAX_TEXT_OCTETS
from clarion.domain.conditions import among, holds, is_text, longer, number_given
from clarion.domain.network import Network
from clarion.domain.registration import RowProblem, broken
from clarion.domain.registration_rules import MAX_FCM_OCTETS, Rule

NAMING: Final[Mapping[str, pl.DataType]] = {
    "external_id": pl.String(),
    "alias_label": pl.String(),
    "alias_value": pl.String(),
    "user": pl.Int64(),
    "device": pl.Int64(),
    "network": pl.String(),
    "token": pl.String(),
}
"""A person is named in one way: by external id, by an alias, by id, by a device's id, or by a
device's network and token."""

POINTERS: Final[Mapping[str, str]] = {
    "alias_label": "/alias/label",
    "alias_value": "/alias/value",
}
"""Where a column stands in JSON, unless that is simply `/<column>`."""

_CONTROL: Final = r"[\x00-\x1f\x7f-\x9f]"


def canonical_names(frame: pl.DataFrame) -> pl.DataFrame:
    """One spelling for each network and token; Apple's tokens are compared without case."""
    network = pl.col("network").str.to_lowercase()
    apns = network == Network.APNS.label
    token = pl.when(apns).then(pl.col("token").str.to_lowercase()).otherwise(pl.col("token"))
    return frame.with_columns(network, token.alias("token"))


def numbered_networks(frame: pl.DataFrame) -> pl.DataFrame:
    """Networks as the numbers that are stored."""
    numbers = {network.label: network.value for network in Network}
    return frame.with_columns(
        pl.col("network").replace_strict(numbers, default=None, return_dtype=pl.Int16)
    )


def naming_rules() -> Sequence[Rule]:
    """The rules of how a person is named: in one way, and wholly."""
    ways = ("external_id", "alias_value", "user", "device", "token")
    texts = [
        rule
        for name in ("external_id", "alias_label", "alias_value")
        for rule in text_rules(name, MAX_TEXT_OCTETS)
    ]
    return [
        *texts,
        *text_rules("token", MAX_FCM_OCTETS),
        Rule(
            "external_id",
            "field_missing",
            "name the person: external_id, alias, user, device, or network and token",
            number_given(ways, 0, 0),
        ),
        Rule(
            "external_id",
            "field_unknown",
            "name the person in one way only",
            number_given(ways, 2, len(ways)),
        ),
        Rule(
            "alias_label",
            "field_missing",
            "an alias is a label and a value",
            number_given(("alias_label", "alias_value"), 1, 1),
        ),
        Rule(
            "network",
            "field_missing",
            "a device is named by its network and its token",
            number_given(("token", "network"), 1, 1),
        ),
        Rule(
            "network",
            "network_unknown",
            f"the network is none of {', '.join(n.label for n in Network)}",
            ~among("network", [n.label for n in Network]),
        ),
    ]


def text_rules(name: str, most: int) -> Sequence[Rule]:
    """The rules of a line of text of at most so many octets of UTF-8."""
    return [
        Rule(
            name,
            "text_invalid",
            "the text is empty or holds a control character",
            is_text(name, "") | holds(name, _CONTROL),
        ),
        Rule(
            name,
            "text_too_long",
            f"the text is longer than {most} octets of UTF-8",
            longer(name, most),
        ),
    ]


def check_names(raw: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series, Sequence[RowProblem]]:
    """Judge rows that do nothing but name people.

    Args:
        raw: columns of `NAMING`, in any order; columns that are absent count as null.

    Returns:
        The good rows, with networks as numbers; where each stood; and what is wrong with the
        others, in order of the row.
    """
    frame = canonical_names(
        raw.select(
            raw[name].cast(kind) if name in raw.columns else pl.lit(None, kind).alias(name)
            for name, kind in NAMING.items()
        )
    )
    problems = sorted(broken(frame, naming_rules(), POINTERS), key=lambda problem: problem.row)
    index = pl.int_range(frame.height, eager=True)
    if problems:
        good = ~index.is_in(sorted({problem.row for problem in problems}))
        frame, index = frame.filter(good), index.filter(good)
    return numbered_networks(frame), index, problems
