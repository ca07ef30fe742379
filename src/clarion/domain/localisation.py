"""Which of a message's language variants a person gets (BCP 47: RFC 5646 and RFC 4647).

The order, from the person's language to the message's own:

1. the lookup of RFC 4647 section 3.4: subtags are taken from the end (`zh-Hant-TW`, `zh-Hant`,
   `zh`), and a variant matches when it says the same after both have been given their script;
2. a variant of the same language in the same script for another region, in the message's order;
3. the message's own content.

A step never changes the script: a reader of traditional Chinese (`zh-Hant`, `zh-TW`, `zh-HK`) is
never given `zh-Hans`, and `sr-Latn` is never given `sr-Cyrl`. Only a variant whose tag names
neither script nor region (`zh`) is taken for all of its language.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.content import Content

UInt16s = npt.NDArray[np.uint16]

_LANGTAG: Final = re.compile(
    r"(?P<language>[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})"
    r"(?:-(?P<script>[a-z]{4}))?"
    r"(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
    r"(?:-[a-wyz0-9](?:-[a-z0-9]{2,8})+)*"
    r"(?:-x(?:-[a-z0-9]{1,8})+)?",
    re.IGNORECASE | re.ASCII,
)
"""RFC 5646 section 2.1 without the irregular grandfathered tags."""
_LONGEST: Final = 64

_RENAMED: Final = {"iw": "he", "in": "id", "ji": "yi", "tl": "fil", "no": "nb", "mo": "ro"}
"""Old codes that phones and browsers still send -> what they mean today."""

_SCRIPTS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "az": ("Latn", {"Arab": "IQ IR", "Cyrl": "RU"}),
    "bs": ("Latn", {}),
    "ha": ("Latn", {"Arab": "CM SD"}),
    "kk": ("Cyrl", {"Arab": "AF CN IR MN"}),
    "ku": ("Latn", {"Arab": "LB"}),
    "ky": ("Cyrl", {"Arab": "CN", "Latn": "TR"}),
    "mn": ("Cyrl", {"Mong": "CN"}),
    "ms": ("Latn", {"Arab": "CC"}),
    "pa": ("Guru", {"Arab": "PK"}),
    "sd": ("Arab", {"Deva": "IN"}),
    "sr": ("Cyrl", {"Latn": "ME RO TR"}),
    "tg": ("Cyrl", {"Arab": "PK"}),
    "ug": ("Arab", {"Cyrl": "KZ MN"}),
    "uz": ("Latn", {"Arab": "AF", "Cyrl": "CN"}),
    "yue": ("Hant", {"Hans": "CN"}),
    "zh": ("Hans", {"Hant": "AU BN GB GF HK ID MO PA PF PH SR TH TW US VN"}),
}
"""Languages written in several scripts: the usual one, and where another one is (CLDR 48, likely
subtags; a test compares this with Babel's copy)."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A language tag in its canonical case (RFC 5646 section 2.1.1), extensions left out."""

    language: str
    script: str | None = None
    region: str | None = None
    variants: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The tag as it is written."""
        parts = (self.language, self.script, self.region, *self.variants)
        return "-".join(part for part in parts if part)

    @property
    def likely_script(self) -> str | None:
        """The script it is written in, where the language has several; else what it says."""
        if self.script is not None or self.language not in _SCRIPTS:
            return self.script
        usual, elsewhere = _SCRIPTS[self.language]
        for script, regions in elsewhere.items():
            if self.region is not None and self.region in regions.split():
                return script
        return usual


def parse(text: str) -> Tag | None:
    """The tag in a text, or None where it is none.

    Takes what phones send as well: `pt_BR`, `zh_TW.UTF-8` (POSIX), `iw` for Hebrew.
    """
    plain = text.partition(".")[0].partition("@")[0].replace("_", "-").strip()
    found = _LANGTAG.fullmatch(plain) if len(plain) <= _LONGEST else None
    if found is None:
        return None
    language = found["language"].lower().rpartition("-")[2]  # zh-yue is yue (section 4.5)
    return Tag(
        language=_RENAMED.get(language, language),
        script=found["script"].title() if found["script"] else None,
        region=found["region"].upper() if found["region"] else None,
        variants=tuple(part for part in found["variants"].lower().split("-") if part),
    )


def chain(tag: Tag) -> list[Tag]:
    """The tag and what it falls back to, most exact first: zh-Hant-TW, zh-Hant, zh.

    The script is written out where the language has several: zh-TW gives zh-Hant-TW, zh-Hant, zh.
    """
    script = tag.likely_script
    full = replace(tag, script=script)
    steps = [
        full,
        replace(full, variants=()),
        replace(full, region=None, variants=()),
        Tag(tag.language),
    ]
    if script is None or tag.language not in _SCRIPTS:  # sl-Latn-IT may fall back to sl-IT
        steps.insert(2, Tag(tag.language, region=tag.region))
    return list(dict.fromkeys(steps))


def _in_full(tag: Tag) -> Tag:
    """How a variant's tag is compared: with its script, unless it is only a language."""
    if tag.script is None and tag.region is None:
        return tag
    return replace(tag, script=tag.likely_script)


def choose(language: str | None, offered: Sequence[str]) -> str | None:
    """The variant for a person's language, or None for the message's own content.

    Args:
        language: What the person or the device says; None or not a tag: the message's own.
        offered: The message's variants as tags, in the message's order.
    """
    wanted = parse(language) if language else None
    if wanted is None:
        return None
    known = {name: tag for name in offered if (tag := parse(name)) is not None}
    for step in chain(wanted):
        for name, tag in known.items():
            if step in (tag, _in_full(tag)):
                return name
    for name, tag in known.items():
        if tag.language == wanted.language and tag.likely_script == wanted.likely_script:
            return name
    return None


def choose_column(
    languages: UInt16s, names: Sequence[str | None], own: str, offered: Sequence[str]
) -> UInt16s:
    """Per recipient, which variant: 0 for the message's own content, 1 + index into `offered`.

    Args:
        languages: Per recipient, an index into `names`.
        names: The distinct languages of the recipients.
        own: The tag of the message's own content, which takes part like any variant.
        offered: The variants' tags.
    """
    among = [own, *offered]
    table = [among.index(choose(name, among) or own) for name in names]
    return np.asarray(table or [0], np.uint16)[languages]


def localized(own: Content, variant: Content) -> Content:
    """The message's content with a variant laid over it.

    A field that is None in the variant stays; buttons are taken together or not at all; data and
    overrides member by member.
    """
    return replace(
        own,
        **{name: value for name in _TEXTS if (value := getattr(variant, name)) is not None},
        actions=variant.actions or own.actions,
        data={**own.data, **variant.data},
        overrides={**own.overrides, **variant.overrides},
    )


_TEXTS: Final = (
    "title",
    "subtitle",
    "body",
    "image",
    "icon",
    "link",
    "sound",
    "badge",
    "action_set",
    "thread",
)
