"""A batch that is sent chunk by chunk goes out as if each chunk came alone."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clarion.domain.handoffs import Answers, Recipients
from clarion.domain.ids import MessageId
from clarion.domain.network import Environment
from clarion.domain.outcome import Verdict
from clarion.ports.provider import SendRequest

if TYPE_CHECKING:
    from tests.providers.apns.conftest import MakeStage, Stage

STEP = 4


def batch_of(tokens: list[bytes], first: int) -> Recipients:
    """Devices numbered from `first`."""
    return Recipients(
        device=np.arange(first, first + len(tokens)),
        user=np.arange(len(tokens)),
        registered_us=np.zeros(len(tokens), np.int64),
        environment=np.full(len(tokens), Environment.PRODUCTION, np.uint8),
        tokens=tokens,
    )


async def sent(stage: "Stage", batch: Recipients, messages: list[object]) -> list[Answers]:
    """Chunk by chunk, as a sender does."""
    return [
        await stage.provider.send(
            SendRequest(
                credential=stage.credential,
                messages=messages,  # type: ignore[arg-type]  # messages they are
                recipients=batch.rows(low, low + STEP),
                urgent=False,
                now=stage.clock.now(),
                batch=batch,
                low=low,
            )
        )
        for low in range(0, len(batch), STEP)
    ]


async def test_ids_are_the_same_whether_a_batch_goes_at_once_or_in_chunks(
    make_stage: "MakeStage",
) -> None:
    """Two batches in turns, of two messages: each device's copy keeps its id."""
    tokens = [f"{n:064x}".encode() for n in range(1, 13)]
    stage = make_stage()
    for number, first in ((1, 1), (2, 100), (1, 100), (1, 1)):
        messages = [replace(stage.message, id=MessageId(f"m{number}"))]
        batch = batch_of(tokens, first)
        whole = await stage.provider.send(
            SendRequest(
                credential=stage.credential,
                messages=messages,
                recipients=batch,
                urgent=True,
                now=stage.clock.now(),
            )
        )
        stage.transport.seen.clear()
        await sent(stage, batch, list(messages))
        ids = [dict(request.headers)[b"apns-id"].decode() for request in stage.transport.seen]
        assert ids == whole.provider_id


async def test_a_token_that_is_none_is_refused_in_its_own_chunk(make_stage: "MakeStage") -> None:
    """The others of its batch go out."""
    tokens = [f"{n:064x}".encode() for n in range(1, 13)]
    tokens[5] = b"no hex"
    stage = make_stage()

    answers = await sent(stage, batch_of(tokens, 1), [stage.message])

    verdicts = np.concatenate([part.verdict for part in answers])
    assert np.flatnonzero(verdicts).tolist() == [5]
    assert verdicts[5] == Verdict.DROP_TOKEN
    assert len(stage.transport.seen) == 11
