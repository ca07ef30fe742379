"""What registrations must look like: columns, the rules of every field, and what breaks them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final

import polars as pl

from clarion.domain.attributes import (
    MAX_TEXT_OCTETS,
    PLAIN_OBJECT,
    PLAIN_OCTETS,
    FieldProblem,
    check_aliases,
    check_attributes,
)
from clarion.domain.device import Platform
from clarion.domain.geography import COUNTRIES, canonical_language
from clarion.domain.network import Environment, Network, TokenKind

INSTANT: Final = pl.Datetime("us", "UTC")

RAW_COLUMNS: Final[Mapping[str, pl.DataType]] = {
    "external_id": pl.String(),
    "user": pl.Int64(),
    "network": pl.String(),
    "token": pl.String(),
    "p256dh": pl.String(),
    "auth": pl.String(),
    "environment": pl.String(),
    "opted_out": pl.Boolean(),
    "platform": pl.String(),
    "os": pl.String(),
    "os_version": pl.String(),
    "model": pl.String(),
    "app_version": pl.String(),
    "language": pl.String(),
    "time_zone": pl.String(),
    "country": pl.String(),
    "latitude": pl.Float64(),
    "longitude": pl.Float64(),
    "attributes": pl.String(),
    "last_active_at": INSTANT,
    "user_opted_out": pl.Boolean(),
    "user_language": pl.String(),
    "user_time_zone": pl.String(),
    "user_country": pl.String(),
    "user_attributes": pl.String(),
    "aliases": pl.String(),
}
"""What registrations say, one row a device (or a person, where `token` is null).

`network`, `environment` and `platform` are the API's words; `attributes` are JSON objects as text;
`user` is the id of a known person, `external_id` creates one when unknown; with neither, a known
device keeps its person and a new one gets an anonymous person. `user_*` describe the person, and so do `aliases`: a JSON object
as text, label -> value, where null takes the alias away.
"""

COLUMNS: Final[Mapping[str, pl.DataType]] = {
    **{name: kind for name, kind in RAW_COLUMNS.items() if name not in {"p256dh", "auth"}},
    "network": pl.Int16(),
    "environment": pl.Int16(),
    "keys": pl.Binary(),
}
"""The same after `check`: numbers for words, canonical forms, Web Push keys as 65 + 16 octets."""

POINTERS: Final[Mapping[str, str]] = {
    "p256dh": "/keys/p256dh",
    "auth": "/keys/auth",
    "user_opted_out": "/user/opted_out",
    "user_language": "/user/language",
    "user_time_zone": "/user/time_zone",
    "user_country": "/user/country",
    "user_attributes": "/user/attributes",
}
"""Where a column stands in a JSON registration, unless that is simply `/<column>`."""

MAX_ENDPOINT_OCTETS: Final = 2048
MAX_FCM_OCTETS: Final = 4096
MAX_LANGUAGE_OCTETS: Final = 35
"""RFC 5646 section 4.4.1: what every implementation can hold."""
_FUTURE: Final = timedelta(days=1)
"""How far a device's clock may run ahead of ours before its word is refused."""

_TEXTS: Final = ("external_id", "os", "os_version", "model", "app_version")
_CONTROL: Final = r"[\x00-\x1f\x7f-\x{9f}]"
_LANGUAGE: Final = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,8}$"
_OBJECTS: Final = {
    "attributes": check_attributes,
    "user_attributes": check_attributes,
    "aliases": check_aliases,
}
_ENVIRONMENTS: Final = {
    (Network.APNS, environment.name.lower()): environment.value for environment in Environment
} | {(Network.FCM, kind.name.lower()): kind.value for kind in TokenKind}


@dataclass(frozen=True, kw_only=True, slots=True)
class RowProblem:
    """Why one row is refused."""

    row: int
    """Counted from 0 in the frame that was checked."""
    problem: FieldProblem


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """The rows that may be stored, and what is wrong with the others."""

    rows: pl.DataFrame
    """Columns of `COLUMNS` and `p256dh`, `auth` as given (Web Push keys are read by the stage)."""
    index: pl.Series
    """Where each of `rows` stood in the frame that was checked."""
    problems: Sequence[RowProblem]
    """In order of the row; a row may have several."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rule:
    column: str
    code: str
    detail: str
    broken: pl.Expr


def check(raw: pl.DataFrame, *, zones: frozenset[str], now: datetime) -> Checked:
    """Judge every field of every row at once; good rows come back in canonical form.

    Args:
        raw: columns of `RAW_COLUMNS`, in any order; columns that are absent count as null.
        zones: the names of the time zones that exist (IANA).
        now: the present instant.
    """
    given = raw.select(
        raw[name].cast(kind) if name in raw.columns else pl.lit(None, kind).alias(name)
        for name, kind in RAW_COLUMNS.items()
    )
    frame = _canonical(given)
    used = {column.name for column in frame if column.null_count() < frame.height}
    rules = [rule for rule in [*_rules(zones), _clock_rule(now)] if rule.column in used]
    problems = [
        *_broken(frame, [*rules, *_presence_rules()]),
        *_broken_objects(frame),
    ]
    problems.sort(key=lambda problem: problem.row)
    index = pl.int_range(frame.height, eager=True).alias("index")
    if problems:
        good = ~index.is_in(sorted({problem.row for problem in problems}))
        frame, index = frame.filter(good), index.filter(good)
    return Checked(rows=_numbered(frame), index=index, problems=problems)


def _canonical(frame: pl.DataFrame) -> pl.DataFrame:
    """One spelling for each value, before it is judged."""
    spelling: dict[str, str] = {}
    for column in (frame["language"], frame["user_language"]):
        if column.null_count() < frame.height:
            spelling |= {tag: canonical_language(tag) for tag in column.drop_nulls().unique()}
    network = pl.col("network")
    return frame.with_columns(
        network.str.to_lowercase(),
        pl.col("platform", "environment").str.to_lowercase(),
        pl.col("country", "user_country").str.to_uppercase(),
        *([pl.col("language", "user_language").replace(spelling)] if spelling else []),
        # Apple's tokens are compared without regard to case.
        pl.when(network.str.to_lowercase() == "apns")
        .then(pl.col("token").str.to_lowercase())
        .otherwise(pl.col("token"))
        .alias("token"),
    )


@cache
def _rules(zones: frozenset[str]) -> list[_Rule]:
    """The rules of what is given; what a rule's column lacks in every row needs no asking."""
    return [
        *(rule for name in _TEXTS for rule in _text_rules(name)),
        *_network_rules(),
        *_token_rules(),
        *_place_rules("", zones),
        *_place_rules("user_", zones),
        *_location_rules(),
    ]


def _clock_rule(now: datetime) -> _Rule:
    return _Rule(
        column="last_active_at",
        code="time_invalid",
        detail="the instant lies before 1970 or more than a day in the future",
        broken=~pl.col("last_active_at").is_between(
            pl.lit(0).cast(INSTANT), pl.lit(now + _FUTURE).cast(INSTANT)
        ),
    )


@cache
def _presence_rules() -> list[_Rule]:
    """The rules of what must be given, and what not together."""
    token = pl.col("token")
    latitude, longitude = pl.col("latitude"), pl.col("longitude")
    web = token.is_not_null() & (pl.col("network") == Network.WEBPUSH.label)
    return [
        _Rule(
            column="user",
            code="field_unknown",
            detail="give either the id of the user or an external id, not both",
            broken=pl.col("user").is_not_null() & pl.col("external_id").is_not_null(),
        ),
        _Rule(
            column="token",
            code="field_missing",
            detail="a row describes a device by its token, or a user by an external id",
            broken=pl.all_horizontal(pl.col("token", "external_id", "user").is_null()),
        ),
        _Rule(
            column="network",
            code="field_missing",
            detail=f"a token needs its network: one of {', '.join(map(_label, Network))}",
            broken=token.is_not_null() & pl.col("network").is_null(),
        ),
        *(
            _Rule(
                column=name,
                code="field_missing",
                detail="a Web Push endpoint needs the subscription's keys p256dh and auth",
                broken=web & pl.col(name).is_null(),
            )
            for name in ("p256dh", "auth")
        ),
        _Rule(
            column="longitude",
            code="location_invalid",
            detail="a location needs both latitude and longitude",
            broken=latitude.is_null() != longitude.is_null(),
        ),
    ]


def _text_rules(name: str) -> list[_Rule]:
    text = pl.col(name)
    return [
        _Rule(
            column=name,
            code="text_invalid",
            detail="the text is empty or holds a control character",
            broken=(text == "") | text.str.contains(_CONTROL),
        ),
        _Rule(
            column=name,
            code="text_too_long",
            detail=f"the text is longer than {MAX_TEXT_OCTETS} octets of UTF-8",
            broken=text.str.len_bytes() > MAX_TEXT_OCTETS,
        ),
    ]


def _label(network: Network) -> str:
    return network.label


def _network_rules() -> list[_Rule]:
    labels = [network.label for network in Network]
    network, environment = pl.col("network"), pl.col("environment")
    fits = pl.any_horizontal(
        (network == of.label) & (environment == word) for of, word in _ENVIRONMENTS
    )
    return [
        _Rule(
            column="network",
            code="network_unknown",
            detail=f"the network is none of {', '.join(labels)}",
            broken=~network.is_in(labels),
        ),
        _Rule(
            column="environment",
            code="environment_invalid",
            detail="APNs tokens are of production or sandbox, FCM ids are a token or a fid, "
            "and the other networks have no environment",
            broken=environment.is_not_null() & ~fits.fill_null(value=False),
        ),
        _Rule(
            column="platform",
            code="platform_unknown",
            detail=f"the platform is none of {', '.join(Platform)}",
            broken=~pl.col("platform").is_in([str(platform) for platform in Platform]),
        ),
    ]


def _token_rules() -> list[_Rule]:
    token, network = pl.col("token"), pl.col("network")
    web = token.is_not_null() & (network == Network.WEBPUSH.label)
    return [
        _Rule(
            column="token",
            code="token_invalid",
            detail="an APNs token is 2 to 400 hexadecimal digits, an even number of them",
            broken=(network == Network.APNS.label)
            & ~token.str.contains(r"^(?:[0-9a-f]{2}){1,200}$"),
        ),
        _Rule(
            column="token",
            code="token_invalid",
            detail=f"an FCM token is up to {MAX_FCM_OCTETS} letters, digits and - _ . ~ : %",
            broken=(network == Network.FCM.label)
            & ~(
                token.str.contains(r"^[A-Za-z0-9_:.~%\-]+$")
                & (token.str.len_bytes() <= MAX_FCM_OCTETS)
            ),
        ),
        _Rule(
            column="token",
            code="token_invalid",
            detail=f"a Web Push endpoint is an https address of up to {MAX_ENDPOINT_OCTETS} "
            "printable ASCII characters",
            broken=web
            & ~(
                token.str.contains(r"^https?://[\x21-\x7e]+$")
                & (token.str.len_bytes() <= MAX_ENDPOINT_OCTETS)
            ),
        ),
    ]


def _place_rules(whose: str, zones: frozenset[str]) -> list[_Rule]:
    return [
        _Rule(
            column=f"{whose}language",
            code="language_invalid",
            detail="the language is not a BCP 47 tag such as de or pt-BR",
            broken=~(
                pl.col(f"{whose}language").str.contains(_LANGUAGE)
                & (pl.col(f"{whose}language").str.len_bytes() <= MAX_LANGUAGE_OCTETS)
            ),
        ),
        _Rule(
            column=f"{whose}time_zone",
            code="time_zone_unknown",
            detail="the time zone is not an IANA name such as Europe/Berlin",
            broken=~pl.col(f"{whose}time_zone").is_in(sorted(zones)),
        ),
        _Rule(
            column=f"{whose}country",
            code="country_unknown",
            detail="the country is not an ISO 3166-1 code of two letters such as DE",
            broken=~pl.col(f"{whose}country").is_in(sorted(COUNTRIES)),
        ),
    ]


def _location_rules() -> list[_Rule]:
    return [
        _Rule(
            column=name,
            code="location_invalid",
            detail=f"{name} is a number between -{limit} and {limit}",
            # NaN compares as the greatest number here, so it is outside too.
            broken=~pl.col(name).is_between(-limit, limit),
        )
        for name, limit in (("latitude", 90), ("longitude", 180))
    ]


def _broken(frame: pl.DataFrame, rules: Sequence[_Rule]) -> list[RowProblem]:
    """Which rows break which rule; a rule about a null says nothing."""
    verdicts = frame.select(
        rule.broken.fill_null(value=False).alias(str(number)) for number, rule in enumerate(rules)
    )
    return [
        RowProblem(
            row=row,
            problem=FieldProblem(
                path=POINTERS.get(rule.column, f"/{rule.column}"),
                code=rule.code,
                detail=rule.detail,
            ),
        )
        for rule, verdict in zip(rules, verdicts, strict=True)
        if verdict.any()
        for row in verdict.arg_true().to_list()
    ]


def _broken_objects(frame: pl.DataFrame) -> list[RowProblem]:
    """What is wrong with the columns that hold JSON objects; each different text is read once."""
    found: list[RowProblem] = []
    for name, check_text in _OBJECTS.items():
        texts = frame[name]
        if texts.null_count() == frame.height:
            continue
        doubtful = texts.is_not_null()
        if name != "aliases":
            doubtful &= ~(
                texts.str.contains(PLAIN_OBJECT) & (texts.str.len_bytes() <= PLAIN_OCTETS)
            )
        pointer = POINTERS.get(name, f"/{name}")
        rows = doubtful.arg_true()
        known: dict[str, Sequence[FieldProblem]] = {}
        for row, text in zip(rows, texts.gather(rows), strict=True):
            if text not in known:
                known[text] = check_text(text, pointer)
            found += [RowProblem(row=row, problem=problem) for problem in known[text]]
    return found


def _numbered(frame: pl.DataFrame) -> pl.DataFrame:
    """The API's words as the numbers that are stored."""
    numbers = {network.label: network.value for network in Network}
    worded = pl.concat_str(pl.col("network"), pl.col("environment"), separator=" ")
    environments = {f"{of.label} {word}": number for (of, word), number in _ENVIRONMENTS.items()}
    return frame.with_columns(
        pl.col("network").replace_strict(numbers, default=None, return_dtype=pl.Int16),
        worded.replace_strict(environments, default=0, return_dtype=pl.Int16).alias("environment"),
        pl.lit(None, pl.Binary).alias("keys"),
    )
