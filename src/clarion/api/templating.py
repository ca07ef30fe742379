"""From the JSON of a template to words that are checked, and back."""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from clarion.api.decoding import refuse
from clarion.api.problems import invalid
from clarion.api.routing import Api
from clarion.api.shapes.content import NO_OVERRIDES, ActionBody, ContentBody, Overrides
from clarion.api.shapes.templates import TemplateBody, TemplateView
from clarion.api.wording import (
    check_addresses,
    content_of,
    free_problems,
    language_problems,
    refused,
    says_nothing,
)
from clarion.domain.content import Content, MissingVariable, Wording
from clarion.domain.errors import FieldCode
from clarion.domain.ids import AppId
from clarion.domain.network import Network
from clarion.ports.provider import PayloadProblem
from clarion.ports.rendering import ContentRefusedError, TemplateSyntaxError
from clarion.ports.templates import StoredTemplate, TemplateWords
from clarion.stages.authoring.adopting import with_partials
from clarion.stages.authoring.compiling import ContentPlan
from clarion.stages.authoring.preparing import compiled

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


async def words_of(api: Api, app: AppId, body: TemplateBody) -> TemplateWords:
    """The words of a template; raises `ProblemError` for each that can't be rendered."""
    refuse([*free_problems(body), *language_problems(body.language, body.localized)])
    content = content_of(body)
    if says_nothing(content):
        raise invalid("", "Say something: `title`, `body`, `data`, `badge` or `overrides`.")
    if body.localized and body.language is None:
        detail = "Say in which language the template's own texts are, where there are others."
        raise invalid("/language", detail, FieldCode.MISSING)
    words = TemplateWords(
        content=content,
        language=body.language or "",
        localized={tag: content_of(variant) for tag, variant in body.localized.items()},
        missing=MissingVariable(body.missing),
        fallbacks=body.fallbacks,
    )
    check_addresses(api, content, wording_of(words))
    try:
        await _plans(api, app, words)
    except ContentRefusedError as error:
        raise refused(error.problems) from None
    return words


async def _plans(api: Api, app: AppId, words: TemplateWords) -> Sequence[ContentPlan]:
    engine = api.deps.words.engine
    pinned = await with_partials(app, words.content, wording_of(words), engine, api.deps.partials)
    return compiled(words.content, pinned, engine, declared=False)


def wording_of(words: TemplateWords) -> Wording:
    """The wording of a message that only names the template."""
    return Wording(
        language=words.language,
        localized=words.localized,
        missing=words.missing,
        fallbacks=words.fallbacks,
    )


def check_partial(api: Api, source: str) -> None:
    """Raise `ProblemError` for a partial that is not Liquid."""
    try:
        api.deps.words.engine.partials_of(source)
    except TemplateSyntaxError as error:
        problem = PayloadProblem(path="/source", code="template_invalid", detail=str(error))
        raise refused([problem]) from None


async def template_view(api: Api, app: AppId, stored: StoredTemplate) -> TemplateView:
    """A version as JSON."""
    words = stored.words
    try:
        plans = await _plans(api, app, words)
    except ContentRefusedError:  # an old version may render a partial that is gone
        plans = []
    body = TemplateBody(
        **_fields(words.content),
        language=words.language or None,
        localized={tag: ContentBody(**_fields(v)) for tag, v in words.localized.items()},
        missing=words.missing.value,
        fallbacks=dict(words.fallbacks),
    )
    return TemplateView(
        name=stored.name,
        version=stored.version,
        newest=stored.newest,
        note=stored.note,
        created_at=stored.created_at,
        archived_at=stored.archived_at,
        template=msgspec.to_builtins(body),
        variables=sorted(frozenset[str]().union(*(plan.reads for plan in plans))),
    )


def _fields(content: Content) -> dict[str, Any]:
    """The fields of a content as the API takes them."""
    fields: dict[str, Any] = {
        name: getattr(content, name)
        for name in (
            "title", "subtitle", "body", "image", "icon", "link", "sound", "badge", "action_set",
            "thread",
        )
    }  # fmt: skip
    fields["actions"] = [
        ActionBody(id=a.id, title=a.title, icon=a.icon, link=a.link) for a in content.actions
    ]
    fields["data"] = dict(content.data)
    fields["overrides"] = NO_OVERRIDES
    if content.overrides:
        by_network = {network.label: dict(over) for network, over in content.overrides.items()}
        fields["overrides"] = Overrides(
            apns=by_network.get(Network.APNS.label),
            fcm=by_network.get(Network.FCM.label),
            webpush=by_network.get(Network.WEBPUSH.label),
        )
    return fields
