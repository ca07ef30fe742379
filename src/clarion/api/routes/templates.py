"""Templates, their versions, partials, and previews of all that people will read."""

from typing import Final

from clarion.api.decoding import refuse
from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.paging import number_page
from clarion.api.previewing import draft, previewed
from clarion.api.problems import ProblemError, field_problem, invalid, not_found
from clarion.api.routing import Api, Route
from clarion.api.shapes.content import TemplateUse, WordedBody
from clarion.api.shapes.templates import (
    MessagePreviewBody,
    PartialBody,
    PartialList,
    PartialView,
    PreviewView,
    TemplateBody,
    TemplatePage,
    TemplatePreviewBody,
    TemplateQuery,
    TemplateSummary,
    TemplateView,
    VersionList,
    VersionQuery,
    VersionView,
)
from clarion.api.templating import NAME, check_partial, template_view, words_of
from clarion.api.wording import free_problems, worded
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.domain.ids import MessageId
from clarion.ports.keys import Scope
from clarion.ports.templates import TemplateChangedError, TooManyTemplatesError

_TOO_MANY: Final = "The app has as many as there may be."


async def read_page(api: Api, call: Exchange) -> Answer:
    """The app's templates, oldest first."""
    query = call.query(TemplateQuery)
    page = number_page(api, call, "templates", query)
    rows = await api.deps.templates.page(
        page.app, after=page.after, limit=page.limit, archived=query.archived == "true"
    )
    items = [
        TemplateSummary(
            name=row.name,
            newest=row.newest,
            created_at=row.created_at,
            updated_at=row.updated_at,
            archived_at=row.archived_at,
        )
        for row in rows
    ]
    return json_answer(TemplatePage(items, page.following([row.id for row in rows])))


async def read_one(api: Api, call: Exchange) -> Answer:
    """A version of a template, the newest where none is named; archived ones too."""
    version = call.query(VersionQuery).version
    found = await api.deps.templates.get(call.caller.app, call.params["name"], version)
    if found is None:
        raise not_found("template or version")
    return json_answer(await template_view(api, call.caller.app, found))


async def put(api: Api, call: Exchange) -> Answer:
    """Make a template, or its next version.

    Every text is checked: Liquid with the place of a mistake, variables that nobody has,
    partials that are not there. The words of the newest version again make no new one. Messages
    keep the words of the version that they were accepted with.
    """
    app, name = call.caller.app, call.params["name"]
    if not NAME.fullmatch(name):
        detail = "1 to 64 letters, digits, `_`, `.` and `-`, the first a letter or digit."
        raise invalid("/name", detail)
    body = await call.json(TemplateBody, api.deps.limits.max_body)
    words = await words_of(api, app, body)
    try:
        stored = await api.deps.templates.save(
            app, name, words, note=body.note, newest=body.newest, now=api.deps.clock.now()
        )
    except TemplateChangedError as error:
        detail = f"Somebody saved another version: {error}."
        raise ProblemError(
            ErrorCode.STATE_CONFLICT,
            detail,
            errors=[field_problem("/newest", FieldCode.INVALID, detail)],
        ) from None
    except TooManyTemplatesError:
        raise ProblemError(ErrorCode.STATE_CONFLICT, _TOO_MANY) from None
    return json_answer(await template_view(api, app, stored))


async def read_versions(api: Api, call: Exchange) -> Answer:
    """All versions of a template, newest first."""
    found = await api.deps.templates.versions(call.caller.app, call.params["name"])
    if not found:
        raise not_found("template")
    return json_answer(VersionList([VersionView(v.version, v.note, v.created_at) for v in found]))


async def archive(api: Api, call: Exchange) -> Answer:
    """Take a template out of use; messages that were accepted with it are sent."""
    return await _archived(api, call, archived=True)


async def restore(api: Api, call: Exchange) -> Answer:
    """Take an archived template back into use."""
    return await _archived(api, call, archived=False)


async def _archived(api: Api, call: Exchange, *, archived: bool) -> Answer:
    app, name = call.caller.app, call.params["name"]
    at = api.deps.clock.now() if archived else None
    if not await api.deps.templates.archive(app, name, at):
        raise not_found("template")
    found = await api.deps.templates.get(app, name)
    if found is None:
        raise not_found("template")
    return json_answer(await template_view(api, call.caller.app, found))


async def preview_template(api: Api, call: Exchange) -> Answer:
    """What people would read: rendered texts, what each platform shows, payload sizes."""
    app, name = call.caller.app, call.params["name"]
    if not NAME.fullmatch(name) or await api.deps.templates.get(app, name) is None:
        raise not_found("template")
    body = await call.json(TemplatePreviewBody, api.deps.limits.max_body)
    use = TemplateUse(name=name, version=body.version, variables=body.variables)
    content, wording = await worded(api, app, WordedBody(template=use))
    message = draft(app, _message_id(api), content, wording)
    return json_answer(await previewed(api, app, message, body))


async def preview_message(api: Api, call: Exchange) -> Answer:
    """The same for a message as `POST /v1/messages` takes its words; nothing is sent."""
    app = call.caller.app
    body = await call.json(MessagePreviewBody, api.deps.limits.max_body)
    refuse(list(free_problems(body.message, "/message")))
    content, wording = await worded(api, app, body.message)
    message = draft(app, _message_id(api), content, wording)
    return json_answer(await previewed(api, app, message, body.preview))


def _message_id(api: Api) -> MessageId:
    return MessageId(api.deps.chance.uuid7(api.deps.clock.now()))


async def read_partials(api: Api, call: Exchange) -> Answer:
    """Every partial of the app, by name."""
    found = await api.deps.partials.all(call.caller.app)
    return json_answer(PartialList([PartialView(p.name, p.source, p.updated_at) for p in found]))


async def put_partial(api: Api, call: Exchange) -> Answer:
    """Make a partial, or replace its text; messages that were accepted keep the old one."""
    name = call.params["name"]
    if not NAME.fullmatch(name):
        raise invalid("/name", "1 to 64 letters, digits, `_`, `.` and `-`.")
    body = await call.json(PartialBody, api.deps.limits.max_body)
    check_partial(api, body.source)
    try:
        made = await api.deps.partials.put(call.caller.app, name, body.source, api.deps.clock.now())
    except TooManyTemplatesError:
        raise ProblemError(ErrorCode.STATE_CONFLICT, _TOO_MANY) from None
    return json_answer(PartialView(made.name, made.source, made.updated_at))


async def delete_partial(api: Api, call: Exchange) -> Answer:
    """Forget a partial that no template in use names."""
    app, name = call.caller.app, call.params["name"]
    users = await api.deps.partials.users_of(app, name)
    if users:
        shown = ", ".join(users[:10])
        detail = f"The partial's name is in templates in use: {shown}."
        raise ProblemError(ErrorCode.STATE_CONFLICT, detail)
    if not await api.deps.partials.delete(app, name):
        raise not_found("partial")
    return Answer(204)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/templates",
        handle=read_page,
        summary="List templates",
        tag="Templates",
        scope=Scope.SEND,
        query=TemplateQuery,
        answers={200: TemplatePage},
        errors=(ErrorCode.CURSOR_INVALID,),
    ),
    Route(
        method="GET",
        path="/v1/templates/{name}",
        handle=read_one,
        summary="Show a template",
        tag="Templates",
        scope=Scope.SEND,
        query=VersionQuery,
        answers={200: TemplateView},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="PUT",
        path="/v1/templates/{name}",
        handle=put,
        summary="Save a template",
        tag="Templates",
        scope=Scope.ADMIN,
        body=TemplateBody,
        answers={200: TemplateView},
        errors=(ErrorCode.STATE_CONFLICT,),
    ),
    Route(
        method="GET",
        path="/v1/templates/{name}/versions",
        handle=read_versions,
        summary="List the versions of a template",
        tag="Templates",
        scope=Scope.SEND,
        answers={200: VersionList},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path="/v1/templates/{name}:archive",
        handle=archive,
        summary="Archive a template",
        tag="Templates",
        scope=Scope.ADMIN,
        answers={200: TemplateView},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path="/v1/templates/{name}:restore",
        handle=restore,
        summary="Restore a template",
        tag="Templates",
        scope=Scope.ADMIN,
        answers={200: TemplateView},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path="/v1/templates/{name}/preview",
        handle=preview_template,
        summary="Preview a template",
        tag="Templates",
        scope=Scope.SEND,
        body=TemplatePreviewBody,
        answers={200: PreviewView},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path="/v1/messages/preview",
        handle=preview_message,
        summary="Preview a message",
        tag="Templates",
        scope=Scope.SEND,
        body=MessagePreviewBody,
        answers={200: PreviewView},
    ),
    Route(
        method="GET",
        path="/v1/partials",
        handle=read_partials,
        summary="List partials",
        tag="Templates",
        scope=Scope.SEND,
        answers={200: PartialList},
    ),
    Route(
        method="PUT",
        path="/v1/partials/{name}",
        handle=put_partial,
        summary="Save a partial",
        tag="Templates",
        scope=Scope.ADMIN,
        body=PartialBody,
        answers={200: PartialView},
        errors=(ErrorCode.STATE_CONFLICT,),
    ),
    Route(
        method="DELETE",
        path="/v1/partials/{name}",
        handle=delete_partial,
        summary="Delete a partial",
        tag="Templates",
        scope=Scope.ADMIN,
        answers={204: None},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.STATE_CONFLICT),
    ),
)
