"""What the platform serves to browsers is what the sources build, and it is small."""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from clarion.api.routes.sdk import ROUTES

ROOT = Path(__file__).parents[2]
SDK = ROOT / "web" / "sdk"
STATIC = ROOT / "src" / "clarion" / "api" / "static"
KIB = 1024
BUDGETS = {"sdk.js": 6 * KIB, "sw.js": 4 * KIB, "inbox.js": 7 * KIB}
"""Octets after gzip."""
BUILD = json.loads((STATIC / "sdk" / "build.json").read_text())

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (SDK / "node_modules" / "esbuild").exists(),
    reason="WEB SDK NOT BUILT, ITS UNIT TESTS NOT RUN: they need node, and `npm ci` in web/sdk",
)


@pytest.mark.parametrize("name", BUDGETS)
def test_a_script_keeps_its_budget(name: str) -> None:
    """Every site's visitors load it."""
    size = len(gzip.compress((STATIC / "sdk" / name).read_bytes(), 9, mtime=0))
    assert size <= BUDGETS[name]


def test_served_files_were_built_from_these_sources() -> None:
    """Whoever has no Node still sees a source that was changed and not built."""
    named = [*(SDK / "src").rglob("*.ts"), SDK / "build.mjs", SDK / "package.json"]
    now = {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in named
    }
    assert now == BUILD["sources"], "run `node build.mjs` in web/sdk"


def test_served_files_are_those_of_the_build() -> None:
    """Nobody edits what was built: `integrity` of pages would refuse it."""
    for name, said in BUILD["files"].items():
        octets = (STATIC / "sdk" / name).read_bytes()
        digest = b64encode(hashlib.sha384(octets).digest()).decode()
        assert (len(octets), f"sha384-{digest}") == (said["bytes"], said["integrity"])


def test_the_sample_site_that_is_served_is_the_example() -> None:
    """`examples/web` is where it is changed."""
    example = {p.name: p.read_bytes() for p in (ROOT / "examples" / "web").iterdir()}
    served = {p.name: p.read_bytes() for p in (STATIC / "try").iterdir()}
    assert served == {name: octets for name, octets in example.items() if name[-3:] != ".md"}


def test_every_file_of_the_sample_site_has_a_route() -> None:
    """And every route of it a file."""
    paths = {route.path for route in ROUTES if route.path.startswith("/try")}
    files = {path.name for path in (STATIC / "try").iterdir()} - {"index.html"}
    assert paths == {"/try", *(f"/try/{name}" for name in files)}


def test_scripts_never_make_markup_from_text() -> None:
    """What is shown becomes text; nothing is evaluated."""
    sinks = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    )
    files = [*(SDK / "src").rglob("*.ts"), *(STATIC / "try").iterdir()]
    found = [path.name for path in files if sinks.search(path.read_text())]
    assert found == []


def test_the_lock_names_no_host() -> None:
    """Whoever installs chooses the registry."""
    text = (SDK / "package-lock.json").read_text()
    assert "resolved" not in text
    assert "://" not in text


@needs_node
def test_the_sources_build_to_what_is_served() -> None:
    """Types hold, and the bytes are the same."""
    built = subprocess.run(
        ["node", "build.mjs", "--check"], cwd=SDK, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr


@needs_node
def test_the_pure_parts_of_the_sdk_hold() -> None:
    """Node's own test runner."""
    for command in (["node", "build.mjs", "--tests"], ["node", "--test", ".tests/"]):
        done = subprocess.run(command, cwd=SDK, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


CONSUMER = """
import { init, type Answer, type Clarion } from "clarion-web-sdk";
import "clarion-web-sdk/inbox";

const clarion: Clarion = await init({ api: "https://p.example", key: "k", vapid: "B" });
const answer: Answer = await clarion.ask({ force: true });
const inbox = document.querySelector("clarion-inbox");
if (inbox) inbox.labels = { empty: answer };
// @ts-expect-error  an option that is none
await init({ api: "https://p.example", key: "k", vapid: "B", secret: 1 });
"""


@needs_node
def test_the_package_has_its_files_and_needs_nothing(tmp_path: Path) -> None:
    """What npm publishes: scripts, types, a page about them; no dependency, no script that runs."""
    package = _package(tmp_path)
    packed = subprocess.run(
        ["npm", "pack", "--dry-run", "--json", "--offline"],
        cwd=package,
        capture_output=True,
        text=True,
        check=True,
    )
    (told,) = json.loads(packed.stdout)
    assert {file["path"] for file in told["files"]} == {
        "README.md",
        "package.json",
        "dist/clarion.mjs",
        "dist/inbox.mjs",
        "dist/sdk.d.ts",
        "dist/sw.js",
    }
    said = json.loads((package / "package.json").read_text())
    assert [name for name in said if name.lower().endswith("dependencies")] == ["devDependencies"]
    assert {"install", "postinstall", "preinstall", "prepare"}.isdisjoint(said["scripts"])
    for name in re.findall(r'"\./(dist/[^"]+)"', json.dumps(said)):
        assert (package / name).is_file(), name


@needs_node
def test_the_package_has_the_files_that_are_served(tmp_path: Path) -> None:
    """The worker and the types octet for octet, so that one integrity hash is good for both."""
    package = _package(tmp_path)
    for name in ("sw.js", "sdk.d.ts"):
        digest = b64encode(hashlib.sha384((package / "dist" / name).read_bytes()).digest())
        assert f"sha384-{digest.decode()}" == BUILD["files"][name]["integrity"]
    for name, budget in (("clarion.mjs", "sdk.js"), ("inbox.mjs", "inbox.js")):
        octets = (package / "dist" / name).read_bytes()
        assert len(gzip.compress(octets, 9, mtime=0)) <= BUDGETS[budget]


@needs_node
def test_a_site_in_typescript_uses_the_package(tmp_path: Path) -> None:
    """Types are found by the package's name; importing it where there is no page does nothing."""
    package = _package(tmp_path / "node_modules" / "clarion-web-sdk")
    (tmp_path / "site.mts").write_text(CONSUMER)
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--types", ""]
    typed = subprocess.run(
        [str(SDK / "node_modules" / ".bin" / "tsc"), *options, "site.mts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert typed.returncode == 0, typed.stdout
    loaded = subprocess.run(
        ["node", "-e", f"import({json.dumps(str(package / 'dist' / 'clarion.mjs'))})"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr


def _package(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    built = subprocess.run(
        ["node", "build.mjs", "--package", str(folder)],
        cwd=SDK,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder
