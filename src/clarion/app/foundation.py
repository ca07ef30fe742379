"""What every process stands on: settings, the clock, the state store, its metrics and its key.

Light on purpose: the push service and the supervisor need no more, and load no columns.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from clarion.adapters.state.pool import Pool, open_pool
from clarion.adapters.state.sealing import load_master_key, read_master_key
from clarion.adapters.system import SystemChance, SystemClock
from clarion.app.settings import Settings, SettingsError
from clarion.telemetry.metrics import Metrics


@dataclass(frozen=True, kw_only=True, slots=True)
class Paths:
    """Where things lie in the data directory."""

    root: Path

    @property
    def postgres(self) -> Path:
        """The embedded server's own directory."""
        return self.root / "postgres"

    @property
    def facts(self) -> Path:
        """The facts file."""
        return self.root / "facts" / "facts.duckdb"

    @property
    def facts_socket(self) -> Path:
        """Where the owner of the facts listens."""
        return self.root / "facts" / "facts.sock"

    @property
    def metrics(self) -> Path:
        """Where the processes share their numbers."""
        return self.root / "metrics"


@dataclass(frozen=True, kw_only=True, slots=True)
class Foundation:
    """What one process stands on, ready to use."""

    settings: Settings
    paths: Paths
    clock: SystemClock
    chance: SystemChance
    pool: Pool
    metrics: Metrics
    master_key: bytes


@asynccontextmanager
async def open_foundation(settings: Settings, *, connections: int) -> AsyncIterator[Foundation]:
    """Open what one process stands on.

    Args:
        settings: with `database.url` set (the supervisor sets it for the embedded server).
        connections: how many connections to the state store the process may hold.

    Raises:
        SettingsError: no state store is named.
        StoreUnavailableError: the state store can't be reached.
        MasterKeyError: the key that seals credentials, or one from before, can't be read.
    """
    if settings.database.url is None:
        raise SettingsError(["database.url is not set: start with `clarion serve`, or set it"])
    paths, chance = Paths(root=settings.data_dir), SystemChance()
    metrics = Metrics(settings.metrics.directory or paths.metrics)
    master_key, *old_keys = master_keys(settings, chance)
    pool = await open_pool(
        settings.database.url.reveal(),
        max_size=connections,
        command_timeout_s=settings.database.statement_s,
        master_keys=[master_key, *old_keys],
    )
    try:
        yield Foundation(
            settings=settings,
            paths=paths,
            clock=SystemClock(),
            chance=chance,
            pool=pool,
            metrics=metrics,
            master_key=master_key,
        )
    finally:
        await pool.close()


def master_keys(settings: Settings, chance: SystemChance) -> Sequence[bytes]:
    """The master key, made if there is none yet, and after it those from before.

    Raises:
        MasterKeyError: one of them can't be read.
    """
    file = settings.data.master_key_file or settings.data_dir / "master.key"
    old = (read_master_key(path) for path in settings.data.old_master_key_files)
    return [load_master_key(file, chance.token), *old]
