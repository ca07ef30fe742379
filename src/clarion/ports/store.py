"""Why an engine may refuse to be used: it is away, from a newer version, or damaged."""


class StoreUnavailableError(Exception):
    """The state store can't be reached or did not commit; the sentence names the cause."""


class DatabaseNewerError(Exception):
    """The database was migrated by a newer Clarion; this one must not touch it."""


class NotMigratedError(Exception):
    """The state schema could not be brought up to date; the sentence says why."""


class FactsFileError(Exception):
    """The facts file can't be used; the sentence says what to do."""
