"""What people decide for themselves: over the API, and on their own page by a signed link."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qsl

from clarion.api.exchange import Answer, Exchange, json_answer, unsupported
from clarion.api.naming import PEOPLE, device_of, person_of
from clarion.api.pages.preference_form import MAX_OCTETS, MEDIA_TYPE, FormError, change_of, fields
from clarion.api.pages.preference_page import (
    Shown,
    accepted,
    gone_page,
    language_of,
    preference_page,
)
from clarion.api.pages.words import CATALOGUE_VERSION
from clarion.api.preferring import (
    evidence_of,
    preferences_change,
    preferences_refusal,
    preferences_view,
)
from clarion.api.problems import not_found
from clarion.api.routing import Api, Route
from clarion.api.shapes.people import DeviceToken
from clarion.api.shapes.preferences import (
    DevicePreferencesBody,
    LinkBody,
    LinkView,
    PreferencesBody,
    PreferencesView,
    RotateLinksBody,
)
from clarion.domain.consent import How
from clarion.domain.errors import ErrorCode
from clarion.domain.ids import UserId
from clarion.domain.preference import PreferenceError
from clarion.ports.categories import CategoryUnknownError
from clarion.ports.keys import Scope
from clarion.ports.preferences import Opened, Preferences, PreferencesChange, Said

_PLACES: Final = (
    "Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/", "Europe/",
    "Indian/", "Pacific/", "UTC",
)  # fmt: skip
_HTML: Final = b"text/html; charset=utf-8"
_FORMS: Final = (b"content-security-policy", b"form-action 'self'; frame-ancestors 'none'")


async def read(api: Api, call: Exchange) -> Answer:
    """What a person decided: categories, pause, quiet hours, language."""
    person = await person_of(api, call)
    return await _show(api, call, person.id)


async def put(api: Api, call: Exchange) -> Answer:
    """Change what a person decided; what is absent stays. Consent is recorded in the ledger."""
    body = await call.json(PreferencesBody, api.deps.limits.max_body)
    person = await person_of(api, call)
    return await _change(api, call, person.id, body, How.API)


async def of_device(api: Api, call: Exchange) -> Answer:
    """Read or change the preferences of whoever uses a device, which its own token proves."""
    body = await call.json(DevicePreferencesBody, api.deps.limits.max_body)
    device = await device_of(api, call, DeviceToken(body.network, body.token))
    return await _change(api, call, device.user, body, How.SDK_PROMPT)


async def _show(api: Api, call: Exchange, user: UserId) -> Answer:
    preferences = await api.deps.preferences.read(call.caller.app, user)
    if preferences is None:
        raise not_found("user")
    return json_answer(preferences_view(preferences))


async def _change(
    api: Api, call: Exchange, user: UserId, body: PreferencesBody, how: How
) -> Answer:
    now = api.deps.clock.now()
    change = preferences_change(body, now, api.deps.rules.zones)
    if change == PreferencesChange():
        return await _show(api, call, user)
    shown = body.shown
    said = Said(
        how=how,
        text=None if shown is None else shown.text,
        language="" if shown is None else shown.language,
        text_version="" if shown is None else shown.text_version,
        evidence=evidence_of(call),
    )
    try:
        changed = await api.deps.preferences.change(call.caller.app, user, change, said, now)
    except (CategoryUnknownError, PreferenceError) as error:
        raise preferences_refusal(error) from None
    if changed is None:
        raise not_found("user")
    return json_answer(preferences_view(changed))


async def make_link(api: Api, call: Exchange) -> Answer:
    """Make the link to a person's own page. It needs no login: send it to nobody else."""
    body = await call.json(LinkBody, api.deps.limits.max_body)
    person = await person_of(api, call)
    expires = api.deps.clock.now().replace(second=0, microsecond=0) + timedelta(days=body.days)
    text = await api.deps.links.mint(call.caller.app, person.id, expires)
    path = f"/preferences/{text}"
    return json_answer(LinkView(path, f"{path}/stop", expires), 201)


async def rotate_links(api: Api, call: Exchange) -> Answer:
    """Sign links with a new key from now on."""
    body = await call.json(RotateLinksBody, api.deps.limits.max_body)
    await api.deps.links.rotate(call.caller.app, revoke=body.revoke)
    return Answer(204)


async def page(api: Api, call: Exchange) -> Answer:
    """A person's own page. The link is the proof: there is no login."""
    query = _loose_query(call)
    found = await _opened(api, call)
    if found is None:
        return _gone(call, query)
    _, preferences = found
    shown = Shown(
        language=_language(call, query, preferences),
        now=api.deps.clock.now(),
        zones=_zones(api),
        saved=query.get("saved") == "1",
    )
    return _html(200, preference_page(preferences, shown))


async def submit(api: Api, call: Exchange) -> Answer:
    """What the page's form sends. The answer leads back to the page, so that a reload is safe."""
    if call.media_type() != MEDIA_TYPE:
        raise unsupported(MEDIA_TYPE)
    body = await call.body(MAX_OCTETS)
    found = await _opened(api, call)
    if found is None:
        return _gone(call, {})
    opened, known = found
    now = api.deps.clock.now()
    form: Mapping[str, str] = {}
    try:
        form = fields(body)
        change = change_of(form, known, now, api.deps.rules.zones)
        language = _language(call, form, known)
        said = Said(
            how=How.PREFERENCE_PAGE,
            language=language,
            text_version=CATALOGUE_VERSION,
            evidence=evidence_of(call),
        )
        await api.deps.preferences.change(opened.app, opened.user, change, said, now)
    except (FormError, CategoryUnknownError, PreferenceError) as error:
        problem = error.words if isinstance(error, FormError) else "wrong"
        shown = Shown(
            language=_language(call, form, known), now=now, zones=_zones(api), problem=problem
        )
        return _html(422, preference_page(known, shown))
    after = change.language if isinstance(change.language, str) else language
    return _see(call, f"?saved=1&lang={after}")


async def stop(api: Api, call: Exchange) -> Answer:
    """Stop everything at once, as mail programs do it (RFC 8058): whatever the body says."""
    await call.body(MAX_OCTETS)
    found = await _opened(api, call)
    if found is None:
        return _gone(call, {})
    opened, known = found
    said = Said(
        how=How.UNSUBSCRIBE_LINK,
        language=_language(call, {}, known),
        text_version=CATALOGUE_VERSION,
        evidence=evidence_of(call),
    )
    change = PreferencesChange(opted_out=True)
    await api.deps.preferences.change(opened.app, opened.user, change, said, api.deps.clock.now())
    return _see(call, "?saved=1", up=True)


async def look(api: Api, call: Exchange) -> Answer:
    """Whoever only looks changes nothing: programs that follow links unsubscribe nobody."""
    if await _opened(api, call) is None:
        return _gone(call, {})
    return _see(call, "", up=True)


async def _opened(api: Api, call: Exchange) -> tuple[Opened, Preferences] | None:
    opened = await api.deps.links.open(call.params["token"], api.deps.clock.now())
    if opened is None:
        return None
    preferences = await api.deps.preferences.read(opened.app, opened.user)
    return None if preferences is None else (opened, preferences)


def _zones(api: Api) -> list[str]:
    """The time zones by place, which is how people know them; others are taken too."""
    return sorted(zone for zone in api.deps.rules.zones if zone.startswith(_PLACES))


def _loose_query(call: Exchange) -> Mapping[str, str]:
    """A page is shown whatever somebody hung on its address."""
    raw: bytes = call.scope.get("query_string", b"")
    return dict(parse_qsl(raw[:1_000].decode("latin-1")))


def _language(call: Exchange, said: Mapping[str, str], known: Preferences) -> str:
    asked = accepted(call.header(b"accept-language"))
    return language_of(said.get("lang"), known.language, *asked, known.app_language)


def _gone(call: Exchange, query: Mapping[str, str]) -> Answer:
    asked = accepted(call.header(b"accept-language"))
    return _html(404, gone_page(language_of(query.get("lang"), *asked)))


def _html(status: int, body: bytes) -> Answer:
    return Answer(status, body, _HTML, (_FORMS,))


def _see(call: Exchange, query: str, *, up: bool = False) -> Answer:
    """The page again, by GET (RFC 9110 section 15.4.4)."""
    token = call.params["token"]
    place = f"../{token}{query}" if up else f"{token}{query}"
    return Answer(303, headers=((b"location", place.encode("ascii")), _FORMS))


def _person_routes(path: str, how: str) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            path=f"{path}/preferences",
            handle=read,
            summary=f"Show a person's preferences {how}",
            tag="Preferences",
            scope=Scope.SEND,
            answers={200: PreferencesView},
        ),
        Route(
            method="PUT",
            path=f"{path}/preferences",
            handle=put,
            summary=f"Change a person's preferences {how}",
            tag="Preferences",
            scope=Scope.SEND,
            body=PreferencesBody,
            answers={200: PreferencesView},
        ),
        Route(
            method="POST",
            path=f"{path}/preference-link",
            handle=make_link,
            summary=f"Make the link to a person's own page {how}",
            tag="Preferences",
            scope=Scope.SEND,
            body=LinkBody,
            answers={201: LinkView},
        ),
    )


_PAGE: Final = "/preferences/{token}"

ROUTES: Final = (
    *(route for path, how in PEOPLE for route in _person_routes(path, how)),
    Route(
        method="POST",
        path="/v1/devices:preferences",
        handle=of_device,
        summary="Read or change preferences from a device",
        tag="Preferences",
        scope=Scope.DEVICE,
        body=DevicePreferencesBody,
        answers={200: PreferencesView},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path="/v1/app:rotate-links",
        handle=rotate_links,
        summary="Sign links with a new key",
        tag="Preferences",
        scope=Scope.ADMIN,
        body=RotateLinksBody,
        answers={204: None},
    ),
    Route(
        method="GET",
        path=_PAGE,
        handle=page,
        summary="A person's own page",
        tag="Preference page",
        answers={200: "text/html", 404: "text/html"},
        errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
    Route(
        method="POST",
        path=_PAGE,
        handle=submit,
        summary="Save a person's own page",
        tag="Preference page",
        body_media=(MEDIA_TYPE,),
        answers={303: None, 404: "text/html", 422: "text/html"},
        errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
    Route(
        method="GET",
        path=f"{_PAGE}/stop",
        handle=look,
        summary="Where the one-click link leads whoever looks",
        tag="Preference page",
        answers={303: None, 404: "text/html"},
        errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
    Route(
        method="POST",
        path=f"{_PAGE}/stop",
        handle=stop,
        summary="Stop everything with one click",
        tag="Preference page",
        answers={303: None, 404: "text/html"},
        errors=(ErrorCode.STORE_UNAVAILABLE, ErrorCode.BODY_TOO_LARGE, ErrorCode.BODY_TIMEOUT),
    ),
)
