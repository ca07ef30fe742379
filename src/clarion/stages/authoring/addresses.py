"""What can be said about a message's addresses before anybody's values are in them."""

import re
from collections.abc import Collection, Iterator
from typing import Final

from clarion.domain.content import Content, Wording
from clarion.domain.link_rules import CODE, refusal, start_refusal
from clarion.ports.provider import PayloadProblem
from clarion.stages.authoring.compiling import texts_of
from clarion.stages.authoring.preparing import contents_of

_TAG: Final = re.compile(r"\{[{%]")
_LINK: Final = re.compile(r"/link\Z")


def forbidden(
    content: Content, wording: Wording | None, http_hosts: Collection[str]
) -> Iterator[PayloadProblem]:
    """The addresses that nobody may be led to, or load pictures from, in each language once.

    An address that is a template is judged by what stands in front of its first tag; the rest is
    judged for each person when it is rendered.
    """
    variants = [(None, content)] if wording is None else contents_of(content, wording)
    liquid = wording is not None and wording.liquid
    told = set()
    for tag, variant in variants:
        where = "" if tag is None else f"/localized/{tag}"
        for pointer, text, address in texts_of(variant):
            if not address or (pointer, text) in told:
                continue
            told.add((pointer, text))
            picture = _LINK.search(pointer) is None
            begun = _TAG.split(text, maxsplit=1)[0] if liquid else text
            judge = refusal if begun == text else start_refusal
            why = judge(begun, http_hosts, picture=picture)
            if why is not None:
                yield PayloadProblem(path=where + pointer, code=CODE, detail=why)
