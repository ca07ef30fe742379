"""The master key file, and what is sealed with it."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clarion.adapters.state.sealing import MasterKeyError, Seal, load_master_key
from clarion.ports.secrets import SecretUnreadableError

SEAL = Seal(bytes(range(32)), secrets.token_bytes)


def test_the_first_start_makes_a_key_that_only_the_owner_reads(tmp_path: Path) -> None:
    """The second start finds the same, and no draft is left behind."""
    path = tmp_path / "master.key"
    key = load_master_key(path, secrets.token_bytes)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_master_key(path, secrets.token_bytes) == key
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]


def test_processes_that_start_together_get_one_key(tmp_path: Path) -> None:
    """Whoever makes it first wins."""
    path = tmp_path / "master.key"
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: load_master_key(path, secrets.token_bytes), range(8)))
    assert len(set(keys)) == 1


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (b"A" * 44, 0o644, "chmod 600"),
        (b"not base64!", 0o600, "no base64"),
        (b"QUJD", 0o600, "3 octets"),
    ],
)
def test_a_key_file_that_cannot_serve_is_refused(
    tmp_path: Path, text: bytes, mode: int, words: str
) -> None:
    """Others may read it; no base64; too short."""
    path = tmp_path / "master.key"
    path.write_bytes(text)
    path.chmod(mode)
    with pytest.raises(MasterKeyError, match=words):
        load_master_key(path, secrets.token_bytes)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Instead of a traceback."""
    with pytest.raises(MasterKeyError, match="can't be read or made"):
        load_master_key(tmp_path / "none" / "master.key", secrets.token_bytes)


def test_what_is_sealed_opens_for_the_same_purpose_only() -> None:
    """Two seals of one secret differ."""
    first, second = SEAL.close(b"secret", "a"), SEAL.close(b"secret", "a")
    assert first != second
    assert SEAL.open(first, "a") == SEAL.open(second, "a") == b"secret"
    with pytest.raises(SecretUnreadableError):
        SEAL.open(first, "b")


@pytest.mark.parametrize("damage", [b"", b"\x01", b"\x02" + bytes(40), bytes(60)])
def test_damaged_secrets_do_not_open(damage: bytes) -> None:
    """Too short, another form, another content."""
    with pytest.raises(SecretUnreadableError):
        SEAL.open(damage, "a")


def test_neither_the_key_nor_its_holder_shows_it() -> None:
    """A log of the object holds no key."""
    assert "key=" not in repr(SEAL)
