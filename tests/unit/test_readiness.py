"""Readiness is told in time, whatever the parts do."""

import asyncio

from clarion.app.readiness import works


async def test_a_part_that_hangs_does_not_work_and_is_not_waited_for() -> None:
    """Not even for the question to be taken back, as a driver does that asks the store to."""
    heard = asyncio.Event()

    async def stuck() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await heard.wait()
            raise ConnectionError

    assert not await works(stuck(), patience_s=0.05)
    heard.set()
    await asyncio.sleep(0.01)


async def test_a_part_works_where_its_question_is_answered_without_an_error() -> None:
    """Whatever the error is."""

    async def fine() -> None:
        await asyncio.sleep(0)

    async def broken() -> None:
        raise LookupError

    assert await works(fine())
    assert not await works(broken())
