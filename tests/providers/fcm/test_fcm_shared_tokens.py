"""Many processes and the real store of shared tokens."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from clarion.adapters.state.credentials import PostgresSharedTokens
from clarion.adapters.state.pool import open_pool
from clarion.adapters.state.sealing import Seal
from clarion.domain.outcome import Verdict

if TYPE_CHECKING:
    from tests.providers.fcm.conftest import MakeStage

TOKENS = [f"d{n}:APA91b{n:040d}".encode() for n in range(1, 4)]


async def test_racing_processes_agree_on_one_access_token(
    make_stage: "MakeStage", database_url: str
) -> None:
    """At the first send and at every renewal, whoever comes first."""
    stage = make_stage()
    pool = await open_pool(database_url, max_size=6)
    stage.shared = PostgresSharedTokens(pool, Seal(bytes(32), bytes))
    processes = [stage.another_process() for _ in range(6)]
    rounds = []
    try:
        for _ in range(3):
            before = len(stage.transport.seen)
            answers = await asyncio.gather(
                *(stage.send(TOKENS, process=process) for process in processes)
            )
            assert all(set(a.verdict.tolist()) == {Verdict.OK} for a in answers)
            bearers = {
                dict(request.headers)[b"authorization"] for request in stage.transport.seen[before:]
            }
            rounds.append(bearers)
            stage.clock.at += timedelta(minutes=58)
    finally:
        await pool.close()
    assert [len(bearers) for bearers in rounds] == [1, 1, 1]
    assert len(set.union(*rounds)) == 3
