"""What the doctor says of clocks and certificates, asked of real servers."""

from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from tests.e2e.patience import PATIENCE_S
from tests.providers.apns.test_apns_credential import KEY_PEM, NOW, certificate, listed

from clarion.adapters.net.loopback_tls import make_loopback_tls, server_context
from clarion.adapters.net.serve_simulator import serve
from clarion.adapters.system import SystemClock
from clarion.app import doctor_networks, doctor_state
from clarion.app.container import open_container
from clarion.app.doctor_credentials import examine_credentials
from clarion.app.doctor_finding import Finding, Level
from clarion.app.doctor_networks import examine_networks
from clarion.app.settings import load
from clarion.domain.network import Network
from clarion.ports.credentials import NewCredential
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest, SimulatorCounts
from clarion.testing import make_apns_credential, make_fcm_credential

CLOCK = SystemClock()


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still while the networks are asked is no trouble of theirs."""
    monkeypatch.setattr(doctor_networks, "PATIENCE_S", PATIENCE_S)
    monkeypatch.setattr(doctor_state, "SKEW_WARN", timedelta(minutes=1))
    monkeypatch.setattr(doctor_state, "SKEW_FAIL", timedelta(minutes=3))


@dataclass
class Dated:
    """A network whose clock is off."""

    ahead: timedelta
    initial_max_streams: int = 100
    speaks_http1: bool = True

    def answer(self, request: SimulatedRequest) -> SimulatedAnswer:
        """Refuses, with the time."""
        date = format_datetime(request.now + self.ahead, usegmt=True)
        return SimulatedAnswer(status=405, headers=[(b"date", date.encode())])

    def closed(self, connection: int) -> None:
        """Nothing is kept."""

    def counts(self) -> SimulatorCounts:
        """Nothing is counted."""
        return SimulatorCounts(requests=0)


async def findings_with(
    folder: Path, database_url: str, ahead: timedelta
) -> dict[str, list[Finding]]:
    """What is said of APNs, FCM and Web Push when the clocks of the first two are ahead."""
    tls = make_loopback_tls(folder, CLOCK.now())
    context = server_context(tls.certificate, tls.key)
    handle = await serve(Dated(ahead), host="127.0.0.1", port=0, tls=context, clock=CLOCK)
    here = f"https://127.0.0.1:{handle.port}"
    variables = {
        "CLARION_DATA_DIR": str(folder),
        "CLARION_DATABASE_URL": database_url,
        "CLARION_EGRESS_CA_FILE": str(tls.ca_file),
        "CLARION_EGRESS_CONNECT_S": str(PATIENCE_S),
        "CLARION_EGRESS_REQUEST_S": str(PATIENCE_S),
        "CLARION_APNS_PRODUCTION_URL": here,
        "CLARION_APNS_SANDBOX_URL": here,
        "CLARION_FCM_BASE_URL": here,
    }
    found: dict[str, list[Finding]] = {}
    try:
        async with open_container(load(variables), connections=2) as container:
            for network, body in (
                (Network.APNS, make_apns_credential()),
                (Network.FCM, make_fcm_credential()),
                (Network.WEBPUSH, {"public": {}, "secret": {}}),
            ):
                app = await container.apps.create(network.label, now=CLOCK.now())
                new = NewCredential(
                    network=network, public=body.get("public", {}), secret=body.get("secret", {})
                )
                await container.credentials.put(app.id, new, CLOCK.now())
            async for finding in examine_networks(container):
                found.setdefault(finding.what.split(" ", 1)[0], []).append(finding)
    finally:
        await handle.close()
    return found


@pytest.mark.parametrize(
    ("ahead", "level"), [(timedelta(0), Level.OK), (timedelta(minutes=10), Level.FAIL)]
)
async def test_the_clocks_of_all_networks_are_compared(
    tmp_path: Path, database_url: str, ahead: timedelta, level: Level
) -> None:
    """Of Apple too; where there is nobody to ask, it says so."""
    found = await findings_with(tmp_path, database_url, ahead)
    assert [finding.level for finding in found["clock"]] == [level, level]
    (webpush,) = found["clocks"]
    assert "not compared" in webpush.found


async def test_the_topics_of_a_certificate_are_told(tmp_path: Path, database_url: str) -> None:
    """Beside its end."""
    pem = certificate("com.example", topics=listed(["com.example.voip"]), production=b"\x05\x00")
    new = NewCredential(
        network=Network.APNS,
        public={"topic": "com.example"},
        secret={"certificate": pem, "certificate_key": KEY_PEM},
        expires_at=NOW + timedelta(days=360),
    )
    variables = {"CLARION_DATA_DIR": str(tmp_path), "CLARION_DATABASE_URL": database_url}
    async with open_container(load(variables), connections=2) as container:
        app = await container.apps.create("shop", now=CLOCK.now())
        await container.credentials.put(app.id, new, CLOCK.now())
        (finding,) = [finding async for finding in examine_credentials(container)]
    assert f"ends {new.expires_at:%Y-%m-%d}" in finding.found
    assert "topics: com.example, com.example.voip; it is for production" in finding.found
