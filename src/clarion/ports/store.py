"""What every way to the state store may say: that it is not there."""


class StoreUnavailableError(Exception):
    """The state store can't be reached or did not commit; the sentence names the cause."""
