"""Consents as files report them: columns, limits, one form for what the ledger keeps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from clarion.domain.attributes import MAX_TEXT_OCTETS, FieldProblem
from clarion.domain.client_address import truncated_address
from clarion.domain.conditions import (
    above,
    absent,
    among,
    below,
    holds,
    more_characters,
    number_given,
)
from clarion.domain.consent import How
from clarion.domain.consent_intake import Asked
from clarion.domain.naming import POINTERS, text_rules
from clarion.domain.registration import INSTANT, RowProblem, broken
from clarion.domain.registration_rules import Rule

RAW_COLUMNS: Final[Mapping[str, pl.DataType]] = {
    "external_id": pl.String(),
    "user": pl.Int64(),
    "category": pl.String(),
    "change": pl.String(),
    "at": INSTANT,
    "how": pl.String(),
    "text": pl.String(),
    "language": pl.String(),
    "text_version": pl.String(),
    "evidence": pl.String(),
}
"""What consents say, one row a consent. `evidence` is a JSON object of texts, as text."""

AHEAD: Final = timedelta(days=1)
"""How far somebody else's clock may run ahead of ours before its word is refused."""
EARLIEST: Final = datetime.fromisoformat("1900-01-01T00:00:00Z")
MAX_TEXT_CHARS: Final = 10_000
MAX_LINE_CHARS: Final = 1_000
MAX_EVIDENCE: Final = 16
_CONTROL: Final = r"[\x00-\x1f\x7f]"
_CONTROL_BUT_LINES: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_WAYS: Final = {how.label: int(how) for how in How}


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedConsents:
    """The consents that may be recorded, and what is wrong with the others."""

    rows: pl.DataFrame
    """Columns as `ports.consent.CONSENT_COLUMNS`."""
    index: pl.Series
    """Where each of `rows` stood in the frame that was checked."""
    problems: Sequence[RowProblem]
    """In order of the row; a row may have several."""


def check(raw: pl.DataFrame, now: datetime) -> CheckedConsents:
    """Judge every field of every row at once; good rows come back as the ledger takes them.

    A row without `at` happens now; one without `how` is an import.

    Args:
        raw: columns of `RAW_COLUMNS`, in any order; columns that are absent count as null.
        now: the present instant.
    """
    frame = raw.select(
        raw[name].cast(kind) if name in raw.columns else pl.lit(None, kind).alias(name)
        for name, kind in RAW_COLUMNS.items()
    ).with_columns(pl.col("change", "how").str.to_lowercase())
    evidence = {text: _evidence(text) for text in frame["evidence"].drop_nulls().unique().to_list()}
    wrong = {text: found for text, found in evidence.items() if isinstance(found, FieldProblem)}
    problems = broken(frame, _rules(now), POINTERS)
    if wrong:
        rows = frame["evidence"].is_in(list(wrong)).fill_null(value=False).arg_true()
        problems += [
            RowProblem(row=row, problem=wrong[text])
            for row, text in zip(rows.to_list(), frame["evidence"].gather(rows), strict=True)
        ]
    problems.sort(key=lambda problem: problem.row)
    index = pl.int_range(frame.height, eager=True).alias("index")
    if problems:
        good = ~index.is_in(sorted({problem.row for problem in problems}))
        frame, index = frame.filter(good), index.filter(good)
    kept = {text: found for text, found in evidence.items() if isinstance(found, str)}
    return CheckedConsents(rows=_finished(frame, kept, now), index=index, problems=problems)


def _finished(frame: pl.DataFrame, evidence: Mapping[str, str], now: datetime) -> pl.DataFrame:
    at_us = pl.col("at").dt.epoch("us")
    present = pl.lit(int(now.timestamp() * 1_000_000), pl.Int64)
    how = pl.col("how").replace_strict(_WAYS, default=None, return_dtype=pl.UInt8)
    return frame.select(
        "external_id",
        "user",
        "category",
        pl.col("change").alias("asked"),
        pl.min_horizontal(at_us.fill_null(present), present).alias("at_us"),
        how.fill_null(int(How.IMPORT)).cast(pl.UInt8).alias("how"),
        *(pl.col(name).fill_null("") for name in ("text", "language", "text_version")),
        pl.col("evidence")
        .replace_strict(evidence, default="{}", return_dtype=pl.String)
        .fill_null("{}"),
    )


def _rules(now: datetime) -> Sequence[Rule]:
    changes = [asked.value for asked in Asked]
    return [
        *text_rules("external_id", MAX_TEXT_OCTETS),
        Rule(
            "external_id",
            "field_missing",
            "name the person: external_id or user",
            number_given(("external_id", "user"), 0, 0),
        ),
        Rule(
            "user",
            "field_unknown",
            "give either external_id or user, not both",
            number_given(("external_id", "user"), 2, 2),
        ),
        Rule("user", "number_invalid", "the id is no number above 0", below("user", 1)),
        Rule("category", "field_missing", "name the category", absent("category")),
        *text_rules("category", MAX_TEXT_OCTETS),
        Rule("change", "field_missing", "say what changed", absent("change")),
        Rule("change", "value_unknown", f"one of {', '.join(changes)}", ~among("change", changes)),
        Rule("how", "value_unknown", f"one of {', '.join(_WAYS)}", ~among("how", _WAYS)),
        Rule(
            "at", "time_invalid", "the instant is more than a day ahead", above("at", now + AHEAD)
        ),
        Rule("at", "time_invalid", "the instant lies before 1900", below("at", EARLIEST)),
        *_lengths("text", MAX_TEXT_CHARS, _CONTROL_BUT_LINES),
        *_lengths("language", MAX_LINE_CHARS, _CONTROL),
        *_lengths("text_version", MAX_LINE_CHARS, _CONTROL),
    ]


def _lengths(name: str, most: int, control: str) -> Sequence[Rule]:
    return [
        Rule(name, "text_invalid", "the text holds a control character", holds(name, control)),
        Rule(
            name,
            "text_too_long",
            f"the text is longer than {most} characters",
            more_characters(name, most),
        ),
    ]


def _evidence(text: str) -> str | FieldProblem:
    """Evidence as it is kept, its address cut short; each different text is read once."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return _wrong("the evidence is no JSON")
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        return _wrong("evidence is a JSON object of texts")
    if len(found) > MAX_EVIDENCE or any(
        len(each) > MAX_LINE_CHARS or not each.isprintable() for each in (*found, *found.values())
    ):
        return _wrong(
            f"evidence is up to {MAX_EVIDENCE} texts of up to {MAX_LINE_CHARS} visible characters"
        )
    if "address" in found:
        try:
            found["address"] = truncated_address(found["address"])
        except ValueError:
            return FieldProblem(
                path="/evidence/address", code="address_invalid", detail="this is no IP address"
            )
    return json.dumps(found, ensure_ascii=False)


def _wrong(detail: str) -> FieldProblem:
    return FieldProblem(path="/evidence", code="type_invalid", detail=detail)
