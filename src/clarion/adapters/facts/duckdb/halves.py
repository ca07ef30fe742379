"""A message's UUID as two numbers, so that columns stay numbers all the way."""

from uuid import UUID


def halves(message: str) -> tuple[int, int]:
    """A UUID as the two numbers that its columns hold."""
    value = UUID(message).int
    return value >> 64, value & 0xFFFF_FFFF_FFFF_FFFF
