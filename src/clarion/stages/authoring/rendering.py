"""The merge columns of a batch: simple pieces as whole columns, full ones once per distinct input.

What a template reads decides how often it is rendered: a text that reads a first name and a
country is rendered once for each pair that there is, not once for each person.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from clarion.domain.content import Json, MissingVariable
from clarion.domain.ids import AppId, MessageId
from clarion.domain.template import Column, Substitution, distinct, substituted, values_of
from clarion.ports.rendering import (
    RenderingFailedError,
    Scope,
    Template,
    VariableMissingError,
)
from clarion.stages.authoring.compiling import ContentPlan, Piece
from clarion.stages.authoring.links import tracked_column

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]
UInt16s = npt.NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracking:
    """How links are tracked (see `links.tracked_column`)."""

    base: str
    keys: Mapping[int, bytes] = field(repr=False)
    app: AppId
    message: MessageId


@dataclass(frozen=True, kw_only=True, slots=True)
class People:
    """Columns of the recipients that templates read."""

    device: Int64s
    columns: Mapping[str, Column]
    """Variable (`user.first_name`) -> values."""
    language: UInt16s
    """Index into `languages`."""
    languages: Sequence[str]
    zone: UInt16s
    """Index into `zones`."""
    zones: Sequence[str]
    now: datetime

    def __len__(self) -> int:
        return len(self.device)

    def take(self, rows: Int64s) -> "People":
        """Some rows, in that order."""
        chosen = rows.tolist()
        return People(
            device=self.device[rows],
            columns={
                name: column[rows]
                if isinstance(column, pl.Series)
                else [column[row] for row in chosen]
                for name, column in self.columns.items()
            },
            language=self.language[rows],
            languages=self.languages,
            zone=self.zone[rows],
            zones=self.zones,
            now=self.now,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """The merge columns of a batch, and who can't be sent to."""

    merge: list[pl.Series]
    """k columns of n texts; a row without a text in a column has an empty one."""
    missing: Bools
    """A variable that is printed is missing, under a policy that minds."""
    failed: Bools
    """The template failed for these values."""
    missing_by: Mapping[str, int]
    """Variable -> recipients for whom it is missing."""
    failures: Mapping[str, int]
    """Sentence -> recipients for whom a template failed so."""

    @property
    def refused(self) -> str | None:
        """Why a message with the policy `fail` is refused; None where nothing is missing."""
        if not self.missing.any():
            return None
        names = ", ".join(f"`{name}` ({count})" for name, count in self.missing_by.items())
        return f"{int(self.missing.sum())} recipients have no value for {names}."


class _Filling:
    """The columns of one plan being rendered."""

    def __init__(self, plan: ContentPlan, people: People) -> None:
        self.plan, self.people = plan, people
        self.lenient = plan.missing is MissingVariable.FALLBACK
        self.missing = np.zeros(len(people), np.bool_)
        self.failed = np.zeros(len(people), np.bool_)
        self.missing_by: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._inputs: dict[str, Column] = {}
        self._scopes: dict[tuple[int, int], Scope] = {}

    def input(self, name: str) -> Column:
        """A variable's values with constants and fallbacks in them."""
        if name not in self._inputs:
            self._inputs[name] = self._input(name)
        return self._inputs[name]

    def _input(self, name: str) -> Column:
        plan, count = self.plan, len(self.people)
        if name in plan.constants:
            return [plan.constants[name]] * count
        column = self.people.columns.get(name)
        if column is None:
            column = pl.Series([None] * count, dtype=pl.String)
        fallback = plan.fallbacks.get(name) if self.lenient else None
        if fallback is None:
            return column
        if isinstance(column, pl.Series) and column.dtype == pl.String:
            return column.fill_null(fallback)
        return [fallback if value is None else value for value in values_of(column)]

    def column(self, piece: Piece, tracking: Tracking | None) -> pl.Series:
        """One merge column."""
        if isinstance(piece.source, Substitution):
            return self._substituted(piece.source)
        texts = self._by_engine(piece.source, piece)
        if piece.place is not None and tracking is not None:
            what = (tracking.app, tracking.message, piece.place)
            links = tracked_column(
                tracking.base, tracking.keys, what, self.people.device, texts.to_list()
            )
            return pl.Series(links, dtype=pl.String)
        return texts

    def _substituted(self, what: Substitution) -> pl.Series:
        texts = substituted(what, self.input(what.path), lenient=self.lenient)
        if texts.null_count():
            self.missing |= texts.is_null().to_numpy()
            self.missing_by[what.path] += texts.null_count()
            texts = texts.fill_null("")
        return texts

    def _by_engine(self, template: Template, piece: Piece) -> pl.Series:
        people = self.people
        names = sorted(template.fields)
        inputs = [self.input(name) for name in names]
        keys: list[Column] = list(inputs)
        if template.needs_language:
            keys.append(pl.Series(people.language))
        if template.needs_time:
            keys.append(pl.Series(people.zone))
        first, group = distinct(keys, len(people))
        chosen = [_chosen(column, first) for column in inputs]
        members = np.bincount(group, minlength=len(first))
        missing, failed = np.zeros(len(first), np.bool_), np.zeros(len(first), np.bool_)
        texts = []
        for at, row in enumerate(first.tolist()):
            values = {name: column[at] for name, column in zip(names, chosen, strict=True)}
            try:
                text = template.render(values, self._scope(row))
            except VariableMissingError as error:
                missing[at], text = True, ""
                self.missing_by[error.variable] += int(members[at])
            except RenderingFailedError as error:
                failed[at], text = True, ""
                self.failures[str(error)] += int(members[at])
            if piece.refusal is not None and (why := piece.refusal(text)) is not None:
                failed[at], text = True, ""
                self.failures[f"{piece.pointer}: {why}"] += int(members[at])
            texts.append(text if piece.finish is None else piece.finish(text))
        self.missing |= missing[group]
        self.failed |= failed[group]
        return pl.Series(texts, dtype=pl.String)[group]

    def _scope(self, row: int) -> Scope:
        people = self.people
        pair = (int(people.language[row]), int(people.zone[row]))
        if pair not in self._scopes:
            self._scopes[pair] = Scope(
                language=people.languages[pair[0]],
                zone=people.zones[pair[1]],
                now=people.now,
                lenient=self.lenient,
            )
        return self._scopes[pair]


def _chosen(column: Column, rows: Int64s) -> list[Json]:
    if isinstance(column, pl.Series):
        return values_of(column[rows])
    return values_of([column[row] for row in rows.tolist()])


def render_columns(
    plans: Sequence[ContentPlan],
    variant: UInt16s,
    people: People,
    tracking: Tracking | None = None,
) -> Rendered:
    """The merge columns of a batch whose messages are the variants of one message.

    Args:
        plans: One a variant. Column k of the result is piece k of each row's own plan.
        variant: Per recipient, an index into `plans` (`Recipients.message`).
        people: What templates read, one row a recipient.
        tracking: Needed where links are tracked; without it they lead straight to their targets.
    """
    if (plain := _plain(plans, people)) is not None:
        return _put_in(plain, variant)
    count, width = len(people), max((len(plan.pieces) for plan in plans), default=0)
    missing, failed = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    missing_by: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    order: list[Int64s] = []
    parts: list[list[pl.Series]] = [[] for _ in range(width)]
    for index, plan in enumerate(plans):
        rows = np.flatnonzero(variant == index)
        if not len(rows):
            continue
        order.append(rows)
        filling = _Filling(plan, people if len(rows) == count else people.take(rows))
        texts = [filling.column(piece, tracking) for piece in plan.pieces]
        texts += [_blank(len(rows))] * (width - len(texts))
        for part, column in zip(parts, texts, strict=True):
            part.append(column)
        missing[rows] |= filling.missing
        failed[rows] |= filling.failed
        missing_by.update(filling.missing_by)
        failures.update(filling.failures)
    return Rendered(
        merge=[_in_rows(part, order, count) for part in parts],
        missing=missing,
        failed=failed,
        missing_by=missing_by,
        failures=failures,
    )


def _plain(
    plans: Sequence[ContentPlan], people: People
) -> list[list[tuple[str, pl.Series]]] | None:
    """By column, what each variant puts there: a variable and its texts for everybody.

    None where a variant does more than put texts into places, or has another number of them.
    """
    if len({len(plan.pieces) for plan in plans}) != 1 or not all(map(_unfilled, plans)):
        return None
    done: dict[tuple[Substitution, bool, str | None], pl.Series] = {}
    columns = []
    for pieces in zip(*(plan.pieces for plan in plans), strict=True):
        column = []
        for plan, piece in zip(plans, pieces, strict=True):
            what = piece.source
            if not isinstance(what, Substitution):
                return None
            texts = people.columns.get(what.path)
            if not isinstance(texts, pl.Series) or texts.dtype != pl.String:
                return None
            lenient = plan.missing is MissingVariable.FALLBACK
            key = (what, lenient, plan.fallbacks.get(what.path) if lenient else None)
            if key not in done:
                told = texts if key[2] is None else texts.fill_null(key[2])
                done[key] = substituted(what, told, lenient=lenient)
            column.append((what.path, done[key]))
        columns.append(column)
    return columns


def _unfilled(plan: ContentPlan) -> bool:
    """Whether a plan has no values of its own, and takes others as they are: without filters."""
    return not plan.constants and not any(
        isinstance(piece.source, Substitution) and piece.source.filters for piece in plan.pieces
    )


def _put_in(columns: list[list[tuple[str, pl.Series]]], variant: UInt16s) -> Rendered:
    """Rows of all variants at once: mostly they put the same texts into their places."""
    missing = np.zeros(len(variant), np.bool_)
    missing_by: Counter[str] = Counter()
    merge = []
    for by_variant in columns:
        texts = first = by_variant[0][1]
        for index, (_, other) in enumerate(by_variant):
            if other is not first:
                texts = other.zip_with(pl.Series(variant == index), texts)
        if texts.null_count():
            absent = texts.is_null().to_numpy()
            missing |= absent
            for index, (path, _) in enumerate(by_variant):
                if rows := int(np.count_nonzero(absent & (variant == index))):
                    missing_by[path] += rows
            texts = texts.fill_null("")
        merge.append(texts)
    failed = np.zeros(len(variant), np.bool_)
    return Rendered(merge=merge, missing=missing, failed=failed, missing_by=missing_by, failures={})


def _blank(count: int) -> pl.Series:
    return pl.repeat("", count, dtype=pl.String, eager=True)


def _in_rows(parts: Sequence[pl.Series], order: Sequence[Int64s], count: int) -> pl.Series:
    """The columns of several variants as one; `order` has the rows of each."""
    if len(parts) < 2:  # noqa: PLR2004  one variant or nobody: nothing to put in order
        return parts[0] if parts else _blank(count)
    place = np.empty(count, np.int64)
    place[np.concatenate(order)] = np.arange(count)
    return pl.concat([part.rename("") for part in parts])[place]
