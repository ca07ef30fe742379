"""Who may be sent what, and a ledger that shows when it was tampered with."""

from dataclasses import replace

import numpy as np
import pytest

from clarion.domain.category import BORN, Category, CategoryError, DefaultState, Kind
from clarion.domain.consent import (
    Change,
    Entry,
    Erased,
    How,
    Personal,
    entry_hash,
    genesis,
    sendable,
    verify,
)

MASKS = (np.array([False, True, False, True]), np.array([False, False, True, True]))


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("default", DefaultState)
@pytest.mark.parametrize("can_opt_out", [True, False])
def test_consent_as_one_would_say_it(kind: Kind, default: DefaultState, can_opt_out: bool) -> None:  # noqa: FBT001
    """A no wins where there may be one; else a yes, or silence where silence is a yes."""
    granted, denied = MASKS
    found = sendable(kind, default, can_opt_out=can_opt_out, granted=granted, denied=denied)
    silence = default is DefaultState.IN and kind is not Kind.MARKETING
    for yes, no, sent in zip(granted.tolist(), denied.tolist(), found.tolist(), strict=True):
        assert sent == (not (no and can_opt_out) and (yes or silence))


def test_marketing_that_needs_no_yes_can_not_be_made() -> None:
    """By construction."""
    with pytest.raises(CategoryError, match="opt-in"):
        Category(slug="x", kind=Kind.MARKETING, slot=5, default_state=DefaultState.IN)
    with pytest.raises(CategoryError, match="opt out"):
        Category(slug="x", kind=Kind.MARKETING, slot=5, can_opt_out=False)


def test_every_app_is_born_with_three_categories() -> None:
    """Calls pass everything, transactional messages count under caps, marketing asks."""
    calls, transactional, marketing = BORN
    assert [c.slug for c in BORN] == ["calls", "transactional", "marketing"]
    assert not calls.capped
    assert not calls.hushed
    assert not calls.gathers
    assert not transactional.capped
    assert marketing.capped
    assert marketing.hushed
    assert marketing.default_state is DefaultState.OUT


def chain(count: int) -> list[tuple[Entry, bytes, bytes]]:
    """A ledger of some entries."""
    entries, head = [], genesis(7)
    for number in range(1, count + 1):
        entry = Entry(
            number=number,
            category=3,
            change=Change.GRANTED if number % 2 else Change.WITHDRAWN,
            at_us=1_795_000_000_000_000 + number,
            how=How.SDK_PROMPT,
            text="May we tell you about sales?",
            language="en",
            text_version="2",
            personal=Personal(
                user=number, external=f"u{number}", evidence={"agent": "x"}, salt=bytes(16)
            ),
        )
        before, head = head, entry_hash(head, entry)
        entries.append((entry, before, head))
    return entries


def test_an_honest_ledger_verifies_and_can_be_continued() -> None:
    """In one go, or from the head of an earlier check on."""
    entries = chain(6)
    whole = verify(entries, before=genesis(7))
    assert (whole.entries, whole.broken_at) == (6, None)
    half = verify(entries[:3], before=genesis(7))
    rest = verify(entries[3:], before=half.head, number=4)
    assert rest.head == whole.head


def test_erasure_takes_the_person_away_and_the_chain_still_verifies() -> None:
    """The tombstone has the digest, and nothing else of them."""
    entries = chain(4)
    entry, before, after = entries[1]
    gone = entry.erased()
    assert isinstance(gone.personal, Erased)
    assert "u2" not in repr(gone)
    entries[1] = (gone, before, after)
    assert verify(entries, before=genesis(7)).broken_at is None


@pytest.mark.parametrize(
    "change",
    [
        {"change": Change.WITHDRAWN},
        {"at_us": 1},
        {"text": "other words"},
        {"category": 4},
        {"how": How.IMPORT},
        {"language": "fr"},
        {"text_version": "3"},
        {"personal": Personal(user=9, external="u3", evidence={"agent": "x"}, salt=bytes(16))},
        {"personal": Personal(user=3, external="u3", evidence={}, salt=bytes(16))},
    ],
)
def test_tampering_with_any_field_shows(change: dict[str, object]) -> None:
    """The first entry that does not hold is named."""
    entries = chain(5)
    entry, before, after = entries[2]
    entries[2] = (replace(entry, **change), before, after)  # type: ignore[arg-type]
    found = verify(entries, before=genesis(7))
    assert (found.broken_at, found.entries, found.because) == (3, 2, "the entry was changed")


def test_taking_out_exchanging_and_rewriting_show() -> None:
    """So does another app's beginning."""
    entries = chain(5)
    assert verify([*entries[:2], *entries[3:]], before=genesis(7)).because == "entry 3 is missing"
    assert verify(entries, before=genesis(8)).broken_at == 1
    entry, before, _ = entries[1]
    changed = replace(entry, text="x")
    entries[1] = (changed, before, entry_hash(before, changed))
    assert verify(entries, before=genesis(7)).broken_at == 3
