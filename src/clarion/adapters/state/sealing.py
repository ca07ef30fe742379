"""Secrets at rest: AES-256-GCM under a master key that never enters the database."""

import base64
import binascii
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from clarion.ports.secrets import SecretUnreadableError

KEY_OCTETS: Final = 32
NONCE_OCTETS: Final = 12
"""NIST SP 800-38D section 8.2.2: random 96-bit nonces serve for 2^32 messages under one key."""
FORM: Final = b"\x01"
"""First octet of everything sealed: AES-256-GCM, nonce, ciphertext with tag."""


class MasterKeyError(Exception):
    """The master key file can't be used; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Seals and opens secrets.

    Attributes:
        key: 32 octets.
        random: gives that many unpredictable octets.
    """

    key: bytes = field(repr=False)
    random: Callable[[int], bytes]

    def close(self, plain: bytes, purpose: str) -> bytes:
        """Seal a secret for one purpose: it opens only with the same `purpose`.

        The purpose names the row, so that nobody who can write to the database can put one
        row's secret into another.
        """
        nonce = self.random(NONCE_OCTETS)
        return FORM + nonce + AESGCM(self.key).encrypt(nonce, plain, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Open what `close` made for the same purpose.

        Raises:
            SecretUnreadableError: other key, other purpose, or damaged.
        """
        head = len(FORM) + NONCE_OCTETS
        if sealed[: len(FORM)] != FORM or len(sealed) < head:
            raise SecretUnreadableError(f"the secret of {purpose} is not in a form that we write")
        nonce = sealed[len(FORM) : head]
        try:
            return AESGCM(self.key).decrypt(nonce, sealed[head:], purpose.encode())
        except InvalidTag as error:
            raise SecretUnreadableError(
                f"the secret of {purpose} does not open with this master key: restore the key "
                "file that it was sealed with, or put the credential again"
            ) from error


def load_master_key(path: Path, random: Callable[[int], bytes]) -> bytes:
    """Read the master key, or make one (mode 0600) when the file is not there.

    Several processes may start at once: the file appears whole or not at all, and one wins.

    Returns:
        32 octets.

    Raises:
        MasterKeyError: others may read the file, or it holds no key, or can't be read or made.
    """
    try:
        if not path.exists():
            _make(path, random)
    except OSError as error:
        raise MasterKeyError(f"the master key {path} can't be read or made: {error}") from error
    return read_master_key(path)


def read_master_key(path: Path) -> bytes:
    """The key in a file that is there.

    Returns:
        32 octets.

    Raises:
        MasterKeyError: others may read the file, or it holds no key, or can't be read.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(4096)
    except OSError as error:
        raise MasterKeyError(f"the master key {path} can't be read: {error}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise MasterKeyError(f"others may read the master key {path}: run chmod 600 on it")
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise MasterKeyError(f"{path} holds no base64") from error
    if len(key) != KEY_OCTETS:
        raise MasterKeyError(f"{path} holds {len(key)} octets; a master key has {KEY_OCTETS}")
    return key


def _make(path: Path, random: Callable[[int], bytes]) -> None:
    text = base64.b64encode(random(KEY_OCTETS)) + b"\n"
    draft = path.with_name(f"{path.name}.{random(8).hex()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # unlike a rename, refuses to replace another process's key
        except FileExistsError:
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        draft.unlink()
