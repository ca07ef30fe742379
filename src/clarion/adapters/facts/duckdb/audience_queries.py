"""Scans and counts of the audience, as SQL over the columns."""

from collections.abc import Collection, Generator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import duckdb
import pyarrow as pa
from sqlglot import exp

from clarion.adapters.facts.duckdb.audience_columns import said_by, selected, turn_of
from clarion.adapters.facts.duckdb.segment_fields import Bind, Source, column, variant_of
from clarion.adapters.facts.duckdb.segment_kept import condition
from clarion.adapters.facts.duckdb.segment_sql import Condition, Parameter, Span
from clarion.adapters.facts.duckdb.store import FactsStore
from clarion.adapters.facts.duckdb.variant_texts import all_texts, doubtful, text_of
from clarion.domain.category import Category, DefaultState
from clarion.domain.category import Kind as CategoryKind
from clarion.domain.outcome import Reason
from clarion.domain.permission import REFUSING
from clarion.domain.segments.checking import SegmentAt
from clarion.domain.segments.fields import Field, Kind, Scope, field_named
from clarion.ports.audience import AudienceScan

PIECE: Final = 32_768
_ALL: Final = Condition(sql="true", parameters={})
_FIELDS_KEPT: Final = 32
"""Lists of fields of which the SQL is kept; a message under way needs one."""

_ROWS: Final = """
from (select * from users where app = $app{span}) u
left join (select * from device where app = $app{span}) d on d.user_id = u.id
where {condition}
"""

_SPAN: Final = " and bucket >= $low and bucket < $high"

_REFUSING: Final = ", ".join(str(int(state)) for state in sorted(REFUSING))
_WHO: Final = f"""
when u.opted_out then {Reason.USER_OPTED_OUT:d}
     when u.suppressed then {Reason.SUPPRESSION_LIST:d}
     when d.id is null then {Reason.USER_HAS_NO_DEVICE:d}
     when d.dead then {Reason.DEVICE_DEAD:d}
     when d.opted_out then {Reason.DEVICE_OPTED_OUT:d}
     when d.permission in ({_REFUSING}) then {Reason.PERMISSION_DENIED:d}
     when not list_contains($sendable::utinyint[], d.network) then {Reason.CREDENTIAL_MISSING:d}
"""
"""Step 1 of `clarion.domain.decision`, for a message to all networks."""


def _reason(category: Category | None) -> str:
    """The reason of a row as SQL; with a category, step 2 too: consent, and pauses at `$now_us`."""
    steps = [_WHO]
    if category is not None:
        bit = f"({1 << category.slot})::ubigint"
        denied = f"(coalesce(u.denied, 0)::ubigint & {bit}) <> 0"
        granted = f"(coalesce(u.granted, 0)::ubigint & {bit}) <> 0"
        if category.can_opt_out:
            # A no counts however silence is read; see `clarion.domain.consent.sendable`.
            steps.append(f"when {denied} then {Reason.CATEGORY_OPTED_OUT:d}")
        if category.kind is CategoryKind.MARKETING or category.default_state is not DefaultState.IN:
            steps.append(f"when not {granted} then {Reason.CONSENT_MISSING:d}")
        if category.gathers:
            paused = "coalesce(u.paused_until_us, 0) > $now_us"
            steps.append(f"when {paused} then {Reason.PAUSED_BY_PERSON:d}")
    return f"case {' '.join(steps)} else {Reason.ACCEPTED:d} end::usmallint"


_COUNT: Final = """
with matched as materialized (
    select u.id as person, coalesce(d.network, 0)::utinyint as network, {reason} as reason
    {rows}
)
select network, reason, count(*) as n from matched group by network, reason
union all
select null, null, {people} from matched
union all
select null, null, {people} from matched where reason = 0
"""
_LEAST_AND_MOST: Final = "select coalesce(min(id), 0), coalesce(max(id), 0) from users"
_WIDEST: Final = 1 << 24
"""A set of people is a bit an id from the least to the greatest, 2 MiB at most: some are held at a
time. Counting hashes takes three times as long, and the more memory the more people there are."""
_BY_BITS: Final = "coalesce(bit_count(bitstring_agg(person, $least::bigint, $most::bigint)), 0)"
_BY_HASHES: Final = "count(distinct person)"


def scan(store: FactsStore, asked: AudienceScan) -> Generator[pa.RecordBatch]:
    """The rows of an audience scan, streamed; one transaction, hence one version.

    Columns in which the app says nothing are left out, and so are those that are `unread`; see
    `audience_filling.filled`. Which changes are there is for the caller to see to.

    Raises:
        SegmentFault: a field does not exist.
    """
    span = Span(low=asked.low, high=asked.high)
    found = _ALL if asked.segment is None else condition(asked.segment, span)
    rows = _ROWS.format(span=_SPAN, condition=found.sql)
    where = {"app": asked.app, "low": asked.low, "high": asked.high}
    fields = tuple(map(field_named, asked.fields))
    with store.reading() as cursor:
        cursor.begin()
        turn = turn_of(cursor)
        said = said_by(store, cursor, asked.app, turn)
        read = {name: sides for name, sides in said.items() if name not in asked.unread}
        texts = tuple(_texts_only(store, cursor, field, where, turn) for field in fields)
        shown, names_bound = _shown(fields, texts)
        parameters = {**where, **found.parameters, **names_bound}
        statement = store.parsed(f"select {selected(read)}{shown}{rows}")
        relation = cursor.sql(statement, params=parameters)
        reader = relation.to_arrow_reader(PIECE)
        names = [*reader.schema.names[: len(reader.schema.names) - len(fields)], *asked.fields]
        told = zip(asked.fields, texts, strict=True)
        octets = {"token", *(name for name, as_it_is in told if as_it_is)}
        for piece in reader:
            columns = [
                column.view(pa.binary_view()) if name in octets else column
                for name, column in zip(names, piece.columns, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, names=names)


def count(
    store: FactsStore,
    *,
    app: int,
    segment: SegmentAt | None,
    sendable: Collection[int],
    category: Category | None = None,
    now_us: int = 0,
) -> dict[str, object]:
    """How many rows end in which way, and how many people that is.

    With a category, whether its people may be sent it at `now_us` counts too.
    """
    found = _ALL if segment is None else condition(segment)
    parameters = {"app": app, "sendable": list(sendable), **found.parameters}
    if category is not None and category.gathers:
        parameters["now_us"] = now_us
    about = {"reason": _reason(category), "rows": _ROWS.format(span="", condition=found.sql)}
    with store.reading() as cursor:
        rows = _by_bits(cursor, about, parameters)
        if rows is None:
            rows = cursor.execute(_COUNT.format(**about, people=_BY_HASHES), parameters).fetchall()
    numbers = [row[2] for row in rows if row[0] is None]
    return {
        "people": max(numbers),
        "reachable": min(numbers),
        "rows": sorted(row for row in rows if row[0] is not None),
    }


def _by_bits(
    cursor: duckdb.DuckDBPyConnection, about: Mapping[str, str], parameters: Mapping[str, object]
) -> list[tuple[int | None, int | None, int]] | None:
    """The rows of a count; None: ids lie too far apart, or there is no memory for that now."""
    cursor.begin()  # ids and people of one version
    try:
        ((least, most),) = cursor.execute(_LEAST_AND_MOST).fetchall()
        if most - least >= _WIDEST:
            return None
        ends = {"least": least, "most": most}
        sql = _COUNT.format(**about, people=_BY_BITS)
        found: list[tuple[int | None, int | None, int]]
        found = cursor.execute(sql, {**parameters, **ends}).fetchall()
    except duckdb.OutOfMemoryException:
        return None
    finally:
        cursor.rollback()
    return found


def _texts_only(
    store: FactsStore,
    cursor: duckdb.DuckDBPyConnection,
    field: Field,
    where: Mapping[str, int],
    turn: str | None,
) -> bool:
    """Whether an attribute is surely a text for everybody of a range, as of the transaction.

    What the engine's statistics say of all people holds for a version of the audience.
    """
    if field.kind is not Kind.ANY:
        return False
    version, known = store.texts
    if turn is not None and version == turn and field.name in known:
        return True
    bind = Bind(prefix="f")
    held = variant_of(field, Source.ROW, bind)
    table = "users u" if field.scope is Scope.USER else "device d"
    kept = f"select stats({held.sql('duckdb')}) from {table} limit 1"  # noqa: S608  # as below
    if all_texts(cursor.execute(kept, bind.parameters).fetchall()):
        if turn is not None:
            store.texts = turn, (known if version == turn else frozenset()) | {field.name}
        return True
    text = text_of(held).sql("duckdb")
    other = f"select 1 from {table} where app = $app{_SPAN} and {doubtful(text)} limit 1"  # noqa: S608  # our own names; constants are bound
    return not cursor.execute(other, {**where, **bind.parameters}).fetchall()


@lru_cache(maxsize=_FIELDS_KEPT)
def _shown(
    fields: tuple[Field, ...], texts: tuple[bool, ...]
) -> tuple[str, Mapping[str, Parameter]]:
    """What a scan selects of fields, and what is bound in it."""
    bind = Bind(prefix="f")
    sql = "".join(
        f', {_shown_as(field, bind, texts=told)} as "{place}"'
        for place, (field, told) in enumerate(zip(fields, texts, strict=True))
    )
    return sql, MappingProxyType(bind.parameters)


def _shown_as(field: Field, bind: Bind, *, texts: bool) -> str:
    """A field as JSON text, or as itself where it is a text for everybody."""
    if texts:
        return text_of(variant_of(field, Source.ROW, bind)).sql("duckdb")
    if field.kind is Kind.ANY:
        held = variant_of(field, Source.ROW, bind)
    else:
        held = column(field, Source.ROW)
    json = exp.Anonymous(this="to_json", expressions=[held])
    if field.kind is Kind.TIME:
        text = f"strftime(make_timestamp({held.sql('duckdb')}), '%Y-%m-%dT%H:%M:%S.%fZ')"
        return f"""case when {held.sql("duckdb")} is not null
                   then to_json({{'time': {text}}})::varchar end"""
    return f"{json.sql('duckdb')}::varchar"
