"""Who may be sent a message: one function over columns, with a reason for each row.

The order of the rules is the order in which a person would want them told: somebody who opted
out is told so even when the device is dead too.
"""

from collections.abc import Collection

import polars as pl

from clarion.domain.network import Network
from clarion.domain.outcome import Reason


def decide(
    rows: pl.DataFrame, *, targeted: Collection[Network], sendable: Collection[Network]
) -> pl.Series:
    """The reason code of each row; `Reason.ACCEPTED` (0) means: send.

    Args:
        rows: columns of `clarion.ports.audience.AUDIENCE_SCHEMA`, n rows.
        targeted: networks that the message is for; empty means all.
        sendable: networks for which the app has a credential.

    Returns:
        UInt16 series of n reason codes.
    """
    wanted = [int(network) for network in (targeted or tuple(Network))]
    able = [int(network) for network in sendable]
    reason = (
        pl.when(pl.col("user_opted_out"))
        .then(int(Reason.USER_OPTED_OUT))
        .when(pl.col("device") == 0)
        .then(int(Reason.USER_HAS_NO_DEVICE))
        .when(pl.col("dead"))
        .then(int(Reason.DEVICE_DEAD))
        .when(pl.col("device_opted_out"))
        .then(int(Reason.DEVICE_OPTED_OUT))
        .when(~pl.col("network").is_in(wanted))
        .then(int(Reason.NETWORK_EXCLUDED))
        .when(~pl.col("network").is_in(able))
        .then(int(Reason.CREDENTIAL_MISSING))
        .otherwise(int(Reason.ACCEPTED))
        .cast(pl.UInt16)
        .alias("reason")
    )
    return rows.select(reason).to_series()
