"""The template engine: what it gives, what it refuses, and what it stops."""

from dataclasses import replace

import pytest

from clarion.adapters.content.liquid import LiquidEngine
from clarion.ports.rendering import (
    RenderingFailedError,
    Scope,
    TemplateSyntaxError,
    VariableMissingError,
)


def said(engine: LiquidEngine, source: str, scope: Scope, **user: object) -> str:
    """What a template says of a user."""
    values = {f"user.{name}": value for name, value in user.items()}
    return engine.compile(source, {}).render(values, scope)


@pytest.mark.parametrize(
    ("source", "user", "text"),
    [
        ("Hi {{ user.name }}", {"name": "Zoë"}, "Hi Zoë"),
        ("{{ user.vip }}{{ user.n }}{{ user.f }}", {"vip": True, "n": 3, "f": 1.50}, "true31.5"),
        ("{{ user.tags }}", {"tags": ["a", 1, True]}, "a1true"),
        ("{{ user.at }}", {"at": {"city": "Genève"}}, '{"city":"Genève"}'),
        ("{{ user.at.city }}", {"at": {"city": "Oslo"}}, "Oslo"),
        ("{{ user.vip | upcase }}", {"vip": True}, "TRUE"),
        ("{% if user.nobody %}a{% else %}b{% endif %}", {}, "b"),
        ("{% if user.nobody == 'x' %}a{% else %}b{% endif %}", {}, "b"),
        ("{% for i in user.nobody %}a{% endfor %}b", {}, "b"),
        ("{{ user.nobody | default: 'there' }}", {}, "there"),
        ("{{ user.name | default: 'there' }}", {"name": ""}, "there"),
        ("{{ user.name | truncate: 3, '…' }}", {"name": "👍🏽👍🏽👍🏽👍🏽"}, "👍🏽👍🏽…"),
        ("{{ user.name | slice: -1 }}", {"name": "ab👨‍👩‍👧"}, "👨‍👩‍👧"),
        ("{{ user.name | strip_html }}", {"name": "<b>a</b> < b"}, "a < b"),
        ("a\r\n{{ user.name }}", {"name": "\r"}, "a\r\n\r"),
        ("{{ now | date: '%Y' }}", {}, "2026"),
        ("x {%- assign a = 'y' %} {{- a }}", {}, "xy"),
        ("{{ user.name }}", {"name": "a\ue000\ue010\ue001b"}, "a\ue010b"),
    ],
)
def test_a_template_says(
    engine: LiquidEngine, english: Scope, source: str, user: dict[str, object], text: str
) -> None:
    """Values print as people write them, conditions and loops take what is missing as nothing."""
    assert said(engine, source, english, **user) == text


@pytest.mark.parametrize(
    "source",
    [
        "{{ user.nobody }}",
        "{{ user.nobody | upcase }}",
        "{{ user.nobody | size }}",
        "{{ 'a' | append: user.nobody }}",
        "{% assign a = user.nobody %}{{ a }}",
        "{{ user.nobody.deeper }}",
    ],
)
def test_a_missing_variable_that_is_printed_is_told_or_prints_nothing(
    engine: LiquidEngine, english: Scope, source: str
) -> None:
    """Strictly, an error that names it; leniently, nothing."""
    with pytest.raises(VariableMissingError) as caught:
        said(engine, source, english)
    assert "nobody" in caught.value.variable
    assert said(engine, source, replace(english, lenient=True)) in {"", "a", "0"}


@pytest.mark.parametrize(
    ("source", "where", "why"),
    [
        ("Hi\n {{ name }}", (2, 5), "begins with one of"),
        ("{{ user }}", (1, 4), "Name what of"),
        ("{{ user[user.key] }}", (1, 4), "Name what of"),
        ("{{ user.a | nope }}", (1, 13), "no filter `nope`"),
        ("{{ user.a | safe }}", (1, 13), "no filter `safe`"),
        ("{{ user.a", (1, 1), "expected"),
        ("{% if user.a %}", (0, 0), "endif"),
        ("{% include 'x' %}", (1, 4), "unexpected tag"),
        ("{% render 'gone' %}", (1, 11), "no partial"),
        ("x" * 16_385, (0, 0), "at most"),
    ],
)
def test_a_mistake_is_found_when_the_template_is_written(
    engine: LiquidEngine, source: str, where: tuple[int, int], why: str
) -> None:
    """With its line, its column and a sentence."""
    with pytest.raises(TemplateSyntaxError, match=why) as caught:
        engine.compile(source, {})
    assert (caught.value.fault.line, caught.value.fault.column) == where


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in (1..1000000000) %}a{% endfor %}",
        "{% for i in (1..900) %}{% for j in (1..900) %}{% endfor %}{% endfor %}",
        "{{ (1..1000000000000000000000) | join: ',' }}",
        "{% for i in (1..1000000000000000000000000000) limit: 1 %}{% endfor %}",
        "{% assign a = 'aaaaaaaaaaaaaaaa' %}" + "{% assign a = a | append: a %}" * 40,
        "{% assign a = 99999999 %}" + "{% assign a = a | times: a %}" * 40,
        "{% assign a = 'aaaa' %}" + "{% assign a = a | replace: 'a', a %}" * 12,
        "{% assign a = 'a,a,a,a' | split: ',' %}" + "{% assign a = a | concat: a %}" * 40,
        "{% capture a %}" + "x" * 9000 + "{% endcapture %}{{ a }}{{ a }}",
        "{% render 'self' %}",
        "{% render 'wide1' %}",
        "{{ 1 | divided_by: 0 }}",
        "{{ 'abc' | number }}",
        "{{ 1 | currency: 'XYZZY' }}",
        "{{ 'soon' | date: 'long' }}",
        "{{ now | date: '%Q' }}",
        "{{ '1e999999999' | number }}",
        "{{ 5 | plural: one: 'x' }}",
    ],
)
def test_what_costs_too_much_or_makes_no_sense_fails(
    engine: LiquidEngine, english: Scope, source: str
) -> None:
    """A failure of this rendering, soon, and never of the process."""
    partials = {"self": "{% render 'self' %}{% render 'self' %}"}
    partials |= {f"wide{n}": f"{{% render 'wide{n + 1}' %}}" * 30 for n in range(1, 8)}
    partials["wide8"] = "."
    with pytest.raises(RenderingFailedError):
        engine.compile(source, partials).render({}, english)


def test_partials_come_from_the_store_and_see_the_person(
    engine: LiquidEngine, english: Scope
) -> None:
    """They have the outer variables of people, arguments, and no other names of the template."""
    partials = {
        "greet": "Hi {{ user.name }}, {{ what }}",
        "outer": "{% render 'greet', what: 1 %}!",
    }
    template = engine.compile("{% render 'outer' %}", partials)
    assert template.fields == {"user.name"}
    assert template.render({"user.name": "Ada"}, english) == "Hi Ada, 1!"
    assert engine.partials_of("{% if user.a %}{% render 'x' %}{% endif %}{% render 'y' %}") == [
        "x",
        "y",
    ]


def test_the_same_source_with_other_partials_is_another_template(
    engine: LiquidEngine, english: Scope
) -> None:
    """What is kept is kept by everything that it depends on."""
    texts = [
        engine.compile("{% render 'p' %}", {"p": text}).render({}, english) for text in ("a", "b")
    ]
    assert texts == ["a", "b"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("https://x.org/?q={{ user.q }}", "https://x.org/?q=a%26b%20%C3%A9%2F"),
        ("https://x.org/?q={{ user.q | url_encode }}", "https://x.org/?q=a%26b+%C3%A9%2F"),
        ("https://x.org/{{ user.q | raw }}", "https://x.org/a&b é/"),
        ("{{ user.url }}?a={{ user.q | upcase }}", "https://y.org/p?a=A%26B%20%C3%89%2F"),
        ("{% if user.q %}x/{{ user.q }}{% endif %}", "x/a%26b%20%C3%A9%2F"),
    ],
)
def test_what_is_printed_into_a_link_is_percent_encoded(
    engine: LiquidEngine, english: Scope, source: str, text: str
) -> None:
    """Wherever it stands, unless it opens the link or says that it is encoded."""
    template = engine.compile(source, {}, address=True)
    values = {"user.q": "a&b é/", "user.url": "https://y.org/p"}
    assert template.render(values, english) == text


@pytest.mark.parametrize("tag", ["{% render 'p' %}", "{% capture a %}{% endcapture %}"])
def test_a_link_has_no_tags_that_print_unencoded(engine: LiquidEngine, tag: str) -> None:
    """What they print could end the query."""
    with pytest.raises(TemplateSyntaxError, match="unexpected tag"):
        engine.compile(f"https://x.org/{tag}", {"p": "a"}, address=True)
