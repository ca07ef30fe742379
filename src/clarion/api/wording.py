"""From a request's words to content that is checked: templates, languages, values, links."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from clarion.api.decoding import free_form, refuse
from clarion.api.problems import FieldProblem, ProblemError, field_problem, invalid, refusal_of
from clarion.api.routing import Api
from clarion.api.shapes.content import (
    NO_OVERRIDES,
    ContentBody,
    TemplateUse,
    UtmBody,
    WordedBody,
)
from clarion.domain.content import (
    Action,
    Content,
    Json,
    Message,
    MissingVariable,
    Overflow,
    Utm,
    Wording,
)
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.domain.ids import AppId
from clarion.domain.localisation import parse
from clarion.domain.network import NETWORK_BY_LABEL, Network
from clarion.ports.provider import PayloadProblem
from clarion.ports.rendering import ContentRefusedError
from clarion.ports.templates import StoredTemplate
from clarion.stages.authoring.addresses import forbidden
from clarion.stages.authoring.adopting import adopted, with_partials
from clarion.stages.authoring.preparing import Prepared, prepare


def content_of(body: ContentBody) -> Content:
    """The fields of a content; nothing is checked."""
    overrides: dict[Network, Mapping[str, Json]] = {}
    if body.overrides is not NO_OVERRIDES:
        for label, network in NETWORK_BY_LABEL.items():
            members = getattr(body.overrides, label)
            if members is not None:
                overrides[network] = members
    return Content(
        title=body.title,
        subtitle=body.subtitle,
        body=body.body,
        image=body.image,
        icon=body.icon,
        actions=tuple(
            Action(id=a.id, title=a.title, icon=a.icon, link=a.link) for a in body.actions
        ),
        link=body.link,
        sound=body.sound,
        badge=body.badge,
        data=body.data,
        action_set=body.action_set,
        thread=body.thread,
        overrides=overrides,
    )


def free_problems(body: ContentBody, where: str = "") -> Iterator[FieldProblem]:
    """What is wrong with the values that the sender may choose freely."""
    if body.data:
        yield from free_form(body.data, f"{where}/data")
    if body.overrides is NO_OVERRIDES:
        return
    for label in NETWORK_BY_LABEL:
        members: object = getattr(body.overrides, label)
        if members is not None:
            yield from free_form(members, f"{where}/overrides/{label}")


def language_problems(
    language: str | None, localized: Mapping[str, ContentBody]
) -> Iterator[FieldProblem]:
    """What is wrong with the languages that a request names."""
    for tag, variant in localized.items():
        if parse(tag) is None:
            detail = f"`{tag}` is no language tag of BCP 47, such as `de` or `zh-Hant`."
            yield field_problem(f"/localized/{tag}", FieldCode.INVALID, detail)
        yield from free_problems(variant, f"/localized/{tag}")
    if language is not None and parse(language) is None:
        yield field_problem("/language", FieldCode.INVALID, "No language tag of BCP 47.")


def says_nothing(content: Content) -> bool:
    """Whether there is nothing to show and nothing for the app."""
    said = (content.title, content.subtitle, content.body, content.badge, content.sound)
    return not content.data and not content.overrides and all(part is None for part in said)


async def worded(api: Api, app: AppId, body: WordedBody) -> tuple[Content, Wording | None]:
    """The message's words with the template's, as they will stay; raises `ProblemError`.

    The wording is None where everybody reads the same, letter by letter.
    """
    content = content_of(body)
    if _is_plain(body):
        check_addresses(api, content, None)
        return content, None
    refuse([*language_problems(body.language, body.localized), *_value_problems(body)])
    wording = Wording(
        liquid=body.liquid,
        language=body.language or "",
        localized={tag: content_of(variant) for tag, variant in body.localized.items()},
        variables={} if body.template is None else body.template.variables,
        missing=MissingVariable(body.missing or MissingVariable.FALLBACK),
        fallbacks=body.fallbacks,
        overflow=Overflow.TRUNCATE if body.truncate else Overflow.REFUSE,
        track_links=body.track_links,
        utm=None if body.utm is None else utm_of(body.utm),
    )
    if body.template is not None:
        template = await _template(api, app, body.template)
        content, wording = adopted(content, wording, template)
        if body.missing is None:
            wording = replace(wording, missing=template.words.missing)
    if wording.localized and not wording.language:
        detail = "Say in which language the message's own texts are, where there are others."
        raise invalid("/language", detail, FieldCode.MISSING)
    check_addresses(api, content, wording)
    try:
        return content, await with_partials(
            app, content, wording, api.deps.words.engine, api.deps.partials
        )
    except ContentRefusedError as error:
        raise refused(error.problems) from None


def prepared(api: Api, message: Message, wording: Wording) -> Prepared:
    """The message's words, compiled; raises `ProblemError` for each that can't be."""
    try:
        return prepare(message, wording, api.deps.words)
    except ContentRefusedError as error:
        raise refused(error.problems) from None


def refused(problems: Sequence[PayloadProblem]) -> ProblemError:
    """What is wrong with templates, each at its field, with the line and column in it."""
    return refusal_of(
        ErrorCode.REQUEST_INVALID, [field_problem(p.path, p.code, p.detail) for p in problems]
    )


def check_addresses(api: Api, content: Content, wording: Wording | None) -> None:
    """Raise `ProblemError` for addresses that nobody may be led to."""
    found = list(forbidden(content, wording, api.deps.words.http_hosts))
    if found:
        raise refused(found)


def utm_of(body: UtmBody) -> Utm:
    """Campaign parameters."""
    return Utm(
        source=body.source,
        medium=body.medium,
        campaign=body.campaign,
        term=body.term,
        content=body.content,
    )


def _is_plain(body: WordedBody) -> bool:
    return (
        body.template is None
        and not (body.liquid or body.localized or body.truncate or body.track_links)
        and body.utm is None
    )


def _value_problems(body: WordedBody) -> Iterator[FieldProblem]:
    if body.template is not None:
        yield from free_form(body.template.variables, "/template/variables")
    for name in body.fallbacks:
        if name.partition(".")[0] not in {"user", "device"} or not name.partition(".")[2]:
            detail = "A fallback is of a variable such as `user.first_name`."
            yield field_problem(f"/fallbacks/{name}", FieldCode.INVALID, detail)


async def _template(api: Api, app: AppId, use: TemplateUse) -> StoredTemplate:
    found = await api.deps.templates.get(app, use.name, use.version)
    if found is None:
        named = use.name if use.version is None else f"{use.name}, version {use.version}"
        raise invalid("/template", f"This app has no template {named}.")
    if found.archived_at is not None:
        raise invalid("/template/name", f"The template {use.name} is archived.")
    return found
