"""The client and the simulator over real HTTP/2 and TLS on loopback."""

from typing import TYPE_CHECKING

import pytest

from clarion.adapters.net.loopback_tls import LoopbackTls, make_loopback_tls, server_context
from clarion.adapters.net.serve_simulator import serve
from clarion.adapters.net.transport import NetTransport, TransportSettings
from clarion.adapters.system import SystemChance, SystemClock
from clarion.domain.outcome import Verdict
from clarion.providers.fcm.client import FcmHosts, FcmProvider
from clarion.providers.fcm.simulator import FcmFaults

if TYPE_CHECKING:
    from tests.providers.fcm.conftest import MakeStage

CLOCK = SystemClock()
TOKENS = [f"d{n:04d}:APA91b{n:040d}".encode() for n in range(1000)]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> LoopbackTls:
    """An authority and a certificate for loopback."""
    return make_loopback_tls(tmp_path_factory.mktemp("tls"), CLOCK.now())


@pytest.mark.parametrize(("scheme", "devices"), [("https", 1000), ("http", 250)])
async def test_many_devices_get_their_verdicts_through_goaways(
    make_stage: "MakeStage", tls: LoopbackTls, scheme: str, devices: int
) -> None:
    """The access token comes from the same server; two GOAWAYs on the way.

    A simulator without TLS is spoken to over HTTP/1.1, in turns on eight connections: what does
    not get its turn within the batch's time is tried again later, so these are fewer.
    """
    stage = make_stage(FcmFaults(dead=0.05, goaway_every=devices * 2 // 5), token_url="")
    context = server_context(tls.certificate, tls.key) if scheme == "https" else None
    server = await serve(stage.judge, host="127.0.0.1", port=0, tls=context, clock=CLOCK)
    transport = NetTransport(
        TransportSettings(ca_file=tls.ca_file, connect_s=60, request_s=60), CLOCK, SystemChance()
    )
    here = f"{scheme}://127.0.0.1:{server.port}"
    stage.clock.at = CLOCK.now()
    stage.provider = FcmProvider(
        transport=transport,
        tokens=stage.shelf,
        clock=CLOCK,
        hosts=FcmHosts(base=here, token=f"{here}/token"),
    )
    try:
        answers = await stage.send(TOKENS[:devices])
        urgent = await stage.send(TOKENS[:1], urgent=True)
    finally:
        await transport.close()
        await server.close()
    dead = answers.verdict == Verdict.DROP_TOKEN
    assert 0 < dead.sum() < 0.15 * devices
    assert set(answers.verdict[~dead].tolist()) == {Verdict.OK}
    assert urgent.verdict[0] == answers.verdict[0]
    assert stage.judge.record is not None
    assert len(stage.judge.record.deliveries) == devices - dead.sum()
    assert stage.shelf.minted == 1
    assert server.wire.connections_failed == 0
