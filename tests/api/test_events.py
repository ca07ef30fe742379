"""Events through the API: JSON and files, and what a public key may say."""

import base64
import hashlib
import hmac
import json
import time
from uuid import UUID

import httpx
import pytest
from tests.api.conftest import World

SECRET = b"0123456789abcdef0123456789abcdef"


def event(number: int, **more: object) -> dict[str, object]:
    """An event of ann's with an id of its own."""
    return {"id": str(UUID(int=number)), "external_id": "ann", "name": "purchase", **more}


def identity(subject: str) -> str:
    """What the app's server signs for a person."""

    def part(value: dict[str, object]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    body = part({"alg": "HS256"}) + b"." + part({"sub": subject, "exp": int(time.time()) + 3600})
    signature = hmac.new(SECRET, body, hashlib.sha256).digest()
    return (body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


async def test_good_events_go_in_and_bad_ones_are_told(admin: httpx.AsyncClient) -> None:
    """A batch answers with counts, and with the place and reason of each bad one."""
    events = [
        event(1, value=9.5, properties={"sku": "a", "tags": ["x"]}),
        event(1),
        event(2, id="seven"),
        event(3, external_id=None, alias={"label": "crm", "value": "9"}),
    ]
    answer = await admin.post("/v1/events", json={"events": events})

    assert answer.status_code == 200
    told = answer.json()
    assert (told["rows_read"], told["rows_in"], told["rows_repeated"], told["rows_bad"]) == (
        4,
        1,
        1,
        2,
    )
    assert [(bad["line"], bad["field"], bad["code"]) for bad in told["bad"]] == [
        (3, "id", "id_invalid"),
        (4, "alias", "user_unknown"),
    ]


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("text/csv", "id,external_id,name,properties.n:number\n{id},ann,view,7\nx,ann,view,\n"),
        ("application/x-ndjson", '{{"id":"{id}","external_id":"ann","name":"view"}}\n{{"a":1}}\n'),
    ],
)
async def test_files_are_taken(admin: httpx.AsyncClient, media: str, body: str) -> None:
    """The same route reads files, row by row."""
    sent = body.format(id=UUID(int=5))
    answer = await admin.post("/v1/events", content=sent, headers={"content-type": media})
    again = await admin.post("/v1/events", content=sent, headers={"content-type": media})

    assert (answer.json()["rows_in"], answer.json()["rows_bad"]) == (1, 1)
    assert (again.json()["rows_in"], again.json()["rows_repeated"]) == (0, 1)


async def test_a_file_that_breaks_says_where(admin: httpx.AsyncClient) -> None:
    """What came before is recorded."""
    answer = await admin.post(
        "/v1/events", content="id,who\n1,ann\n", headers={"content-type": "text/csv"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "body_malformed")
    other = await admin.post("/v1/events", content="x", headers={"content-type": "text/plain"})
    assert other.status_code == 415


async def test_unknown_people_may_be_refused(admin: httpx.AsyncClient) -> None:
    """The caller says what becomes of them."""
    path = "/v1/events?unknown_users=refuse"
    answer = await admin.post(path, json={"events": [event(1)]})
    assert [bad["code"] for bad in answer.json()["bad"]] == ["user_unknown"]
    assert (await admin.get("/v1/users/ann")).status_code == 404


async def test_a_device_key_names_nobody_by_number(world: World) -> None:
    """It may say external ids and tokens, in JSON."""
    async with world.client("device") as phone:
        for how in ({"user": 1}, {"device": 1}, {"alias": {"label": "a", "value": "b"}}):
            events = [event(1, external_id=None, **how)]
            answer = await phone.post("/v1/events", json={"events": events})
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["path"] == f"/events/0/{next(iter(how))}"
        file = await phone.post(
            "/v1/events", content="id,name\n", headers={"content-type": "text/csv"}
        )
        assert file.status_code == 422
        assert (await phone.post("/v1/events", json={"events": [event(1)]})).status_code == 200


async def test_where_identity_is_signed_a_device_speaks_for_its_own_person(world: World) -> None:
    """Every event is of whom the token names, or of a device that is named by its token."""
    device = {"network": "fcm", "token": "t-1", "external_id": "ann"}
    async with world.client() as admin:
        await admin.post("/v1/devices", json=device)
    async with world.client("device", identity_secrets={"default": SECRET}) as phone:

        async def status(*events: dict[str, object], **more: object) -> int:
            body = {"events": events, **more}
            return (await phone.post("/v1/events", json=body)).status_code

        own = event(3, external_id=None, network="fcm", token="t-1")
        assert await status(event(1)) == 401
        assert await status(event(1), identity_token=identity("bob")) == 401
        both = [event(1), event(2, external_id="bob")]
        assert await status(*both, identity_token=identity("ann")) == 401
        assert await status(event(1), identity_token=identity("ann")) == 200
        assert await status(own) == 200


async def test_batches_take_aliases(admin: httpx.AsyncClient) -> None:
    """People and devices of a batch bring the other names of their people."""
    people = [{"external_id": "ann", "aliases": {"crm": "7"}}, {"external_id": "bob"}]
    await admin.post("/v1/users:batch", json={"users": people})
    device = {"network": "fcm", "token": "t-1", "external_id": "bob", "aliases": {"crm": "8"}}
    taken = {"network": "fcm", "token": "t-2", "external_id": "cid", "aliases": {"crm": "7"}}
    answer = await admin.post("/v1/devices:batch", json={"devices": [device, taken]})

    assert [found["code"] for found in answer.json()["refused"]] == ["alias_taken"]
    for value, name in (("7", "ann"), ("8", "bob")):
        found = await admin.get(f"/v1/users/by-alias/crm/{value}")
        assert found.json()["external_id"] == name
