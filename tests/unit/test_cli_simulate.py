"""`clarion simulate`: its options are the simulators' faults, and it tells what it saw."""

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from clarion.adapters.system import SystemClock
from clarion.app.simulate import COUNTS_PATH, Listen, Watched, loopback_tls, simulating
from clarion.app.simulate_blackhole import Blackholes
from clarion.cli.entry import run
from clarion.providers.apns.simulator import ApnsFaults, ApnsSimulator
from clarion.providers.fcm.simulator import FcmFaults, FcmSimulator
from clarion.providers.webpush.simulator import WebPushFaults, WebPushSimulator
from clarion.testing import apns_token

CLOCK = SystemClock()


def client(ca_file: Path | None) -> httpx.AsyncClient:
    """A client that speaks HTTP/2 and trusts the simulator's authority."""
    verify = ssl.create_default_context(cafile=ca_file) if ca_file else False
    return httpx.AsyncClient(http2=True, verify=verify, trust_env=False)


def seen(file: Path) -> dict[str, object]:
    """What a file of counts holds."""
    counts: dict[str, object] = json.loads(file.read_text())
    return counts


@pytest.mark.parametrize(
    ("network", "faults"), [("apns", ApnsFaults), ("fcm", FcmFaults), ("webpush", WebPushFaults)]
)
def test_every_fault_is_an_option(
    network: str, faults: type, capsys: pytest.CaptureFixture[str]
) -> None:
    """One to one, with the words of the dataclass."""
    run(["simulate", network, "--help"])
    shown = capsys.readouterr().out
    for field in fields(faults):
        assert f"--{field.name.replace('_', '-')} " in shown


async def test_counts_are_told_over_http() -> None:
    """`GET /_counts` is no request of the network, and is not counted."""
    judge = Watched(ApnsSimulator(any_key=True, any_token=True))
    async with simulating(judge, Listen(), CLOCK) as running, client(running.ca_file) as http:
        refused = await http.post(f"{running.url}/3/device/{apns_token()}", content=b"{}")
        counts = (await http.get(f"{running.url}{COUNTS_PATH}")).json()
    assert refused.status_code == 400
    assert counts["requests"] == 1
    assert counts["by_status"] == {"400": 1}
    assert counts["connections"] == 1


async def test_only_get_shows_the_counts() -> None:
    """A POST to that path is judged like any other."""
    judge = Watched(FcmSimulator(any_key=True, any_token=True))
    async with simulating(judge, Listen(), CLOCK) as running, client(running.ca_file) as http:
        answer = await http.post(f"{running.url}{COUNTS_PATH}")
    assert answer.status_code == 404


async def test_counts_are_left_in_a_file(tmp_path: Path) -> None:
    """At the end, whole, with what was seen last."""
    file = tmp_path / "counts.json"
    judge = Watched(WebPushSimulator())
    listen = Listen(counts_file=file)
    async with simulating(judge, listen, CLOCK) as running, client(running.ca_file) as http:
        assert seen(file)["requests"] == 0
        await http.get(f"{running.url}/push/0")
    assert seen(file)["by_status"] == {"405": 1}
    assert not file.with_name("counts.json.part").exists()


@pytest.mark.parametrize("latency_s", [(0.0, 0.0), (0.001, 0.005)])
async def test_a_blackhole_takes_everything(latency_s: tuple[float, float]) -> None:
    """Every request is answered 200, unread, and counted."""
    holes = Blackholes(max_streams=100, latency_s=latency_s, seed=1)
    async with simulating(holes, Listen(), CLOCK) as running:
        async with client(running.ca_file) as http:
            answers = [await http.post(f"{running.url}/any/{n}", content=b"x") for n in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert running.counts() == {"requests": 5, "by_status": {"200": 5}, "connections": 1}


async def test_plain_http_is_served_when_asked_for() -> None:
    """No authority is made then."""
    judge = Watched(WebPushSimulator())
    async with simulating(judge, Listen(tls=False), CLOCK) as running:
        assert running.url.startswith("http://")
        assert running.ca_file is None
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"{running.url}{COUNTS_PATH}")).json()["requests"] == 0


async def test_the_authority_made_for_a_run_is_removed() -> None:
    """Nothing stays behind where no directory was named."""
    judge = Watched(WebPushSimulator())
    async with simulating(judge, Listen(), CLOCK) as running:
        ca_file = running.ca_file
        assert ca_file is not None
        assert ca_file.exists()
    assert not ca_file.parent.exists()


def test_a_named_directory_keeps_its_authority(tmp_path: Path) -> None:
    """Several simulators and several runs share one, until it is about to end."""
    folder, now = tmp_path / "tls", CLOCK.now()
    first = loopback_tls(folder, now).ca_file.read_bytes()
    assert loopback_tls(folder, now + timedelta(days=20)).ca_file.read_bytes() == first
    assert loopback_tls(folder, now + timedelta(days=29)).ca_file.read_bytes() != first


def test_a_taken_port_is_told_with_advice(
    taken_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4, and what to do."""
    assert run(["simulate", "apns", "--port", str(taken_port)]) == 4
    assert "choose another --port" in capsys.readouterr().err


def test_a_directory_that_cannot_be_made_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and which option to change."""
    (tmp_path / "file").touch()
    assert run(["simulate", "apns", "--tls-dir", str(tmp_path / "file" / "tls")]) == 2
    assert "--tls-dir" in capsys.readouterr().err


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]
