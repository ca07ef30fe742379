"""Messages tried before they are sent: counts, curve, samples; nothing is written."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.api.conftest import World
from tests.facts.test_owner import owner

from clarion.adapters.state.digests import PostgresDigestDesk
from clarion.adapters.state.plan_line import PostgresPlanLine
from clarion.adapters.state.pool import open_pool
from clarion.stages.planning.dry_run import DryRunPorts
from clarion.stages.planning.plan import plan_next
from clarion.stages.planning.ports import PlanningPorts

PATH: Final = "/v1/messages/dry-run"
EVERYBODY: Final = {"all": True}


@asynccontextmanager
async def crowd(world: World, database_url: str, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Forty people, half of them in Paris, with an APNs device each; some can't be sent to."""
    pool = await open_pool(database_url)
    await pool.execute(
        """with people as (
            insert into users (app_id, external_id, attributes, time_zone, language, opted_out,
                               suppressed, created_at, updated_at)
            select $1, 'u' || g,
                   case when g < 30 then jsonb_build_object('name', 'N' || g)
                        || case when g < 5 then jsonb_build_object('long', repeat('y', 60))
                           else '{}' end
                        else '{}' end,
                   case when g % 2 = 0 then 'Europe/Paris' end, 'fr', g = 1, g = 2, now(), now()
            from generate_series(0, 39) g returning id, external_id)
        insert into device (app_id, user_id, network, environment, token, token_key, os,
                            registered_at, created_at, updated_at)
        select $1, id, 1, 1, md5(external_id) || md5(external_id),
               decode(md5(external_id), 'hex'), '', now(), now(), now() from people""",
        world.app,
    )
    await pool.execute(
        """insert into credential (app_id, network, public, secret, state_at, created_at,
                                   per_minute)
           values ($1, 1, '{"topic": "org.example"}', '', now(), now(), 1)""",
        world.app,
    )
    async with owner(pool, folder) as columns:
        await columns.rebuild()
        runs: DryRunPorts = replace(world.deps.dry_runs, audience=columns)
        async with world.client("send", dry_runs=runs, decisions=columns) as client:
            yield client
    await pool.close()


async def tried(client: httpx.AsyncClient, query: str = "", **message: object) -> Any:  # noqa: ANN401  JSON
    """What a message would come to."""
    body = {"to": EVERYBODY, "title": "Hello", "category": "transactional", **message}
    answer = await client.post(PATH + query, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_it_counts_everybody_by_what_would_happen_and_writes_nothing(
    world: World, database_url: str, short_dir: Path
) -> None:
    """With an example of each way not to be sent to, in words."""
    async with crowd(world, database_url, short_dir) as client:
        found = await tried(client)
        listed = (await client.get("/v1/messages")).json()
    assert (found["people"], found["recipients"]) == (40, 40)
    assert found["by_action"] == {"send": 38, "hold": 0, "skip": 2, "digest": 0}
    reasons = {row["reason"]: row["count"] for row in found["decisions"]}
    assert reasons == {"accepted": 38, "user_opted_out": 1, "suppression_list": 1}
    example = next(one for one in found["examples"] if one["reason"] == "suppression_list")
    assert example["external_id"] == "u2"
    assert "suppression list" in example["explanation"]
    assert listed["items"] == []


async def test_the_curve_keeps_to_the_budget_of_the_credential(
    world: World, database_url: str, short_dir: Path
) -> None:
    """A credential of one a minute takes 38 within the hour, and a throttle is obeyed too."""
    async with crowd(world, database_url, short_dir) as client:
        found = await tried(client)
        slow = await tried(client, throttle_per_minute=1)
    assert found["per_minute"] == {"apns": 1}
    (hour,) = found["curve"]
    assert (found["throttle_per_minute"], slow["throttle_per_minute"]) == (None, 1)
    assert [one["sent"] for one in slow["curve"]] == [38]
    assert (hour["due"], hour["sent"], hour["waiting"]) == (38, 38, 0)
    assert found["last_hour"] == hour["at"] == found["planned_at"]


async def test_a_local_time_says_what_each_choice_would_do(
    world: World, database_url: str, short_dir: Path
) -> None:
    """And of how many the zone is not known."""
    async with crowd(world, database_url, short_dir) as client:
        yesterday = {"time": "09:00", "date": "2020-01-01", "if_passed": "drop"}
        found = await tried(client, local_time=yesterday)
    assert found["by_action"]["skip"] == 40
    assert found["local_time"] == {
        "passed": 38,
        "next_day_held": 38,
        "drop_dropped": 38,
        "send_now_sent": 0,
        "send_now_dropped": 38,
    }
    assert found["time_zone_unknown"] == 19


async def test_samples_read_what_real_people_would_read(
    world: World, database_url: str, short_dir: Path
) -> None:
    """From a template, with those left out whom it fails; payloads are measured."""
    async with crowd(world, database_url, short_dir) as client:
        found = await tried(
            client,
            "?samples=3",
            title="Hello {{ user.name }}",
            liquid=True,
            missing="skip",
            body="x" * 10,
        )
        long = await tried(client, title="{{ user.long }}", body="y" * 3991, liquid=True)
        minds = await tried(client, title="{{ user.name }}", liquid=True, missing="fail")
    assert len(found["samples"]) == 3
    for one in found["samples"]:
        assert one["title"] == f"Hello N{one['external_id'][1:]}"
        assert one["octets"] > 20
        assert "it was due at once" in one["explanation"]
    assert found["missing"] == {"user.name": 10}
    assert {row["reason"]: row["count"] for row in found["decisions"]}["variable_missing"] == 10
    assert found["payloads"]["apns"]["too_long"] == 0
    apns = long["payloads"]["apns"]
    assert (apns["limit"], apns["too_long"]) == (4096, 3)
    assert apns["longest"] > apns["limit"]
    assert len(apns["users"]) == 3
    assert minds["refused"]


async def test_named_people_are_tried_too(world: World, database_url: str, short_dir: Path) -> None:
    """Who is not there is counted."""
    async with crowd(world, database_url, short_dir) as client:
        found = await tried(client, to={"users": ["u5", "u1", "nobody"]})
        few = await tried(client, to={"segment": 'time_zone = "Europe/Paris"'})
    assert (found["people"], found["unknown"]) == (2, 1)
    assert found["by_action"] == {"send": 1, "hold": 0, "skip": 1, "digest": 0}
    assert few["people"] == 20


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ([], 422),
        ({"to": EVERYBODY}, 422),
        ({"to": EVERYBODY, "title": "x", "category": "none"}, 422),
        ({"to": {"segment": "gone"}, "title": "x"}, 422),
        ({"to": {"segment": "("}, "title": "x"}, 422),
        ({"to": EVERYBODY, "title": "{{ user.", "x": 1}, 422),
        ({"to": EVERYBODY, "title": "\u0000"}, 422),
        ({"to": EVERYBODY, "title": "x", "expires_at": "9999-12-31T23:59:59Z"}, 422),
        ({"to": EVERYBODY, "title": "x", "local_time": {"time": "09:00", "date": "9999-12-31"}}, 0),
        ({"to": EVERYBODY, "title": "x", "local_time": {"time": "09:00", "date": "0001-01-01"}}, 0),
        ({"to": EVERYBODY, "title": "x", "send_at": "2999-12-31T00:00:00Z"}, 0),
    ],
)
async def test_what_can_not_be_sent_can_not_be_tried(
    admin: httpx.AsyncClient, body: object, status: int
) -> None:
    """The same refusals, with the same places; never a fault of ours."""
    answer = await admin.post(PATH, json=body)
    assert answer.status_code == status or (not status and answer.status_code in {200, 422})


REPLAY: Final = "/v1/messages/{}/replay"
HOSTILE: Final[list[Any]] = [
    [],
    {},
    {"policy": []},
    {"policy": {"cap": 1}},
    {"policy": {"caps": "x"}},
    {"policy": {"caps": [None]}},
    {"policy": {"caps": [{"count": 10**30, "per": "7d"}]}},
    {"policy": {"caps": [{"count": 1, "per": "9" * 500 + "d"}]}},
    {"policy": {"expires_us": 10**30}},
    {"policy": {"expires_us": -(10**18)}},
    {"policy": {"when": {"kind": "at", "at_us": 10**18}}},
    {"policy": {"when": {"kind": "at", "at_us": -(10**30)}}},
    {"policy": {"when": {"kind": "local", "time": "25:00"}}},
    {"policy": {"when": {"kind": "local", "time": "09:00", "date": "9999-12-31"}}},
    {"policy": {"when": {"kind": "local", "time": "09:00", "date": "0001-01-01"}}},
    {"policy": {"when": {"kind": "local", "time": "09:00", "grace_s": 1e308}}},
    {"policy": {"when": {"kind": "local", "time": "09:00+05:00"}}},
    {"policy": {"quiet_hours": {"windows": [{"from": "24:01", "to": "x"}]}}},
    {"policy": {"quiet_hours": {"windows": [{"from": "10:00", "to": "11:00"}] * 10_000}}},
    {"policy": {"category": None}},
    {"policy": {"category": {"kind": "none"}}},
    {"policy": {"category": {"slot": 62}}},
    {"policy": {"category": {"priority": 10**30}}},
    {"policy": {"priority": -1}},
    {"policy": {"app_zone": "../../etc/passwd"}},
    {"policy": {"app_zone": "\u0000"}},
    {"policy": {"digest": {"minute": 10**30}}},
    {"policy": {"throttle_per_minute": -(10**30)}},
    {"policy": {}, "samples": 21},
]


async def test_a_replay_says_what_changes_and_where_the_rules_are_wrong(
    world: World, database_url: str, short_dir: Path
) -> None:
    """Whatever is sent as rules is refused with its place, or decided by; never a fault of ours."""
    async with crowd(world, database_url, short_dir) as client:
        body = {"to": {"users": ["u5", "u1"]}, "title": "x", "lane": "campaign"}
        message = (await client.post("/v1/messages", json=body)).json()["id"]
        pool = await open_pool(database_url)
        line, clock = PostgresPlanLine(pool), world.deps.clock
        await line.expand_due(clock.now(), limit=1)
        runs = world.deps.dry_runs
        planning = PlanningPorts(
            line=line,
            audience=runs.audience,
            frequency=runs.frequency,
            segments=runs.segments,
            words=runs.words,
            digests=PostgresDigestDesk(pool, world.deps.chance),
            clock=clock,
            metrics=world.deps.metrics,
        )
        assert await plan_next(planning, "test")
        await pool.close()
        same = (await client.post(REPLAY.format(message), json={"policy": {}})).json()
        off = {"category": {"kind": "marketing", "default_state": "out", "can_opt_out": True}}
        other = (await client.post(REPLAY.format(message), json={"policy": off})).json()
        answers = [await client.post(REPLAY.format(message), json=one) for one in HOSTILE]
        gone = await client.post(REPLAY.format(ID), json={"policy": {}})
        junk = await client.post(REPLAY.format("x"), json={"policy": {}})
    assert (same["considered"], same["changed"]) == (2, 0)
    (move,) = other["moves"]
    assert move == {
        "before": {"action": "send", "reason": "accepted"},
        "after": {"action": "skip", "reason": "consent_missing"},
        "count": 1,
    }
    assert other["samples"][0]["external_id"] == "u5"
    for given, answer in zip(HOSTILE, answers, strict=True):
        assert answer.status_code in {200, 422}, (given, answer.text)
        if answer.status_code == 422:
            assert answer.json()["errors"], given
    assert gone.status_code == junk.status_code == 404


@pytest.mark.parametrize("query", ["?samples=-1", "?samples=21", "?samples=x", "?more=1"])
async def test_samples_are_few(admin: httpx.AsyncClient, query: str) -> None:
    """More would be an export."""
    body = {"to": EVERYBODY, "title": "x"}
    assert (await admin.post(PATH + query, json=body)).status_code == 400


async def test_device_keys_try_nothing(world: World) -> None:
    """They learn nothing about an audience."""
    async with world.client("device") as client:
        assert (await client.post(PATH, json={})).status_code == 403
        assert (await client.post(f"/v1/messages/{ID}/replay", json={})).status_code == 403


ID: Final = "01990000-0000-7000-8000-000000000000"
