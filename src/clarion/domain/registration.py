"""What registrations must look like: columns, the rules of every field, and what breaks them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from clarion.domain.attributes import (
    NESTED,
    PLAIN_OBJECT,
    PLAIN_OCTETS,
    FieldProblem,
    canonical_times,
    check_aliases,
    check_attributes,
)
from clarion.domain.geography import canonical_language
from clarion.domain.network import Network
from clarion.domain.permission import Permission
from clarion.domain.registration_rules import (
    ENVIRONMENTS,
    Rule,
    clock_rule,
    presence_rules,
    rules_of_fields,
)

INSTANT: Final = pl.Datetime("us", "UTC")

RAW_COLUMNS: Final[Mapping[str, pl.DataType]] = {
    "external_id": pl.String(),
    "user": pl.Int64(),
    "network": pl.String(),
    "token": pl.String(),
    "p256dh": pl.String(),
    "auth": pl.String(),
    "environment": pl.String(),
    "opted_out": pl.Boolean(),
    "platform": pl.String(),
    "os": pl.String(),
    "os_version": pl.String(),
    "model": pl.String(),
    "app_version": pl.String(),
    "language": pl.String(),
    "time_zone": pl.String(),
    "country": pl.String(),
    "latitude": pl.Float64(),
    "longitude": pl.Float64(),
    "attributes": pl.String(),
    "last_active_at": INSTANT,
    "permission": pl.String(),
    "user_opted_out": pl.Boolean(),
    "user_language": pl.String(),
    "user_time_zone": pl.String(),
    "user_country": pl.String(),
    "user_attributes": pl.String(),
    "aliases": pl.String(),
}
"""What registrations say, one row a device (or a person, where `token` is null).

`network`, `environment`, `platform` and `permission` are the API's words; `attributes` are JSON
objects as text; `user` is the id of a known person, `external_id` creates one when unknown; with
neither, a known device keeps its person and a new one gets an anonymous person. `user_*` describe
the person, and so do `aliases`: a JSON object as text, label -> value, where null takes the alias
away.
"""

COLUMNS: Final[Mapping[str, pl.DataType]] = {
    **{name: kind for name, kind in RAW_COLUMNS.items() if name not in {"p256dh", "auth"}},
    "network": pl.Int16(),
    "environment": pl.Int16(),
    "permission": pl.Int16(),
    "keys": pl.Binary(),
}
"""The same after `check`: numbers for words, canonical forms, Web Push keys as 65 + 16 octets."""

POINTERS: Final[Mapping[str, str]] = {
    "p256dh": "/keys/p256dh",
    "auth": "/keys/auth",
    "user_opted_out": "/user/opted_out",
    "user_language": "/user/language",
    "user_time_zone": "/user/time_zone",
    "user_country": "/user/country",
    "user_attributes": "/user/attributes",
}
"""Where a column stands in a JSON registration, unless that is simply `/<column>`."""

OBJECTS: Final = {
    "attributes": check_attributes,
    "user_attributes": check_attributes,
    "aliases": check_aliases,
}
"""Columns that hold JSON objects, and who judges them."""
NETWORKS: Final = {network.label: network.value for network in Network}
PERMISSIONS: Final = {permission.label: permission.value for permission in Permission}
LOWERED: Final = ("network", "platform", "environment", "permission")
RAISED: Final = ("country", "user_country")
LANGUAGES: Final = ("language", "user_language")
"""Columns whose words are spelled in one way before they are judged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowProblem:
    """Why one row is refused."""

    row: int
    """Counted from 0 in the frame that was checked."""
    problem: FieldProblem


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """The rows that may be stored, and what is wrong with the others."""

    rows: pl.DataFrame
    """Columns of `COLUMNS` and `p256dh`, `auth` as given (Web Push keys are read by the stage)."""
    index: pl.Series
    """Where each of `rows` stood in the frame that was checked."""
    problems: Sequence[RowProblem]
    """In order of the row; a row may have several."""


def check(raw: pl.DataFrame, *, zones: frozenset[str], now: datetime) -> Checked:
    """Judge every field of every row at once; good rows come back in canonical form.

    Args:
        raw: columns of `RAW_COLUMNS`, in any order; columns that are absent count as null.
        zones: the names of the time zones that exist (IANA).
        now: the present instant.
    """
    given = raw.select(
        raw[name].cast(kind) if name in raw.columns else pl.lit(None, kind).alias(name)
        for name, kind in RAW_COLUMNS.items()
    )
    frame = _canonical(given)
    used = {column.name for column in frame if column.null_count() < frame.height}
    rules = [rule for rule in [*rules_of_fields(zones), clock_rule(now)] if rule.column in used]
    problems = [
        *broken(frame, [*rules, *presence_rules()], POINTERS),
        *_broken_objects(frame),
    ]
    problems.sort(key=lambda problem: problem.row)
    index = pl.int_range(frame.height, eager=True).alias("index")
    if problems:
        good = ~index.is_in(sorted({problem.row for problem in problems}))
        frame, index = frame.filter(good), index.filter(good)
    frame = frame.with_columns(timely(frame["attributes"]), timely(frame["user_attributes"]))
    return Checked(rows=_numbered(frame), index=index, problems=problems)


def timely(texts: pl.Series) -> pl.Series:
    """Checked texts of attributes, or of properties, with their times in RFC 3339."""
    rows = texts.str.contains(NESTED).fill_null(value=False).arg_true()
    if not len(rows):
        return texts
    given = texts.gather(rows)
    spelling = {text: canonical_times(text) for text in given.unique()}
    return texts.scatter(rows, given.replace(spelling))


def _canonical(frame: pl.DataFrame) -> pl.DataFrame:
    """One spelling for each value, before it is judged."""
    spelling: dict[str, str] = {}
    for column in frame.select(LANGUAGES):
        if column.null_count() < frame.height:
            spelling |= {tag: canonical_language(tag) for tag in column.drop_nulls().unique()}
    network = pl.col("network")
    return frame.with_columns(
        pl.col(LOWERED).str.to_lowercase(),
        pl.col(RAISED).str.to_uppercase(),
        *([pl.col(LANGUAGES).replace(spelling)] if spelling else []),
        # Apple's tokens are compared without regard to case.
        pl.when(network.str.to_lowercase() == Network.APNS.label)
        .then(pl.col("token").str.to_lowercase())
        .otherwise(pl.col("token"))
        .alias("token"),
    )


def broken(
    frame: pl.DataFrame, rules: Sequence[Rule], pointers: Mapping[str, str]
) -> list[RowProblem]:
    """Which rows break which rule; a rule about a null says nothing.

    Args:
        frame: the columns that the rules ask about.
        rules: what must not be true of any row.
        pointers: where a column stands in JSON, unless that is simply `/<column>`.
    """
    verdicts = frame.select(
        rule.broken.columns.fill_null(value=False).alias(str(number))
        for number, rule in enumerate(rules)
    )
    return [
        RowProblem(
            row=row,
            problem=FieldProblem(
                path=pointers.get(rule.column, f"/{rule.column}"),
                code=rule.code,
                detail=rule.detail,
            ),
        )
        for rule, verdict in zip(rules, verdicts, strict=True)
        if verdict.any()
        for row in verdict.arg_true().to_list()
    ]


def _broken_objects(frame: pl.DataFrame) -> list[RowProblem]:
    """What is wrong with the columns that hold JSON objects; each different text is read once."""
    found: list[RowProblem] = []
    for name, check_text in OBJECTS.items():
        texts = frame[name]
        if texts.null_count() == frame.height:
            continue
        doubtful = texts.is_not_null()
        if name != "aliases":
            doubtful &= ~(
                texts.str.contains(PLAIN_OBJECT) & (texts.str.len_bytes() <= PLAIN_OCTETS)
            )
        pointer = POINTERS.get(name, f"/{name}")
        rows = doubtful.arg_true()
        known: dict[str, Sequence[FieldProblem]] = {}
        for row, text in zip(rows, texts.gather(rows), strict=True):
            if text not in known:
                known[text] = check_text(text, pointer)
            found += [RowProblem(row=row, problem=problem) for problem in known[text]]
    return found


def _numbered(frame: pl.DataFrame) -> pl.DataFrame:
    """The API's words as the numbers that are stored."""
    worded = pl.concat_str(pl.col("network"), pl.col("environment"), separator=" ")
    environments = {f"{of.label} {word}": number for (of, word), number in ENVIRONMENTS.items()}
    return frame.with_columns(
        pl.col("network").replace_strict(NETWORKS, default=None, return_dtype=pl.Int16),
        worded.replace_strict(environments, default=0, return_dtype=pl.Int16).alias("environment"),
        pl.col("permission").replace_strict(PERMISSIONS, default=None, return_dtype=pl.Int16),
        pl.lit(None, pl.Binary).alias("keys"),
    )
