"""People on a real database: external ids, aliases, login, consent, removal."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.e2e.registry_world import LATER, NOW, World, open_world, phone

from clarion.domain.ids import UserId
from clarion.domain.person import MERGES_A_DAY, PersonChange
from clarion.ports.apps import AppExistsError
from clarion.ports.registry import (
    AliasTakenError,
    AttributesRefusedError,
    ByAlias,
    ByExternalId,
    ById,
    MergeLimitError,
)

ADA = ByExternalId(external_id="ada")


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A registry with one app."""
    async with open_world(database_url) as world:
        yield world


async def test_a_person_is_created_then_changed(world: World) -> None:
    """The second call keeps what it does not name, and clears what it sets to None."""
    first, created = await world.people.put(
        world.app, "ada", PersonChange(language="de", country="DE", attributes={"a": 1}), NOW
    )
    second, again = await world.people.put(
        world.app, "ada", PersonChange(country=None, attributes={"a": None, "b": (1, "x")}), LATER
    )
    assert (created, again, first.id) == (True, False, second.id)
    assert (second.language, second.country) == ("de", None)
    assert second.attributes == {"b": (1, "x")}
    assert (second.created_at, second.updated_at) == (NOW, LATER)
    assert await world.people.get(world.app, ADA) == second


async def test_a_person_is_found_by_each_alias(world: World) -> None:
    """A label holds one value; None takes it away."""
    change = PersonChange(aliases={"crm": "7", "mail": "a@b.c"})
    person, _ = await world.people.put(world.app, "ada", change, NOW)
    assert person.aliases == [("crm", "7"), ("mail", "a@b.c")]
    by_crm = ByAlias(label="crm", value="7")
    assert await world.people.get(world.app, by_crm) == person
    changed = PersonChange(aliases={"crm": "8", "mail": None})
    after = await world.people.change(world.app, by_crm, changed, NOW)
    assert after is not None
    assert after.aliases == [("crm", "8")]
    assert await world.people.get(world.app, by_crm) is None


async def test_an_alias_belongs_to_one_person(world: World) -> None:
    """Whoever comes second is refused, and nothing of the change is stored."""
    await world.people.put(world.app, "ada", PersonChange(aliases={"crm": "7"}), NOW)
    with pytest.raises(AliasTakenError) as error:
        await world.people.put(
            world.app, "bob", PersonChange(aliases={"crm": "7"}, language="fr"), NOW
        )
    assert (error.value.label, error.value.value) == ("crm", "7")
    assert await world.people.get(world.app, ByExternalId(external_id="bob")) is None


async def test_attributes_past_the_limits_are_refused(world: World) -> None:
    """The person stays as it was."""
    await world.people.put(world.app, "ada", PersonChange(attributes={"a": 1}), NOW)
    with pytest.raises(AttributesRefusedError):
        await world.people.put(world.app, "ada", PersonChange(attributes={"b": "x" * 2000}), NOW)
    person = await world.people.get(world.app, ADA)
    assert person is not None
    assert person.attributes == {"a": 1}


async def test_an_opt_out_marks_the_devices_as_changed(world: World) -> None:
    """Dispatch reads the devices' marks; a change of language leaves them alone."""
    done = await world.register(phone("1", external_id="ada"))
    await world.people.put(world.app, "ada", PersonChange(language="de"), NOW)
    assert await world.pool.fetchval("select xid from device") == done.xid
    await world.people.put(world.app, "ada", PersonChange(opted_out=True), NOW)
    after = await world.pool.fetchval("select xid from device")
    assert after > done.xid
    await world.register({"external_id": "ada", "user_opted_out": False}, now=LATER)
    assert await world.pool.fetchval("select xid from device") > after


async def test_a_stranger_who_logs_in_for_the_first_time_gets_the_name(world: World) -> None:
    """The id and the devices stay."""
    done = await world.register(phone("1"))
    person = await world.people.login(world.app, UserId(int(done.user[0])), "ada", NOW)
    assert person is not None
    assert (person.id, person.external_id) == (done.user[0], "ada")


async def test_a_stranger_who_is_known_is_merged(world: World) -> None:
    """Devices, aliases and attributes move; what is known wins; an opt-out of either stays."""
    known, _ = await world.people.put(
        world.app, "ada", PersonChange(language="de", attributes={"a": 1}), NOW
    )
    stranger = await world.people.create_anonymous(
        world.app,
        PersonChange(
            language="fr",
            country="FR",
            attributes={"a": 2, "b": 3},
            aliases={"install": "i1"},
            opted_out=True,
        ),
        NOW,
    )
    done = await world.register(phone("1", user=stranger.id))
    person = await world.people.login(world.app, stranger.id, "ada", LATER)
    assert person is not None
    assert (person.id, person.language, person.country) == (known.id, "de", "FR")
    assert person.attributes == {"a": 1, "b": 3}
    assert person.aliases == [("install", "i1")]
    assert person.opted_out
    devices = await world.devices.of_person(world.app, known.id)
    assert [device.id for device in devices] == done.device.tolist()
    assert await world.people.get(world.app, ById(id=stranger.id)) is None
    assert tuple(await world.pool.fetchrow("select kind, id from removal")) == (1, stranger.id)
    assert await world.people.login(world.app, stranger.id, "ada", LATER) is None


async def test_a_named_person_does_not_log_in_as_another(world: World) -> None:
    """Only strangers do."""
    person, _ = await world.people.put(world.app, "ada", PersonChange(), NOW)
    assert await world.people.login(world.app, person.id, "bob", NOW) is None


async def test_logins_at_once_merge_once(world: World) -> None:
    """Strangers who are all the same person end as one with all devices."""
    done = await world.register(*(phone(str(i)) for i in range(5)))
    await asyncio.gather(
        *(world.people.login(world.app, UserId(user), "ada", NOW) for user in done.user.tolist())
    )
    person = await world.people.get(world.app, ADA)
    assert person is not None
    assert len(await world.devices.of_person(world.app, person.id)) == 5
    assert await world.count("users") == 1


async def test_a_device_that_registers_under_a_name_says_who_its_stranger_is(
    world: World,
) -> None:
    """The same as a login: all of the anonymous person goes along, other devices too."""
    known, _ = await world.people.put(world.app, "ada", PersonChange(attributes={"a": 1}), NOW)
    stranger = await world.people.create_anonymous(
        world.app, PersonChange(attributes={"a": 2, "b": 3}, aliases={"install": "i1"}), NOW
    )
    await world.register(phone("1", user=stranger.id), phone("2", user=stranger.id))
    done = await world.register(phone("1", external_id="ada", language="de"), now=LATER)
    assert done.user.tolist() == [known.id]
    person = await world.people.get(world.app, ADA)
    assert person is not None
    assert (person.attributes, person.aliases) == ({"a": 1, "b": 3}, [("install", "i1")])
    assert len(await world.devices.of_person(world.app, known.id)) == 2
    assert await world.people.get(world.app, ById(id=stranger.id)) is None
    assert await world.people.numbers(world.app, known.id) == [stranger.id, known.id]


async def test_strangers_of_many_rows_are_merged_each_with_their_own(world: World) -> None:
    """Those of whom nothing is known, and those of whom something is; new people and known ones."""
    first = await world.register(*(phone(str(n)) for n in range(4)))
    plain, laden, fresh, left = (UserId(int(user)) for user in first.user)
    change = PersonChange(language="fr")
    await world.people.change(world.app, ById(id=laden), change, NOW)
    await world.people.put(world.app, "ada", PersonChange(), NOW)
    done = await world.register(
        phone("0", external_id="ada"),
        phone("1", external_id="ada"),
        phone("2", external_id="bob"),
        phone("3", language="de"),
        now=LATER,
    )
    ada, bob = UserId(int(done.user[0])), UserId(int(done.user[2]))
    assert await world.people.numbers(world.app, ada) == [*sorted([plain, laden]), ada]
    assert await world.people.numbers(world.app, bob) == [fresh, bob]
    assert done.user[3] == left
    person = await world.people.get(world.app, ADA)
    assert person is not None
    assert person.language == "fr"
    assert await world.count("users") == 3


async def test_the_answer_names_who_lives_on(world: World) -> None:
    """Other devices of a stranger, and rows that name the stranger, are the person's by then."""
    (stranger,) = set((await world.register(phone("1"))).user.tolist())
    await world.register(phone("2", user=stranger), phone("3", user=stranger))
    done = await world.register(
        phone("1", external_id="ada"), phone("2", os="x"), phone("4", user=stranger), now=LATER
    )
    person = await world.people.get(world.app, ADA)
    assert person is not None
    assert set(done.user.tolist()) == {person.id}
    assert len(await world.devices.of_person(world.app, person.id)) == 4


async def test_a_device_that_is_given_by_number_says_nothing_of_its_stranger(
    world: World,
) -> None:
    """Nobody logged in: the app's server moved it."""
    known, _ = await world.people.put(world.app, "ada", PersonChange(), NOW)
    done = await world.register(phone("1"))
    await world.register(phone("1", user=known.id), now=LATER)
    assert await world.people.get(world.app, ById(id=UserId(int(done.user[0])))) is not None


async def test_one_person_absorbs_so_many_in_a_day(world: World) -> None:
    """Each leaves a number that stands for the person for good; a day later there is room."""
    person, _ = await world.people.put(world.app, "ada", PersonChange(), NOW)
    many = await world.register(*(phone(str(n)) for n in range(MERGES_A_DAY + 2)))
    named = (phone(str(n), external_id="ada") for n in range(MERGES_A_DAY + 1))
    done = await world.register(*named, now=LATER)
    assert [(found.row, found.problem.code) for found in done.problems] == [
        (MERGES_A_DAY, "merge_limit")
    ]
    assert set(done.user.tolist()) == {person.id}, "the device itself has moved"
    assert len(await world.people.numbers(world.app, person.id)) == MERGES_A_DAY + 1
    last = UserId(int(many.user[-1]))
    with pytest.raises(MergeLimitError) as refusal:
        await world.people.login(world.app, last, "ada", LATER)
    assert refusal.value.retry_at == LATER + timedelta(days=1)
    assert await world.people.login(world.app, last, "ada", LATER + timedelta(days=1))


async def test_a_removed_person_takes_devices_and_aliases_along(world: World) -> None:
    """Marks for the columnar copy are left for each."""
    done = await world.register(phone("1", external_id="ada"), phone("2", external_id="ada"))
    await world.people.put(world.app, "ada", PersonChange(aliases={"crm": "7"}), NOW)
    assert await world.people.delete(world.app, ADA) == done.user[0]
    assert await world.people.delete(world.app, ADA) is None
    assert await world.count("device") == await world.count("user_alias") == 0
    marks = await world.pool.fetch("select kind, id from removal order by kind, id")
    assert [tuple(mark) for mark in marks] == [
        (1, done.user[0]),
        *((2, device) for device in sorted(done.device)),
    ]


async def test_registration_and_removal_at_once_leave_no_orphans(world: World) -> None:
    """Whoever wins, every device has a person."""
    for turn in range(5):
        await world.register(phone("1", external_id="ada"))
        await asyncio.gather(
            world.people.delete(world.app, ADA),
            world.register(phone(f"x{turn}", external_id="ada"), phone("1", external_id="ada")),
        )
    orphans = "select count(*) from device where user_id not in (select id from users)"
    assert await world.pool.fetchval(orphans) == 0


async def test_another_app_does_not_see_the_person(world: World) -> None:
    """Neither by id nor by external id."""
    other = (await world.apps.create("other", now=NOW)).id
    person, _ = await world.people.put(world.app, "ada", PersonChange(), NOW)
    assert await world.people.get(other, ADA) is None
    assert await world.people.get(other, ById(id=person.id)) is None
    assert await world.people.delete(other, ById(id=person.id)) is None
    assert await world.people.page(other, after=None, limit=9) == []


async def test_apps_have_names_of_their_own(world: World) -> None:
    """A second app of the same name is refused."""
    with pytest.raises(AppExistsError):
        await world.apps.create("shop", now=NOW)
    assert [app.name for app in await world.apps.all()] == ["shop"]
    assert await world.apps.find("none") is None
    assert await world.apps.get(world.app) == await world.apps.find("shop")
