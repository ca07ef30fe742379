"""From the names in templates to the columns of a scan, and from its JSON texts to values."""

import orjson
import polars as pl

from clarion.domain.attributes import MAX_NAME_OCTETS
from clarion.domain.content import Json
from clarion.domain.segments.fields import DEVICE_TAG, FIELDS, USER_TAG, Scope
from clarion.domain.template import Column

_OWNERS = {"user": (Scope.USER, USER_TAG), "device": (Scope.DEVICE, DEVICE_TAG)}


def scan_field(variable: str) -> str | None:
    """What a scan calls a variable; None where no person has it.

    `user.external_id`, `user.country`, `device.model` and so on are what the server knows;
    every other name is an attribute.
    """
    root, _, name = variable.partition(".")
    if root not in _OWNERS:
        return None
    scope, tag = _OWNERS[root]
    for spelled in (name, variable):
        known = FIELDS.get(spelled)
        if known is not None and known.scope is scope:
            return spelled
    return tag + name if 0 < len(name.encode()) <= MAX_NAME_OCTETS else None


def column_of(rows: pl.DataFrame, variable: str) -> Column:
    """A variable's values; missing for everybody where the scan does not have it."""
    name = scan_field(variable)
    if name is None or name not in rows.columns:
        return pl.Series([None] * len(rows), dtype=pl.String)
    return decoded(rows[name])


def decoded(texts: pl.Series) -> Column:
    """Values of a column of JSON texts, or of texts as they are; texts stay one column."""
    if texts.dtype == pl.Binary:
        return texts.cast(pl.String)
    quoted = texts.str.starts_with('"') & ~texts.str.contains("\\", literal=True)
    if bool(quoted.fill_null(value=True).all()):
        return texts.str.strip_prefix('"').str.strip_suffix('"')
    table = {text: _value(text) for text in texts.drop_nulls().unique().to_list()}
    if all(isinstance(value, str) for value in table.values()):
        old, new = list(table), list(table.values())
        return texts.replace_strict(old, new, default=None, return_dtype=pl.String)
    return [None if text is None else table[text] for text in texts.to_list()]


def _value(text: str) -> Json:
    value: Json = orjson.loads(text)
    if isinstance(value, dict) and value.keys() == {"time"}:
        moment: Json = value["time"]
        return moment
    return value
