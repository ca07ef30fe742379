"""What a person may demand: to be told all that is held, and to be forgotten with a proof."""

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from clarion.api.decoding import number
from clarion.api.exchange import JSON, Answer, Exchange, Stream, json_answer
from clarion.api.naming import PEOPLE, person_of
from clarion.api.preferring import preferences_view
from clarion.api.problems import not_found
from clarion.api.registering import device_view, person_view
from clarion.api.routes.consent import line_view
from clarion.api.routing import Api, Route
from clarion.api.shapes.consent import ErasureView, HeldView
from clarion.api.streaming import begun
from clarion.domain.errors import ErrorCode
from clarion.ports.erasure import Erasure, FactsPage
from clarion.ports.facts import FactsUnavailableError
from clarion.ports.keys import Scope
from clarion.stages.intake.erasure import finish


async def export(api: Api, call: Exchange) -> Stream:
    """All that is held about one person, as one document that is written while it is sent."""
    app, deps = call.caller.app, api.deps
    person = await person_of(api, call)
    preferences = await deps.preferences.read(app, person.id)
    state = await deps.erasures.held(app, person.id)
    if preferences is None or state is None:
        raise not_found("user")
    devices = await deps.devices.of_person(app, person.id)
    held = HeldView(
        exported_at=deps.clock.now(),
        person=person_view(person),
        preferences=preferences_view(preferences),
        consent=[line_view(line) for line in await deps.consents.history(app, person.id)],
        devices=[_builtins(device_view(each, with_token=False)) for each in devices],
        state=dict(state.parts),
        facts={},
    )
    facts = deps.person_facts.about(app, state.users, at_least_xid=state.xid)
    return Stream(await begun(_document(held, facts)), JSON)


async def _document(held: HeldView, facts: AsyncIterator[FactsPage]) -> AsyncIterator[bytes]:
    """The document, whose last member is filled page by page: memory does not grow with it."""
    before, kind = msgspec.json.encode(held).removesuffix(b"}}"), None
    async for page in facts:
        rows = msgspec.json.encode(page.rows)[1:-1]
        if page.kind != kind:
            yield before + msgspec.json.encode(page.kind) + b":[" + rows
            before, kind = b"],", page.kind
        elif rows:
            yield b"," + rows
    yield b"]}}"


def _builtins(view: msgspec.Struct) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(view))
    return found


async def erase(api: Api, call: Exchange) -> Answer:
    """Remove a person from state, columns and facts, and keep a proof that names nobody.

    200: all is gone. 202: gone from the state, nothing is sent any more; the facts follow as soon
    as their owner answers.
    """
    deps = api.deps
    person = await person_of(api, call)
    begun = await deps.erasures.begin(call.caller.app, person.id, deps.clock.now())
    if begun is None:
        raise not_found("user")
    try:
        done = await finish(deps.erasures, deps.person_facts, begun, deps.clock)
    except FactsUnavailableError:
        waiting = await deps.erasures.get(call.caller.app, begun.id)
        if waiting is None:
            raise not_found("erasure") from None
        return json_answer(_view(waiting), 202)
    return json_answer(_view(done))


async def read_one(api: Api, call: Exchange) -> Answer:
    """An erasure and its proof."""
    found = await api.deps.erasures.get(call.caller.app, number(call.params["id"], "erasure"))
    if found is None:
        raise not_found("erasure")
    return json_answer(_view(found))


def _view(erasure: Erasure) -> ErasureView:
    return ErasureView(
        id=erasure.id,
        state="open" if erasure.done_at is None else "done",
        requested_at=erasure.requested_at,
        done_at=erasure.done_at,
        subject=erasure.subject,
        salt=erasure.salt,
        removed=dict(erasure.removed),
        kept=dict(erasure.kept),
        proof=erasure.proof,
    )


ROUTES: Final = (
    *(
        Route(
            method="GET",
            path=f"{path}/export",
            long_work=True,
            handle=export,
            summary=f"Export all that is held about a person {how}",
            tag="Privacy",
            scope=Scope.ADMIN,
            answers={200: HeldView},
            errors=(ErrorCode.FACTS_UNAVAILABLE,),
        )
        for path, how in PEOPLE
    ),
    *(
        Route(
            method="POST",
            path=f"{path}/erase",
            long_work=True,
            handle=erase,
            summary=f"Erase a person {how}",
            tag="Privacy",
            scope=Scope.ADMIN,
            answers={200: ErasureView, 202: ErasureView},
        )
        for path, how in PEOPLE
    ),
    Route(
        method="GET",
        path="/v1/erasures/{id}",
        handle=read_one,
        summary="Show an erasure and its proof",
        tag="Privacy",
        scope=Scope.ADMIN,
        answers={200: ErasureView},
    ),
)
