"""The SDK and the sample site as browsers load them."""

import hashlib
from base64 import b64encode

import pytest
from tests.api.conftest import World

from clarion.api.assets import accepts_gzip, known


@pytest.mark.parametrize("path", ["/sdk.js", "/inbox.js", "/sw.js"])
async def test_a_script_may_be_loaded_from_any_site(world: World, path: str) -> None:
    """Without a key, with CORS for `integrity`, and never guessed to be something else."""
    async with world.client(None) as http:
        answer = await http.get(path, headers={"origin": "https://shop.example"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_worker_may_serve_the_whole_origin_and_is_asked_for_each_time(
    world: World,
) -> None:
    """From `/sdk/VERSION/sw.js` as well, whose own scope would be its folder."""
    async with world.client(None) as http:
        described = (await http.get("/sdk.json")).json()
        plain = await http.get("/sw.js")
        fixed = await http.get(described["files"]["sw.js"]["path"])
    assert plain.headers["cache-control"] == "no-cache"
    assert plain.headers["service-worker-allowed"] == "/"
    assert fixed.headers["service-worker-allowed"] == "/"


async def test_a_version_is_kept_for_ever_and_is_what_its_integrity_says(world: World) -> None:
    """What a page pins can't change under it."""
    async with world.client(None) as http:
        described = (await http.get("/sdk.json")).json()
        for file in described["files"].values():
            answer = await http.get(file["path"])
            digest = b64encode(hashlib.sha384(answer.content).digest()).decode()
            assert f"sha384-{digest}" == file["integrity"]
            assert len(answer.content) == file["bytes"]
            assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["/sdk/0.0.0/sdk.js", "/sdk/VERSION/build.json", "/sdk/VERSION/..%2Fx", "/try/secret"]
)
async def test_what_is_not_served_is_unknown(world: World, path: str) -> None:
    """Another version, and files that are not for browsers."""
    async with world.client(None) as http:
        version = (await http.get("/sdk.json")).json()["version"]
        answer = await http.get(path.replace("VERSION", version))
    assert (answer.status_code, answer.json()["code"]) == (404, "route_unknown")


async def test_whoever_has_a_file_is_told_so(world: World) -> None:
    """304 without a body or a length; each coding has its own tag."""
    async with world.client(None) as http:
        small = await http.get("/sdk.js", headers={"accept-encoding": "gzip"})
        plain = await http.get("/sdk.js", headers={"accept-encoding": "identity"})
        assert small.content == plain.content
        assert small.headers["etag"] != plain.headers["etag"]
        assert small.headers["vary"] == "Accept-Encoding"
        again = await http.get(
            "/sdk.js",
            headers={"accept-encoding": "identity", "if-none-match": plain.headers["etag"]},
        )
    assert (again.status_code, again.content) == (304, b"")
    assert "content-length" not in again.headers


async def test_head_says_what_get_would(world: World) -> None:
    """Length and all."""
    async with world.client(None) as http:
        head, whole = await http.head("/sdk.js"), await http.get("/sdk.js")
    assert head.content == b""
    assert head.headers["content-length"] == whole.headers["content-length"]


async def test_the_sample_page_runs_nothing_but_its_own_scripts(world: World) -> None:
    """No inline script, no framing, no foreign address but images."""
    async with world.client(None) as http:
        page = await http.get("/try")
        policy = dict(
            part.strip().partition(" ")[::2]
            for part in page.headers["content-security-policy"].split(";")
        )
        for file in ("site.js", "site.css", "icon.svg"):
            assert (await http.get(f"/try/{file}")).status_code == 200
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("accepted", "may"),
    [
        ("", False),
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("*", True),
        ("*;q=0, identity", False),
        ("GZIP", True),
        ("br", False),
    ],
)
def test_gzip_is_sent_to_whoever_takes_it(accepted: str, may: bool) -> None:  # noqa: FBT001
    """RFC 9110 section 12.5.3."""
    assert accepts_gzip(accepted) is may


def test_tags_are_compared_weakly() -> None:
    """RFC 9110 section 13.1.2."""
    assert known('"a", W/"b"', '"b"')
    assert known("*", '"b"')
    assert not known('"a"', '"b"')
    assert not known(None, '"b"')
