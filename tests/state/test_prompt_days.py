"""How asking went, day by day, is told within bounds."""

from datetime import timedelta
from uuid import uuid4

from tests.state.conftest import NOW

from clarion.adapters.state.permissions import PostgresPermissions
from clarion.adapters.state.pool import Pool
from clarion.domain.ids import AppId
from clarion.domain.permission import PromptInput
from clarion.ports.consent import MOST_COUNTS, PromptStep


async def test_texts_that_somebody_makes_up_crowd_out_no_real_one(pool: Pool, app: AppId) -> None:
    """The key of a page is public: what is most frequent is told, and that there was more."""
    texts = [*(f"made up {n}" for n in range(MOST_COUNTS)), "real", "real"]
    steps = {
        str(uuid4()): PromptStep(what=PromptInput.DENY, at=NOW, version=text) for text in texts
    }
    permissions = PostgresPermissions(pool)
    await permissions.visitors(app, steps, NOW)
    found = await permissions.funnel(app, NOW - timedelta(days=1), NOW + timedelta(days=1))
    assert found.cut
    assert len(found.days) == MOST_COUNTS
    assert [one.times for one in found.days if one.key[2] == "real"] == [2]
    assert next(step.times for step in found.steps if step.what is PromptInput.DENY) == len(texts)
