"""A person gets the nearest language variant, and never one in a script they don't read."""

import numpy as np
import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.content import Action, Content
from clarion.domain.localisation import (
    _SCRIPTS,
    Tag,
    chain,
    choose,
    choose_column,
    localized,
    parse,
)

TAGS = st.sampled_from([
    "zh", "zh-Hant", "zh-Hans", "zh-TW", "zh-HK", "zh-CN", "zh-Hant-TW", "zh-Hant-HK", "zh-SG",
    "sr", "sr-Latn", "sr-Cyrl-RS", "sr-ME", "pt", "pt-BR", "pt-PT", "en", "en-GB", "en-US", "de",
    "de-CH-1996", "pa-PK", "pa-IN", "yue-CN", "yue", "uz-AF", "fr", "fr-CA", "sl-rozaj-biske",
])  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "offered", "got"),
    [
        ("zh-Hant-TW", ["zh-Hans", "zh-Hant"], "zh-Hant"),
        ("zh-Hant-TW", ["zh-Hans", "zh"], "zh"),
        ("zh-Hant-TW", ["zh-Hans", "zh-CN"], None),
        ("zh-TW", ["zh-Hant"], "zh-Hant"),
        ("zh-HK", ["zh-CN", "zh-TW"], "zh-TW"),
        ("zh-Hans-SG", ["zh-TW", "zh-CN"], "zh-CN"),
        ("zh-Hant-TW", ["zh-TW", "zh-Hant"], "zh-TW"),
        ("sr-Latn-RS", ["sr-Cyrl", "sr-ME"], "sr-ME"),
        ("sr-RS", ["sr-Latn"], None),
        ("pt-AO", ["pt-BR", "pt-PT"], "pt-BR"),
        ("pt", ["pt-BR"], "pt-BR"),
        ("en-GB", ["EN_us", "en-gb"], "en-gb"),
        ("EN_gb.UTF-8", ["en"], "en"),
        ("iw", ["he"], "he"),
        ("zh-yue-HK", ["zh", "yue"], "yue"),
        ("de-CH-1996", ["de", "de-CH"], "de-CH"),
        ("de-u-co-phonebk", ["de"], "de"),
        ("fil-PH", ["tl"], "tl"),
        ("tlh", ["de", "fr"], None),
        ("not a tag", ["en"], None),
        ("", ["en"], None),
        (None, ["en"], None),
        ("fr", [], None),
    ],
)
def test_the_nearest_variant_is_chosen(
    wanted: str | None, offered: list[str], got: str | None
) -> None:
    """By region, then script, then language; None is the message's own content."""
    assert choose(wanted, offered) == got


@given(TAGS, st.lists(TAGS, max_size=6))
def test_nobody_is_given_another_script(wanted: str, offered: list[str]) -> None:
    """Only a bare language may be in a script that is not said."""
    got = choose(wanted, offered)
    if got is not None:
        tag, mine = parse(got), parse(wanted)
        assert tag is not None
        assert mine is not None
        assert tag.language == mine.language
        assert tag == Tag(tag.language) or tag.likely_script == mine.likely_script


@given(TAGS, st.lists(TAGS, max_size=6))
def test_an_exact_variant_always_wins(wanted: str, offered: list[str]) -> None:
    """Whatever else is offered, and in whatever order."""
    got = choose(wanted, [*offered, wanted])
    assert got is not None
    assert chain(parse(got) or Tag(""))[0] == chain(parse(wanted) or Tag("?"))[0]


@given(st.lists(TAGS | st.none(), min_size=1, max_size=5), st.lists(TAGS, max_size=5), TAGS)
def test_a_column_of_languages_is_chosen_like_each_of_them(
    names: list[str | None], offered: list[str], own: str
) -> None:
    """The message's own language takes part like any variant."""
    codes = np.arange(len(names), dtype=np.uint16).repeat(2)
    among = [own, *offered]
    expected = [among.index(choose(names[code], among) or own) for code in codes]
    assert choose_column(codes, names, own, offered).tolist() == expected


def test_the_chain_of_traditional_chinese_passes_no_simplified_one() -> None:
    """zh-Hant-TW, zh-Hant, zh; and zh-TW says the same."""
    steps = [tag.text for tag in chain(parse("zh-Hant-TW") or Tag(""))]
    assert steps == ["zh-Hant-TW", "zh-Hant", "zh"]
    assert [tag.text for tag in chain(parse("zh_TW") or Tag(""))] == steps


def test_the_table_of_scripts_is_cldrs() -> None:
    """Every region of our languages has the script that CLDR's likely subtags say."""
    likely = get_global("likely_subtags")
    for language, (usual, elsewhere) in _SCRIPTS.items():
        assert likely[language].split("_")[1] == usual
        table = {region: script for script, some in elsewhere.items() for region in some.split()}
        cldr = {
            parts[1]: full.split("_")[1]
            for short, full in likely.items()
            if (parts := short.split("_"))[0] == language
            if len(parts) == 2 and len(parts[1]) == 2 and full.split("_")[1] != usual
        }
        assert table == cldr


def test_a_variant_says_only_what_differs() -> None:
    """What it leaves out stays; buttons are taken together, data member by member."""
    own = Content(title="Hi", body="B", data={"a": 1, "b": 2}, actions=(Action(id="x", title="X"),))
    french = localized(own, Content(title="Salut", data={"b": 3}))
    assert (french.title, french.body, french.data) == ("Salut", "B", {"a": 1, "b": 3})
    assert french.actions == own.actions
