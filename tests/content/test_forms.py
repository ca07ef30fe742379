"""Numbers, money, dates and plurals in people's languages."""

from dataclasses import replace

import pytest
from babel.localedata import locale_identifiers
from babel.numbers import format_decimal
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.adapters.content import forms
from clarion.adapters.content.liquid import LiquidEngine
from clarion.ports.rendering import Scope

FILES = '{{ user.n | plural: one: "# plik", few: "# pliki", many: "# plików", other: "# pliku" }}'


@pytest.mark.parametrize(
    ("language", "source", "value", "text"),
    [
        ("en", "{{ user.n | number }}", 1234567.5, "1,234,567.5"),
        ("de-AT", "{{ user.n | number: 2 }}", 1234.5, "1.234,50"),
        ("hi", "{{ user.n | number }}", 1234567, "12,34,567"),
        ("en", "{{ user.n | number }}", "12.50", "12.5"),
        ("fr", "{{ user.n | percent: 1 }}", 0.255, "25,5\xa0%"),
        ("en", "{{ user.n | currency: 'JPY' }}", 1234.4, "¥1,234"),
        ("de", "{{ user.n | currency: 'eur' }}", 12.5, "12,50\xa0€"),
        ("pl", FILES, 1, "1 plik"),
        ("pl", FILES, 3, "3 pliki"),
        ("pl", FILES, 12, "12 plików"),
        ("pl", FILES, 1.5, "1,5 pliku"),
        ("en", "{{ user.n | plural: zero: 'none', one: '# a', other: '# b' }}", 0, "none"),
        ("ja", "{{ user.n | plural: one: '# a', other: '# b' }}", 1, "1 b"),
        ("de", "{{ user.n | date: 'long' }}", "2026-11-24T23:30:00Z", "25. November 2026"),
        ("de", "{{ user.n | date: 'long' }}", "2026-11-24", "24. November 2026"),
        ("de", "{{ user.n | time: 'short' }}", "2026-11-24T23:30:00Z", "00:30"),
        ("fr", "{{ user.n | date: '%A %-d %B' }}", "2026-03-29", "dimanche 29 mars"),
        ("en", '{{ user.n | date: "%d o\'clock 100%%" }}', "2026-03-29", "29 o'clock 100%"),
        ("en", "{{ user.n | datetime: '%H:%M %Z' }}", 1774746000, "03:00 +0200"),
        ("en", "{{ user.n | datetime: '%H:%M' }}", "2026-03-29T01:00:00+00:00", "03:00"),
        ("zh-Hant-TW", "{{ user.n | date: 'full' }}", "2026-11-22", "2026年11月22日 星期日"),
        ("xx-nonsense", "{{ user.n | number }}", 1000, "1,000"),
    ],
)
def test_a_value_is_written_as_the_language_writes_it(
    engine: LiquidEngine, english: Scope, language: str, source: str, value: object, text: str
) -> None:
    """By CLDR, in the person's zone (Paris here; 29 March 2026 has a gap at 2 o'clock)."""
    scope = replace(english, language=language)
    assert engine.compile(source, {}).render({"user.n": value}, scope) == text


def test_an_unknown_zone_is_utc(engine: LiquidEngine, english: Scope) -> None:
    """Names from devices are not trusted to be names of files."""
    for zone in ("Mars/Olympus", "../../etc/passwd", "", "Europe"):
        scope = replace(english, zone=zone)
        text = engine.compile("{{ user.n | time: '%H:%M' }}", {}).render(
            {"user.n": "2026-01-01T05:00:00Z"}, scope
        )
        assert text == "05:00"


def test_a_template_says_what_its_text_depends_on(engine: LiquidEngine) -> None:
    """So that it is rendered once for each language, or zone, only where it must be."""
    plain = engine.compile("{{ user.n }}", {})
    number = engine.compile("{{ user.n | number }}", {})
    time = engine.compile("{% if user.a %}{{ user.n | time }}{% endif %}", {})
    now = engine.compile("{{ now }}", {})
    told = [(t.needs_language, t.needs_time) for t in (plain, number, time, now)]
    assert told == [(False, False), (True, False), (True, True), (False, True)]


@settings(deadline=None)
@given(st.sampled_from(locale_identifiers()), st.integers(0, 10**20))
def test_whole_numbers_take_a_short_way_to_what_babel_writes(tag: str, amount: int) -> None:
    """In every language that there is."""
    name = tag.replace("_", "-")
    assert forms.decimal(amount, None, name) == format_decimal(amount, locale=forms.locale(name))
