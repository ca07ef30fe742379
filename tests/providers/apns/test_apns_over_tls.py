"""The client and the simulator over real HTTP/2 and TLS on loopback."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from clarion.adapters.net.loopback_tls import (
    LoopbackTls,
    issue_certificate,
    make_loopback_tls,
    server_context,
)
from clarion.adapters.net.serve_simulator import serve
from clarion.adapters.net.transport import NetTransport, TransportSettings
from clarion.adapters.system import SystemChance, SystemClock
from clarion.domain.outcome import Verdict
from clarion.providers.apns.client import ApnsHosts, ApnsProvider
from clarion.providers.apns.simulator import ApnsFaults

if TYPE_CHECKING:
    from tests.providers.apns.conftest import MakeStage

CLOCK = SystemClock()
TOKENS = [f"{n:064x}".encode() for n in range(1, 1001)]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> LoopbackTls:
    """An authority and a certificate for loopback."""
    return make_loopback_tls(tmp_path_factory.mktemp("tls"), CLOCK.now())


async def test_a_thousand_devices_get_their_verdicts_through_goaways_and_errors(
    make_stage: "MakeStage", tls: LoopbackTls
) -> None:
    """One stream at first, many later, one again after an error; GOAWAY after every 400th.

    Every device is delivered to once or dead, with token and with certificate credentials.
    """
    stage = make_stage(ApnsFaults(dead=0.05, goaway_every=400, max_streams=100))
    stage.clock.at = CLOCK.now()
    context = server_context(tls.certificate, tls.key, alpn=["h2"], client_ca=tls.ca_file)
    server = await serve(stage.production, host="127.0.0.1", port=0, tls=context, clock=CLOCK)
    chance = SystemChance()
    transport = NetTransport(
        TransportSettings(ca_file=tls.ca_file, connect_s=60, request_s=60), CLOCK, chance
    )
    here = f"https://127.0.0.1:{server.port}"
    stage.provider = ApnsProvider(
        transport=transport,
        tokens=stage.shelf,
        clock=CLOCK,
        chance=chance,
        hosts=ApnsHosts(production=here, sandbox=here),
    )
    try:
        by_token = await stage.send(TOKENS)
        certificate = issue_certificate(tls, CLOCK.now(), common_name="com.example")
        der = x509.load_pem_x509_certificates(certificate.chain_pem.encode())[0]
        stage.production.certificates[der.public_bytes(Encoding.DER)] = frozenset({"com.example"})
        stage.credential = replace(
            stage.credential,
            version=2,
            public={"topic": "com.example"},
            secret={
                "certificate": certificate.chain_pem,
                "certificate_key": certificate.key_pem,
            },
        )
        by_certificate = await stage.send(TOKENS[:50])
    finally:
        await transport.close()
        await server.close()
    dead = by_token.verdict == Verdict.DROP_TOKEN
    assert 10 < dead.sum() < 150
    assert set(by_token.verdict[~dead].tolist()) == {Verdict.OK}
    assert (by_certificate.verdict == by_token.verdict[:50]).all()
    assert stage.production.record is not None
    assert len(stage.production.record.deliveries) == 1000 - dead.sum()
    assert {len(ids) for ids in stage.production.record.ids.values()} == {1}
    assert server.wire.connections_failed == 0
    assert server.wire.last_fault == ""
