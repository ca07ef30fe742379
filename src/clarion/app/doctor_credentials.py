"""Credentials: can they be opened and parsed, are they in quarantine, when do they end?"""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from clarion.app.container import Container
from clarion.app.doctor_finding import Finding, Level
from clarion.ports.credentials import CredentialRecord, CredentialState
from clarion.ports.secrets import SecretUnreadableError
from clarion.providers.apns.credential import read_certificate

ENDS_SOON: Final = timedelta(days=30)


async def examine_credentials(container: Container) -> AsyncIterator[Finding]:
    """Look at the credential of every app and network."""
    records = await container.credentials.all(None)
    if not records:
        found = "there is none: every message is suppressed (credential_missing)"
        yield Finding(
            "credentials", Level.WARN, found, "give one with PUT /v1/credentials/{network}"
        )
    names = {app.id: app.name for app in await container.apps.all()}
    for record in records:
        what = f"{record.network.label} credential of {names.get(record.app, record.app)}"
        yield await _examine(container, record, what)


async def _examine(container: Container, record: CredentialRecord, what: str) -> Finding:
    broken, topics = await _read(container, record)
    if broken is not None:
        return Finding(what, Level.FAIL, broken, "put the credential again")
    if record.state is CredentialState.QUARANTINED:
        found = f"in quarantine since {record.state_at:%Y-%m-%d %H:%M} UTC: {record.state_reason}"
        advice = (
            f"replace it, or correct the fault and POST /v1/credentials/{record.network.label}"
            ":reinstate"
        )
        return Finding(what, Level.FAIL, found, advice)
    if record.expires_at is None:
        return Finding(what, Level.OK, "it can be read, and does not end")
    left = record.expires_at - container.clock.now()
    found = f"its certificate ends {record.expires_at:%Y-%m-%d} ({left.days} days){topics}"
    if left > ENDS_SOON:
        return Finding(what, Level.OK, found)
    level = Level.FAIL if left <= timedelta(0) else Level.WARN
    return Finding(what, level, found, "renew it at Apple, or use a .p8 key, which does not end")


async def _read(container: Container, record: CredentialRecord) -> tuple[str | None, str]:
    """Why it can't be used, or None; and what its certificate is for, where it has one."""
    provider = container.providers.get(record.network)
    if provider is None:
        return "this version knows no such network", ""
    try:
        credential = await container.credentials.load(record.id)
    except SecretUnreadableError as error:
        return str(error), ""
    if credential is None:
        return "it was removed a moment ago", ""
    problems = provider.check_credential(credential.public, credential.secret)
    if problems:
        return f"{problems[0].path}: {problems[0].detail}", ""
    return None, _topics(credential.secret.get("certificate"))


def _topics(certificate: str | None) -> str:
    if certificate is None:
        return ""
    said = read_certificate(certificate)
    worlds = " and ".join(sorted(world.name.lower() for world in said.environments))
    return f"; its topics: {', '.join(said.topics) or 'not named'}" + (
        f"; it is for {worlds}" if worlds else ""
    )
