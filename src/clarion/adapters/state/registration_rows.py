"""What the statements of a registration take: columns as texts, of many rows or of a few.

Both forms say the same. Many rows are a frame, whose operations cost nearly the same for one row
as for a thousand; a few are plain rows, which cost what they say.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, Self

import numpy as np
import polars as pl

from clarion.domain.conditions import Cell, Row
from clarion.domain.handoffs import Int64s
from clarion.domain.registration import COLUMNS

TOKEN_KEY_OCTETS: Final = 16
PERSON_COLUMNS: Final = (
    "user_attributes",
    "user_language",
    "user_time_zone",
    "user_country",
    "user_opted_out",
)

Truths = np.ndarray[tuple[int], np.dtype[np.bool_]]

_BETWEEN: Final = "\x1f"
_NULL: Final = "\x1e"
"""Control characters, which no text may hold, stand between values and for null."""
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def token_key(token: str) -> bytes:
    """What devices are found by: the first 16 octets of SHA-256 of the token."""
    return hashlib.sha256(token.encode()).digest()[:TOKEN_KEY_OCTETS]


class Rows(Protocol):
    """Rows with the columns of `clarion.domain.registration.COLUMNS`, or made of such."""

    @property
    def height(self) -> int:
        """How many."""
        ...

    def column(self, name: str) -> Sequence[Cell]:
        """A column's values."""
        ...

    def text(self, name: str) -> str:
        """A column as one parameter, which the statement takes apart; empty where all is null.

        `unnest` fills shorter arrays up with nulls.
        """
        ...

    def take(self, places: Int64s) -> Self:
        """The rows at these places."""
        ...

    def people(self) -> tuple[Self, Int64s]:
        """Each person once, with the last that is said, and where each row's stands (or -1).

        They are sorted by name, because writers lock in one order, and numbered in `place`.
        """
        ...

    def devices(
        self, person: Int64s, ours: Truths, unknown: Sequence[int]
    ) -> tuple[Self, Mapping[int, int]]:
        """Each device once, sorted by network and `token_key`, because writers lock in one order.

        Of two rows of one device the last is stored, and answers for both.

        Args:
            person: of each row, 0 where it names none.
            ours: whether this unit of work made that person.
            unknown: rows that are left out.

        Returns:
            The rows with their number `row`, `person`, `ours`, `active_us`; and which row answers
            for others: row -> the one that is stored.
        """
        ...


@dataclass(frozen=True, slots=True)
class ManyRows:
    """Rows as a frame."""

    frame: pl.DataFrame

    @property
    def height(self) -> int:
        """See `Rows.height`."""
        return self.frame.height

    def column(self, name: str) -> Sequence[Cell]:
        """See `Rows.column`."""
        return self.frame[name].to_list()

    def text(self, name: str) -> str:
        """See `Rows.text`."""
        column = self.frame[name]
        if column.null_count() == len(column):
            return ""
        if column.dtype == pl.Binary:
            column = pl.select(pl.lit("\\x") + column.bin.encode("hex")).to_series()
        texts: str = column.cast(pl.String).fill_null(_NULL).str.join(_BETWEEN).item()
        return texts

    def take(self, places: Int64s) -> "ManyRows":
        """See `Rows.take`."""
        return ManyRows(self.frame[places])

    def people(self) -> tuple["ManyRows", Int64s]:
        """See `Rows.people`."""
        named = self.frame.select("external_id", *PERSON_COLUMNS).filter(
            pl.col("external_id").is_not_null()
        )
        said = [name for name in PERSON_COLUMNS if named[name].null_count() < named.height]
        people = (
            named.select("external_id").unique()
            if not said
            else named.group_by("external_id").agg(pl.col(said).drop_nulls().last())
        ).sort("external_id")
        unsaid = [name for name in PERSON_COLUMNS if name not in said]
        people = people.with_columns(
            *(pl.lit(None, COLUMNS[name]).alias(name) for name in unsaid),
            pl.int_range(people.height, dtype=pl.Int64).alias("place"),
        )
        names = people.select("external_id", "place")
        stands = self.frame.select("external_id").join(
            names, on="external_id", how="left", maintain_order="left"
        )
        return ManyRows(people), stands["place"].fill_null(-1).to_numpy()

    def devices(
        self, person: Int64s, ours: Truths, unknown: Sequence[int]
    ) -> tuple["ManyRows", Mapping[int, int]]:
        """See `Rows.devices`."""
        devices = self.frame.with_columns(
            pl.Series("person", person).replace(0, None),
            pl.Series("ours", ours),
            pl.col("last_active_at").dt.epoch("us").alias("active_us"),
            pl.int_range(self.height, dtype=pl.Int64).alias("row"),
        ).filter(pl.col("token").is_not_null())
        if unknown:
            devices = devices.filter(~pl.col("row").is_in(unknown))
        last = pl.col("row").last().over("network", "token")
        kept = devices.unique(["network", "token"], keep="last", maintain_order=True)
        answers: dict[int, int] = {}
        if kept.height < devices.height:
            others = devices.select("row", last.alias("stored")).filter(
                pl.col("row") != pl.col("stored")
            )
            answers = dict(others.iter_rows())
        keys = [token_key(token) for token in kept["token"]]
        kept = kept.with_columns(pl.Series("token_key", keys, pl.Binary))
        return ManyRows(kept.sort("network", "token_key")), answers


@dataclass(frozen=True, slots=True)
class FewRows:
    """Rows as they are; what is absent counts as null."""

    rows: Sequence[Row]

    @property
    def height(self) -> int:
        """See `Rows.height`."""
        return len(self.rows)

    def column(self, name: str) -> Sequence[Cell]:
        """See `Rows.column`."""
        return [row.get(name) for row in self.rows]

    def text(self, name: str) -> str:
        """See `Rows.text`."""
        cells = self.column(name)
        if all(cell is None for cell in cells):
            return ""
        return _BETWEEN.join(map(_word, cells))

    def take(self, places: Int64s) -> "FewRows":
        """See `Rows.take`."""
        return FewRows([self.rows[place] for place in places.tolist()])

    def people(self) -> tuple["FewRows", Int64s]:
        """See `Rows.people`."""
        said: dict[str, dict[str, Cell]] = {}
        for row in self.rows:
            if (name := row.get("external_id")) is not None:
                known = said.setdefault(str(name), {"external_id": name})
                known |= {n: row[n] for n in PERSON_COLUMNS if row.get(n) is not None}
        places = {name: place for place, name in enumerate(sorted(said))}
        names = self.column("external_id")
        stands = [-1 if name is None else places[str(name)] for name in names]
        people = [{**said[name], "place": place} for name, place in places.items()]
        return FewRows(people), np.array(stands, np.int64)

    def devices(
        self, person: Int64s, ours: Truths, unknown: Sequence[int]
    ) -> tuple["FewRows", Mapping[int, int]]:
        """See `Rows.devices`."""
        left_out = set(unknown)
        kept: dict[tuple[int, bytes], dict[str, Cell]] = {}
        answers: dict[int, int] = {}
        whose = zip(person.tolist(), ours.tolist(), strict=True)
        devices: dict[tuple[int, bytes], list[int]] = {}
        for place, (row, (user, new)) in enumerate(zip(self.rows, whose, strict=True)):
            token = row.get("token")
            if token is None or place in left_out:
                continue
            key = token_key(str(token))
            device = (int(str(row["network"])), key)
            devices.setdefault(device, []).append(place)
            at = row.get("last_active_at")
            kept[device] = {
                **row,
                "token_key": key,
                "row": place,
                "person": user or None,
                "ours": new,
                "active_us": (at - _EPOCH) // _MICROSECOND if isinstance(at, datetime) else None,
            }
        for places in devices.values():
            answers |= dict.fromkeys(places[:-1], places[-1])
        return FewRows([kept[device] for device in sorted(kept)]), answers


def _word(cell: Cell) -> str:
    if cell is None:
        return _NULL
    if isinstance(cell, bytes):
        return f"\\x{cell.hex()}"
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "microseconds")  # as Polars writes it
    return str(cell).lower() if isinstance(cell, bool) else str(cell)
