"""From a stored template and a message's own fields to words that never change again.

What a message is accepted with is kept in it: the template's texts, its version, and the texts of
every partial. A template that is edited later changes messages that are accepted later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from clarion.domain.content import Content, TemplateRef, Wording
from clarion.domain.ids import AppId
from clarion.domain.localisation import localized
from clarion.ports.provider import PayloadProblem
from clarion.ports.rendering import ContentRefusedError, TemplateEngine, TemplateSyntaxError
from clarion.ports.templates import Partials, StoredTemplate
from clarion.stages.authoring.compiling import partials_needed
from clarion.stages.authoring.preparing import contents_of

MOST_PARTIALS: Final = 50
"""Of one message, partials of partials included."""


def adopted(own: Content, wording: Wording, template: StoredTemplate) -> tuple[Content, Wording]:
    """The template with the message's own fields laid over it, in every language.

    A field that the message gives replaces the template's in all languages, unless the message
    has the field for a language itself.
    """
    words = template.words
    tags = dict.fromkeys((*words.localized, *wording.localized))
    variants = {
        tag: localized(
            localized(words.localized.get(tag, Content()), own),
            wording.localized.get(tag, Content()),
        )
        for tag in tags
    }
    return localized(words.content, own), replace(
        wording,
        liquid=True,
        language=wording.language or words.language,
        localized=variants,
        template=TemplateRef(name=template.name, version=template.version),
        fallbacks={**words.fallbacks, **wording.fallbacks},
    )


async def with_partials(
    app: AppId, content: Content, wording: Wording, engine: TemplateEngine, store: Partials
) -> Wording:
    """The wording with the text of every partial that any of its texts renders, directly or not.

    Raises:
        ContentRefusedError: A text is not a template, a partial is not there, or there are more
            than `MOST_PARTIALS`.
    """
    if not wording.liquid:
        return wording
    wanted: dict[str, str] = {}
    for tag, variant in contents_of(content, wording):
        try:
            needed = partials_needed(variant, engine)
            wanted = {name: _where(tag) + path for name, path in needed.items()} | wanted
        except ContentRefusedError as error:
            raise ContentRefusedError(_placed(error.problems, tag)) from None
    found: dict[str, str] = {}
    while wanted - found.keys():
        texts = await store.texts(app, sorted(wanted - found.keys()))
        missing = sorted(wanted - found.keys() - texts.keys())
        if missing or len(found) + len(texts) > MOST_PARTIALS:
            raise ContentRefusedError(_not_there({name: wanted[name] for name in missing}))
        found |= texts
        for name, text in texts.items():
            wanted = dict.fromkeys(_partials_of(name, text, engine), wanted[name]) | wanted
    return replace(wording, partials=found)


def _partials_of(name: str, text: str, engine: TemplateEngine) -> set[str]:
    try:
        return set(engine.partials_of(text))
    except TemplateSyntaxError as error:
        detail = f"In the partial {name}: {error}"
        problem = PayloadProblem(path="", code="template_invalid", detail=detail)
        raise ContentRefusedError([problem]) from error


def _placed(problems: Sequence[PayloadProblem], tag: str | None) -> list[PayloadProblem]:
    return [replace(problem, path=_where(tag) + problem.path) for problem in problems]


def _where(tag: str | None) -> str:
    return "" if tag is None else f"/localized/{tag}"


def _not_there(missing: Mapping[str, str]) -> Sequence[PayloadProblem]:
    """Each at the text that renders it, or renders the partial that does."""
    told = [(path, f"There is no partial {name}.") for name, path in missing.items()]
    return [
        PayloadProblem(path=path, code="template_invalid", detail=detail)
        for path, detail in told or [("", f"A message renders at most {MOST_PARTIALS} partials.")]
    ]
