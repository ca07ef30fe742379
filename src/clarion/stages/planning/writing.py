"""What those who are sent to read: variants and merge columns, once it is decided who they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from clarion.domain.content import Message
from clarion.domain.decision_row import Action, Decisions, Inputs
from clarion.domain.handoffs import Int64s, UInt16s
from clarion.domain.intervals import NEVER
from clarion.domain.outcome import Reason
from clarion.ports.rendering import Moment, PreparedContent
from clarion.stages.planning.kinds import in_kinds

TOLD: Final = ("device", "user", "network", "registered_us", "environment", "token", "keys")
"""What senders are told of a device; all else that was decided by stays behind."""


class WordsMissingError(Exception):
    """People have no value for what a message prints, and the message is not to be sent then."""

    def __init__(self, recipients: int, missing_by: Mapping[str, int]) -> None:
        names = ", ".join(f"`{name}` ({count})" for name, count in missing_by.items())
        who = "1 recipient has" if recipients == 1 else f"{recipients} recipients have"
        super().__init__(
            f"{who} no value for {names}: nothing was sent. "
            "Give them one and resume the message, or cancel it"
        )
        self.recipients = recipients
        self.missing_by = missing_by


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """Rows that are sent to, with the words they get, in the order of `kinds.in_kinds`."""

    rows: pl.DataFrame
    """Columns of the audience that senders are told; `message` and merge columns where the words
    differ."""
    place: Int64s
    """Of each row, its place among the rows that were decided about."""
    variants: Sequence[Message] | None
    """None: everybody gets the message as it was accepted."""
    variant: UInt16s
    """Of each row that was decided about, an index into `variants`."""


def write(
    rows: pl.DataFrame,
    read: Inputs,
    said: Decisions,
    words: PreparedContent | None,
    now: datetime,
    *,
    begun: bool = False,
) -> Written:
    """Render for whoever is sent to; `said` leaves out, in place, whom the words fail.

    With `begun`, others are being sent to already: who misses a variable since is left out.

    Raises:
        WordsMissingError: a variable is missing for somebody, and the message minds.
    """
    going = in_kinds(read, said)
    variant = np.zeros(len(rows), np.uint16)
    read_by = () if words is None else ("language", *words.fields)
    wanted = dict.fromkeys((*TOLD, *read_by))
    chosen = rows.select(name for name in wanted if name in rows.columns)[going]
    if words is None or not len(going):
        return Written(rows=chosen, place=going, variants=None, variant=variant)
    moment = Moment(now=now, zone=read.zone[going], zones=read.zone_names)
    rendered = words.render(chosen, moment)
    if words.refuses_missing and not begun and rendered.missing.any():
        raise WordsMissingError(int(rendered.missing.sum()), rendered.missing_by)
    variant[going] = rendered.rows["message"].to_numpy()
    _leave_out(said, going[rendered.missing], Reason.VARIABLE_MISSING)
    _leave_out(said, going[rendered.failed & ~rendered.missing], Reason.TEMPLATE_FAILED)
    fine = ~(rendered.missing | rendered.failed)
    kept = rendered.rows if fine.all() else rendered.rows.filter(fine)
    return Written(rows=kept, place=going[fine], variants=words.variants, variant=variant)


def _leave_out(said: Decisions, rows: Int64s, why: Reason) -> None:
    said.action[rows] = Action.SKIP
    said.reason[rows] = why
    said.silent[rows] = False
    said.open_until_us[rows] = NEVER
