"""Fields of named people as columns of JSON text, as a scan of the audience would give them."""

from collections.abc import Sequence
from typing import Final

import asyncpg
import polars as pl

from clarion.domain.network import Network
from clarion.domain.segments.fields import PERMISSIONS, Field, Kind, Scope, field_named

_COLUMNS: Final = {"created": "created_at", "registered": "registered_at"} | {
    "last_active": "last_active_at"
}
_BOTH: Final = frozenset({"language", "time_zone", "country"})
_NAMES: Final = {
    "network": {int(network): network.label for network in Network},
    "permission": dict(enumerate(PERMISSIONS)),
}


async def with_fields(
    connection: asyncpg.Connection, rows: pl.DataFrame, fields: Sequence[str]
) -> pl.DataFrame:
    """The rows with one more column for each field: JSON text, null where it is absent."""
    values: list[str] = []
    shown = [
        f"{_shown(field_named(name), values)} as f{place}" for place, name in enumerate(fields)
    ]
    found = await connection.fetch(
        f"""select {", ".join(shown)}
            from unnest($1::bigint[], $2::bigint[]) with ordinality as t (user_id, device_id, n)
            left join users u on u.id = t.user_id left join device d on d.id = t.device_id
            order by t.n""",  # noqa: S608  # our own names; attributes are bound
        rows["user"].to_list(),
        rows["device"].to_list(),
        *values,
    )
    columns = [
        pl.Series(name, [row[place] for row in found], pl.String())
        for place, name in enumerate(fields)
    ]
    return rows.with_columns(columns)


def _shown(field: Field, values: list[str]) -> str:
    """A field as an SQL expression; what must be bound is added to `values`."""
    owner = "u" if field.scope is Scope.USER else "d"
    if field.kind is Kind.ANY:
        values.append(field.attribute)
        return f"({owner}.attributes -> ${len(values) + 2}::text)::text"
    name = field.name.removeprefix("user.").removeprefix("device.")
    if field.scope is Scope.ROW and name in _BOTH:
        return f"to_jsonb(coalesce(d.{name}, u.{name}))::text"
    held = f"{owner}.{_COLUMNS.get(name, name)}"
    if field.kind is Kind.TIME:
        told = f"""to_char({held} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
        return f"case when {held} is not null then jsonb_build_object('time', {told})::text end"
    if name in _NAMES:
        cases = " ".join(f"when {code} then '\"{word}\"'" for code, word in _NAMES[name].items())
        return f"case {held} {cases} end"
    return f"to_jsonb({held})::text"
