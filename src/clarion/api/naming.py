"""Who a path, or a device's own token, is about."""

from typing import Final

from clarion.api.decoding import number
from clarion.api.exchange import Exchange
from clarion.api.problems import not_found
from clarion.api.routing import Api
from clarion.api.shapes.people import DeviceToken
from clarion.domain.ids import UserId
from clarion.domain.network import NETWORK_BY_LABEL, Network
from clarion.ports.registry import (
    ByAlias,
    ByExternalId,
    ById,
    DeviceRecord,
    PersonRecord,
    PersonRef,
)

PEOPLE: Final = (
    ("/v1/users/{external_id}", "by external id"),
    ("/v1/users/by-id/{id}", "by id"),
    ("/v1/users/by-alias/{label}/{value}", "by alias"),
)
"""The three ways in which a path names a person."""


def ref_of(call: Exchange) -> PersonRef:
    """Whom the path names."""
    params = call.params
    if "external_id" in params:
        return ByExternalId(external_id=params["external_id"])
    if "label" in params:
        return ByAlias(label=params["label"], value=params["value"])
    return ById(id=UserId(number(params["id"], "user")))


async def person_of(api: Api, call: Exchange) -> PersonRecord:
    """The person whom the path names; raises `ProblemError`, 404."""
    person = await api.deps.people.get(call.caller.app, ref_of(call))
    if person is None:
        raise not_found("user")
    return person


async def device_of(api: Api, call: Exchange, named: DeviceToken) -> DeviceRecord:
    """The device that has this token; raises `ProblemError`, 404."""
    network = NETWORK_BY_LABEL[named.network]
    device = await api.deps.devices.find(
        call.caller.app, network, known_token(network, named.token)
    )
    if device is None:
        raise not_found("device")
    return device


def known_token(network: Network, token: str) -> str:
    """A token as it is stored: of APNs', which are hexadecimal, in lower case."""
    return token.lower() if network is Network.APNS else token
