"""What apps know about people and devices: attribute values, their limits, and what is refused."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

AttributeValue = str | int | float | bool | datetime | tuple[str | int | float | bool, ...]
"""One attribute: text, number, truth, an aware instant, or a list of plain values."""

Attributes = Mapping[str, AttributeValue]

AttributeChanges = Mapping[str, AttributeValue | None]
"""What to write over known attributes; None removes one (RFC 7396)."""

MAX_ATTRIBUTES: Final = 100
MAX_NAME_OCTETS: Final = 128
MAX_VALUE_OCTETS: Final = 1024
"""Of one value as JSON in UTF-8."""
MAX_TOTAL_OCTETS: Final = 16 * 1024
"""Of all attributes of one person or device as JSON in UTF-8."""
_MEMBER: Final = (
    r'"[A-Za-z0-9_. -]{1,64}": ?'
    r'(?:"[ !#-\[\]-~]*"|-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?|true|false|null)'
)
PLAIN_OBJECT: Final = rf"^\{{(?:{_MEMBER}(?:, ?{_MEMBER})*)?\}}$"
"""Attributes that are fine at first sight, if not longer than `PLAIN_OCTETS`: ASCII, no escapes, no
lists, no large numbers. `check_attributes` finds nothing wrong with what this matches."""
PLAIN_OCTETS: Final = 600
"""So long a text has at most 100 members."""
MAX_ALIASES: Final = 20
"""Of one row of a file."""
MAX_TEXT_OCTETS: Final = 256
"""Of a metadata text: model, OS version, alias, external id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldProblem:
    """Why a field is refused."""

    path: str
    """JSON pointer (RFC 6901) into the object that was given, e.g. `/attributes/plan`."""
    code: str
    """One of `clarion.domain.attributes.CODES`."""
    detail: str
    """A sentence that says what to do."""


CODES: Final = frozenset(
    {
        "field_missing",
        "field_unknown",
        "type_invalid",
        "text_invalid",
        "text_too_long",
        "number_invalid",
        "time_invalid",
        "token_invalid",
        "keys_invalid",
        "endpoint_forbidden",
        "network_unknown",
        "environment_invalid",
        "platform_unknown",
        "language_invalid",
        "time_zone_unknown",
        "country_unknown",
        "location_invalid",
        "attributes_too_many",
        "attribute_too_large",
        "attributes_too_large",
        "user_unknown",
        "alias_taken",
        "merge_limit",
        "devices_limit",
        "row_malformed",
    }
)

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_LARGEST_INTEGER: Final = 2**53
"""Beyond it a double, which is what most readers of JSON use, is no longer exact."""

_Plain = bool | int | float | str
_Decoded = None | bool | int | float | str | list["_Decoded"] | dict[str, "_Decoded"]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _fraction(text: str) -> float:
    """A number that is written with a point or an exponent.

    Its text goes on as it is, and PostgreSQL writes numbers out: it refuses one of more than 16,383
    places, and with it everything that comes along.
    """
    exponent = text.lower().partition("e")[2] if len(text) <= _LONGEST_NUMBER else ""
    if len(text) > _LONGEST_NUMBER or abs(int(exponent or 0)) > _FARTHEST:
        raise ValueError(f"a number has more than {_LONGEST_NUMBER} places")
    return float(text)


def _members(pairs: list[tuple[str, _Decoded]]) -> dict[str, _Decoded]:
    """The last of each name counts, but other readers of the text meet the others too."""
    found = dict(pairs)
    if len(found) < len(pairs) and any(_check_value(value, "") for _, value in pairs):
        raise ValueError("a name is there twice, and not each time with a value that can be kept")
    return found


_LONGEST_NUMBER: Final = 400
"""More than any double needs: the smallest has 324 places before its first digit."""
_FARTHEST: Final = 1_000
_DECODER: Final = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_fraction, object_pairs_hook=_members
)
_WIDEST: Final = 4
"""Octets of UTF-8 that one character can have."""
_LARGE_VALUE: Final = f"the value is larger than {MAX_VALUE_OCTETS} octets of JSON"


def check_attributes(text: str, pointer: str) -> Sequence[FieldProblem]:
    """What is wrong with attributes given as the text of a JSON object; empty when fine.

    A value is a string, a number, true or false, a list of these, `{"time": "RFC 3339"}`, or
    null, which removes the attribute.

    Args:
        text: the JSON text.
        pointer: JSON pointer of the object, which paths in the problems start with.
    """
    if len(text) > MAX_TOTAL_OCTETS // _WIDEST and len(_octets(text)) > 2 * MAX_TOTAL_OCTETS:
        return [_too_large(pointer)]
    try:
        found: _Decoded = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        return [_problem(pointer, "row_malformed", f"the attributes are not JSON: {error}")]
    if not isinstance(found, dict):
        return [_problem(pointer, "type_invalid", "attributes are a JSON object")]
    problems = [
        problem for name, value in found.items() for problem in _check_one(name, value, pointer)
    ]
    if len(found) > MAX_ATTRIBUTES:
        detail = f"{len(found)} attributes; up to {MAX_ATTRIBUTES} are kept"
        problems.append(_problem(pointer, "attributes_too_many", detail))
    if len(text) > MAX_VALUE_OCTETS // _WIDEST:  # no part of a shorter one can be too large
        problems += _check_sizes(found, pointer)
    return problems


def check_aliases(text: str, pointer: str) -> Sequence[FieldProblem]:
    """What is wrong with aliases given as the text of a JSON object; empty when fine.

    Labels and values are texts; null takes the alias of a label away.

    Args:
        text: the JSON text.
        pointer: JSON pointer of the object, which paths in the problems start with.
    """
    try:
        found: _Decoded = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        return [_problem(pointer, "row_malformed", f"the aliases are not JSON: {error}")]
    if not isinstance(found, dict):
        return [_problem(pointer, "type_invalid", "aliases are a JSON object")]
    if len(found) > MAX_ALIASES:
        detail = f"{len(found)} aliases; a row has up to {MAX_ALIASES}"
        return [_problem(pointer, "attributes_too_many", detail)]
    return [
        problem
        for label, value in found.items()
        for problem in _check_alias(label, value, _path(pointer, label))
    ]


def _check_alias(label: str, value: _Decoded, path: str) -> Sequence[FieldProblem]:
    if value is not None and not isinstance(value, str):
        return [_problem(path, "type_invalid", "an alias is a text, or null to take it away")]
    texts = [label] if value is None else [label, value]
    for text in texts:
        wrong = "nothing" if not text else _wrong_text(text)
        if wrong is not None:
            detail = f"the label or the value of the alias holds {wrong}"
            return [_problem(path, "text_invalid", detail)]
        if len(_octets(text)) > MAX_TEXT_OCTETS:
            detail = f"the label or the value is longer than {MAX_TEXT_OCTETS} octets of UTF-8"
            return [_problem(path, "text_too_long", detail)]
    return []


def _check_sizes(found: Mapping[str, _Decoded], pointer: str) -> Sequence[FieldProblem]:
    problems = [
        _problem(_path(pointer, name), "attribute_too_large", _LARGE_VALUE)
        for name, value in found.items()
        if len(_compact(value)) > MAX_VALUE_OCTETS
    ]
    if not problems and len(_compact(dict(found))) > MAX_TOTAL_OCTETS:
        return [_too_large(pointer)]
    return problems


def encode_attributes(changes: AttributeChanges) -> str:
    """Attributes as the JSON text that is stored and checked."""
    return json.dumps(
        {name: _encoded(value) for name, value in changes.items()},
        ensure_ascii=False,
        separators=(",", ":"),
    )


def decode_attributes(text: str | bytes) -> Attributes:
    """The attributes that `encode_attributes` or a checked text describe; nulls are left out."""
    found: dict[str, _Decoded] = json.loads(text)
    return {name: _decoded(value) for name, value in found.items() if value is not None}


def parse_time(text: str) -> datetime | None:
    """An instant in RFC 3339 form with an offset, in UTC; None when it is no such thing."""
    try:
        instant = datetime.fromisoformat(text)
        return None if instant.tzinfo is None or "T" not in text else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


NESTED: Final = r":\s*\{"
"""Texts without this hold no time."""
_PLAIN_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)


def canonical_times(text: str) -> str:
    """The same attributes with every time in a form that all readers of RFC 3339 take.

    Other forms of ISO 8601 (week dates, no separators, a comma before the fraction) become RFC 3339
    in UTC.

    Args:
        text: what `check_attributes` finds nothing wrong with.
    """
    found: dict[str, _Decoded] = json.loads(text)
    odd = {
        name: _encoded(_decoded(value))
        for name, value in found.items()
        if isinstance(value, dict) and not _PLAIN_TIME.fullmatch(str(value.get("time")))
    }
    if not odd:
        return text
    return json.dumps(found | odd, ensure_ascii=False, separators=(",", ":"))


def _check_one(name: str, value: _Decoded, pointer: str) -> Sequence[FieldProblem]:
    long = len(name) > MAX_NAME_OCTETS // _WIDEST and len(_octets(name)) > MAX_NAME_OCTETS
    if not name or long:
        detail = f"an attribute's name has 1 to {MAX_NAME_OCTETS} octets of UTF-8"
        return [_problem(pointer, "text_too_long" if long else "text_invalid", detail)]
    if (wrong := _wrong_text(name)) is not None:
        return [_problem(pointer, "text_invalid", f"an attribute's name holds {wrong}")]
    problem = _check_value(value, _path(pointer, name))
    return [] if problem is None else [problem]


def _path(pointer: str, name: str) -> str:
    """The pointer of a member (RFC 6901 section 3)."""
    if "~" in name or "/" in name:
        name = name.replace("~", "~0").replace("/", "~1")
    return f"{pointer}/{name}"


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _check_value(value: _Decoded, path: str) -> FieldProblem | None:
    if isinstance(value, dict):
        return _check_time(value, path)
    if not isinstance(value, list):
        return _check_plain(value, path)
    for place, item in enumerate(value):
        if isinstance(item, list | dict) or item is None:
            detail = "a list holds strings, numbers, true and false"
            return _problem(f"{path}/{place}", "type_invalid", detail)
        problem = _check_plain(item, f"{path}/{place}")
        if problem is not None:
            return problem
    return None


def _check_time(value: Mapping[str, _Decoded], path: str) -> FieldProblem | None:
    instant = value.get("time")
    if value.keys() != {"time"} or not isinstance(instant, str):
        detail = 'a value is a string, number, true, false, list or {"time": "RFC 3339"}'
        return _problem(path, "type_invalid", detail)
    if parse_time(instant) is None:
        detail = "the time is not RFC 3339 with an offset, such as 2026-01-31T08:00:00Z"
        return _problem(f"{path}/time", "time_invalid", detail)
    return None


def _check_plain(value: _Plain | None, path: str) -> FieldProblem | None:
    if isinstance(value, str):
        wrong = _wrong_text(value)
        return None if wrong is None else _problem(path, "text_invalid", f"the text holds {wrong}")
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float):
        finite = math.isfinite(value)
        return None if finite else _problem(path, "number_invalid", "the number is not finite")
    if abs(value) > _LARGEST_INTEGER:
        return _problem(path, "number_invalid", "an integer lies between -2^53 and 2^53")
    return None


def _wrong_text(text: str) -> str | None:
    if _CONTROL.search(text) is not None:
        return "a control character"
    if text.isascii():
        return None
    return "half of a surrogate pair" if any("\ud800" <= c <= "\udfff" for c in text) else None


def _compact(value: _Decoded) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def _encoded(value: AttributeValue | None) -> _Decoded:
    if isinstance(value, datetime):
        return {"time": value.astimezone(UTC).isoformat().replace("+00:00", "Z")}
    return list(value) if isinstance(value, tuple) else value


def _decoded(value: _Decoded) -> AttributeValue:
    if isinstance(value, dict):
        instant = parse_time(str(value.get("time")))
        if instant is None:
            raise ValueError("a stored attribute is an object that is no time")
        return instant
    if isinstance(value, list):
        return tuple(item for item in value if isinstance(item, str | int | float))
    if value is None:
        raise ValueError("a stored attribute is null")
    return value


def _problem(path: str, code: str, detail: str) -> FieldProblem:
    return FieldProblem(path=path, code=code, detail=detail)


def _too_large(pointer: str) -> FieldProblem:
    detail = f"the attributes are larger than {MAX_TOTAL_OCTETS} octets of JSON"
    return _problem(pointer, "attributes_too_large", detail)
