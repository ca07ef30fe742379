"""What people do, as apps report it: columns, limits, the names we keep for ourselves.

An event counts once by its id. A UUID of version 7 (RFC 9562 section 5.7) says itself when it was
made, and that UTC day is where the id is remembered; any other id is remembered under the day of
the event's instant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl

from clarion.domain.attributes import (
    MAX_TEXT_OCTETS,
    PLAIN_OBJECT,
    PLAIN_OCTETS,
    FieldProblem,
    check_attributes,
)
from clarion.domain.network import Network
from clarion.domain.registration import INSTANT, RowProblem
from clarion.domain.registration_rules import MAX_FCM_OCTETS
from clarion.domain.segments.expression import Signal

RESERVED: Final = "clarion."
"""Names that begin so are ours."""
ENGAGEMENTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        f"{RESERVED}received": int(Signal.RECEIVED),
        f"{RESERVED}opened": int(Signal.OPENED),
        f"{RESERVED}clicked": int(Signal.CLICKED),
        f"{RESERVED}dismissed": int(Signal.DISMISSED),
        f"{RESERVED}displayed": 5,
    }
)
"""What people did with a message, as the number that is stored: that of the signal which segments
ask about. They do not ask yet about what was displayed."""
OF_MESSAGES: Final = tuple(ENGAGEMENTS)
"""Reserved names that are about a message, and so name one."""

AHEAD: Final = timedelta(days=1)
"""How far a client's clock may run ahead; what lies in the future by less happens now."""
MAX_NAME_OCTETS: Final = 128

RAW_COLUMNS: Final[Mapping[str, pl.DataType]] = {
    "id": pl.String(),
    "external_id": pl.String(),
    "alias_label": pl.String(),
    "alias_value": pl.String(),
    "user": pl.Int64(),
    "device": pl.Int64(),
    "network": pl.String(),
    "token": pl.String(),
    "name": pl.String(),
    "at": INSTANT,
    "value": pl.Float64(),
    "properties": pl.String(),
    "message": pl.String(),
}
"""What events say, one row an event. The person is named in one way: by external id, by an alias,
by id, by a device's id, or by a device's network and token. `properties` is a JSON object as text.
"""

COLUMNS: Final[Mapping[str, pl.DataType]] = {
    **RAW_COLUMNS,
    "network": pl.Int16(),
    "at_us": pl.Int64(),
    "day": pl.Int32(),
}
"""The same after `check`: ids in lower case, networks as numbers, `at_us` in microseconds and `day`
in days since 1970; `at` as it was given."""

POINTERS: Final[Mapping[str, str]] = {
    "alias_label": "/alias/label",
    "alias_value": "/alias/value",
}

_UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_CONTROL: Final = r"[\x00-\x1f\x7f-\x{9f}]"
_DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRules:
    """What events are judged by besides their own limits."""

    now: datetime
    keep: timedelta
    """So long ids are remembered; an older event could not be told from one that came before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedEvents:
    """The events that may be recorded, and what is wrong with the others."""

    rows: pl.DataFrame
    """Columns of `COLUMNS`."""
    index: pl.Series
    """Where each of `rows` stood in the frame that was checked."""
    problems: Sequence[RowProblem]
    """In order of the row; a row may have several."""


@dataclass(frozen=True, slots=True)
class _Rule:
    column: str
    code: str
    detail: str
    broken: pl.Expr


def check(raw: pl.DataFrame, rules: EventRules) -> CheckedEvents:
    """Judge every field of every row at once; good rows come back in canonical form.

    Args:
        raw: columns of `RAW_COLUMNS`, in any order; columns that are absent count as null. No `id`
            is null: see `fresh_ids`.
        rules: the present instant, and how long ids are remembered.
    """
    frame = _canonical(raw, rules.now)
    problems = [*_broken(frame, _rules(rules)), *_broken_properties(frame["properties"])]
    problems.sort(key=lambda problem: problem.row)
    index = pl.int_range(frame.height, eager=True).alias("index")
    if problems:
        good = ~index.is_in(sorted({problem.row for problem in problems}))
        frame, index = frame.filter(good), index.filter(good)
    return CheckedEvents(rows=_finished(frame, rules.now), index=index, problems=problems)


def fresh_ids(count: int, now: datetime, randomness: bytes) -> list[str]:
    """UUIDs of version 7 for events that came without an id; a repeat of these is not recognised.

    Args:
        count: how many.
        now: the present instant, which they begin with.
        randomness: 10 random octets for each.
    """
    octets = np.empty((count, 16), np.uint8)
    milliseconds = int(now.timestamp() * 1000)
    octets[:, :6] = np.frombuffer(milliseconds.to_bytes(6, "big"), np.uint8)
    octets[:, 6:] = np.frombuffer(randomness, np.uint8).reshape(count, 10)
    octets[:, 6] = octets[:, 6] & 0x0F | 0x70
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    text = octets.tobytes().hex()
    return [
        f"{text[o : o + 8]}-{text[o + 8 : o + 12]}-{text[o + 12 : o + 16]}-"
        f"{text[o + 16 : o + 20]}-{text[o + 20 : o + 32]}"
        for o in range(0, 32 * count, 32)
    ]


def _canonical(raw: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """One spelling for each value, and the instant that an id of version 7 names."""
    frame = raw.select(
        raw[name].cast(kind) if name in raw.columns else pl.lit(None, kind).alias(name)
        for name, kind in RAW_COLUMNS.items()
    )
    apns = pl.col("network").str.to_lowercase() == Network.APNS.label
    frame = frame.with_columns(
        pl.col("id", "message", "network").str.to_lowercase(),
        pl.when(apns).then(pl.col("token").str.to_lowercase()).otherwise("token").alias("token"),
    )
    seventh = pl.col("id").str.contains(_UUID) & (pl.col("id").str.slice(14, 1) == "7")
    stamp = (pl.col("id").str.slice(0, 8) + pl.col("id").str.slice(9, 4)).str.to_integer(
        base=16, strict=False
    )
    frame = frame.with_columns(
        pl.when(seventh).then(stamp * 1000).cast(pl.Int64).alias("made_us"),
        pl.col("at").dt.epoch("us").alias("given_us"),
    )
    return frame.with_columns(
        pl.coalesce("given_us", "made_us", pl.lit(_us(now), pl.Int64)).alias("at_us")
    )


def _finished(frame: pl.DataFrame, now: datetime) -> pl.DataFrame:
    numbers = {network.label: network.value for network in Network}
    return frame.with_columns(
        pl.col("network").replace_strict(numbers, default=None, return_dtype=pl.Int16),
        (pl.coalesce("made_us", "at_us") // _DAY_US).cast(pl.Int32).alias("day"),
        # The day above is that of what was given: a repeat, judged later, has the same.
        pl.min_horizontal("at_us", pl.lit(_us(now), pl.Int64)).alias("at_us"),
    ).select(list(COLUMNS))


def _us(instant: datetime) -> int:
    return int(instant.timestamp() * 1_000_000)


def _rules(rules: EventRules) -> Sequence[_Rule]:
    return [
        *_rules_of_identity(),
        *_rules_of_people(),
        *_rules_of_content(),
        *_rules_of_time(rules),
    ]


def _rules_of_identity() -> Sequence[_Rule]:
    identity, name, message = pl.col("id"), pl.col("name"), pl.col("message")
    about_message = name.is_in(OF_MESSAGES)
    return [
        _Rule(
            "id",
            "id_invalid",
            "the id is no UUID, such as 0198c2f4-8c5e-7b51-9a77-1f6f2ad3c001",
            ~identity.str.contains(_UUID),
        ),
        _Rule("name", "field_missing", "an event has a name", name.is_null()),
        _Rule(
            "name",
            "name_reserved",
            f"names that begin with {RESERVED} are kept for {', '.join(OF_MESSAGES)}",
            name.str.starts_with(RESERVED) & ~about_message,
        ),
        _Rule(
            "message",
            "field_missing",
            "an event about a message names it",
            about_message & message.is_null(),
        ),
        _Rule(
            "message",
            "field_unknown",
            f"only {', '.join(OF_MESSAGES)} name a message; put it among the properties",
            message.is_not_null() & ~about_message,
        ),
        _Rule("message", "id_invalid", "the message's id is no UUID", ~message.str.contains(_UUID)),
    ]


def _rules_of_people() -> Sequence[_Rule]:
    label, value = pl.col("alias_label"), pl.col("alias_value")
    token, network = pl.col("token"), pl.col("network")
    ways = pl.sum_horizontal(
        pl.col(name).is_not_null().cast(pl.Int8)
        for name in ("external_id", "alias_value", "user", "device", "token")
    )
    texts = [
        rule
        for name in ("external_id", "alias_label", "alias_value")
        for rule in _text_rules(name, MAX_TEXT_OCTETS)
    ]
    return [
        *texts,
        *_text_rules("token", MAX_FCM_OCTETS),
        _Rule(
            "external_id",
            "field_missing",
            "an event is of a person: external_id, alias, user, device, or network and token",
            ways == 0,
        ),
        _Rule("external_id", "field_unknown", "name the person in one way only", ways > 1),
        _Rule(
            "alias_label",
            "field_missing",
            "an alias is a label and a value",
            label.is_null() != value.is_null(),
        ),
        _Rule(
            "network",
            "field_missing",
            "a device is named by its network and its token",
            token.is_null() != network.is_null(),
        ),
        _Rule(
            "network",
            "network_unknown",
            f"the network is none of {', '.join(n.label for n in Network)}",
            ~network.is_in([n.label for n in Network]),
        ),
    ]


def _rules_of_content() -> Sequence[_Rule]:
    return [
        *_text_rules("name", MAX_NAME_OCTETS),
        _Rule("value", "number_invalid", "the number is not finite", ~pl.col("value").is_finite()),
    ]


def _rules_of_time(rules: EventRules) -> Sequence[_Rule]:
    late, early = _us(rules.now + AHEAD), _us(rules.now - rules.keep)
    days = rules.keep.days
    return [
        _Rule("at", "time_invalid", "the instant is more than a day ahead", pl.col("at_us") > late),
        _Rule(
            "at",
            "event_too_old",
            f"the event is older than {days} days: nobody would know whether it came before",
            pl.col("at_us") < early,
        ),
        _Rule(
            "id",
            "id_invalid",
            f"the UUID of version 7 says that it was made more than {days} days ago, or more than "
            "a day from now",
            ~pl.col("made_us").is_between(early, late),
        ),
    ]


def _text_rules(name: str, most: int) -> Sequence[_Rule]:
    text = pl.col(name)
    return [
        _Rule(
            name,
            "text_invalid",
            "the text is empty or holds a control character",
            (text == "") | text.str.contains(_CONTROL),
        ),
        _Rule(
            name,
            "text_too_long",
            f"the text is longer than {most} octets of UTF-8",
            text.str.len_bytes() > most,
        ),
    ]


def _broken(frame: pl.DataFrame, rules: Sequence[_Rule]) -> list[RowProblem]:
    """Which rows break which rule; a rule about a null says nothing."""
    verdicts = frame.select(
        rule.broken.fill_null(value=False).alias(str(number)) for number, rule in enumerate(rules)
    )
    return [
        _problem(row, rule.column, rule.code, rule.detail)
        for rule, verdict in zip(rules, verdicts, strict=True)
        if verdict.any()
        for row in verdict.arg_true().to_list()
    ]


def _broken_properties(texts: pl.Series) -> list[RowProblem]:
    """Properties have the limits of attributes; each different text is read once."""
    if texts.null_count() == len(texts):
        return []
    plain = texts.str.contains(PLAIN_OBJECT) & (texts.str.len_bytes() <= PLAIN_OCTETS)
    rows = (texts.is_not_null() & ~plain).arg_true()
    known: dict[str, Sequence[FieldProblem]] = {}
    found: list[RowProblem] = []
    for row, text in zip(rows, texts.gather(rows), strict=True):
        if text not in known:
            known[text] = check_attributes(text, "/properties")
        found += [RowProblem(row=row, problem=problem) for problem in known[text]]
    return found


def _problem(row: int, column: str, code: str, detail: str) -> RowProblem:
    path = POINTERS.get(column, f"/{column}")
    return RowProblem(row=row, problem=FieldProblem(path=path, code=code, detail=detail))
