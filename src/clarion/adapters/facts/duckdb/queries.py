"""What askers may ask, as SQL over the columns."""

from typing import Final

from clarion.adapters.facts.duckdb.halves import halves
from clarion.adapters.facts.duckdb.store import FactsStore

_MINE: Final = "app = $app and message_high = $high and message_low = $low"

_COUNTS: Final = f"""
select network, outcome, reason, sum(size)::bigint as n
from (select network, outcome, reason, 1 as size from outcome where {_MINE}
      union all
      select network, outcome, reason, size from outcome_run where {_MINE})
where outcome <> 0
group by all order by all
"""

_SPAN: Final = f"""
select min(at_us), max(at_us),
       quantile_disc(at_us, [0.5, 0.9, 0.95, 0.99]) filter (outcome <> 0 and status > 0)
from outcome_row where {_MINE}
"""

_RETRIED: Final = f"""
select network, count(distinct device) as n
from outcome_row where {_MINE} and (attempt > 0 or (outcome = 0 and reason not between 131 and 139))
group by network order by network
"""

_TRACE: Final = """
select o.device, o.network, o.at_us, o.attempt, o.outcome, o.reason, o.status, n.words, p.id
from outcome_row o
left join note n on n.id = o.note
left join provider_id p on p.message_high = o.message_high and p.message_low = o.message_low
                       and p.device = o.device and p.attempt = o.attempt
where o.app = $app and o.message_high = $high and o.message_low = $low and o.user_id = $user
      and $user between o.first_user and o.last_user
order by o.at_us, o.device, o.attempt
"""

_SIGNALS: Final = f"""
select device, kind, at_us from engagement
where {_MINE} and user_id = $user
order by at_us, kind, device
"""

_RATE: Final = f"""
select at_us // 1000000 as second, count(*) as n
from outcome_row where {_MINE} and outcome <> 0
group by second order by second
"""

_DOUBLED: Final = f"""
select device, user_id, count(*) as n from outcome_row
where {_MINE} and outcome <> 0 and device <> 0
group by all having n > 1 limit 100
"""


def _of_message(
    store: FactsStore, sql: str, *, app: int, message: str, **more: int
) -> list[tuple[int, ...]]:
    upper, lower = halves(message)
    parameters = {"app": app, "high": upper, "low": lower, **more}
    with store.reading() as cursor:
        rows: list[tuple[int, ...]] = cursor.execute(sql, parameters).fetchall()
    return rows


def counts(store: FactsStore, *, app: int, message: str) -> dict[str, object]:
    """Final outcomes by network and reason, and the span of time they took."""
    span = _of_message(store, _SPAN, app=app, message=message)[0]
    return {
        "outcomes": _of_message(store, _COUNTS, app=app, message=message),
        "retried": _of_message(store, _RETRIED, app=app, message=message),
        "first_us": span[0],
        "last_us": span[1],
        "answered_us": span[2],
    }


def trace(store: FactsStore, *, app: int, message: str, user: int) -> list[tuple[int, ...]]:
    """Every attempt of one person's part."""
    return _of_message(store, _TRACE, app=app, message=message, user=user)


def signals(store: FactsStore, *, app: int, message: str, user: int) -> list[tuple[int, ...]]:
    """What one person's devices told of a message: device or null, kind, instant."""
    return _of_message(store, _SIGNALS, app=app, message=message, user=user)


def rate(store: FactsStore, *, app: int, message: str) -> list[tuple[int, ...]]:
    """Final outcomes per second."""
    return _of_message(store, _RATE, app=app, message=message)


def doubled(store: FactsStore, *, app: int, message: str) -> list[tuple[int, ...]]:
    """Devices with more than one final outcome: there must be none."""
    return _of_message(store, _DOUBLED, app=app, message=message)


def sizes(store: FactsStore) -> dict[str, int]:
    """Rows of each table."""
    found = {}
    with store.reading() as cursor:
        for table in ("users", "device", "outcome"):
            row = cursor.execute(f"select count(*) from {table}").fetchone()  # our own names
            found[table] = 0 if row is None else int(row[0])
        row = cursor.execute("select coalesce(sum(size), 0) from outcome_run").fetchone()
        found["outcome"] += 0 if row is None else int(row[0])
    return found
