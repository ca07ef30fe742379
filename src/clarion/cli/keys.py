"""`clarion keys`: API keys, straight in the state store (for whoever has lost the last one)."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, TypeVar

from cyclopts import App, Parameter
from rich.markup import escape
from rich.table import Column, Table

from clarion.adapters.state.keys import PostgresKeys
from clarion.adapters.state.migrate import migrate
from clarion.adapters.state.pool import open_pool
from clarion.adapters.state.registry_apps import PostgresApps
from clarion.adapters.system import SystemChance, SystemClock
from clarion.app.reach_state import reach_state
from clarion.app.settings import Settings
from clarion.app.supervise import prepare_data_dir
from clarion.cli.exits import CommandError, Exit
from clarion.cli.options import AsJson, ConfigFile
from clarion.cli.output import OUT, print_json
from clarion.cli.reading_settings import read_settings
from clarion.cli.running import engine_failures, run_loop
from clarion.domain.ids import KeyId
from clarion.ports.apps import AppRecord
from clarion.ports.keys import KeyRecord, NewKey, Scope

MAX_GRACE_HOURS: Final = 30 * 24
"""As over the API."""

app = App(
    name="keys",
    help=(
        "Make, list, rotate and revoke API keys. Works on the database itself, so it needs no "
        "key; the platform may be running or not."
    ),
)

_Result = TypeVar("_Result")

AppName = Annotated[
    str | None, Parameter(name="--app", negative=(), help="App; else `api.operator_app`.")
]


@dataclass(frozen=True, kw_only=True)
class _Desk:
    """What the commands work with."""

    keys: PostgresKeys
    app: AppRecord
    now: datetime


@app.command
def create(
    name: str,
    *,
    scope: Literal["admin", "send", "device"] = "send",
    expires_days: Annotated[int | None, Parameter(negative=())] = None,
    app: AppName = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Make a key. Its text is shown this once.

    Args:
        name: What it is for.
        scope: What it allows: `admin` everything of its app; `send` messages, people and devices;
            `device` only what a client may do (safe to ship inside an app).
        expires_days: After so many days it opens nothing; else it lives until it is revoked.
        app: Which app.
        config: Settings file.
        json: Write one JSON document.
    """

    async def work(settings: Settings) -> NewKey:
        async with _desk(settings, app) as desk:
            end = None if expires_days is None else desk.now + timedelta(days=expires_days)
            return await desk.keys.create(
                desk.app.id, Scope(scope), name, expires_at=end, now=desk.now
            )

    if expires_days is not None and expires_days < 1:
        raise CommandError("--expires-days is at least 1")
    _show_new(_run(work(read_settings(config))), as_json=json)
    return Exit.OK


@app.command(name="list")
def list_keys(*, app: AppName = None, config: ConfigFile = None, json: AsJson = False) -> int:
    """List an app's keys, newest first, dead ones included; their texts are known to nobody."""

    async def work(settings: Settings) -> tuple[list[KeyRecord], datetime]:
        async with _desk(settings, app) as desk:
            return list(await desk.keys.all(desk.app.id)), desk.now

    records, now = _run(work(read_settings(config)))
    if json:
        print_json([_plain(record, now) for record in records])
        return Exit.OK
    table = Table(
        Column("id", no_wrap=True), "scope", "name", "state", "created", "last used", "expires"
    )
    for record in records:
        table.add_row(
            record.id,
            record.scope.value,
            escape(record.name),
            _state(record, now),
            _day(record.created_at),
            _day(record.last_used_at),
            _day(record.expires_at),
        )
    OUT.print(table)
    return Exit.OK


@app.command
def rotate(
    key: str,
    *,
    grace_hours: float = 24.0,
    app: AppName = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Replace a key by a new one of the same scope and name, which lives as long.

    Args:
        key: The key's id, as `clarion keys list` shows it.
        grace_hours: So long the old key goes on opening.
        app: Which app.
        config: Settings file.
        json: Write one JSON document.
    """

    async def work(settings: Settings) -> NewKey | None:
        async with _desk(settings, app) as desk:
            return await desk.keys.rotate(
                desk.app.id, KeyId(key), grace=timedelta(hours=grace_hours), now=desk.now
            )

    if not 0 <= grace_hours <= MAX_GRACE_HOURS:  # nan is neither
        raise CommandError(f"--grace-hours is 0 to {MAX_GRACE_HOURS}")
    made = _run(work(read_settings(config)))
    if made is None:
        raise _unknown(key)
    _show_new(made, as_json=json)
    return Exit.OK


@app.command
def revoke(
    key: str, *, app: AppName = None, config: ConfigFile = None, json: AsJson = False
) -> int:
    """End a key now; running API processes notice within a few seconds.

    Args:
        key: The key's id, as `clarion keys list` shows it.
        app: Which app.
        config: Settings file.
        json: Write one JSON document.
    """

    async def work(settings: Settings) -> bool:
        async with _desk(settings, app) as desk:
            return await desk.keys.revoke(desk.app.id, KeyId(key), desk.now)

    if not _run(work(read_settings(config))):
        raise _unknown(key)
    if json:
        print_json({"id": key, "state": "revoked"})
    else:
        OUT.print(f"key {escape(key)} is revoked")
    return Exit.OK


def _run(work: Coroutine[None, None, _Result]) -> _Result:
    with engine_failures():
        return run_loop(work)


@asynccontextmanager
async def _desk(settings: Settings, name: str | None) -> AsyncIterator[_Desk]:
    """Open the state store and find the app."""
    if settings.database.url is None:
        prepare_data_dir(settings.data_dir)
    clock, chance = SystemClock(), SystemChance()
    async with reach_state(settings) as dsn:
        await migrate(dsn)
        pool = await open_pool(dsn, max_size=2)
        try:
            apps, wanted = PostgresApps(pool), name or settings.api.operator_app
            found = await apps.find(wanted)
            if found is None:
                known = ", ".join(record.name for record in await apps.all())
                raise CommandError(
                    f"there is no app named {wanted!r}"
                    + (f"; there are: {known}" if known else ": start `clarion serve` once first")
                )
            yield _Desk(keys=PostgresKeys(pool, chance), app=found, now=clock.now())
        finally:
            await pool.close()


def _show_new(made: NewKey, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": made.record.id, "scope": made.record.scope.value, "key": made.text})
        return
    print(made.text)
    OUT.print("Keep it safe: it is shown this once, and we keep only its hash.")


def _plain(record: KeyRecord, now: datetime) -> dict[str, object]:
    return {
        "id": record.id,
        "scope": record.scope.value,
        "name": record.name,
        "state": _state(record, now),
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "revoked_at": record.revoked_at,
        "last_used_at": record.last_used_at,
    }


def _state(record: KeyRecord, now: datetime) -> str:
    if record.revoked_at is not None:
        return "revoked"
    return "expired" if record.expires_at is not None and record.expires_at <= now else "active"


def _day(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _unknown(key: str) -> CommandError:
    return CommandError(f"the app has no living key {key!r}; `clarion keys list` shows them")
