"""How long the tests of this folder wait. No test is quicker for it being short."""

PATIENCE_S = 120.0
"""For anything that is waited for: a busy machine may stand still for a while."""
START_S = 240.0
"""For a whole platform to start or to end: a database and six processes, each with its imports."""
