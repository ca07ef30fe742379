"""A memory of bounded size."""

from clarion.domain.recent import Recent


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    """Both asking and learning anew are use."""
    memory: Recent[str, int] = Recent(2)
    memory.learn("a", 1)
    memory.learn("b", 2)
    assert memory.known("a") == 1
    memory.learn("c", 3)
    assert (memory.known("a"), memory.known("b"), memory.known("c")) == (1, None, 3)
    memory.learn("a", 4)
    memory.learn("d", 5)
    assert (memory.known("a"), memory.known("c"), len(memory)) == (4, None, 2)


def test_a_value_that_is_false_is_known() -> None:
    """Nothing but None says that nothing is kept."""
    memory: Recent[str, int] = Recent(1)
    memory.learn("a", 0)
    assert memory.known("a") == 0
