"""What apps send with: one credential per network, its secret sealed in the state store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Protocol

from clarion.domain.ids import AppId, CredentialId
from clarion.domain.network import Network
from clarion.ports.provider import Credential


class CredentialState(IntEnum):
    """Whether a credential is used. The number is stored."""

    ACTIVE = 1
    QUARANTINED = 2
    """It looks misconfigured: nothing is sent with it until an operator says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CredentialRecord:
    """A credential without its secret."""

    id: CredentialId
    app: AppId
    network: Network
    version: int
    public: Mapping[str, str]
    state: CredentialState
    state_reason: str | None
    state_at: datetime
    expires_at: datetime | None
    """End of a certificate."""
    per_minute: int | None
    """Pacing; None: the network's default."""
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class NewCredential:
    """A credential as an operator gives it, already checked by its provider."""

    network: Network
    public: Mapping[str, str]
    secret: Mapping[str, str] = field(repr=False)
    expires_at: datetime | None = None
    per_minute: int | None = None


class Credentials(Protocol):
    """Credentials of apps."""

    async def put(self, app: AppId, new: NewCredential, now: datetime) -> CredentialRecord:
        """Store or replace the app's credential of a network.

        Replacing raises the version and ends a quarantine; the new version is judged anew.
        """
        ...

    async def get(self, app: AppId, network: Network) -> CredentialRecord | None:
        """What may be shown."""
        ...

    async def all(self, app: AppId | None) -> Sequence[CredentialRecord]:
        """All of an app, or of every app, in order of the id."""
        ...

    async def load(self, credential: CredentialId) -> Credential | None:
        """With its secret, for senders.

        Raises `SecretUnreadableError` when it was sealed with another master key.
        """
        ...

    async def reinstate(self, app: AppId, network: Network, now: datetime) -> bool:
        """Use it again; False when it was not quarantined."""
        ...

    async def delete(self, app: AppId, network: Network) -> bool:
        """Remove it. Raises `CredentialInUseError` while unfinished batches need it."""
        ...


class CredentialInUseError(Exception):
    """Batches refer to the credential."""
