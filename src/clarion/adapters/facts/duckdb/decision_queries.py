"""Recorded decisions read back: rows as Arrow, and what they point to."""

from collections.abc import Generator
from typing import Final

import pyarrow as pa

from clarion.adapters.facts.duckdb.halves import halves
from clarion.adapters.facts.duckdb.store import FactsStore
from clarion.domain.decision_row import DECISION_ROW, Action

PIECE: Final = 65_536

_PLAIN: Final = [name for name in DECISION_ROW.names or () if name != "user"]
_MINE: Final = "app = $app and message_high = $high and message_low = $low"
_ROWS: Final = f"""
select user_id as "user", {", ".join(_PLAIN)}, meta from decision where {_MINE}
"""  # noqa: S608  # our own names
_METAS: Final = f"""
select id::varchar, meta from decision_meta
where id in (select distinct meta from decision where {_MINE})
"""  # noqa: S608  # our own names
_COUNTED: Final = f"""
select action, reason, network,
       case when action = $hold then send_us // 3600000000 * 3600000000 end as hour_us,
       count(*) as n
from decision where {_MINE}
group by all order by all
"""  # noqa: S608  # our own names


def metas(store: FactsStore, *, app: int, message: str) -> list[tuple[str, str]]:
    """(number, JSON) of the policies and names that the decisions of a message point to."""
    with store.reading() as cursor:
        rows: list[tuple[str, str]] = cursor.execute(_METAS, _bound(app, message)).fetchall()
    return rows


def counted(store: FactsStore, *, app: int, message: str) -> list[tuple[int, ...]]:
    """(action, reason, network, hour until which it is held or null, recipients) of a message."""
    bound = {**_bound(app, message), "hold": int(Action.HOLD)}
    with store.reading() as cursor:
        found: list[tuple[int, ...]] = cursor.execute(_COUNTED, bound).fetchall()
    return found


def rows(store: FactsStore, *, app: int, message: str) -> Generator[pa.RecordBatch]:
    """The decisions of a message, streamed; one transaction, hence one version."""
    with store.reading() as cursor:
        relation = cursor.sql(_ROWS, params=_bound(app, message))
        yield from relation.to_arrow_reader(PIECE)


def _bound(app: int, message: str) -> dict[str, int]:
    high, low = halves(message)
    return {"app": app, "high": high, "low": low}
