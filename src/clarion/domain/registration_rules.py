"""The rules of registrations; `registration` applies them to columns, `registration_row` to one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, reduce
from operator import or_
from typing import Final

from clarion.domain.attributes import MAX_TEXT_OCTETS
from clarion.domain.conditions import (
    Condition,
    absent,
    among,
    between,
    given,
    holds,
    is_text,
    longer,
    number_given,
    whole,
)
from clarion.domain.device import Platform
from clarion.domain.geography import COUNTRIES
from clarion.domain.network import Environment, Network, TokenKind
from clarion.domain.permission import Permission

_FUTURE: Final = timedelta(days=1)
"""How far a device's clock may run ahead of ours before its word is refused."""
MAX_ENDPOINT_OCTETS: Final = 2048
MAX_FCM_OCTETS: Final = 4096
MAX_LANGUAGE_OCTETS: Final = 35
"""RFC 5646 section 4.4.1: what every implementation can hold."""
_TEXTS: Final = ("external_id", "os", "os_version", "model", "app_version")
_CONTROL: Final = r"[\x00-\x1f\x7f-\x9f]"
_LANGUAGE: Final = r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,8}"
ENVIRONMENTS: Final = {
    (Network.APNS, environment.name.lower()): environment.value for environment in Environment
} | {(Network.FCM, kind.name.lower()): kind.value for kind in TokenKind}


@dataclass(frozen=True, slots=True)
class Rule:
    """What must not be true of any row."""

    column: str
    code: str
    detail: str
    broken: Condition


@cache
def rules_of_fields(zones: frozenset[str]) -> Sequence[Rule]:
    """The rules of what is given; what a rule's column lacks in every row needs no asking."""
    return [
        *(rule for name in _TEXTS for rule in _text_rules(name)),
        *_network_rules(),
        *_token_rules(),
        *_place_rules("", zones),
        *_place_rules("user_", zones),
        *_location_rules(),
        _permission_rule(),
    ]


def clock_rule(now: datetime) -> Rule:
    """The rule of the one instant that a device says."""
    return Rule(
        column="last_active_at",
        code="time_invalid",
        detail="the instant lies before 1970 or more than a day in the future",
        broken=~between("last_active_at", datetime.fromtimestamp(0, UTC), now + _FUTURE),
    )


@cache
def presence_rules() -> Sequence[Rule]:
    """The rules of what must be given, and what not together."""
    token = given("token")
    web = token & is_text("network", Network.WEBPUSH.label)
    return [
        Rule(
            column="user",
            code="field_unknown",
            detail="give either the id of the user or an external id, not both",
            broken=given("user") & given("external_id"),
        ),
        Rule(
            column="token",
            code="field_missing",
            detail="a row describes a device by its token, or a user by an external id",
            broken=number_given(("token", "external_id", "user"), 0, 0),
        ),
        Rule(
            column="network",
            code="field_missing",
            detail=f"a token needs its network: one of {', '.join(map(_label, Network))}",
            broken=token & absent("network"),
        ),
        *(
            Rule(
                column=name,
                code="field_missing",
                detail="a Web Push endpoint needs the subscription's keys p256dh and auth",
                broken=web & absent(name),
            )
            for name in ("p256dh", "auth")
        ),
        Rule(
            column="longitude",
            code="location_invalid",
            detail="a location needs both latitude and longitude",
            broken=number_given(("latitude", "longitude"), 1, 1),
        ),
    ]


def _text_rules(name: str) -> Sequence[Rule]:
    return [
        Rule(
            column=name,
            code="text_invalid",
            detail="the text is empty or holds a control character",
            broken=is_text(name, "") | holds(name, _CONTROL),
        ),
        Rule(
            column=name,
            code="text_too_long",
            detail=f"the text is longer than {MAX_TEXT_OCTETS} octets of UTF-8",
            broken=longer(name, MAX_TEXT_OCTETS),
        ),
    ]


def _permission_rule() -> Rule:
    labels = [permission.label for permission in Permission]
    return Rule(
        column="permission",
        code="permission_unknown",
        detail=f"the permission is not one of {', '.join(labels)}",
        broken=~among("permission", labels),
    )


def _label(network: Network) -> str:
    return network.label


def _network_rules() -> Sequence[Rule]:
    labels = [network.label for network in Network]
    fits = [
        is_text("network", of.label) & is_text("environment", word) for of, word in ENVIRONMENTS
    ]
    return [
        Rule(
            column="network",
            code="network_unknown",
            detail=f"the network is none of {', '.join(labels)}",
            broken=~among("network", labels),
        ),
        Rule(
            column="environment",
            code="environment_invalid",
            detail="APNs tokens are of production or sandbox, FCM ids are a token or a fid, "
            "and the other networks have no environment",
            broken=given("environment") & ~reduce(or_, fits).surely(),
        ),
        Rule(
            column="platform",
            code="platform_unknown",
            detail=f"the platform is none of {', '.join(Platform)}",
            broken=~among("platform", map(str, Platform)),
        ),
    ]


def _token_rules() -> Sequence[Rule]:
    web = given("token") & is_text("network", Network.WEBPUSH.label)
    return [
        Rule(
            column="token",
            code="token_invalid",
            detail="an APNs token is 2 to 400 hexadecimal digits, an even number of them",
            broken=is_text("network", Network.APNS.label)
            & ~whole("token", r"(?:[0-9a-f]{2}){1,200}"),
        ),
        Rule(
            column="token",
            code="token_invalid",
            detail=f"an FCM token is up to {MAX_FCM_OCTETS} letters, digits and - _ . ~ : %",
            broken=is_text("network", Network.FCM.label)
            & ~(whole("token", r"[A-Za-z0-9_:.~%\-]+") & ~longer("token", MAX_FCM_OCTETS)),
        ),
        Rule(
            column="token",
            code="token_invalid",
            detail=f"a Web Push endpoint is an https address of up to {MAX_ENDPOINT_OCTETS} "
            "printable ASCII characters",
            broken=web
            & ~(whole("token", r"https?://[\x21-\x7e]+") & ~longer("token", MAX_ENDPOINT_OCTETS)),
        ),
    ]


def _place_rules(whose: str, zones: frozenset[str]) -> Sequence[Rule]:
    return [
        Rule(
            column=f"{whose}language",
            code="language_invalid",
            detail="the language is not a BCP 47 tag such as de or pt-BR",
            broken=~(
                whole(f"{whose}language", _LANGUAGE)
                & ~longer(f"{whose}language", MAX_LANGUAGE_OCTETS)
            ),
        ),
        Rule(
            column=f"{whose}time_zone",
            code="time_zone_unknown",
            detail="the time zone is not an IANA name such as Europe/Berlin",
            broken=~among(f"{whose}time_zone", zones),
        ),
        Rule(
            column=f"{whose}country",
            code="country_unknown",
            detail="the country is not an ISO 3166-1 code of two letters such as DE",
            broken=~among(f"{whose}country", COUNTRIES),
        ),
    ]


def _location_rules() -> Sequence[Rule]:
    return [
        Rule(
            column=name,
            code="location_invalid",
            detail=f"{name} is a number between -{limit} and {limit}",
            broken=~between(name, -limit, limit),
        )
        for name, limit in (("latitude", 90), ("longitude", 180))
    ]
