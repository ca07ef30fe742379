"""What a ledger comes to, read an entry at a time."""

from collections.abc import Iterable

from clarion.domain.consent import Change


def derived(entries: Iterable[tuple[int, int, Change]]) -> dict[int, tuple[int, int]]:
    """Each person's `granted` and `denied` bits, from (person, slot, change) in the ledger's order.

    The last entry of a person and category counts; a provisional one is neither yes nor no.
    """
    last: dict[int, dict[int, Change]] = {}
    for person, slot, change in entries:
        last.setdefault(person, {})[slot] = change
    return {
        person: (
            sum(1 << slot for slot, change in said.items() if change is Change.GRANTED),
            sum(1 << slot for slot, change in said.items() if change is Change.WITHDRAWN),
        )
        for person, said in last.items()
    }
