"""Are erased names that stay suppressed known again: by another master key they are not."""

from typing import Final

from clarion.adapters.state.pool import Pool, open_pool
from clarion.adapters.state.suppression import adopt_hashes, kept_names
from clarion.adapters.system import SystemChance
from clarion.app.foundation import master_keys
from clarion.app.settings import Settings

ADVICE: Final = (
    "put the old master key back, or keep it in a file of its own and name that in "
    "data.old_master_key_files"
)


def sentence(unknown: int) -> str:
    """What happened, for `unknown` names."""
    return (
        f"{unknown} erased names on suppression lists were kept with a master key that is not "
        "here: whoever comes again under one of them would be sent to"
    )


async def unknown_in(pool: Pool) -> int:
    """How many erased names none of the keys of these connections knows again.

    Raises:
        StoreUnavailableError: the state store can't be reached.
    """
    await adopt_hashes(pool)
    return (await kept_names(pool)).unknown


async def unknown_names(settings: Settings) -> int:
    """The same by these settings; at every start, before anybody comes.

    Raises:
        StoreUnavailableError: the state store can't be reached.
        MasterKeyError: a master key can't be read.
    """
    if settings.database.url is None:
        return 0
    keys = master_keys(settings, SystemChance())
    pool = await open_pool(settings.database.url.reveal(), max_size=1, master_keys=keys)
    try:
        return await unknown_in(pool)
    finally:
        await pool.close()
