"""Recipients as octets in a batch row (mostly Arrow), and as columns in memory."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, takewhile

import numpy as np
import polars as pl

from clarion.adapters.state import few_recipients
from clarion.domain.handoffs import Recipients, merge_column

COLUMNS = ("device", "user", "registered_us", "environment", "token", "keys", "message", "quiet")

_LOOKED_AT = 256
_REPEATED = 0.8
"""Of 256 texts so many are distinct, where twice as many in 2,000 are."""


def encode_frame(rows: pl.DataFrame) -> bytes:
    """Audience rows (see `clarion.ports.audience`) as one Arrow stream.

    A column that says nothing (no keys, one message) is left out. Merge columns (`merge_column`)
    are kept as a dictionary where their texts repeat: a batch of first names or of whole sentences
    in four languages holds each of them once.
    """
    wanted = [
        name
        for name in COLUMNS
        if name in rows.columns and not (name == "keys" and rows["keys"].null_count() == len(rows))
    ]
    texts = _merge_names(rows)
    if rows.columns != [*wanted, *texts]:
        rows = rows.select(*wanted, *texts)
    packed = [_packed(rows[name]) for name in texts]
    shorter = [text for text in packed if text.dtype != pl.String]
    return _stream((rows.with_columns(shorter) if shorter else rows).rechunk())


def _merge_names(rows: pl.DataFrame) -> list[str]:
    """The merge columns of a frame, in order."""
    names = (merge_column(number) for number in count())
    return list(takewhile(rows.columns.__contains__, names))


def _packed(texts: pl.Series) -> pl.Series:
    """The column as a dictionary, where each text is there twice or more on average."""
    if texts.dtype != pl.String or _differ(texts):
        return texts
    words = texts.unique()
    return texts if 2 * len(words) > len(texts) else texts.cast(pl.Enum(words))


def _differ(texts: pl.Series) -> bool:
    """Whether the first texts of many differ so much that to look at all of them is in vain."""
    return len(texts) > _LOOKED_AT and texts.head(_LOOKED_AT).n_unique() > _REPEATED * _LOOKED_AT


def _unpacked(texts: pl.Series) -> list[str]:
    """Texts of a merge column; a dictionary's rows share theirs."""
    if not isinstance(texts.dtype, pl.Enum):
        plain: list[str] = texts.to_list()
        return plain
    words = texts.dtype.categories.to_list()
    return [words[code] for code in texts.to_physical().to_list()]


def encode_recipients(recipients: Recipients) -> bytes:
    """The same of columns in memory; a few rows go without Arrow (`few_recipients`)."""
    return few_recipients.encode(recipients) or _stream(frame_of(recipients))


def _stream(rows: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    rows.write_ipc_stream(out, compression="uncompressed")
    return out.getvalue()


def frame_of(recipients: Recipients) -> pl.DataFrame:
    """The same recipients as a data frame."""
    columns: dict[str, pl.Series] = {
        "device": pl.Series("device", recipients.device),
        "user": pl.Series("user", recipients.user),
        "registered_us": pl.Series("registered_us", recipients.registered_us),
        "environment": pl.Series("environment", recipients.environment),
        "token": pl.Series("token", recipients.tokens, dtype=pl.Binary),
    }
    if recipients.keys is not None:
        columns["keys"] = pl.Series("keys", recipients.keys, dtype=pl.Binary)
    if recipients.message is not None:
        columns["message"] = pl.Series("message", recipients.message)
    if recipients.quiet is not None:
        columns["quiet"] = pl.Series("quiet", recipients.quiet)
    for number, texts in enumerate(recipients.merge or ()):
        name = merge_column(number)
        columns[name] = _packed(pl.Series(name, texts, dtype=pl.String))
    return pl.DataFrame(columns)


def decode(blob: bytes) -> Recipients:
    """Columns from what `encode_frame` or `encode_recipients` wrote."""
    if few_recipients.is_few(blob):
        return few_recipients.decode(blob)
    return recipients_of(pl.read_ipc_stream(io.BytesIO(blob)))


def recipients_of(rows: pl.DataFrame) -> Recipients:
    """A data frame of recipients as the columns that senders use."""
    merge = [_unpacked(rows[name]) for name in _merge_names(rows)]
    return Recipients(
        device=rows["device"].to_numpy(),
        user=rows["user"].to_numpy(),
        registered_us=rows["registered_us"].to_numpy(),
        environment=rows["environment"].to_numpy().astype(np.uint8, copy=False),
        tokens=rows["token"].to_list(),
        keys=rows["keys"].to_list() if "keys" in rows.columns else None,
        message=rows["message"].to_numpy() if "message" in rows.columns else None,
        quiet=rows["quiet"].to_numpy() if "quiet" in rows.columns else None,
        merge=merge or None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """A batch without some of its people."""

    octets: bytes
    size: int


def without(blob: bytes, users: Sequence[int], cursor: int) -> Left | None:
    """The batch without these people; None where none of them is in it.

    Rows before `cursor` are recorded, and keep their places: they are of nobody afterwards.
    """
    few = few_recipients.is_few(blob)
    rows = frame_of(decode(blob)) if few else pl.read_ipc_stream(io.BytesIO(blob))
    mine = pl.col("user").is_in(users)
    if not rows.select(mine.any()).item():
        return None
    blank = [
        pl.when(mine).then(pl.lit(zero, rows.schema[name])).otherwise(pl.col(name)).alias(name)
        for name, zero in (("user", 0), ("device", 0), ("token", b""), ("keys", None))
        if name in rows.columns
    ]
    merge = _merge_names(rows)
    blank += [
        pl.when(mine).then(pl.lit("")).otherwise(pl.col(name).cast(pl.String)).alias(name)
        for name in merge
    ]
    done = rows.head(cursor).with_columns(blank)
    rest = rows.slice(cursor).filter(~mine).with_columns(pl.col(merge).cast(pl.String))
    rows = pl.concat([done, rest])
    return Left(octets=encode_frame(rows), size=len(rows))
