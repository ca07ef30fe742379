"""A memory of bounded size, which forgets what was used longest ago."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Values by key. At most so many are kept, and those used longest ago go first."""

    __slots__ = ("_held", "_most")

    def __init__(self, most: int) -> None:
        """`most`: how many are kept."""
        self._held: OrderedDict[Key, Value] = OrderedDict()
        self._most = most

    def __len__(self) -> int:
        return len(self._held)

    def known(self, key: Key) -> Value | None:
        """What is kept under a key, which was used thereby; None: nothing."""
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
        return held

    def learn(self, key: Key, value: Value) -> None:
        """Keep a value, in place of an older one of the same key."""
        self._held[key] = value
        self._held.move_to_end(key)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
