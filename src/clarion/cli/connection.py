"""Talks to a running platform over its public API; problems become one sentence."""

import asyncio
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
)
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx
import orjson

from clarion.cli.exits import CommandError, Exit

TIMEOUT: Final = httpx.Timeout(30.0, read=60.0)
Json = dict[str, Any]

_ADVICE: Final[Mapping[int, str]] = {
    401: "give a key with --key or CLARION_KEY; `clarion keys create` makes one",
    403: "use a key of a larger scope; `clarion keys create` makes one",
    503: "wait a moment, or run `clarion doctor`",
}


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event."""

    name: str
    data: str


class Connection:
    """One command's connection to the platform; use it as an async context manager."""

    def __init__(self, url: str, key: str | None) -> None:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self.url = url.rstrip("/")
        try:
            self._client = httpx.AsyncClient(
                base_url=self.url, headers=headers, timeout=TIMEOUT, trust_env=False
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise CommandError(f"--url {url!r} is not an address: {error}") from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, path: str, **query: str) -> Json:
        """The JSON at a path. Raises `CommandError`."""
        return await self._ask("GET", path, query=query)

    async def post(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> Json:
        """Post JSON. Raises `CommandError`."""
        sent = {"content-type": "application/json", **(headers or {})}
        return await self._ask("POST", path, orjson.dumps(body), headers=sent)

    async def put(self, path: str, body: Mapping[str, object]) -> Json:
        """Put JSON. Raises `CommandError`."""
        sent = {"content-type": "application/json"}
        return await self._ask("PUT", path, orjson.dumps(body), headers=sent)

    async def patch(self, path: str, body: Mapping[str, object]) -> Json:
        """Patch with JSON. Raises `CommandError`."""
        sent = {"content-type": "application/json"}
        return await self._ask("PATCH", path, orjson.dumps(body), headers=sent)

    async def upload(
        self, path: str, pieces: AsyncIterable[bytes], media_type: str, octets: int
    ) -> Json:
        """Post a long body piece by piece; the answer may take as long as it takes."""
        headers = {"content-type": media_type, "content-length": str(octets)}
        with self._failures():
            answer = await self._client.post(
                path, content=pieces, headers=headers, timeout=httpx.Timeout(30.0, read=None)
            )
            return judged(answer)

    async def download(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """A long answer piece by piece. Raises `CommandError`."""
        timeout = httpx.Timeout(30.0, read=None)
        with self._failures():
            async with self._client.stream("GET", path, params=query, timeout=timeout) as answer:
                if answer.is_error:
                    await answer.aread()
                    judged(answer)
                async for piece in answer.aiter_bytes():
                    yield piece

    async def events(self, path: str) -> AsyncIterator[Event]:
        """Server-sent events until the server ends the stream. Raises `CommandError`."""
        timeout = httpx.Timeout(30.0, read=60.0)
        with self._failures():
            async with self._client.stream("GET", path, timeout=timeout) as answer:
                if answer.is_error:
                    await answer.aread()
                    judged(answer)
                name, data = "message", ""
                async for line in answer.aiter_lines():
                    field, _, value = line.partition(":")
                    if field == "event":
                        name = value.strip()
                    elif field == "data":
                        data += value.strip()
                    elif not line and data:
                        yield Event(name, data)
                        name, data = "message", ""

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        with self._failures():
            answer = await self._client.request(
                method, path, content=body, params=query, headers=headers
            )
            return judged(answer)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise CommandError(
                f"{self.url} did not answer in time; is it overloaded? `clarion doctor` looks",
                Exit.UNREACHABLE,
            ) from error
        except httpx.UnsupportedProtocol as error:
            raise CommandError(f"--url {self.url!r} must start with http:// or https://") from error
        except httpx.TransportError as error:
            raise CommandError(
                f"{self.url} can't be reached ({str(error) or type(error).__name__}); "
                "start it with `clarion serve`, or name its address with --url or CLARION_URL",
                Exit.UNREACHABLE,
            ) from error


def asked(url: str, key: str | None, ask: Callable[[Connection], Awaitable[Json]]) -> Json:
    """What a platform answers to one question, over a connection for it alone.

    Raises:
        CommandError: it can't be reached, or refuses.
    """

    async def work() -> Json:
        async with Connection(url, key) as platform:
            return await ask(platform)

    return asyncio.run(work())


def judged(answer: httpx.Response) -> Json:
    """The JSON of a good answer; a problem (RFC 9457) as an error."""
    try:
        body: Json = orjson.loads(answer.content) if answer.content else {}
    except orjson.JSONDecodeError as error:
        raise CommandError(
            f"{answer.request.url} does not answer like Clarion (status {answer.status_code}, "
            f"no JSON); check --url",
            Exit.UNREACHABLE,
        ) from error
    if not answer.is_error:
        return body
    document: object = body
    problem: Json = document if isinstance(document, dict) else {}
    told = problem.get("errors")
    # RFC 9457 section 3.1: a member of another type than it should have is ignored.
    errors = [found for found in told if isinstance(found, dict)] if isinstance(told, list) else []
    sentence = str(problem.get("detail") or problem.get("title") or f"status {answer.status_code}")
    sentence = _placed(sentence.rstrip("."), errors)
    if answer.status_code in _ADVICE:
        sentence += f"; {_ADVICE[answer.status_code]}"
    details = tuple(
        f"{found.get('path') or found.get('pointer') or 'request'}: {found.get('detail', '')}"
        for found in errors
        if str(found.get("detail", "")).rstrip(".") not in sentence
    )
    code = Exit.UNREACHABLE if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR else None
    raise CommandError(sentence, code or Exit.REFUSED, details)


def _placed(sentence: str, errors: list[Json]) -> str:
    """The sentence with the field that it is about, where it does not name it itself."""
    for found in errors[:1]:
        if found.get("path") and str(found.get("detail", "")).rstrip(".") == sentence:
            return f"{found['path']}: {sentence}"
    return sentence
