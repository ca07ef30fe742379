"""The filters that a push needs beside Liquid's own, and safer forms of some of those."""

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Final, ParamSpec
from urllib.parse import quote

from liquid import RenderContext
from liquid.exceptions import FilterArgumentError
from liquid.filter import with_context

from clarion.adapters.content import forms
from clarion.adapters.content.bounds import scope_of
from clarion.adapters.content.graphemes import clusters, cut
from clarion.domain import graphemes
from clarion.domain.template import text_of

P = ParamSpec("P")

REMOVED: Final = ("escape_once", "escapejs", "newline_to_br", "safe")
"""Filters for pages of HTML: a notification is plain text."""
TIME_FILTERS: Final = frozenset({"date", "datetime", "time"})
LANGUAGE_FILTERS: Final = TIME_FILTERS | {"currency", "number", "percent", "plural"}
_TAG: Final = re.compile(r"<[^<>]*>")


def _refusing(function: Callable[P, str]) -> Callable[P, str]:
    """What can't be written becomes the template's error."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return function(*args, **kwargs)
        except forms.FormError as error:
            raise FilterArgumentError(str(error), token=None) from error

    return wrapper


def _whole(value: object) -> int:
    return int(forms.number(value))


@with_context
@_refusing
def number(value: object, digits: object = None, *, context: RenderContext) -> str:
    """`1234.5 | number: 2` is 1,234.50 in English and 1.234,50 in German."""
    places = None if digits is None else _whole(digits)
    return forms.decimal(value, places, scope_of(context).language)


@with_context
@_refusing
def percent(value: object, digits: object = 0, *, context: RenderContext) -> str:
    """`0.255 | percent: 1` is 25.5% in English and 25,5 % in French."""
    return forms.percent(value, _whole(digits), scope_of(context).language)


@with_context
@_refusing
def currency(value: object, code: object, *, context: RenderContext) -> str:
    """`12.5 | currency: "EUR"` is €12.50 in English and 12,50 € in German."""
    return forms.money(value, str(code), scope_of(context).language)


@with_context
@_refusing
def plural(value: object, *, context: RenderContext, **texts: object) -> str:
    """`n | plural: one: "# file", other: "# files"`, by the rules of the person's language."""
    named = {name: text_of(text) for name, text in texts.items()}
    return forms.plural(value, named, scope_of(context).language)


def _moment(kind: str) -> Callable[..., str]:
    @with_context
    @_refusing
    def written(value: object, form: object = "medium", *, context: RenderContext) -> str:
        scope = scope_of(context)
        where = (scope.zone, scope.now)
        return forms.moment(value, str(form), kind, scope.language, where)

    return written


@_refusing
def truncate(value: str, most: object = 50, end: object = "...") -> str:
    """At most so many characters as a person counts them, the end included."""
    return cut(value, _whole(most), ellipsis=str(end))


@_refusing
def slice_(value: object, start: object, count: object = 1) -> str:
    """Some characters, as a person counts them; a negative start counts from the end."""
    found = clusters(text_of(value))
    low, most = _whole(start), max(0, _whole(count))
    low = max(0, low + len(found)) if low < 0 else low
    return "".join(found[low : low + most])


def isolate(value: str) -> str:
    """Text whose direction does not disturb its surroundings (UAX 9)."""
    return graphemes.isolated(value)


def strip_html(value: str) -> str:
    """Text without what looks like a tag, in one pass."""
    return _TAG.sub("", value)


def url_component(value: str) -> str:
    """Percent-encoded for any part of an address; what `{{ }}` in a link does by itself."""
    return quote(value, safe="")


def raw(value: str) -> str:
    """As it is: in a link, a value that is encoded already."""
    return value


OWN: Final[Mapping[str, Callable[..., str]]] = {
    "currency": currency,
    "date": _moment("date"),
    "datetime": _moment("datetime"),
    "isolate": isolate,
    "number": number,
    "percent": percent,
    "plural": plural,
    "raw": raw,
    "slice": slice_,
    "strip_html": strip_html,
    "time": _moment("time"),
    "truncate": truncate,
    "url_component": url_component,
}
"""Name in a template -> filter."""
