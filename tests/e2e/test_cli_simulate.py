"""`clarion simulate` as a user starts it, in a process of its own."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.patience import PATIENCE_S

from clarion.testing import apns_token, make_apns_credential, make_fcm_credential
from clarion.wire.jose import base64url_decode, build_jwt, load_es256_key

CLARION = [sys.executable, "-m", "clarion.cli"]
Process = subprocess.Popen[str]
Start = Callable[..., tuple[Process, dict[str, Any]]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a simulator; the process, and the first line that it says."""
    started: list[Process] = []

    def starting(*arguments: str) -> tuple[Process, dict[str, Any]]:
        process = subprocess.Popen(
            [*CLARION, "simulate", *arguments, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        said: dict[str, Any] = json.loads(line)
        return process, said

    yield starting
    for process in started:
        process.kill()
        process.communicate()


def ended(process: Process) -> dict[str, Any]:
    """End it as Ctrl-C does; what it saw."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    counts: dict[str, Any] = json.loads(out.splitlines()[-1])["counts"]
    return counts


def client(ca_file: str, certificate: Path | None = None) -> httpx.Client:
    """A client that speaks HTTP/2, trusts the authority, and may have a certificate of its own."""
    context = ssl.create_default_context(cafile=ca_file)
    if certificate is not None:
        context.load_cert_chain(f"{certificate}.pem", f"{certificate}.key")
    return httpx.Client(http2=True, verify=context, timeout=PATIENCE_S)


def test_apns_takes_only_the_registered_key(start: Start, tmp_path: Path) -> None:
    """Strict as Apple: another key's token is refused, and both show in the counts."""
    pem = make_apns_credential()["secret"]["private_key"]
    file = tmp_path / "key.p8"
    file.write_text(pem)
    process, said = start(
        "apns", "--key-file", str(file), "--key-id", "ABCDEF1234", "--team-id", "TEAM123456",
        "--tls-dir", str(tmp_path / "tls"),
    )  # fmt: skip
    assert said["network"] == "apns"
    other = make_apns_credential()["secret"]["private_key"]
    statuses = []
    for key in (pem, other):
        token = build_jwt(
            {"iss": "TEAM123456", "iat": int(time.time())},
            load_es256_key(key),
            key_id="ABCDEF1234",
        )
        with client(said["ca_file"]) as http:
            answer = http.post(
                f"{said['url']}/3/device/{apns_token()}",
                json={"aps": {"alert": "x"}},
                headers={"authorization": f"bearer {token}", "apns-topic": "com.example.app"},
            )
        statuses.append(answer.status_code)
    assert statuses == [200, 403]
    counts = ended(process)
    assert counts["by_status"] == {"200": 1, "403": 1}
    assert counts["connections"] == 2


def test_apns_takes_the_given_client_certificate_and_no_other(start: Start, tmp_path: Path) -> None:
    """Mutual TLS as with a certificate of Apple's: no provider token, the topics that it names."""
    mine, other = (_client_certificate(tmp_path / name) for name in ("mine", "other"))
    process, said = start("apns", "--certificate", f"{mine}.pem")
    statuses = []
    for topic in ("com.example.app", "com.example.else"):
        with client(said["ca_file"], mine) as http:
            answer = http.post(
                f"{said['url']}/3/device/{apns_token()}",
                json={"aps": {"alert": "x"}},
                headers={"apns-topic": topic},
            )
        statuses.append((answer.status_code, answer.json() if answer.content else None))
    assert statuses == [(200, None), (400, {"reason": "TopicDisallowed"})]
    with client(said["ca_file"]) as http:
        answer = http.post(
            f"{said['url']}/3/device/{apns_token()}",
            json={"aps": {"alert": "x"}},
            headers={"apns-topic": "com.example.app"},
        )
    assert answer.json() == {"reason": "MissingProviderToken"}
    with client(said["ca_file"], other) as http, pytest.raises(httpx.TransportError):
        http.get(f"{said['url']}/")
    assert ended(process)["by_status"] == {"200": 1, "400": 1, "403": 1}


def _client_certificate(stem: Path) -> Path:
    """A self-signed push certificate in `stem`.pem and its key in `stem`.key, as the guide says."""
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "30", "-subj", f"/UID=com.example.app/CN={stem.name}",
            "-keyout", f"{stem}.key", "-out", f"{stem}.pem",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return stem


def test_fcm_knows_only_the_given_account(start: Start, tmp_path: Path) -> None:
    """An access token that nobody was given opens nothing."""
    file = tmp_path / "account.json"
    file.write_text(make_fcm_credential()["secret"]["service_account"])
    process, said = start("fcm", "--service-account", str(file))
    with client(said["ca_file"]) as http:
        answer = http.post(
            f"{said['url']}/v1/projects/test-project/messages:send",
            json={"message": {"token": "x"}},
            headers={"authorization": "Bearer invented"},
        )
    assert answer.status_code == 401
    assert ended(process)["by_status"] == {"401": 1}


def test_web_push_subscriptions_are_printed(start: Start) -> None:
    """As `PushSubscription.toJSON()` gives them."""
    process, said = start("webpush", "--subscriptions", "2")
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline()) for _ in range(2)]
    assert all(line["endpoint"].startswith(said["url"]) for line in lines)
    assert {len(base64url_decode(line["keys"]["p256dh"])) for line in lines} == {65}
    assert {len(base64url_decode(line["keys"]["auth"])) for line in lines} == {16}
    assert ended(process)["requests"] == 0


def test_it_says_how_to_be_used(tmp_path: Path) -> None:
    """Without --json: where it listens, whom to trust, and the settings to copy."""
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen([*CLARION, "simulate", "fcm", "--blackhole"], stdout=out)
        while "Ctrl-C" not in (tmp_path / "out").read_text():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    shown = (tmp_path / "out").read_text()
    for part in ("CLARION_FCM_BASE_URL=https://127.0.0.1:", "CLARION_EGRESS_CA_FILE=", "requests"):
        assert part in shown


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    """Killed or not, the parent leaves no simulator behind."""
    file = tmp_path / "said"
    script = '"$@" > "$FILE" & echo $!; exec sleep 3600 >/dev/null'
    parent = subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", *CLARION, "simulate", "apns", "--json", "--with-parent"],
        env=os.environ | {"FILE": str(file)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    while not (file.exists() and "listening" in file.read_text()):
        time.sleep(0.05)
    parent.kill()
    parent.communicate()
    lives = True
    while "ended" not in file.read_text():
        assert lives, "it says that it ends, and then does"
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            lives = False
        time.sleep(0.05)
