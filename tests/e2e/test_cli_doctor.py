"""The doctor on real engines: what it says of credentials, schema, leases and networks."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.e2e.patience import PATIENCE_S

from clarion.adapters.net.loopback_tls import issue_certificate, make_loopback_tls
from clarion.adapters.state.embedded import EmbeddedPostgres
from clarion.adapters.state.pool import transaction
from clarion.adapters.state.statements import statements
from clarion.adapters.system import SystemClock
from clarion.app import doctor_networks
from clarion.app.container import Container, open_container
from clarion.app.doctor import examine
from clarion.app.doctor_credentials import examine_credentials
from clarion.app.doctor_finding import Finding, Level
from clarion.app.doctor_line import examine_line
from clarion.app.doctor_networks import examine_networks
from clarion.app.doctor_state import examine_schema, examine_state
from clarion.app.settings import load
from clarion.domain.handoffs import OUTCOME_ROW
from clarion.domain.network import Network
from clarion.domain.outcome import Outcome, Reason
from clarion.ports.credentials import NewCredential
from clarion.testing import make_apns_credential, make_fcm_credential, simulate_apns

NOW = SystemClock().now()
_STUCK_WORK = """
with message as (
    insert into message (id, app_id, lane, state, request, envelope, target, send_at, key_id,
                         created_at)
    select '00000000-0000-7000-8000-000000000000', id, 2, 2, '{}', '', '{}', now(), 'k', now()
    from app
    returning id, app_id
), shard as (
    insert into shard (message_id, app_id, lane, low, high, run_at, state)
    select id, app_id, 2, 0, 1, now(), 3 from message
), credential as (
    update credential set state = 2 returning id
)
insert into batch (key, app_id, lane, network, credential_id, message_ids, state, run_at, claims,
                   size, planned_xid, recipients)
select 'b', m.app_id, 2, 1, c.id, array[m.id], 1, now(), 3, 1, 1, ''
from message m, credential c
"""
Open = Callable[..., AbstractAsyncContextManager[Container]]


@pytest.fixture
def opened(database_url: str, tmp_path: Path) -> Open:
    """Opens a container on this test's database; arguments are settings."""

    @asynccontextmanager
    async def opening(**variables: str) -> AsyncIterator[Container]:
        environment = {
            "CLARION_DATA_DIR": str(tmp_path),
            "CLARION_DATABASE_URL": database_url,
            "CLARION_EGRESS_CONNECT_S": str(PATIENCE_S),
            "CLARION_EGRESS_REQUEST_S": str(PATIENCE_S),
        }
        async with open_container(load(environment | variables), connections=2) as container:
            yield container

    return opening


async def put(container: Container, network: Network, body: dict[str, dict[str, str]]) -> None:
    """Store a credential of the app `shop`."""
    app = await container.apps.find("shop") or await container.apps.create("shop", now=NOW)
    new = NewCredential(
        network=network, public=body.get("public", {}), secret=body.get("secret", {})
    )
    await container.credentials.put(app.id, new, NOW)


def plain(body: object) -> dict[str, dict[str, str]]:
    """A body as JSON gives it."""
    copied: dict[str, dict[str, str]] = json.loads(json.dumps(body))
    return copied


async def only(findings: AsyncIterator[Finding]) -> Finding:
    """The one finding."""
    (finding,) = [finding async for finding in findings]
    return finding


async def test_no_credential_is_worth_a_look(opened: Open) -> None:
    """Nothing can be sent, and that is how it starts."""
    async with opened() as container:
        assert (await only(examine_credentials(container))).level is Level.WARN


async def test_the_look_goes_on_where_any_port_will_do(
    opened: Open, database_url: str, tmp_path: Path
) -> None:
    """`push.port` 0: where the push service listens is known to the one that started it alone."""
    variables = {
        "CLARION_DATA_DIR": str(tmp_path),
        "CLARION_DATABASE_URL": database_url,
        "CLARION_SERVER_PORT": "0",
        "CLARION_PUSH_PORT": "0",
    }
    async with opened():
        assert (tmp_path / "master.key").exists()
    findings = [finding async for finding in examine(load(variables))]
    assert "queue" in {finding.what for finding in findings}


async def test_a_good_credential_is_named_with_its_app(opened: Open) -> None:
    """Its secret was opened and parsed."""
    async with opened() as container:
        await put(container, Network.APNS, plain(make_apns_credential()))
        finding = await only(examine_credentials(container))
    assert (finding.what, finding.level) == ("apns credential of shop", Level.OK)


async def test_a_credential_in_quarantine_fails_with_its_reason(opened: Open) -> None:
    """And how to end it."""
    async with opened() as container:
        await put(container, Network.FCM, plain(make_fcm_credential()))
        (record,) = await container.credentials.all(None)
        await container.pool.execute(
            statements("line")["quarantine"], record.id, "credential_rejected", NOW, record.version
        )
        finding = await only(examine_credentials(container))
    assert finding.level is Level.FAIL
    assert "credential_rejected" in finding.found
    assert "fcm:reinstate" in finding.advice


async def test_a_lost_master_key_fails(opened: Open, tmp_path: Path) -> None:
    """The sentence says which file is missed."""
    async with opened() as container:
        await put(container, Network.APNS, plain(make_apns_credential()))
    (tmp_path / "master.key").rename(tmp_path / "lost.key")
    async with opened() as container:
        finding = await only(examine_credentials(container))
    assert finding.level is Level.FAIL
    assert "master key" in finding.found


async def test_the_look_makes_no_master_key(
    opened: Open, database_url: str, tmp_path: Path
) -> None:
    """A new one would only hide that the old one is lost."""
    settings = load({"CLARION_DATA_DIR": str(tmp_path), "CLARION_DATABASE_URL": database_url})
    findings = [finding async for finding in examine(settings)]
    assert (findings[-1].what, findings[-1].level) == ("master key", Level.OK)
    async with opened() as container:
        await put(container, Network.APNS, plain(make_apns_credential()))
    (tmp_path / "master.key").unlink()
    findings = [finding async for finding in examine(settings)]
    assert (findings[-1].what, findings[-1].level) == ("master key", Level.FAIL)
    assert not (tmp_path / "master.key").exists()


@pytest.mark.parametrize(
    ("ends_in", "level"),
    [
        (timedelta(days=29), Level.WARN),
        (timedelta(days=200), Level.OK),
        (timedelta(days=-1), Level.FAIL),
    ],
)
async def test_a_certificate_is_told_before_it_ends(
    opened: Open, tmp_path: Path, ends_in: timedelta, level: Level
) -> None:
    """A month ahead; where it ends on its own is the credential's own fault, told as such."""
    tls = make_loopback_tls(tmp_path, NOW)
    issued = issue_certificate(tls, NOW, common_name="com.example.shop")
    body = {
        "public": {"topic": "com.example.shop"},
        "secret": {"certificate": issued.chain_pem, "certificate_key": issued.key_pem},
    }
    async with opened() as container:
        app = await container.apps.create("shop", now=NOW)
        new = NewCredential(
            network=Network.APNS,
            public=body["public"],
            secret=body["secret"],
            expires_at=NOW + ends_in,
        )
        await container.credentials.put(app.id, new, NOW)
        finding = await only(examine_credentials(container))
    assert finding.level is level
    assert f"{NOW + ends_in:%Y-%m-%d}" in finding.found


async def test_a_schema_that_is_behind_fails(postgres_server: EmbeddedPostgres) -> None:
    """With the command that brings it up to date; the look changes nothing."""
    for _ in range(2):
        finding = await examine_schema(postgres_server.dsn)
        assert finding.level is Level.FAIL
        assert "clarion migrate" in finding.advice


async def test_work_of_a_silent_process_is_told(opened: Open) -> None:
    """Who holds it, and since when."""
    async with opened() as container:
        app = await container.apps.create("shop", now=NOW)
        async with transaction(container.pool) as connection:
            await connection.execute("set local session_replication_role = replica")
            await connection.execute(
                "insert into shard (message_id, app_id, lane, low, high, run_at, state, owner, "
                "leased_until) values ($1, $2, 3, 0, 1, $3, 2, 'planner-9', $3)",
                "00000000-0000-7000-8000-000000000000",
                app.id,
                NOW - timedelta(minutes=1),
            )
        levels = {finding.what: finding async for finding in examine_state(container)}
    assert levels["silent process"].level is Level.WARN
    assert "planner-9 holds 1 pieces" in levels["silent process"].found
    assert levels["state store"].level is Level.OK


async def test_work_that_waits_for_somebody_is_counted(opened: Open) -> None:
    """Poisoned, unreadable, or behind a credential in quarantine: with what to do about each."""
    rows = np.zeros(3, OUTCOME_ROW)
    rows["outcome"], rows["reason"] = Outcome.FAILED, Reason.BATCH_POISONED
    async with opened() as container:
        well = [finding async for finding in examine_line(container)]
        await put(container, Network.APNS, plain(make_apns_credential()))
        async with transaction(container.pool) as connection:
            await connection.execute(_STUCK_WORK)
            await connection.execute(
                "insert into chunk (key, app_id, kind, message_ids, rows, created_at) "
                "values ('c', 1, 1, '{}', $1, $2)",
                rows.tobytes(),
                NOW,
            )
        told = {finding.what: finding async for finding in examine_line(container)}
    assert [finding.level for finding in well] == [Level.OK] * 3
    assert {finding.level for finding in told.values()} == {Level.WARN}
    assert all(finding.advice for finding in told.values())
    assert told["poisoned batches"].found.startswith("1 batches were leased 3 times")
    assert "3 recipients ended as failed" in told["poisoned batches"].found
    assert told["held shards"].found.startswith("1 shards")
    assert told["quarantine"].found.startswith("1 credentials are in quarantine, 1 batches")


async def test_a_network_is_tried_only_where_there_is_a_credential(opened: Open) -> None:
    """Nobody is called without need."""
    async with opened() as container:
        assert [finding async for finding in examine_networks(container)] == []


async def test_the_way_to_a_network_is_tried(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS, with HTTP/2."""
    monkeypatch.setattr(doctor_networks, "PATIENCE_S", PATIENCE_S)
    with simulate_apns() as network:
        async with opened(**network.settings) as container:
            await put(container, Network.APNS, plain(make_apns_credential()))
            way, clock = [finding async for finding in examine_networks(container)]
    assert (way.level, way.found) == (Level.OK, "it can be reached, over HTTP/2")
    assert (clock.level, clock.found) == (
        Level.OK,
        "it can be reached, and does not tell the time",
    )


async def test_a_network_that_cannot_be_reached_is_told(opened: Open) -> None:
    """A warning: the way out may be shut for a moment."""
    nobody = {
        "CLARION_APNS_PRODUCTION_URL": "https://127.0.0.1:9",
        "CLARION_APNS_SANDBOX_URL": "https://127.0.0.1:9",
        "CLARION_FCM_BASE_URL": "https://127.0.0.1:9",
    }
    async with opened(**nobody) as container:
        await put(container, Network.APNS, plain(make_apns_credential()))
        await put(container, Network.FCM, plain(make_fcm_credential()))
        findings = [finding async for finding in examine_networks(container)]
    assert [finding.level for finding in findings] == [Level.WARN, Level.WARN]
    assert all("can't be reached" in finding.found for finding in findings)


async def test_a_database_that_is_not_there_is_one_finding(tmp_path: Path) -> None:
    """The rest is not tried."""
    variables = {
        "CLARION_DATA_DIR": str(tmp_path),
        "CLARION_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
    }
    findings = [finding async for finding in examine(load(variables))]
    assert findings[-1].what == "state store"
    assert findings[-1].level is Level.FAIL
    assert "database.url" in findings[-1].advice


async def test_before_the_first_start_all_is_well(tmp_path: Path) -> None:
    """There is nothing yet that could be wrong, and the look makes nothing."""
    folder = tmp_path / "data"
    findings = [finding async for finding in examine(load({"CLARION_DATA_DIR": str(folder)}))]
    assert {finding.level for finding in findings} == {Level.OK}
    assert not folder.exists()
