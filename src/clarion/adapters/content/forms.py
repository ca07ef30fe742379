"""Numbers, money, dates and plurals as a person's language writes them: CLDR by way of Babel."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import (
    UnknownCurrencyError,
    format_currency,
    format_decimal,
    format_percent,
    get_group_symbol,
    validate_currency,
)

from clarion.domain import localisation

STYLES: Final = frozenset({"short", "medium", "long", "full"})
_MOST_DIGITS: Final = 30
_CODES: Final[Mapping[str, str]] = {
    "Y": "yyyy", "y": "yy", "m": "MM", "-m": "M", "B": "MMMM", "b": "MMM", "h": "MMM",
    "d": "dd", "-d": "d", "e": "d", "j": "DDD", "A": "EEEE", "a": "EEE", "H": "HH", "-H": "H",
    "k": "H", "I": "hh", "-I": "h", "l": "h", "M": "mm", "S": "ss", "p": "a", "P": "a",
    "Z": "z", "z": "Z",
}  # fmt: skip
"""strftime's letter -> CLDR's pattern: names come out in the person's language."""
_CODE: Final = re.compile(r"%(-?[A-Za-z]|%)|([^%]+|%)")


class FormError(ValueError):
    """A value that can't be written in the form asked for; the sentence says why."""


@lru_cache(maxsize=1024)
def locale(language: str) -> Locale:
    """The locale of a tag, or of its nearest known relative; English where there is none."""
    tag = localisation.parse(language)
    for step in localisation.chain(tag) if tag is not None else ():
        try:
            known = localisation.Tag(step.language, step.script, step.region)
            return Locale.parse(known.text, "-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")


@lru_cache(maxsize=1024)
def zone(name: str) -> tzinfo:
    """The zone of an IANA name; UTC where there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found, not a name, a directory
        return UTC


def number(value: object) -> Decimal:
    """The number that a value is or spells.

    Raises:
        FormError: It is none, or has more digits than any amount.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise FormError(f"{type(value).__name__} is not a number")
    return _number(str(value))


@lru_cache(maxsize=4096)
def _number(value: str) -> Decimal:
    try:
        found = Decimal(value.strip()) if len(value) <= 2 * _MOST_DIGITS else None
    except (InvalidOperation, ValueError):
        found = None
    if found is None or not found.is_finite() or abs(found.adjusted()) > _MOST_DIGITS:
        raise FormError(f"{value[:40]!r} is not a number")
    return found


def decimal(value: object, digits: int | None, language: str) -> str:
    """A number with the language's grouping and decimal sign; `digits` behind it, if given."""
    pattern = None
    if digits is not None:
        if not 0 <= digits <= _MOST_DIGITS:
            raise FormError(f"at most {_MOST_DIGITS} digits")
        pattern = "#,##0." + "0" * digits if digits else "#,##0"
    return _decimal(number(value), pattern, language)


@lru_cache(maxsize=1024)
def _thousands(language: str) -> str | None:
    """What stands between groups of three in the language; None where groups are others."""
    known = locale(language)
    plain = known.decimal_formats[None]
    return get_group_symbol(known) if plain.grouping == (3, 3) else None


@lru_cache(maxsize=4096)
def _decimal(amount: Decimal, pattern: str | None, language: str) -> str:
    if pattern is None and amount >= 0 and amount == amount.to_integral_value():
        mark = _thousands(language)
        if mark is not None:  # most numbers in messages; twenty times as fast
            return f"{int(amount):,}".replace(",", mark)
    return format_decimal(amount, pattern, locale(language))


def percent(value: object, digits: int, language: str) -> str:
    """0.25 as 25 %."""
    if not 0 <= digits <= _MOST_DIGITS:
        raise FormError(f"at most {_MOST_DIGITS} digits")
    pattern = locale(language).percent_formats[None].pattern
    if digits:
        pattern = pattern.replace("0", "0." + "0" * digits, 1)
    return format_percent(number(value), pattern, locale(language))


def money(value: object, currency: str, language: str) -> str:
    """An amount of a currency (ISO 4217), with the digits that the currency has."""
    code = currency.upper()
    try:
        validate_currency(code)
    except UnknownCurrencyError as error:
        raise FormError(f"{currency!r} is not a currency") from error
    return _money(number(value), code, language)


@lru_cache(maxsize=4096)
def _money(amount: Decimal, code: str, language: str) -> str:
    return format_currency(amount, code, locale=locale(language))


def plural(value: object, forms: Mapping[str, str], language: str) -> str:
    """The form for a number by CLDR's rules; `#` in it is the number.

    `zero` is taken for 0 in every language where it is given, `other` wherever a form is not.
    """
    amount = number(value)
    name = locale(language).plural_form(amount)
    if amount == 0 and "zero" in forms:
        name = "zero"
    form = forms.get(name, forms.get("other"))
    if form is None:
        raise FormError("a plural needs the form `other`")
    return form.replace("#", _decimal(amount, None, language))


def _instant(value: object, now: datetime) -> datetime | date:
    """The instant, or the day without a time, that a value tells. A naive one is in UTC."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        text = str(value).strip()
        if text in {"now", "today"}:
            return now
        if len(text) == len("2026-11-22"):
            return date.fromisoformat(text)
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError) as error:
        raise FormError(f"{str(value)[:40]!r} is not a date") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _pattern(form: str) -> str:
    """A strftime format as a CLDR pattern."""
    parts: list[str] = []
    literal = ""
    for code, text in [*_CODE.findall(form), ("", "")]:
        if text or code == "%":
            literal += text or "%"
            continue
        if literal:  # one quotation: two in a row would be a quotation mark
            parts.append("'" + literal.replace("'", "''") + "'")
            literal = ""
        if code and code not in _CODES:
            raise FormError(f"`%{code}` is not a part of a date")
        parts.append(_CODES.get(code, ""))
    return "".join(parts)


def moment(value: object, form: str, kind: str, language: str, where: tuple[str, datetime]) -> str:
    """A date, a time or both.

    Args:
        value: RFC 3339 text, a day (`2026-11-22`, which no zone moves), epoch seconds, or `now`.
        form: `short`, `medium`, `long`, `full`, or a strftime format.
        kind: `date`, `time` or `datetime`: what a style writes.
        language: The person's.
        where: Their zone, and the present.

    Raises:
        FormError: It is not a date, or not a form.
    """
    found = _instant(value, where[1])
    if form not in STYLES:
        if "%" not in form:
            raise FormError(f"{form[:40]!r} is neither short, medium, long, full nor a format")
        form, kind = _pattern(form), "datetime"
    if not isinstance(found, datetime):
        if kind == "date":
            return format_date(found, form, locale(language))
        found = datetime(found.year, found.month, found.day, tzinfo=zone(where[0]))
    there = found.astimezone(zone(where[0]))
    if kind == "date":
        return format_date(there.date(), form, locale(language))
    if kind == "time":
        return format_time(there, form, zone(where[0]), locale(language))
    return format_datetime(there, form, zone(where[0]), locale(language))
