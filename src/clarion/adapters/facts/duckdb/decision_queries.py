"""Recorded decisions: found by message and person, unpacked only where they may be meant."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt

from clarion.adapters.facts.duckdb.halves import halves
from clarion.adapters.facts.duckdb.store import FactsStore
from clarion.domain.decided import packed, span, unpacked
from clarion.domain.decision_row import DECISION_ROW
from clarion.domain.ids import BUCKETS

Rows = npt.NDArray[np.void]
"""Of `DECISION_ROW`."""

_HOLDS: Final = """
c.first_bucket <= $bucket and c.last_bucket >= $bucket
and c.first_user <= $user and c.last_user >= $user
"""
_OF_MESSAGE: Final = """
select r.chunk, r.start, r.size from decision_run r
where r.app = $app and r.message_high = $high and r.message_low = $low order by r.chunk, r.start
"""
_OF_PERSON: Final = f"""
select r.chunk, r.start, r.size from decision_run r join decision_chunk c on c.id = r.chunk
where r.app = $app and r.message_high = $high and r.message_low = $low and {_HOLDS}
order by r.chunk, r.start
"""  # noqa: S608  # our own text
_ABOUT_PERSON: Final = f"""
select c.id from decision_chunk c where c.app = $app and {_HOLDS} order by c.id
"""  # noqa: S608  # our own text
_CHUNK: Final = "select meta, rows from decision_chunk where id = ?"
_RUNS: Final = "select start, size, message_high, message_low from decision_run where chunk = ?"

_COUNTED: Final = """
select action, reason, network, case when hour >= 0 then hour * 3600000000 end as hour_us,
       sum(size)::bigint
from decision_count where app = $app and message_high = $high and message_low = $low
group by all order by all
"""


def counted(store: FactsStore, *, app: int, message: str) -> list[tuple[int, ...]]:
    """(action, reason, network, hour until which it is held or null, recipients) of a message."""
    high, low = halves(message)
    with store.reading() as cursor:
        found: list[tuple[int, ...]] = cursor.execute(
            _COUNTED, {"app": app, "high": high, "low": low}
        ).fetchall()
    return found


def pieces(store: FactsStore, *, app: int, message: str, user: int = 0) -> Generator[bytes]:
    """Packed decisions about a message, or one person's part in it, each after its meta.

    A piece is the length of the meta (four octets), the meta (JSON), and what `packed` makes.
    """
    high, low = halves(message)
    of: dict[str, int] = {"app": app, "high": high, "low": low}
    sql = _OF_MESSAGE
    if user:
        sql, of = _OF_PERSON, of | _person(user)
    with store.reading() as cursor:
        for chunk, start, size in cursor.execute(sql, of).fetchall():
            held = cursor.execute(_CHUNK, [chunk]).fetchone()
            if held is None:
                continue  # its last person was erased since
            meta, blob = held
            found = _cut(blob, start, size, user)
            if found is not None:
                head = str(meta).encode()
                yield len(head).to_bytes(4, "little") + head + found


def _cut(blob: bytes, start: int, size: int, user: int) -> bytes | None:
    """The part of a chunk that is meant; None: there is nothing."""
    if not user and size == span(blob).rows:
        return blob
    rows = unpacked(blob)[start : start + size]
    mine = rows if not user else rows[rows["user"] == user]
    return packed(mine) if len(mine) else None


def about(
    cursor: duckdb.DuckDBPyConnection, *, app: int, users: Sequence[int]
) -> Iterator[Mapping[str, object]]:
    """All decisions about a person by these numbers, as names and values that JSON can say."""
    for user in users:
        for (chunk,) in cursor.execute(_ABOUT_PERSON, {"app": app, **_person(user)}).fetchall():
            held = cursor.execute(_CHUNK, [chunk]).fetchone()
            if held is None:
                continue
            rows = unpacked(held[1])
            runs = cursor.execute(_RUNS, [chunk]).fetchall()
            for place in np.flatnonzero(rows["user"] == user).tolist():
                of = [run[2:] for run in runs if run[0] <= place < run[0] + run[1]]
                yield _told(rows[place], app, of[0] if of else (0, 0))


def _told(row: np.void, app: int, message: tuple[int, int]) -> Mapping[str, object]:
    values = {name: row[name].tolist() for name in DECISION_ROW.names or ()}
    user = values.pop("user")
    high, low = message
    return {"app": app, "message_high": high, "message_low": low, "user_id": user, **values}


def erase(cursor: duckdb.DuckDBPyConnection, *, app: int, user: int) -> int:
    """Remove the decisions about a person; how many there were. The other rows stay packed."""
    removed = 0
    for (chunk,) in cursor.execute(_ABOUT_PERSON, {"app": app, **_person(user)}).fetchall():
        held = cursor.execute(_CHUNK, [chunk]).fetchone()
        rows = unpacked(held[1]) if held else np.zeros(0, DECISION_ROW)
        stays = rows["user"] != user
        gone = len(rows) - int(np.count_nonzero(stays))
        if gone:
            removed += gone
            _keep(cursor, chunk, rows, stays)
    return removed


def _keep(
    cursor: duckdb.DuckDBPyConnection, chunk: int, rows: Rows, stays: npt.NDArray[np.bool_]
) -> None:
    """Write a chunk anew with the rows that stay."""
    runs = cursor.execute(f"{_RUNS} order by start", [chunk]).fetchall()
    sizes = [int(np.count_nonzero(stays[run[0] : run[0] + run[1]])) for run in runs]
    cursor.execute("delete from decision_run where chunk = ?", [chunk])
    if not any(sizes):
        cursor.execute("delete from decision_chunk where id = ?", [chunk])
        return
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    cursor.execute(
        "insert into decision_run select ?, (select app from decision_chunk where id = ?), "
        "unnest(?::ubigint[]), unnest(?::ubigint[]), unnest(?::uinteger[]), unnest(?::uinteger[])",
        [chunk, chunk, [run[2] for run in runs], [run[3] for run in runs], starts, sizes],
    )
    kept = packed(rows[stays])
    cursor.execute("update decision_chunk set rows = ? where id = ?", [kept, chunk])


def _person(user: int) -> dict[str, int]:
    return {"user": user, "bucket": user % BUCKETS}
