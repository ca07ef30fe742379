"""Forgetting a person everywhere with a proof, and telling a person all that is held."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from clarion.domain.ids import AppId, UserId

Plain = None | bool | int | float | str | Sequence["Plain"] | Mapping[str, "Plain"]
"""What JSON can say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Erasure:
    """An erasure, and how far it is."""

    id: int
    requested_at: datetime
    done_at: datetime | None
    """None: the facts have still to be gone through; they are as soon as their owner answers."""
    subject: str
    """SHA-256 over the salt and the app's name of the person: shows whom it was about to whoever
    knows the name, and to nobody else."""
    salt: str
    removed: Mapping[str, int]
    """What was removed -> how many rows."""
    kept: Mapping[str, int]
    """What stays on purpose -> how many rows: keyed hashes of the name on suppression lists."""
    proof: str
    """SHA-256 over all of the above."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenErasure:
    """An erasure whose facts are still there."""

    id: int
    app: AppId
    users: Sequence[UserId]
    """All numbers that stood for the person."""
    xid: int
    """The transaction that removed the person from the state store."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What the state store holds about a person beyond what the other ports tell."""

    users: Sequence[UserId]
    """All numbers that stand for the person."""
    xid: int
    """Facts that have this transaction have all that was recorded before."""
    parts: Mapping[str, Plain]


class Erasures(Protocol):
    """Removes people from the state store, and keeps the proofs."""

    async def begin(self, app: AppId, user: UserId, now: datetime) -> OpenErasure | None:
        """Remove a person from the state store, ledger included; None: no such person."""
        ...

    async def finish(self, erasure: int, removed: Mapping[str, int], now: datetime) -> Erasure:
        """The facts are gone too: complete the proof, and forget the person's number."""
        ...

    async def unfinished(self, before: datetime, limit: int) -> Sequence[OpenErasure]:
        """Erasures of all apps from before an instant whose facts are still there, oldest first."""
        ...

    async def get(self, app: AppId, erasure: int) -> Erasure | None:
        """One erasure with its proof."""
        ...

    async def held(self, app: AppId, user: UserId) -> Held | None:
        """What the state store holds about a person beyond what the other ports tell."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FactsPage:
    """Some rows of one kind, as names and values."""

    kind: str
    rows: Sequence[Mapping[str, Plain]]


class PersonFacts(Protocol):
    """What the facts hold about one person."""

    def about(
        self, app: AppId, users: Sequence[UserId], *, at_least_xid: int
    ) -> AsyncIterator[FactsPage]:
        """All rows about a person, whose numbers these are: kind by kind, the oldest first.

        Each kind (outcome, event, engagement, decision, ...) comes at least once, if only with no
        rows.

        Raises:
            FactsUnavailableError: their owner does not answer, or went away in the middle.
        """
        ...

    async def erase(
        self, app: AppId, users: Sequence[UserId], *, at_least_xid: int
    ) -> Mapping[str, int]:
        """Remove all rows of one person, whose numbers these are; how many of each kind.

        Raises:
            FactsUnavailableError: their owner does not answer; nothing is known to be removed.
        """
        ...
