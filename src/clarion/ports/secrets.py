"""What a sealed secret may say: that it can't be opened."""


class SecretUnreadableError(Exception):
    """A sealed secret can't be opened: another master key, or damaged; the sentence says which."""
