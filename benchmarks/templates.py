"""Personalised content for a batch, in recipients a second of one core's time.

Four ways to the same payloads, each from columns of people to finished bytes:

- `vectorised`: a simple template (`{{ user.first_name | default: "there" }}` and two more) as
  merge columns, filled into one payload;
- `full`: a template with conditions, a loop, a number and a plural, rendered by the sandboxed
  engine once for each recipient, because no two have the same values;
- `full_distinct`: the same template where 200 combinations of values occur;
- `plain_liquid`: python-liquid itself, without bounds, rendering the simple template once for each
  recipient and writing its JSON; and its rich form without our filters;
- `minijinja`: the same simple template in a compiled engine, where it is installed.

Before anything is measured, all ways are compared for equal text. Figures are CPU seconds of the
process, all threads together; rounds go in turns and the median is taken.

`python -m benchmarks.templates [--quick] [--json]` prints one JSON object.
"""

import argparse
import importlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

import liquid
import numpy as np
import orjson
import polars as pl

from benchmarks import harness
from clarion.adapters.content.liquid import LiquidEngine
from clarion.domain.content import Content, Wording
from clarion.stages.authoring.compiling import ContentPlan, compile_content
from clarion.stages.authoring.rendering import People, render_columns
from clarion.wire.merge import fill

SIMPLE_TITLE: Final = 'Hi {{ user.first_name | default: "there" }}!'
SIMPLE_BODY: Final = "{{ user.items }} new in {{ user.city | upcase }}"
RICH: Final = (
    "{% if user.items > 10 %}Many{% else %}Some{% endif %} things, "
    '{{ user.first_name | default: "friend" | capitalize }}: {% for tag in user.tags limit: 3 %}'
    "{{ tag }}{% unless forloop.last %}, {% endunless %}{% endfor %}. "
)
OURS: Final = '{{ user.items | number }} {{ user.items | plural: one: "item", other: "items" }}'
NAMES: Final = ("Ada", "Björn", "Chloé", "Дмитрий", "", None, "李", 'O"Neil')
CITIES: Final = ("Oslo", "São Paulo", "Αθήνα", "Łódź", "Berlin")
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


def people(count: int, distinct: int) -> People:
    """Recipients with `distinct` combinations of values."""
    which = np.arange(count) % distinct
    names = [f"{name}{at}" if name and distinct > len(NAMES) * 100 else name
             for at, name in ((n, NAMES[n % len(NAMES)]) for n in which.tolist())]  # fmt: skip
    columns: dict[str, pl.Series] = {
        "user.first_name": pl.Series(names, dtype=pl.String),
        "user.city": pl.Series([CITIES[at % len(CITIES)] for at in which.tolist()]),
        "user.items": pl.Series(which % max(200, distinct), dtype=pl.Int64),
        "user.tags": pl.Series([["a", CITIES[at % len(CITIES)]] for at in which.tolist()]),
    }
    codes = np.zeros(count, np.uint16)
    return People(
        device=np.arange(count, dtype=np.int64),
        columns=columns,
        language=codes,
        languages=("en",),
        zone=codes,
        zones=("UTC",),
        now=NOW,
    )


def plan(content: Content) -> ContentPlan:
    """The content compiled."""
    return compile_content(content, Wording(), LiquidEngine(), {})


def payload(title: str | None, body: str | None) -> bytes:
    """What a provider would write."""
    return orjson.dumps({"aps": {"alert": {"title": title, "body": body}}})


def ours(compiled: ContentPlan, who: People) -> list[bytes]:
    """Finished payloads from columns."""
    merge = render_columns([compiled], np.zeros(len(who), np.uint16), who).merge
    words = [column.to_list() for column in merge]
    return fill(payload(compiled.content.title, compiled.content.body), words)


def rows(who: People) -> list[dict[str, object]]:
    """The same people as the peers take them: one object each, without what is missing."""
    names = [name.partition(".")[2] for name in who.columns]
    lists = [pl.Series(column).to_list() for column in who.columns.values()]
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*lists, strict=True)
    ]


def by_liquid(sources: Sequence[str | None], who: Sequence[dict[str, object]]) -> list[bytes]:
    """python-liquid, once for each recipient."""
    parsed = [None if source is None else liquid.Template(source) for source in sources]
    return [payload(*(None if t is None else t.render(user=user) for t in parsed)) for user in who]


def by_minijinja(who: Sequence[dict[str, object]]) -> list[bytes]:
    """MiniJinja, once for each recipient."""
    engine = importlib.import_module("minijinja").Environment(
        templates={
            "title": 'Hi {{ user.first_name | default("there", true) }}!',
            "body": "{{ user.items }} new in {{ user.city | upper }}",
        },
        auto_escape_callback=lambda _: False,
    )
    render = engine.render_template
    return [payload(render("title", user=user), render("body", user=user)) for user in who]


def cpu_s(work: Callable[[], list[bytes]]) -> float:
    """CPU seconds for each recipient."""
    started = time.process_time()
    made = work()
    return (time.process_time() - started) / len(made)


def measure(*, quick: bool) -> None:
    """Compare, measure and print."""
    many, few = (50_000, 2_000) if quick else (500_000, 10_000)
    simple = plan(Content(title=SIMPLE_TITLE, body=SIMPLE_BODY))
    rich, common = plan(Content(body=RICH + OURS)), plan(Content(body=RICH))
    crowd, each, repeated = people(many, many), people(few, few), people(many, 200)
    told = rows(each)
    runs: dict[str, Callable[[], list[bytes]]] = {
        "vectorised": partial(ours, simple, crowd),
        "full": partial(ours, rich, each),
        "full_distinct": partial(ours, rich, repeated),
        "full_common": partial(ours, common, each),
        "plain_liquid": partial(by_liquid, [SIMPLE_TITLE, SIMPLE_BODY], told),
        "plain_liquid_rich": partial(by_liquid, [None, RICH], told),
    }
    expected = ours(simple, each)
    assert runs["plain_liquid"]() == expected
    assert runs["plain_liquid_rich"]() == runs["full_common"]()
    jinja = harness.distribution("minijinja")
    if jinja is not None:
        runs["minijinja"] = partial(by_minijinja, told)
        assert runs["minijinja"]() == expected
    seconds = harness.median_of_rounds(
        {name: partial(cpu_s, work) for name, work in runs.items()}, 3 if quick else 7
    )
    figures = {f"{name}_recipients_per_cpu_s": 1 / each_s for name, each_s in seconds.items()}
    ratios = {
        "vectorised_vs_plain_liquid": seconds["plain_liquid"] / seconds["vectorised"],
        "full_vs_plain_liquid": seconds["plain_liquid_rich"] / seconds["full_common"],
    }
    if jinja is not None:
        ratios["vectorised_vs_minijinja"] = seconds["minijinja"] / seconds["vectorised"]
    harness.emit(
        "templates",
        figures,
        ratios,
        {"python-liquid": harness.distribution("python-liquid"), "minijinja": jinja},
    )


def main() -> None:
    """Measure and print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description="Personalised payloads per CPU second")
    parser.add_argument("--quick", action="store_true", help="fewer recipients, three rounds")
    parser.add_argument("--json", action="store_true", help="accepted; the line is always JSON")
    measure(quick=parser.parse_args().quick)


if __name__ == "__main__":
    main()
