"""What is held about a person is told whole, however much it is."""

from collections.abc import AsyncIterator, Mapping, Sequence

import httpx
from tests.api.conftest import World

from clarion.domain.ids import AppId, UserId
from clarion.ports.erasure import FactsPage
from clarion.ports.facts import FactsUnavailableError

EVENTS = 12_500


class ManyFacts:
    """Facts of somebody who did a lot, as `ports.erasure.PersonFacts`."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.asked: list[tuple[Sequence[UserId], int]] = []

    async def about(
        self, app: AppId, users: Sequence[UserId], *, at_least_xid: int
    ) -> AsyncIterator[FactsPage]:
        """Pages of events, and a kind with nothing in it."""
        del app
        if self.broken:
            raise FactsUnavailableError("asleep")
        self.asked.append((users, at_least_xid))
        yield FactsPage(kind="engagement", rows=[])
        for low in range(0, EVENTS, 1000):
            numbers = range(low, min(low + 1000, EVENTS))
            yield FactsPage(kind="event", rows=[{"n": n, "name": 'a "view"'} for n in numbers])

    async def erase(
        self, app: AppId, users: Sequence[UserId], *, at_least_xid: int
    ) -> Mapping[str, int]:
        """Nothing was there."""
        del app, users, at_least_xid
        return {}


async def test_an_export_is_one_document_of_everything(world: World) -> None:
    """Under all numbers of the person, and with all that was committed before it was asked for."""
    facts = ManyFacts()
    async with world.client(person_facts=facts) as client:
        stranger = (await client.post("/v1/users", json={})).json()["id"]
        known = (await client.put("/v1/users/ann", json={})).json()["id"]
        merged = {"user": stranger, "external_id": "ann"}
        assert (await client.post("/v1/users:merge", json=merged)).status_code == 200
        held = await client.get("/v1/users/ann/export")

    assert held.headers["content-type"] == "application/json"
    assert held.json()["person"]["id"] == known
    assert held.json()["facts"]["engagement"] == []
    assert [row["n"] for row in held.json()["facts"]["event"]] == list(range(EVENTS))
    ((users, xid),) = facts.asked
    assert sorted(users) == sorted([stranger, known])
    assert xid > 0


async def test_an_export_that_can_not_begin_says_so(world: World) -> None:
    """With a status, not with half a document."""
    async with world.client(person_facts=ManyFacts(broken=True)) as client:
        await client.put("/v1/users/ann", json={})
        held = await client.get("/v1/users/ann/export")
    assert (held.status_code, held.json()["code"]) == (503, "facts_unavailable")


async def test_an_export_of_nobody_is_not_found(admin: httpx.AsyncClient) -> None:
    """As any other look at a person."""
    assert (await admin.get("/v1/users/nobody/export")).status_code == 404
