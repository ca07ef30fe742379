"""schemathesis over the OpenAPI document, in process, on the real state store.

Every answer must be one that the document names, in the document's shape, and never a 500;
what the document forbids must be refused.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.api.conftest import World

from clarion.api.openapi import build
from clarion.api.routes import ROUTES
from clarion.ports.keys import Scope

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 8
LONGEST_URL = 60_000
"""httpx makes no longer ones, nor does the server read them."""
TAGS = sorted({route.tag for route in ROUTES})


@pytest.mark.parametrize("tag", TAGS)
async def test_every_answer_is_one_that_the_document_names(world: World, tag: str) -> None:
    """Valid and invalid requests to each operation, as schemathesis makes them."""
    document = build(ROUTES)
    schema = schemathesis.openapi.from_dict(document)
    loop = asyncio.get_running_loop()
    async with world.client("admin") as client:

        def ask(request: requests.PreparedRequest) -> httpx.Response:
            asked = client.request(
                str(request.method),
                str(request.url),
                headers={
                    **{name: str(value) for name, value in request.headers.items()},
                    "authorization": client.headers["authorization"],
                },
                content=cast("bytes | None", request.body),
            )
            return asyncio.run_coroutine_threadsafe(asked, loop).result()

        found: list[Any] = list(schema.include(tag=tag).get_all_operations())
        operations = [result.ok() for result in found]
        assert operations
        for operation in operations:
            asked = document["paths"][operation.path][operation.method]
            for mode in GenerationMode:
                if mode is GenerationMode.NEGATIVE and not _can_be_wrong(asked):
                    continue
                await asyncio.to_thread(_fuzz, operation, mode, ask)


def _can_be_wrong(operation: dict[str, Any]) -> bool:
    return bool(operation["parameters"] or "requestBody" in operation)


def _fuzz(
    operation: Any,  # noqa: ANN401  schemathesis is untyped
    mode: GenerationMode,
    ask: Callable[[requests.PreparedRequest], httpx.Response],
) -> None:
    @seed(20260101)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:  # noqa: ANN401  schemathesis is untyped
        given_case = case.as_transport_kwargs(base_url="http://clarion.test")
        allowed = ("method", "url", "headers", "params", "json", "data", "files", "cookies")
        parts = {name: part for name, part in given_case.items() if name in allowed}
        request = requests.Request(**parts).prepare()
        assume(len(str(request.url)) < LONGEST_URL)
        response = ask(request)
        case.validate_response(response, checks=CHECKS)

    run()


def test_every_operation_names_its_scope_and_its_errors() -> None:
    """The document says who may call, and what can go wrong."""
    document = build(ROUTES)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert "500" in operation["responses"], where
            if operation["security"]:
                assert operation["x-scope"] in set(Scope), where
                assert {"401", "403", "429", "503"} <= set(operation["responses"]), where
            if "requestBody" in operation:
                assert {"413", "415", "408"} <= set(operation["responses"]), where
    ids = [o["operationId"] for ops in document["paths"].values() for o in ops.values()]
    assert len(ids) == len(set(ids))
