"""Who may be sent a category, and the ledger that proves it.

The ledger of an app is a chain: each entry's hash covers the one before. What is personal in an
entry is covered through a hash of its own, salted with random bytes, so erasure can take the
personal part away, salt included, and the chain still verifies while the hash that stays behind
can't be guessed back to a person.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.category import DefaultState, Kind
from clarion.domain.handoffs import Int64s

Mask = npt.NDArray[np.bool_]


def sendable(
    kind: Kind, default: DefaultState, *, can_opt_out: bool, granted: Mask, denied: Mask
) -> Mask:
    """Which rows may be sent a category: the one place that says so.

    A recorded no wins wherever people may opt out. Marketing needs a recorded yes, whatever the
    default says.
    """
    willing = ~denied if can_opt_out else np.ones(len(denied), np.bool_)
    if kind is not Kind.MARKETING and default is DefaultState.IN:
        return willing
    return willing & granted


def bit(states: Int64s, slot: int) -> Mask:
    """The bit of one category in a column of bit sets."""
    found: Mask = (states >> slot & 1) == 1
    return found


class Change(IntEnum):
    """What an entry of the ledger records. The number is stored: never reuse one."""

    GRANTED = 1
    WITHDRAWN = 2
    PROVISIONAL = 3
    """Said yes and has yet to confirm it: not sendable."""

    @property
    def label(self) -> str:
        """The change as the API spells it."""
        return self.name.lower()


class How(IntEnum):
    """Where a change was made. The number is stored: never reuse one."""

    SDK_PROMPT = 1
    IMPORT = 2
    API = 3
    PREFERENCE_PAGE = 4
    UNSUBSCRIBE_LINK = 5

    @property
    def label(self) -> str:
        """The way as the API spells it."""
        return self.name.lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Personal:
    """What erasure takes away."""

    user: int
    external: str
    """The app's own name of the person."""
    evidence: Mapping[str, str]
    """Truncated address, user agent and the like."""
    salt: bytes
    """16 random bytes."""

    def digest(self) -> bytes:
        """The 32 bytes that stand for this part in the chain."""
        body = {"evidence": dict(self.evidence), "external": self.external, "user": self.user}
        return hashlib.sha256(
            _framed(b"clarion.consent.personal.1", self.salt, _json(body))
        ).digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Erased:
    """The tombstone of a personal part."""

    hash: bytes

    def digest(self) -> bytes:
        """The digest that the part had."""
        return self.hash


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of the ledger of one app."""

    number: int
    """1, 2, 3 and so on within the app, so that a line taken out shows."""
    category: int
    """Id of the category."""
    change: Change
    at_us: int
    how: How
    text: str
    """The words that the person was shown."""
    language: str
    text_version: str
    personal: Personal | Erased

    def canonical(self) -> bytes:
        """The bytes that are hashed: JSON with sorted keys and the digest of what is personal."""
        return _json(
            {
                "at_us": self.at_us,
                "category": self.category,
                "change": int(self.change),
                "how": int(self.how),
                "language": self.language,
                "number": self.number,
                "personal": self.personal.digest().hex(),
                "text": self.text,
                "text_version": self.text_version,
            }
        )

    def erased(self) -> "Entry":
        """The entry without what is personal; its hash is the same."""
        return replace(self, personal=Erased(hash=self.personal.digest()))


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
"""Made once: `json.dumps` with options makes another one for each call."""


def _json(value: Mapping[str, object]) -> bytes:
    return _ENCODER.encode(value).encode()


def _framed(*parts: bytes) -> bytes:
    """Parts with their lengths, so that no two lists of parts give the same bytes."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def genesis(app: int) -> bytes:
    """What the first entry of an app's chain has before it."""
    return hashlib.sha256(_framed(b"clarion.consent.genesis.1", str(app).encode())).digest()


def entry_hash(previous: bytes, entry: Entry) -> bytes:
    """The 32 bytes that the next entry will cover."""
    return hashlib.sha256(_framed(b"clarion.consent.entry.1", previous, entry.canonical())).digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """How far a chain holds."""

    entries: int
    """How many entries hold."""
    head: bytes
    """The hash of the last one that holds."""
    broken_at: int | None = None
    """The number of the first entry that does not hold."""
    because: str = ""


def verify(
    chain: Iterable[tuple[Entry, bytes, bytes]], *, before: bytes, number: int = 1
) -> Verified:
    """Check entries in order, each with its stored previous hash and hash.

    That entries were cut off the end shows only against a head that is kept elsewhere.

    Args:
        chain: (entry, previous hash, hash) by number.
        before: `genesis` of the app, or the head that a check before this one ended with.
        number: the number that the first entry has to have.
    """
    head, count = before, 0
    for entry, previous, stored in chain:
        trouble = ""
        if entry.number != number + count:
            trouble = f"entry {number + count} is missing"
        elif previous != head:
            trouble = "the entry before was changed or exchanged"
        elif entry_hash(previous, entry) != stored:
            trouble = "the entry was changed"
        if trouble:
            return Verified(entries=count, head=head, broken_at=number + count, because=trouble)
        head, count = stored, count + 1
    return Verified(entries=count, head=head)
