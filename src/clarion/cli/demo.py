"""`clarion demo`: the main job from start to finish, on simulated networks, with no questions."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter, validators

from clarion.adapters.system import SystemClock
from clarion.app.demo_audience import Audience, make_audience
from clarion.app.demo_credentials import KEY_ID, TEAM_ID, TOPIC, DemoCredentials, make_credentials
from clarion.app.demo_processes import ChildFailedError, Children
from clarion.cli.connection import Connection, Json
from clarion.cli.demo_campaign import (
    forecast,
    full_campaign,
    give_consents,
    set_rules,
    small_campaign,
)
from clarion.cli.demo_report import report
from clarion.cli.exits import CommandError, Exit
from clarion.cli.import_file import Source, upload
from clarion.cli.outcomes import follow
from clarion.cli.output import OUT, number, progress
from clarion.cli.running import run_loop

ENDPOINT_SEED: Final = 8030
DEAD: Final = "0.03"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Simulators:
    """Where the networks are."""

    apns: str
    fcm: str
    ca_file: str


def demo(
    *,
    users: Annotated[int, Parameter(validator=validators.Number(gte=10))] = 100_000,
    seed: int = 20_261_121,
) -> int:
    """See the main job from start to finish: no questions, no accounts, nothing left behind.

    Starts the platform and strict simulators of APNs, FCM and Web Push, imports people, devices
    and consent, sends one message to one person, and a campaign under all rules: a segment,
    consent, quiet hours, a frequency cap, words in four languages. It shows the forecast of the
    dry run beside what was recorded. Every number is read from the public API.

    Args:
        users: How many people; they have one and a half times as many devices.
        seed: The same seed makes the same audience.
    """
    clock = SystemClock()
    started = clock.monotonic()
    try:
        complete = run_loop(_demo(users, seed))
    except ChildFailedError as error:
        raise CommandError(str(error), Exit.UNREACHABLE) from error
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    OUT.print(f"\nAll done in {clock.monotonic() - started:.0f} s; nothing is left behind.")
    return Exit.OK if complete else Exit.FINDINGS


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="clarion-demo-") as name:
        Path(name).chmod(0o711)  # the embedded database may run as another user
        yield Path(name)


async def _demo(users: int, seed: int) -> bool:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with _folder() as folder:
        async with Children(folder) as children, _platform(children, folder) as connection:
            push_service = await _web_push(children, folder, connection)
            audience = make_audience(
                users,
                now=SystemClock().now(),
                seed=seed,
                push_service=push_service,
                endpoint_seed=ENDPOINT_SEED,
            )
            await _import(connection, audience, folder)
            await _one(connection, audience.subject)
            complete = await _campaign(connection, audience)
            OUT.print("\nStopping …")
    return complete


@asynccontextmanager
async def _platform(children: Children, folder: Path) -> AsyncIterator[Connection]:
    """Start the networks of Apple and Google, then the platform that sends to them."""
    credentials = make_credentials(folder)
    _step("Starting simulators of APNs and FCM (TLS, as strict as the real ones)")
    networks = await _networks(children, folder, credentials)
    _step("Starting Clarion: PostgreSQL, facts, API, planner, senders")
    variables = {
        "CLARION_DATA_DIR": str(folder / "data"),
        "CLARION_SERVER_PORT": "0",
        "CLARION_PUSH_PORT": "0",
        "CLARION_LOG_LEVEL": "warning",
        "CLARION_API_EVENTS_EVERY_S": "0.2",
        "CLARION_APNS_PRODUCTION_URL": networks.apns,
        "CLARION_APNS_SANDBOX_URL": networks.apns,
        "CLARION_FCM_BASE_URL": networks.fcm,
        "CLARION_FCM_TOKEN_URL": f"{networks.fcm}/token",
        "CLARION_EGRESS_CA_FILE": networks.ca_file,
        "CLARION_EGRESS_ALLOW_HOSTS": "127.0.0.1",
    }
    started = await children.start("platform", ["serve", "--json", "--with-parent"], variables)
    async with Connection(str(started["url"]), started["key"]) as connection:
        OUT.print(f"  at {connection.url}", soft_wrap=True)
        await _give_credentials(connection, credentials)
        yield connection


async def _networks(children: Children, folder: Path, credentials: DemoCredentials) -> _Simulators:
    common = ["--json", "--with-parent", "--tls-dir", str(folder / "tls"), "--dead", DEAD]
    apns = await children.start(
        "apns",
        [
            "simulate", "apns", *common, "--goaway-every", "20000", "--key-file",
            str(credentials.key_file), "--key-id", KEY_ID, "--team-id", TEAM_ID, "--topic", TOPIC,
        ],
    )  # fmt: skip
    fcm = await children.start(
        "fcm",
        [
            "simulate", "fcm", *common, "--unavailable", "0.002", "--retry-after-s", "5",
            "--service-account", str(credentials.service_account_file),
        ],
    )  # fmt: skip
    return _Simulators(apns=apns["url"], fcm=fcm["url"], ca_file=apns["ca_file"])


async def _give_credentials(connection: Connection, credentials: DemoCredentials) -> None:
    await connection.put(
        "/v1/credentials/apns",
        {
            "public": {"key_id": KEY_ID, "team_id": TEAM_ID, "topic": TOPIC},
            "secret": {"private_key": credentials.p8},
        },
    )
    await connection.put(
        "/v1/credentials/fcm", {"secret": {"service_account": credentials.service_account}}
    )


async def _web_push(children: Children, folder: Path, connection: Connection) -> str:
    """Have the platform make a VAPID pair, and start a push service that takes only that one."""
    made = await connection.post(
        "/v1/credentials/webpush:generate", {"subject": "mailto:demo@example.com"}
    )
    _step("Starting a simulator of a Web Push service, bound to the VAPID key just made")
    service = await children.start(
        "webpush",
        [
            "simulate", "webpush", "--json", "--with-parent", "--tls-dir", str(folder / "tls"),
            "--dead", DEAD, "--seed", str(ENDPOINT_SEED), "--decrypt",
            "--application-key", str(made["public"]["public_key"]),
        ],
    )  # fmt: skip
    return str(service["url"])


async def _import(connection: Connection, audience: Audience, folder: Path) -> None:
    devices = audience.rows.height
    _step(f"Importing {number(audience.users)} people with {number(devices)} devices")
    file = folder / "audience.ndjson"
    audience.rows.write_ndjson(file)
    clock = SystemClock()
    started = clock.monotonic()
    view = await upload(connection, Source.of(file, "ndjson"))
    seconds = max(1e-3, clock.monotonic() - started)
    file.unlink()
    OUT.print(
        f"  {number(view['rows_in'])} rows in {seconds:.1f} s "
        f"({number(view['rows_in'] / seconds)} devices/s), {number(view['rows_bad'])} bad"
    )
    if view["rows_bad"]:
        first = view["bad"][0]
        raise CommandError(
            f"row {first['line']} of the demo's own audience is bad: {first['detail']}",
            Exit.FINDINGS,
        )


async def _campaign(connection: Connection, audience: Audience) -> bool:
    """Consent, rules, a forecast, the campaign, and what was recorded of it."""
    _step("Bringing consent: who opted in to marketing, and who changed their mind")
    await give_consents(connection, audience)
    _step("Setting the rules")
    await set_rules(connection, audience)
    _step("Sending a first campaign to a few: people with the plan pro")
    await small_campaign(connection)
    _step("Trying the campaign in a dry run")
    expected = await forecast(connection)
    _step("Sending it")
    message = await full_campaign(connection, expected["recipients"])
    return await report(connection, message, audience, expected)


async def _one(connection: Connection, person: str) -> None:
    """A transactional message to one person."""
    _step(f"Sending one transactional message to {person}")
    body = {
        "to": {"users": [person]},
        "title": "Your code is 271 828",
        "body": "It is good for ten minutes.",
        "ttl": 600,
    }
    accepted = await connection.post("/v1/messages", body)
    view = await _ended(connection, str(accepted["id"]))
    OUT.print(
        f"  {view['by_outcome'].get('accepted', 0)} of {view['progress']['recipients']} devices "
        f"accepted; recorded {_milliseconds(view):.1f} ms after the message was taken in "
        "(the first one: it opened the connections)"
    )


async def _ended(connection: Connection, message: str) -> Json:
    with progress() as bar:
        task = bar.add_task("  outcomes", total=None, note="")

        def show(seen: Json) -> None:
            note = f"{number(seen['retried'])} retried" if seen["retried"] else ""
            bar.update(task, completed=seen["done"], total=seen["recipients"] or None, note=note)

        await follow(connection, message, show)
    return await connection.get(f"/v1/messages/{message}")


def _milliseconds(view: Json) -> float:
    last = datetime.fromisoformat(view["last_outcome_at"])
    return (last - datetime.fromisoformat(view["created_at"])).total_seconds() * 1000


def _step(sentence: str) -> None:
    OUT.print(f"[bold]{sentence}[/]", soft_wrap=True)
