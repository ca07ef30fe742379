"""From templates to what each recipient's payload says."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import orjson
import polars as pl
import pytest

from clarion.adapters.content.graphemes import clusters
from clarion.adapters.content.liquid import LiquidEngine
from clarion.domain.content import (
    Action,
    Content,
    Json,
    MissingVariable,
    Overflow,
    Utm,
    Wording,
)
from clarion.domain.ids import AppId, MessageId
from clarion.domain.merge import filled
from clarion.domain.network import Network
from clarion.domain.template import Column
from clarion.ports.rendering import ContentRefusedError
from clarion.stages.authoring.compiling import (
    ContentPlan,
    compile_content,
    partials_needed,
)
from clarion.stages.authoring.links import PATH, opened
from clarion.stages.authoring.preview import PLATFORMS, Room, preview, shown
from clarion.stages.authoring.rendering import People, Rendered, Tracking, render_columns
from clarion.stages.authoring.sizing import MergeOctets, shortened
from clarion.wire.merge import fill

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEYS = {0: b"k" * 32}
TRACKING = Tracking(base="https://push.example", keys=KEYS, app=AppId(1), message=MessageId("m1"))


def people(count: int, languages: Sequence[str] = ("en",), **users: Column) -> People:
    """Some recipients whose languages go round."""
    codes = np.arange(count, dtype=np.uint16) % len(languages)
    return People(
        device=np.arange(1, count + 1, dtype=np.int64),
        columns={f"user.{name}": column for name, column in users.items()},
        language=codes.astype(np.uint16),
        languages=languages,
        zone=np.zeros(count, np.uint16),
        zones=("UTC",),
        now=NOW,
    )


def rendered(plan: ContentPlan, who: People, tracking: Tracking | None = None) -> Rendered:
    """The columns of a message without variants."""
    return render_columns([plan], np.zeros(len(who), np.uint16), who, tracking)


def lists(merge: Sequence[pl.Series]) -> list[list[str]]:
    """Merge columns as plain lists."""
    return [column.to_list() for column in merge]


def texts(plan: ContentPlan, field: str, merge: Sequence[pl.Series]) -> list[str]:
    """A field as each recipient reads it."""
    marked = getattr(plan.content, field)
    return [filled(marked, row) for row in zip(*merge, strict=True)]


def test_a_name_is_one_short_column_wherever_it_stands(engine: LiquidEngine) -> None:
    """The same substitution in title, body, data and buttons is filled from one column."""
    content = Content(
        title="Hi {{ user.name }}",
        body="{{user.name}}, {{ user.n }} new",
        data={"deep": {"list": ["{{ user.name }}", 1, None]}},
        actions=(Action(id="a", title="Go, {{ user.name }}"),),
        overrides={Network.APNS: {"payload": {"x": "{{ user.name }}"}}},
    )
    plan = compile_content(content, Wording(), engine, {})
    assert len(plan.pieces) == 2
    assert plan.fields == {"user.name", "user.n"}
    merge = rendered(plan, people(2, name=["Ann", "Bo"], n=pl.Series([1, 2]))).merge
    assert lists(merge) == [["Ann", "Bo"], ["1", "2"]]
    whole = orjson.dumps([plan.content.body, plan.content.data, plan.content.actions[0].title])
    assert json.loads(fill(whole, lists(merge))[1]) == [
        "Bo, 2 new",
        {"deep": {"list": ["Bo", 1, None]}},
        "Go, Bo",
    ]


def test_a_full_template_is_rendered_once_for_each_distinct_input(engine: LiquidEngine) -> None:
    """A thousand people of two cities are two renderings."""
    calls: list[Mapping[str, Json]] = []
    plan = compile_content(
        Content(body="{% if user.city == 'Oslo' %}Hei{% else %}Hi{% endif %}"),
        Wording(),
        engine,
        {},
    )
    template = plan.pieces[0].source

    class Counting:
        """The template, and how often it was asked."""

        fields, simple = template.fields, None  # type: ignore[union-attr]
        needs_language = needs_time = False

        def render(self, values: Mapping[str, Json], scope: object) -> str:
            calls.append(values)
            return template.render(values, scope)  # type: ignore[union-attr, arg-type]

    counted = replace(plan, pieces=(replace(plan.pieces[0], source=Counting()),))
    merge = rendered(counted, people(1000, city=["Oslo", "Rome"] * 500)).merge
    assert len(calls) == 2
    assert lists(merge) == [["Hei", "Hi"] * 500]


def test_each_language_of_the_recipients_is_rendered(engine: LiquidEngine) -> None:
    """Numbers differ although the values are equal."""
    plan = compile_content(Content(body="{{ user.n | number }}"), Wording(), engine, {})
    merge = rendered(plan, people(4, ["en", "de"], n=pl.Series([1000] * 4))).merge
    assert lists(merge) == [["1,000", "1.000"] * 2]


def test_variants_share_columns_by_position(engine: LiquidEngine) -> None:
    """Each row has the values of its own variant's plan."""
    plans = [
        compile_content(Content(title=text), Wording(), engine, {})
        for text in ("Hi {{ user.name }}", "{{ user.n }} für {{ user.name }}", "plain")
    ]
    who = people(3, name=["Ann", "Bo", "Cy"], n=pl.Series([1, 2, 3]))
    found = render_columns(plans, np.asarray([1, 0, 2], np.uint16), who)
    assert lists(found.merge) == [["1", "Bo", ""], ["Ann", "", ""]]


@pytest.mark.parametrize("policy", list(MissingVariable))
def test_variants_that_put_names_in_are_rendered_as_each_alone(
    engine: LiquidEngine, policy: MissingVariable
) -> None:
    """With a default and without one, names that are missing or empty: texts and counts alike."""
    names = ["Ann", None, "", "Bo", None, "", "Cy", None, "Di"]
    who = people(9, first_name=pl.Series(names), city=pl.Series([*"abcdefg", None, None]))
    wording = Wording(missing=policy, fallbacks={"user.city": "town"})
    plans = [
        compile_content(Content(title=title), wording, engine, {})
        for title in (
            'Hi {{ user.first_name | default: "you" }}',
            "{{ user.first_name }}!",
            "In {{ user.city }}",
        )
    ]
    variant = np.array([0, 0, 0, 1, 1, 1, 2, 2, 1], np.uint16)

    together = render_columns(plans, variant, who)

    lenient = policy is MissingVariable.FALLBACK
    town = "town" if lenient else ""
    assert lists(together.merge) == [["Ann", "you", "you", "Bo", "", "", "g", town, "Di"]]
    assert np.flatnonzero(together.missing).tolist() == ([] if lenient else [4, 7])
    assert together.missing_by == ({} if lenient else {"user.first_name": 1, "user.city": 1})
    for index, plan in enumerate(plans):
        rows = np.flatnonzero(variant == index)
        alone = rendered(plan, who.take(rows))
        assert lists(alone.merge)[0] == together.merge[0][rows].to_list()
        assert alone.missing.tolist() == together.missing[rows].tolist()


@pytest.mark.parametrize(
    "body", ["Hi {{ user.name }}", "{% if true %}Hi {{ user.name }}{% endif %}"]
)
def test_the_policy_decides_what_a_missing_variable_does(engine: LiquidEngine, body: str) -> None:
    """On both paths: told and counted, or replaced, or nothing in its place."""
    who = people(3, name=["Ann", None, ""])

    def asked(missing: MissingVariable, **fallbacks: str) -> tuple[list[str], Rendered]:
        named = {f"user.{name}": text for name, text in fallbacks.items()}
        wording = Wording(missing=missing, fallbacks=named)
        plan = compile_content(Content(body=body), wording, engine, {})
        found = rendered(plan, who)
        return texts(plan, "body", found.merge), found

    for policy in (MissingVariable.FAIL, MissingVariable.SKIP):
        said, found = asked(policy, name="you")
        assert found.missing.tolist() == [False, True, False]
        assert found.missing_by == {"user.name": 1}
        assert found.refused == "1 recipients have no value for `user.name` (1)."
        assert (said[0], said[2]) == ("Hi Ann", "Hi ")
    assert asked(MissingVariable.FALLBACK)[0] == ["Hi Ann", "Hi ", "Hi "]
    assert asked(MissingVariable.FALLBACK, name="you")[0] == ["Hi Ann", "Hi you", "Hi "]
    assert asked(MissingVariable.FALLBACK)[1].refused is None


def test_a_variable_that_nobody_has_is_missing_for_all(engine: LiquidEngine) -> None:
    """A column that the audience does not know is not an error of the program."""
    plan = compile_content(
        Content(body="{{ user.typo }}"), Wording(missing=MissingVariable.SKIP), engine, {}
    )
    assert rendered(plan, people(2)).missing.tolist() == [True, True]


def test_one_persons_odd_value_fails_that_person_only(engine: LiquidEngine) -> None:
    """And says why, with how many."""
    plan = compile_content(Content(body="{{ user.n | number }}"), Wording(), engine, {})
    found = rendered(plan, people(3, n=[1, "many", 3]))
    assert found.failed.tolist() == [False, True, False]
    assert found.failures == {"'many' is not a number": 1}


def test_variables_of_the_message_are_the_same_for_all(engine: LiquidEngine) -> None:
    """And a template that reads one that is not given is refused."""
    content = Content(body="{{ message.code }} for {{ user.name }}")
    plan = compile_content(content, Wording(variables={"code": 42}), engine, {})
    assert plan.fields == {"user.name"}
    assert texts(plan, "body", rendered(plan, people(1, name=["Ann"])).merge) == ["42 for Ann"]
    with pytest.raises(ContentRefusedError) as caught:
        compile_content(content, Wording(), engine, {})
    assert [p.path for p in caught.value.problems] == ["/variables/code"]


def test_every_broken_field_is_named(engine: LiquidEngine) -> None:
    """One answer with all mistakes, each with its JSON pointer."""
    content = Content(
        title="{{ user.a", data={"a/b": ["", "{{ x }}"]}, actions=(Action(id="a", title="{% z %}"),)
    )
    with pytest.raises(ContentRefusedError) as caught:
        compile_content(content, Wording(), engine, {})
    assert {p.path for p in caught.value.problems} == {"/title", "/data/a~1b/1", "/actions/0/title"}
    said = Content(body="{% render 'x' %}", title="plain")
    assert partials_needed(said, engine) == {"x": "/body"}


def test_text_from_outside_names_no_column(engine: LiquidEngine) -> None:
    """Framing characters in content are taken out before markers are put in."""
    content = Content(title="a\ue000\ue010\ue001b {{ user.name }}", data={"\ue000k": "\ue001"})
    plan = compile_content(content, Wording(), engine, {})
    assert texts(plan, "title", rendered(plan, people(1, name=["Ann"])).merge) == ["a\ue010b Ann"]
    assert plan.content.data == {"k": ""}


def test_links_are_encoded_marked_and_tracked(engine: LiquidEngine) -> None:
    """Parameters are merged behind the person's own values, and the redirect says who."""
    wording = Wording(track_links=True, utm=Utm(source="s"))
    content = Content(
        link="https://x.org/{{ user.q }}#f",
        image="https://x.org/i/{{ user.q }}.png",
        actions=(
            Action(id="a", title="A", link="https://y.org/"),
            Action(id="b", title="B", link="app://b"),
        ),
    )
    plan = compile_content(content, wording, engine, {})
    merge = rendered(plan, people(2, q=["a b", "c"]), TRACKING).merge
    row = [column[0] for column in merge]

    def click(link: str | None) -> tuple[int, int, str] | None:
        found = opened(filled(link or "", row).removeprefix(TRACKING.base + PATH), KEYS)
        return None if found is None else (found.device, found.place, found.target)

    assert click(plan.content.link) == (1, 0, "https://x.org/a%20b?utm_source=s#f")
    assert click(plan.content.actions[0].link) == (1, 1, "https://y.org/?utm_source=s")
    assert filled(plan.content.actions[1].link or "", row) == "app://b"
    assert filled(plan.content.image or "", row) == "https://x.org/i/a%20b.png"


def test_recipients_above_the_limit_are_counted_and_cut(engine: LiquidEngine) -> None:
    """Each network by what it counts; only the body of those who are above gets shorter."""
    wording = Wording(overflow=Overflow.TRUNCATE)
    plan = compile_content(Content(body="Hi {{ user.name }}", title="T"), wording, engine, {})
    assert plan.body == 0
    merge = rendered(plan, people(3, name=["Ann", "👩‍🚀" * 30, '"' * 60])).merge
    payload = orjson.dumps({"title": plan.content.title, "body": plan.content.body})
    told = MergeOctets(merge).sizes([payload], np.arange(3))
    assert told.tolist() == [len(body) for body in fill(payload, lists(merge))]
    assert (told > 100).tolist() == [False, True, True]
    cut = shortened([payload], lists(merge), 100, plan.body, clusters)
    after = fill(payload, [cut])
    assert [len(body) <= 100 for body in after] == [True] * 3
    assert cut[0] == "Hi Ann"
    assert json.loads(after[1])["body"].removeprefix("Hi ").rstrip("…") == "👩‍🚀" * 6
    two = MergeOctets(merge).sizes([payload + b"1234", payload * 2], np.asarray([2, 0]))
    assert two.tolist() == [max(n + 4, 2 * n) for n in told[[2, 0]].tolist()]


def test_a_preview_shows_what_will_be_visible() -> None:
    """Lines break at spaces, wide characters take two cells, what is cut says so."""
    long = Content(title="T" * 60, subtitle="Sub", body="word " * 100)
    ios, android = (preview(long, name, clusters) for name in ("ios", "android"))
    assert ios.title is not None
    assert ios.title.cut
    assert ios.title.lines == ("T" * 34 + "…",)
    assert ios.body is not None
    assert len(ios.body.lines) == 4
    assert ios.body.lines[0] == "word " * 7 + "word"
    assert android.subtitle is None
    assert android.body is not None
    assert android.body.lines == ("Sub…",)
    assert all(platform.source for platform in PLATFORMS.values())


def test_lines_hold_whole_clusters_and_directions_are_closed() -> None:
    """A family at the edge goes to the next line; an open isolate ends."""
    family = "👨‍👩‍👧"
    assert shown(family * 3, Room(3, 4), clusters) == shown(family * 3, Room(2, 4), clusters)
    found = shown("\u2067" + "\u0639" * 9, Room(1, 5), clusters)
    assert found is not None
    assert found.cut
    assert found.lines[0].endswith("…\u2069")
    assert shown("", Room(1, 5), clusters) is None


@pytest.mark.parametrize(
    ("link", "shops"),
    [
        ("{{ user.shop }}", ["https://a.example/", "javascript:alert(1)"]),
        ("{% if user.shop == 'x' %}javascript:{% else %}https{% endif %}://a.example/", ["y", "x"]),
        ("https://a.example/{{ user.shop | raw }}", ["x", "x\x01"]),
        ("java{{ user.shop }}:alert(1)", ["-app", "script"]),
    ],
)
def test_an_address_is_judged_with_each_persons_values(
    engine: LiquidEngine, link: str, shops: list[str]
) -> None:
    """Whom it would lead where nobody may be led is left out and told why; others are sent to."""
    plan = compile_content(Content(body="Hi", link=link), Wording(), engine, {})

    done = rendered(plan, people(2, shop=shops))

    assert done.failed.tolist() == [False, True]
    assert [told.partition(":")[0] for told in done.failures] == ["/link"]


def test_a_tracked_link_is_judged_before_it_becomes_a_redirect(engine: LiquidEngine) -> None:
    """The redirect leads nowhere either."""
    wording = Wording(track_links=True)
    content = Content(body="Hi", link="{{ user.shop }}")
    plan = compile_content(content, wording, engine, {})

    done = rendered(plan, people(2, shop=["data:text/html,x", "https://a.example/"]), TRACKING)

    assert done.failed.tolist() == [True, False]


def test_an_address_that_begins_well_stays_a_text_with_columns(engine: LiquidEngine) -> None:
    """Values cost a short column each there, as everywhere else."""
    content = Content(title="{{ user.name }}", link="https://a.example/{{ user.name }}?x=1")
    plan = compile_content(content, Wording(), engine, {})

    assert all(piece.refusal is None for piece in plan.pieces)
