"""Every app is born with the categories that the rules know."""

from tests.line.conftest import Store

from clarion.domain.category import BORN


async def test_the_schema_makes_what_the_rules_call_born(store: Store) -> None:
    """The trigger of the schema and `BORN` say the same."""
    rows = await store.pool.fetch(
        "select slug, kind, slot, can_opt_out, default_state, caps_apply, quiet_applies, urgent,"
        " priority from category where app_id = $1 order by slot",
        store.app,
    )
    assert [tuple(row) for row in rows] == [
        (
            c.slug,
            c.kind,
            c.slot,
            c.can_opt_out,
            c.default_state,
            c.caps_apply,
            c.quiet_applies,
            c.urgent,
            c.priority,
        )
        for c in BORN
    ]
