"""Credentials: what an app sends with over each network. Secrets go in and never come out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from cryptography import x509

from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.problems import ProblemError, field_problem, not_found
from clarion.api.routing import Api, Route
from clarion.api.shapes.credentials import (
    CredentialBody,
    CredentialList,
    CredentialView,
    VapidBody,
)
from clarion.domain.errors import ErrorCode
from clarion.domain.network import NETWORK_BY_LABEL, Network
from clarion.ports.credentials import (
    CredentialInUseError,
    CredentialRecord,
    CredentialState,
    NewCredential,
)
from clarion.ports.keys import Scope
from clarion.telemetry.names import LogEvent
from clarion.wire.vapid import VapidKey


async def read_all(api: Api, call: Exchange) -> Answer:
    """The app's credentials without their secrets."""
    records = await api.deps.credentials.all(call.caller.app)
    return json_answer(CredentialList([_view(record) for record in records]))


async def read_one(api: Api, call: Exchange) -> Answer:
    """The credential of a network, with its state."""
    record = await api.deps.credentials.get(call.caller.app, _network(api, call))
    if record is None:
        raise not_found("credential")
    return json_answer(_view(record))


async def put(api: Api, call: Exchange) -> Answer:
    """Store or replace the credential of a network.

    It is checked without asking the network. Replacing ends a quarantine.
    """
    network = _network(api, call)
    body = await call.json(CredentialBody, api.deps.limits.max_body)
    return await _store(api, call, network, body)


async def generate(api: Api, call: Exchange) -> Answer:
    """Make a VAPID key pair and store it as the Web Push credential.

    `public.public_key` is what pages pass as `applicationServerKey`. Replacing a pair makes every
    subscription that was made with the old one useless.
    """
    body = await call.json(VapidBody, api.deps.limits.max_body)
    key = VapidKey.generate()
    public = {"public_key": key.public, "subject": body.subject}
    if body.site is not None:
        public["site"] = body.site
    made = CredentialBody(
        public=public, secret={"private_key": key.to_pem()}, per_minute=body.per_minute
    )
    return await _store(api, call, Network.WEBPUSH, made)


async def reinstate(api: Api, call: Exchange) -> Answer:
    """End a quarantine: what waited for the credential is sent."""
    network = _network(api, call)
    now = api.deps.clock.now()
    done = await api.deps.credentials.reinstate(call.caller.app, network, now)
    record = await api.deps.credentials.get(call.caller.app, network)
    if record is None:
        raise not_found("credential")
    if not done:
        raise ProblemError(ErrorCode.STATE_CONFLICT, "The credential is not in quarantine.")
    call.note(LogEvent.CREDENTIAL_REINSTATED, network=network.label)
    return json_answer(_view(record))


async def delete(api: Api, call: Exchange) -> Answer:
    """Remove a credential that no unfinished message needs."""
    network = _network(api, call)
    try:
        removed = await api.deps.credentials.delete(call.caller.app, network)
    except CredentialInUseError:
        raise ProblemError(
            ErrorCode.STATE_CONFLICT, "Messages that are not finished need the credential."
        ) from None
    if not removed:
        raise not_found("credential")
    api.networks.forget(call.caller.app)
    call.note(LogEvent.CREDENTIAL_CHANGED, network=network.label, version=0)
    return Answer(204)


async def _store(api: Api, call: Exchange, network: Network, body: CredentialBody) -> Answer:
    provider = api.deps.providers.get(network)
    if provider is None:
        raise not_found("network")
    found = provider.check_credential(body.public, body.secret)
    if found:
        errors = [field_problem(p.path, p.code, p.detail) for p in found]
        raise ProblemError(ErrorCode.CREDENTIAL_REFUSED, errors[0].detail, errors=errors)
    new = NewCredential(
        network=network,
        public=body.public,
        secret=body.secret,
        expires_at=_end_of_certificate(body.secret),
        per_minute=body.per_minute,
    )
    record = await api.deps.credentials.put(call.caller.app, new, api.deps.clock.now())
    api.networks.forget(call.caller.app)
    call.note(LogEvent.CREDENTIAL_CHANGED, network=network.label, version=record.version)
    return json_answer(_view(record))


def _end_of_certificate(secret: Mapping[str, str]) -> datetime | None:
    """When the certificate ends; the provider has checked that it can be read."""
    pem = secret.get("certificate")
    if pem is None:
        return None
    return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc


def _network(api: Api, call: Exchange) -> Network:
    network = NETWORK_BY_LABEL.get(call.params["network"])
    if network is None or network not in api.deps.providers:
        raise not_found("network")
    return network


def _view(record: CredentialRecord) -> CredentialView:
    return CredentialView(
        network=record.network.label,
        version=record.version,
        public=dict(record.public),
        state="active" if record.state is CredentialState.ACTIVE else "quarantined",
        state_reason=record.state_reason,
        state_at=record.state_at,
        expires_at=record.expires_at,
        per_minute=record.per_minute,
        created_at=record.created_at,
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/credentials",
        handle=read_all,
        summary="List credentials",
        tag="Credentials",
        scope=Scope.ADMIN,
        answers={200: CredentialList},
    ),
    Route(
        method="GET",
        path="/v1/credentials/{network}",
        handle=read_one,
        summary="Show a credential",
        tag="Credentials",
        scope=Scope.ADMIN,
        answers={200: CredentialView},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="PUT",
        path="/v1/credentials/{network}",
        handle=put,
        summary="Store a credential",
        tag="Credentials",
        scope=Scope.ADMIN,
        body=CredentialBody,
        answers={200: CredentialView},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.CREDENTIAL_REFUSED),
    ),
    Route(
        method="DELETE",
        path="/v1/credentials/{network}",
        handle=delete,
        summary="Remove a credential",
        tag="Credentials",
        scope=Scope.ADMIN,
        answers={204: None},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.STATE_CONFLICT),
    ),
    Route(
        method="POST",
        path="/v1/credentials/webpush:generate",
        handle=generate,
        summary="Make a VAPID key pair",
        tag="Credentials",
        scope=Scope.ADMIN,
        body=VapidBody,
        answers={200: CredentialView},
        errors=(ErrorCode.CREDENTIAL_REFUSED,),
    ),
    Route(
        method="POST",
        path="/v1/credentials/{network}:reinstate",
        handle=reinstate,
        summary="End a quarantine",
        tag="Credentials",
        scope=Scope.ADMIN,
        answers={200: CredentialView},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.STATE_CONFLICT),
    ),
)
