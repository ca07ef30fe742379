"""What people do, as apps report it: columns, limits, the names we keep for ourselves.

An event counts once by its id. A UUID of version 7 (RFC 9562 section 5.7) says itself when it was
made, and that UTC day is where the id is remembered; any other id is remembered under the day of
the event's instant.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from types import MappingProxyType
from typing import Final
from uuid import UUID

import numpy as np
import polars as pl

from clarion.domain.attributes import (
    PLAIN_OBJECT,
    PLAIN_OCTETS,
    FieldProblem,
    check_attributes,
)
from clarion.domain.conditions import (
    above,
    absent,
    among,
    begins,
    below,
    between,
    finite,
    given,
    whole,
)
from clarion.domain.naming import (
    NAMING,
    POINTERS,
    canonical_names,
    naming_rules,
    numbered_networks,
    text_rules,
)
from clarion.domain.registration import INSTANT, RowProblem, broken, timely
from clarion.domain.registration_rules import Rule
from clarion.domain.segments.expression import Signal

RESERVED: Final = "clarion."
"""Names that begin so are ours."""
RECEIVED: Final = f"{RESERVED}received"
UNDELIVERED: Final = f"{RESERVED}undelivered"
"""What only a network can tell: the device will never get the message."""
OF_MESSAGES: Final = (
    RECEIVED,
    f"{RESERVED}opened",
    f"{RESERVED}clicked",
    f"{RESERVED}dismissed",
    f"{RESERVED}displayed",
)
"""Reserved names that are about a message, and so name one."""
ENGAGEMENTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        RECEIVED: int(Signal.RECEIVED),
        f"{RESERVED}opened": int(Signal.OPENED),
        f"{RESERVED}clicked": int(Signal.CLICKED),
        f"{RESERVED}dismissed": int(Signal.DISMISSED),
        f"{RESERVED}displayed": 5,
        UNDELIVERED: 6,
    }
)
"""What people did with a message, and what became of it, as the number that is stored: that of the
signal which segments ask about. They do not ask yet about the last two."""

AHEAD: Final = timedelta(days=1)
_DAY_MS: Final = 86_400_000
_WEEK_MS: Final = 7 * _DAY_MS
_VERSION_7: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7", re.ASCII | re.IGNORECASE)
"""How far a client's clock may run ahead; what lies in the future by less happens now."""
MAX_NAME_OCTETS: Final = 128

RAW_COLUMNS: Final[Mapping[str, pl.DataType]] = {
    "id": pl.String(),
    **NAMING,
    "name": pl.String(),
    "at": INSTANT,
    "value": pl.Float64(),
    "properties": pl.String(),
    "message": pl.String(),
}
"""What events say, one row an event. `properties` is a JSON object as text."""

COLUMNS: Final[Mapping[str, pl.DataType]] = {
    **RAW_COLUMNS,
    "network": pl.Int16(),
    "at_us": pl.Int64(),
    "day": pl.Int32(),
}
"""The same after `check`: ids in lower case, networks as numbers, `at_us` in microseconds and `day`
in days since 1970; `at` as it was given."""

UUID_FORM: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
DAY_US: Final = 86_400_000_000


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


def check(raw: pl.DataFrame, rules: EventRules) -> CheckedEvents:
    """Judge every field of every row at once; good rows come back in canonical form.

    Args:
        raw: columns of `RAW_COLUMNS`, in any order; columns that are absent count as null. No `id`
            is null: see `fresh_ids`.
        rules: the present instant, and how long ids are remembered.
    """
    frame = _canonical(raw, rules.now)
    problems = [*broken(frame, rules_of(rules), POINTERS), *_broken_properties(frame["properties"])]
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


def once(message: str, what: str, token: str, at_us: int) -> str:
    """The one id of "this happened to this message on this device", whoever tells it.

    The web SDK makes the same (`web/sdk/src/wire/ids.ts`), so what a browser and its push service
    both tell counts once. It begins with the instant in the message's id, where that is a UUID of
    version 7 from the same week, else with the day.

    Args:
        message: its id.
        what: the event's name without `clarion.`.
        token: of the device.
        at_us: when it happened, microseconds since 1970.
    """
    at = at_us // 1000
    born = int(message[:8] + message[9:13], 16) if _VERSION_7.match(message) else None
    fresh = born is not None and abs(at - born) < _WEEK_MS
    stamp = born if born is not None and fresh else at - at % _DAY_MS
    digest = sha256(f"{message}\n{what}\n{token}".encode()).digest()
    octets = bytearray(stamp.to_bytes(6, "big") + digest[6:16])
    octets[6] = octets[6] & 0x0F | 0x70
    octets[8] = octets[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(octets)))


def stamp_us(event_id: str) -> int:
    """The instant that an id of version 7 names, in microseconds since 1970."""
    return int(event_id[:8] + event_id[9:13], 16) * 1000


def day_of(event_id: str) -> int:
    """The day, counted from 1970, on which an id of version 7 is remembered."""
    return stamp_us(event_id) // DAY_US


def _canonical(raw: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """One spelling for each value, and the instant that an id of version 7 names."""
    frame = raw.select(
        raw[name].cast(kind) if name in raw.columns else pl.lit(None, kind).alias(name)
        for name, kind in RAW_COLUMNS.items()
    )
    frame = canonical_names(frame).with_columns(pl.col("id", "message").str.to_lowercase())
    seventh = whole("id", UUID_FORM).columns & (pl.col("id").str.slice(14, 1) == "7")
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
    return (
        numbered_networks(frame)
        .with_columns(
            (pl.coalesce("made_us", "at_us") // DAY_US).cast(pl.Int32).alias("day"),
            # The day above is that of what was given: a repeat, judged later, has the same.
            pl.min_horizontal("at_us", pl.lit(_us(now), pl.Int64)).alias("at_us"),
            timely(frame["properties"]),
        )
        .select(list(COLUMNS))
    )


def _us(instant: datetime) -> int:
    return int(instant.timestamp() * 1_000_000)


def rules_of(rules: EventRules) -> Sequence[Rule]:
    """What must not be true of any event, in the order in which it is told."""
    return [*_lasting_rules(), *_rules_of_time(rules)]


@cache
def _lasting_rules() -> Sequence[Rule]:
    return [*_rules_of_identity(), *naming_rules(), *_rules_of_content()]


def _rules_of_identity() -> Sequence[Rule]:
    about_message = among("name", OF_MESSAGES)
    return [
        Rule(
            "id",
            "id_invalid",
            "the id is no UUID, such as 0198c2f4-8c5e-7b51-9a77-1f6f2ad3c001",
            ~whole("id", UUID_FORM),
        ),
        Rule("name", "field_missing", "an event has a name", absent("name")),
        Rule(
            "name",
            "name_reserved",
            f"names that begin with {RESERVED} are kept for {', '.join(OF_MESSAGES)}",
            begins("name", RESERVED) & ~about_message,
        ),
        Rule(
            "message",
            "field_missing",
            "an event about a message names it",
            about_message & absent("message"),
        ),
        Rule(
            "message",
            "field_unknown",
            f"only {', '.join(OF_MESSAGES)} name a message; put it among the properties",
            given("message") & ~about_message,
        ),
        Rule("message", "id_invalid", "the message's id is no UUID", ~whole("message", UUID_FORM)),
    ]


def _rules_of_content() -> Sequence[Rule]:
    return [
        *text_rules("name", MAX_NAME_OCTETS),
        Rule("value", "number_invalid", "the number is not finite", ~finite("value")),
    ]


def _rules_of_time(rules: EventRules) -> Sequence[Rule]:
    late, early = _us(rules.now + AHEAD), _us(rules.now - rules.keep)
    days = rules.keep.days
    return [
        Rule("at", "time_invalid", "the instant is more than a day ahead", above("at_us", late)),
        Rule(
            "at",
            "event_too_old",
            f"the event is older than {days} days: nobody would know whether it came before",
            below("at_us", early),
        ),
        Rule(
            "id",
            "id_invalid",
            f"the UUID of version 7 says that it was made more than {days} days ago, or more than "
            "a day from now",
            ~between("made_us", early, late),
        ),
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
