"""Are erased names that stay suppressed known again: by another master key they are not."""

from typing import Final

from clarion.adapters.state.pool import Pool, open_pool
from clarion.adapters.state.suppression import kept_names
from clarion.adapters.system import SystemChance
from clarion.app.foundation import master_keys
from clarion.app.settings import Settings

ADVICE: Final = (
    "put the old master key back, or keep it in a file of its own and name that in "
    "data.old_master_key_files"
)
UNTOLD_ADVICE: Final = (
    "if the master key was ever changed, name the one from then in data.old_master_key_files, and "
    "leave it there; if it never was, nothing has to be done"
)


def untold_sentence(untold: int) -> str:
    """What nobody can know of `untold` names."""
    return (
        f"{untold} erased names on suppression lists were kept before it was noted by which master "
        "key: they are known again if it is the present one, or one of data.old_master_key_files"
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
