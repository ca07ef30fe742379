"""What every request meets before and after its route."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.api.conftest import World

from clarion.api import ApiLimits, create_app
from clarion.domain.errors import ERRORS, ErrorCode


def refused(response: httpx.Response, code: str) -> dict[str, Any]:
    """The problem, after checking its form."""
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["code"] == code
    assert problem["status"] == response.status_code == ERRORS[ErrorCode(code)].status
    assert problem["type"] == f"/errors/{code}"
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem


async def test_every_answer_has_a_request_id_and_keeps_a_sane_one(admin: httpx.AsyncClient) -> None:
    """A client's own id is kept when it can't do harm."""
    assert len((await admin.get("/healthz")).headers["x-request-id"]) == 36
    kept = await admin.get("/healthz", headers={"x-request-id": "job-17.a"})
    assert kept.headers["x-request-id"] == "job-17.a"
    for strange in ("a b", "x" * 129, "<script>"):
        made = await admin.get("/healthz", headers={"x-request-id": strange})
        assert made.headers["x-request-id"] != strange


async def test_a_missing_or_malformed_key_is_a_401_with_a_challenge(world: World) -> None:
    """RFC 9110 section 11.6.1 demands WWW-Authenticate."""
    async with world.client(None) as client:
        for header, code in [
            (None, "key_missing"),
            ("Basic abc", "key_missing"),
            ("Bearer", "key_missing"),
            ("Bearer nonsense", "key_invalid"),
            (f"Bearer {world.keys['admin'][:-1]}x", "key_invalid"),
            ("Bearer " + "x" * 5000, "key_invalid"),
        ]:
            headers = {} if header is None else {"authorization": header}
            response = await client.get("/v1/keys", headers=headers)
            refused(response, code)
            assert response.headers["www-authenticate"].startswith("Bearer")


async def test_an_expired_or_revoked_key_opens_nothing(world: World) -> None:
    """And the answer says which."""
    async with world.client("expired") as client:
        refused(await client.get("/v1/keys"), "key_expired")
    async with world.client() as client:
        new = (await client.post("/v1/keys", json={"scope": "send", "name": "x"})).json()
        assert (await client.delete(f"/v1/keys/{new['id']}")).status_code == 204
        headers = {"authorization": f"Bearer {new['key']}"}
        refused(await client.get("/v1/app", headers=headers), "key_revoked")


SMALL_SCOPES = [
    ("device", "GET", "/v1/users"),
    ("device", "POST", "/v1/messages"),
    ("device", "GET", "/v1/app"),
    ("send", "GET", "/v1/keys"),
    ("send", "PUT", "/v1/credentials/apns"),
    ("other", "POST", "/v1/apps"),
]


async def test_a_small_scope_is_a_403(world: World) -> None:
    """Each route says what it needs."""
    for key, method, path in SMALL_SCOPES:
        async with world.client(key) as client:
            refused(await client.request(method, path, json={"name": "x"}), "scope_insufficient")


async def test_unknown_paths_and_methods_are_told_apart(admin: httpx.AsyncClient) -> None:
    """404 for the path, 405 with Allow for the method."""
    refused(await admin.get("/v1/nothing"), "route_unknown")
    refused(await admin.get("/v1/messages/x/y/z/w"), "route_unknown")
    response = await admin.delete("/v1/messages")
    refused(response, "method_not_allowed")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert (await admin.request("OPTIONS", "/v1/keys")).headers["allow"] == (
        "GET, HEAD, OPTIONS, POST"
    )
    head = await admin.head("/v1/keys")
    assert head.status_code == 200
    assert head.content == b""


NO_JSON = [
    b"",
    b"{",
    b"nonsense",
    b'{"scope": "send", "name": NaN}',
    b'{"scope": "send", "name": Infinity}',
    b'{"name": "\xff"}',
    b'{"name": "\xed\xa0\x80"}',
    b'{"name": "\\ud800"}',
    b"\xef\xbb\xbf{}",
    b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b"[" * 100_000,
]


async def test_what_is_no_json_is_a_400(admin: httpx.AsyncClient) -> None:
    """NaN, broken UTF-8, lone surrogates and bottomless nesting included."""
    for body in NO_JSON:
        response = await admin.post(
            "/v1/keys", content=body, headers={"content-type": "application/json"}
        )
        assert response.json()["code"] in {"json_malformed", "request_invalid"}
        assert response.status_code in {400, 422}


WRONG_FIELDS: list[tuple[object, str | None, str | None]] = [
    ({"scope": "send"}, "/name", "field_missing"),
    ({"scope": "send", "name": "x", "colour": 1}, "/colour", "field_unknown"),
    ({"scope": "send", "name": 7}, "/name", "field_type"),
    ({"scope": "boss", "name": "x"}, "/scope", "field_invalid"),
    ({"scope": "send", "name": ""}, "/name", "field_invalid"),
    ({"scope": "send", "name": "a\u0000b"}, "/name", "field_invalid"),
    ({"scope": "send", "name": "ab\n"}, "/name", "field_invalid"),
    ({"scope": "send", "name": "x" * 257}, "/name", "field_invalid"),
    ({"scope": "send", "name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at", None),
    ({"scope": "send", "name": "x", "expires_at": "2030-01-01T00:00:00"}, "/expires_at", None),
    ({"scope": "send", "name": "x", "expires_at": "9999-12-31T23:59:59-23:00"}, None, None),
    ({"scope": "send", "name": "x", "a/b~c": 1}, "/a~1b~0c", "field_unknown"),
    ([], "", "field_type"),
]


async def test_a_wrong_field_is_a_422_that_points_to_it(admin: httpx.AsyncClient) -> None:
    """JSON pointer and code of the field (RFC 6901)."""
    for body, path, code in WRONG_FIELDS:
        problem = refused(await admin.post("/v1/keys", json=body), "request_invalid")
        assert len(problem["errors"]) == 1
        assert path is None or problem["errors"][0]["path"] == path
        assert code is None or problem["errors"][0]["code"] == code


async def test_of_duplicate_names_the_last_one_counts(admin: httpx.AsyncClient) -> None:
    """RFC 8259 section 4 leaves it open; we say which."""
    body = b'{"scope": "admin", "scope": "device", "name": "a", "name": "b"}'
    made = await admin.post("/v1/keys", content=body, headers={"content-type": "application/json"})
    assert (made.json()["scope"], made.json()["name"]) == ("device", "b")


async def test_another_media_type_is_a_415(admin: httpx.AsyncClient) -> None:
    """The answer names what is taken."""
    response = await admin.post("/v1/keys", content=b"a=b", headers={"content-type": "text/plain"})
    refused(response, "media_type_unsupported")
    assert "application/json" in response.headers["accept"]


async def test_a_body_that_is_too_large_is_a_413_announced_or_not(world: World) -> None:
    """With Content-Length before a byte is read, without it as soon as the limit is passed."""
    limits = ApiLimits(max_body=2048)
    async with world.client(limits=limits) as client:
        big = json.dumps({"scope": "send", "name": "x" * 4096}).encode()
        problem = refused(await client.post("/v1/keys", content=big), "body_too_large")
        assert "2048" in problem["detail"]

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(10):
                yield b"x" * 1000

        refused(await client.post("/v1/keys", content=pieces()), "body_too_large")


async def test_a_client_that_sends_too_slowly_gets_a_408(world: World) -> None:
    """The body has a time limit, and the connection ends with the answer."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        return {}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    app = create_app(replace(world.deps, limits=ApiLimits(body_time_s=0.05)))
    await app(_scope("POST", "/v1/keys", world.keys["admin"]), receive, send)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["code"] == "body_timeout"


async def test_a_client_that_leaves_is_answered_nothing(world: World) -> None:
    """And nothing is done."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await create_app(world.deps)(_scope("POST", "/v1/keys", world.keys["admin"]), receive, send)
    assert sent == []


def _scope(method: str, path: str, key: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {key}".encode())],
    }


async def test_a_spent_quota_is_a_429_that_says_when_to_come_back(world: World) -> None:
    """Each answer tells what is left (RateLimit header fields)."""
    limits = ApiLimits(rate_per_s=0.01, rate_burst=2)
    async with world.client(limits=limits) as client:
        first = await client.get("/v1/keys")
        assert first.headers["ratelimit-policy"] == '"key";q=2;w=200'
        assert first.headers["ratelimit"] == '"key";r=1;t=100'
        await client.get("/v1/keys")
        third = await client.get("/v1/keys")
        refused(third, "rate_limited")
        assert 1 <= int(third.headers["retry-after"]) <= 100
        assert (await client.get("/healthz")).status_code == 200


async def test_only_endpoints_of_device_keys_may_be_called_from_pages(world: World) -> None:
    """CORS for the browser SDK, none for the rest."""
    origin = {"origin": "https://shop.example"}
    asked = {**origin, "access-control-request-method": "POST"}
    async with world.client(None) as client:
        allowed = await client.options("/v1/devices", headers=asked)
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == "*"
        assert "Authorization" in allowed.headers["access-control-allow-headers"]
        refusal = await client.post("/v1/devices", headers=origin, json={})
        assert refusal.headers["access-control-allow-origin"] == "*"
        for path in ("/v1/keys", "/v1/messages"):
            denied = await client.options(path, headers=asked)
            assert "access-control-allow-origin" not in denied.headers
    async with world.client(None, allowed_origins=frozenset({"https://a.example"})) as client:
        denied = await client.options("/v1/devices", headers=asked)
        assert "access-control-allow-origin" not in denied.headers


async def test_answers_carry_security_headers(admin: httpx.AsyncClient) -> None:
    """Nothing may be framed, sniffed or cached."""
    headers = (await admin.get("/v1/keys")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]


async def test_the_store_being_away_is_a_503(world: World) -> None:
    """Retryable, and it says that nothing was changed."""
    pool = world.deps.apps._pool  # type: ignore[attr-defined]
    async with world.client() as client:
        assert (await client.get("/v1/app")).status_code == 200
        pool.terminate()
        response = await client.get("/v1/app")
    assert refused(response, "store_unavailable")["status"] == 503
    assert response.headers["retry-after"] == "1"


async def test_readiness_says_which_part_is_lame(world: World) -> None:
    """A draining server is not ready either; one whose push service is lame says so, and is."""

    async def lame() -> dict[str, bool]:
        await asyncio.sleep(0)
        return {"store": True, "facts": False}

    async with world.client(None) as client:
        assert (await client.get("/readyz")).json() == {"ready": True, "parts": {"store": True}}
    async with world.client(None, ready=lame) as client:
        assert "facts" in refused(await client.get("/readyz"), "not_ready")["detail"]

    async def alone() -> dict[str, bool]:
        await asyncio.sleep(0)
        return {"store": True, "push": False}

    async with world.client(None, ready=alone) as client:
        told = await client.get("/readyz")
        assert told.json() == {"ready": True, "parts": {"store": True, "push": False}}
    stopping = asyncio.Event()
    stopping.set()
    async with world.client(None, stopping=stopping) as client:
        assert "draining" in refused(await client.get("/readyz"), "not_ready")["detail"]


async def test_a_bug_is_a_500_without_its_secret_and_is_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer has the request id that the log has."""

    async def broken() -> dict[str, bool]:
        await asyncio.sleep(0)
        raise ValueError("hunter2")

    async with world.client(None, ready=broken) as client:
        response = await client.get("/readyz")
    problem = refused(response, "internal_error")
    assert "hunter2" not in response.text
    lines = [record for record in caplog.records if record.name.startswith("clarion.api")]
    assert len(lines) == 1
    assert lines[0].clarion_fields["request_id"] == problem["request_id"]  # type: ignore[attr-defined]


async def test_pages_for_people_and_for_machines(admin: httpx.AsyncClient) -> None:
    """The front page, the error pages, the metrics."""
    assert "Clarion" in (await admin.get("/")).text
    for code in ErrorCode:
        assert code.value in (await admin.get(f"/errors/{code.value}")).text
    refused(await admin.get("/errors/nothing"), "route_unknown")
    await admin.get("/v1/nothing")
    text = (await admin.get("/metrics")).text
    assert 'clarion_http_requests_total{route="/errors/{code}",status="200"}' in text
    assert 'clarion_http_problems_total{code="route_unknown"}' in text
