"""Finds the state store for a command that works beside the platform, or without it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from clarion.adapters.state.embedded import EmbeddedSettings, running
from clarion.adapters.state.pg_datadir import DATABASE, ROLE, create
from clarion.adapters.state.pg_errors import AlreadyRunningError, EmbeddedPostgresError
from clarion.adapters.state.pg_locks import PORT
from clarion.adapters.state.pg_user import server_user
from clarion.app.foundation import Paths
from clarion.app.settings import Settings


@asynccontextmanager
async def reach_state(settings: Settings) -> AsyncIterator[str]:
    """The address of the state store.

    The configured one; else the embedded server that a running platform has started; else that
    server, started for the length of the block.

    Raises:
        EmbeddedPostgresError: the embedded server can't run here; the sentence says what to do.
    """
    if settings.database.url is not None:
        yield settings.database.url.reveal()
        return
    folder = Paths(root=settings.data_dir).postgres
    embedded = EmbeddedSettings(shared_buffers_mib=settings.database.shared_buffers_mib)
    try:
        context = running(folder, settings=embedded)
        server = await context.__aenter__()
    except AlreadyRunningError:
        yield running_address(settings)
        return
    try:
        yield server.dsn
    finally:
        await context.__aexit__(None, None, None)


def running_address(settings: Settings) -> str:
    """Where the embedded server that another process runs can be reached.

    Raises:
        EmbeddedPostgresError: its password can't be read.
    """
    folder = Paths(root=settings.data_dir).postgres
    data = create(folder, server_user(EmbeddedSettings().run_as))
    try:
        password = data.secret.read_text("ascii")
    except OSError as error:
        raise EmbeddedPostgresError(
            f"the running database's password {data.secret} can't be read ({error.strerror}): "
            "run this command as the user who started the platform"
        ) from error
    return f"postgresql://{ROLE}:{password}@/{DATABASE}?host={quote(str(data.sockets))}&port={PORT}"
