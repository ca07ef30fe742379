"""From the answers of the owner to recorded decisions."""

import orjson

from clarion.domain.decided import Decided, unpacked
from clarion.domain.ids import AppId, MessageId


def decided_of(app: AppId, message: MessageId, piece: bytes) -> Decided:
    """One piece, as `decision_queries.pieces` makes it, with what its rows point to."""
    start = 4 + int.from_bytes(piece[:4], "little")
    meta = orjson.loads(piece[4:start])
    rows = unpacked(piece[start:])
    return Decided(
        app=app,
        messages=[message],
        runs=[len(rows)],
        rows=rows,
        policy=meta["policy"],
        zones=tuple(meta["zones"]),
        persons=tuple(meta["persons"]),
        languages=tuple(meta["languages"]),
        segments=meta.get("segments", {}),  # not told by earlier versions
    )
