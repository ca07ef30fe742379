"""Categories of messages: what kind they are, and so which rules bind them."""

from typing import Final

from clarion.api.categorising import (
    category_view,
    changed_category,
    changed_settings,
    new_category,
    settings_view,
)
from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.problems import ProblemError, field_problem, invalid, not_found, sentence
from clarion.api.routing import Api, Route
from clarion.api.shapes.categories import (
    AppPatch,
    AppSettingsView,
    CategoryBody,
    CategoryList,
    CategoryPatch,
    CategoryView,
)
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.ports.categories import (
    CategoryExistsError,
    CategoryInUseError,
    CategoryUnknownError,
    TooManyCapsError,
    TooManyCategoriesError,
)
from clarion.ports.keys import Scope


async def read_all(api: Api, call: Exchange) -> Answer:
    """All categories, archived ones included."""
    records = await api.deps.categories.all(call.caller.app)
    return json_answer(CategoryList([category_view(record) for record in records]))


async def create(api: Api, call: Exchange) -> Answer:
    """Make a category. An app has at most 63, archived ones included.

    Its kind is for good: what people said to one kind of messages is no consent to another.
    """
    body = await call.json(CategoryBody, api.deps.limits.max_body)
    try:
        record = await api.deps.categories.create(
            call.caller.app, new_category(body), api.deps.clock.now()
        )
    except CategoryExistsError:
        taken = field_problem("/slug", FieldCode.INVALID, "Another category has this slug.")
        raise ProblemError(ErrorCode.NAME_TAKEN, taken.detail, errors=[taken]) from None
    except TooManyCategoriesError as error:
        raise ProblemError(ErrorCode.STATE_CONFLICT, sentence(str(error))) from None
    except TooManyCapsError as error:
        raise invalid("/caps", sentence(str(error)), FieldCode.TOO_LARGE) from None
    return json_answer(category_view(record), 201)


async def read_one(api: Api, call: Exchange) -> Answer:
    """A category."""
    record = await api.deps.categories.get(call.caller.app, call.params["slug"])
    if record is None:
        raise not_found("category")
    return json_answer(category_view(record))


async def patch(api: Api, call: Exchange) -> Answer:
    """Change a category; messages that are planned from now on obey."""
    app, slug = call.caller.app, call.params["slug"]
    body = await call.json(CategoryPatch, api.deps.limits.max_body)
    known = await api.deps.categories.get(app, slug)
    if known is None:
        raise not_found("category")
    draft = changed_category(known.draft, body)
    try:
        record = await api.deps.categories.change(app, slug, draft, api.deps.clock.now())
    except TooManyCapsError as error:
        raise invalid("/caps", sentence(str(error)), FieldCode.TOO_LARGE) from None
    if record is None:
        raise not_found("category")
    return json_answer(category_view(record))


async def archive(api: Api, call: Exchange) -> Answer:
    """Take a category out of use. What people said about it is kept, and its slug stays taken."""
    try:
        record = await api.deps.categories.archive(
            call.caller.app, call.params["slug"], api.deps.clock.now()
        )
    except CategoryInUseError as error:
        raise ProblemError(ErrorCode.STATE_CONFLICT, sentence(str(error))) from None
    if record is None:
        raise not_found("category")
    return json_answer(category_view(record))


async def restore(api: Api, call: Exchange) -> Answer:
    """Take an archived category back into use."""
    record = await api.deps.categories.archive(call.caller.app, call.params["slug"], None)
    if record is None:
        raise not_found("category")
    return json_answer(category_view(record))


async def read_settings(api: Api, call: Exchange) -> Answer:
    """What the app decides for all its categories."""
    settings = await api.deps.categories.settings(call.caller.app)
    if settings is None:
        raise not_found("app")
    return json_answer(settings_view(settings))


async def configure(api: Api, call: Exchange) -> Answer:
    """Change what the app decides for all its categories."""
    body = await call.json(AppPatch, api.deps.limits.max_body)
    old = await api.deps.categories.settings(call.caller.app)
    if old is None:
        raise not_found("app")
    new = changed_settings(old, body, api.deps.rules.zones)
    try:
        settings = await api.deps.categories.configure(call.caller.app, new)
    except CategoryUnknownError:
        raise invalid("/default_category", "The app has no such category in use.") from None
    except TooManyCapsError as error:
        raise invalid("/caps", sentence(str(error)), FieldCode.TOO_LARGE) from None
    if settings is None:
        raise not_found("app")
    return json_answer(settings_view(settings))


_PATH: Final = "/v1/categories/{slug}"

ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/categories",
        handle=read_all,
        summary="List categories",
        tag="Categories",
        scope=Scope.SEND,
        answers={200: CategoryList},
    ),
    Route(
        method="POST",
        path="/v1/categories",
        handle=create,
        summary="Make a category",
        tag="Categories",
        scope=Scope.ADMIN,
        body=CategoryBody,
        answers={201: CategoryView},
        errors=(ErrorCode.NAME_TAKEN, ErrorCode.STATE_CONFLICT),
    ),
    Route(
        method="GET",
        path=_PATH,
        handle=read_one,
        summary="Show a category",
        tag="Categories",
        scope=Scope.SEND,
        answers={200: CategoryView},
    ),
    Route(
        method="PATCH",
        path=_PATH,
        handle=patch,
        summary="Change a category",
        tag="Categories",
        scope=Scope.ADMIN,
        body=CategoryPatch,
        answers={200: CategoryView},
    ),
    Route(
        method="DELETE",
        path=_PATH,
        handle=archive,
        summary="Archive a category",
        tag="Categories",
        scope=Scope.ADMIN,
        answers={200: CategoryView},
        errors=(ErrorCode.STATE_CONFLICT,),
    ),
    Route(
        method="POST",
        path=f"{_PATH}:restore",
        handle=restore,
        summary="Take a category back into use",
        tag="Categories",
        scope=Scope.ADMIN,
        answers={200: CategoryView},
    ),
    Route(
        method="GET",
        path="/v1/app/rules",
        handle=read_settings,
        summary="Show the app's own rules",
        tag="Categories",
        scope=Scope.SEND,
        answers={200: AppSettingsView},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="PATCH",
        path="/v1/app",
        handle=configure,
        summary="Change the app's own rules",
        tag="Categories",
        scope=Scope.ADMIN,
        body=AppPatch,
        answers={200: AppSettingsView},
        errors=(ErrorCode.NOT_FOUND,),
    ),
)
